"""``measure NAME --measure car``: what the net loses without each of its filters, in all and for each class.

Judged as the method ``car`` judges (:mod:`cnngraph.pruning.methods.car`), but every filter on the whole net, and with
all answers: nothing is left out because it cannot win. Layer by layer, each stored when it is done.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnngraph.errors import ConflictError, OptionError, PlanError, listed, nearest
from cnngraph.jobs.plan import Opened, context_of_stored
from cnngraph.jobs.session import Session
from cnngraph.measures.accuracy_reduction import AccuracyReduction, measure_reduction
from cnngraph.measures.runs import run_key
from cnngraph.measures.stored_reductions import (
    CarLayer,
    CarResult,
    StoredCar,
    read_filters,
    read_state,
    store_layer,
)
from cnngraph.pruning.choice import Choice
from cnngraph.pruning.context import Context
from cnngraph.pruning.layer_shares import explain_fixed, named_layers
from cnngraph.pruning.method import ALL
from cnngraph.pruning.methods.car import Judge
from cnngraph.sources.stored import OtherData, stored
from cnngraph.vocabulary import DEVICES, JUDGED_ON

if TYPE_CHECKING:
    from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["CarOptions", "measure_car", "preview_car"]

_LOT = 32  # groups that are judged together; between two of them the progress is told
_UNIT = "coupling group"


@dataclass(frozen=True)
class CarOptions:
    """Whose filters, and what judges them.

    Attributes:
        layer: names; none: all layers with a filter that can go. minutes: no layer is begun that would end later, by
            what the layers before it took.
        judged_on, device: as of the method ``car``.
    """

    layer: tuple[str, ...] = ()
    judged_on: str = "validation"
    device: str = "auto"
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.judged_on not in JUDGED_ON:
            raise OptionError(f"There is no judged on {self.judged_on!r}.", nearest(self.judged_on, JUDGED_ON))
        if self.device not in DEVICES:
            raise OptionError(f"There is no device {self.device!r}.", nearest(self.device, DEVICES))
        if self.minutes is not None and not self.minutes > 0:
            raise OptionError(f"{{minutes={self.minutes}}} is out of range.", "Give more than 0.")


def measure_car(session: Session, name: str, options: CarOptions) -> CarResult:
    """Measure the layers whose CAR does not stand in the graph yet, and store each as it is done.

    Raises:
        NotFoundError: the model or a layer is not there. ConflictError: the model is not complete.
        ModelError: it has no saved net. PlanError: no filter can go, there are no images, or no time for one layer.
    """
    work = _Work.begin(session, name, options)
    left = work.measure_missing()
    return work.read(left)


def preview_car(session: Session, name: str, options: CarOptions) -> dict[str, Any]:
    """What :func:`measure_car` would write, counted; the net runs once, to see the images. Raises as that does."""
    from cnngraph.measures.accuracy_reduction import ENDS

    work = _Work.begin(session, name, options)
    groups = {group.index: group for layer in work.missing for group in work.groups_without(layer)}
    maps = sum(len(work.state.calls.get(module, ())) for group in groups.values() for module, _ in _members(group))
    classes = sum(1 for count in work.result.class_images.values() if count)
    would = {"measure_runs": 0 if work.goes_on else 1, "scored": len(work.missing), "scores": maps}
    return {
        "key": work.result.key,
        "measure": "car",
        "would_write": would | {"serves_at_most": maps * min(2 * ENDS, classes)},
    }


def _members(group: Group) -> tuple[tuple[str, int], ...]:
    """All channels of a group that have a feature map."""
    return (*group.filters, *group.units)


@dataclass
class _Work:
    """The CAR of one model: what is asked for, what is known, what judges.

    Attributes:
        groups: by layer that was asked for, the groups with a filter of it that can go.
        known: by module and channel, what stands in the graph or was found since.
    """

    session: Session
    context: Context
    coupling: Coupling
    judge: Judge
    state: StoredCar
    result: CarResult
    groups: dict[str, tuple[Group, ...]]
    known: dict[tuple[str, int], AccuracyReduction]
    data_classes: tuple[str, ...]

    @classmethod
    def begin(cls, session: Session, name: str, options: CarOptions) -> _Work:
        from cnngraph.database.catalogue import require_complete

        model = stored(session.database, name)
        require_complete(session.database, model.key)
        opened = Opened(model, OtherData())
        minutes = {} if options.minutes is None else {"minutes": options.minutes}
        context = context_of_stored(session, opened, model, Choice(device=options.device, judged=minutes))
        context.require_feature_maps()
        groups = _groups(context, options.layer or (ALL,))
        session.progress.start("Running the whole net")
        judge = Judge(context, context.coupling, options.judged_on)
        parameters = {"judged_on": options.judged_on, "images": judge.images_sha256[:16], "unit": _UNIT}
        parameters["device"] = judge.device.type  # of one run, all layers are reckoned alike
        key = run_key(model.key, "car", parameters, "")
        state, names = read_state(session.database, model.key), tuple(opened.model.data.classes)
        counts = dict(zip(names, judge.class_images, strict=True))
        strange = [name for name in state.classes if name not in counts]
        if strange:
            raise PlanError(f"The data have no class {strange[0]!r}, as {model.key} has.", "Ingest the model again.")
        result = CarResult(key, model.key, parameters, (), judge.baseline, judge.count, judge.shown, counts)
        known = read_filters(session.database, model.key, list(context.coupling.layers)) if state.key == key else {}
        return cls(session, context, context.coupling, judge, state, result, groups, known, names)

    @property
    def goes_on(self) -> bool:
        """Whether what stands in the graph is of this run."""
        return self.state.key == self.result.key

    @property
    def missing(self) -> list[str]:
        """The layers that are not measured yet."""
        return [layer for layer in self.groups if not (self.goes_on and layer in self.state.values)]

    def groups_without(self, layer: str) -> list[Group]:
        """The groups of a layer that nobody has judged."""
        return [group for group in self.groups[layer] if group.filters[0] not in self.known]

    def measure_missing(self) -> tuple[str, ...]:
        """Measure and store layer by layer; returns those for which there was no time.

        Raises:
            PlanError: not even the first could be begun.
        """
        missing = self.missing
        self._say_expectation(missing)
        ablate, slowest = self.judge.begin(1) if missing else None, 0.0
        for number, layer in enumerate(missing):
            groups = self.groups_without(layer)
            if not self.context.budget.allows(len(groups) * slowest):
                return self._out_of_time(missing[number:], stored=number)
            began = self.context.budget.clock()
            found = self._judge(ablate, layer, groups) if groups else {}
            if groups:
                slowest = max(slowest, (self.context.budget.clock() - began) / len(groups))
            self.known |= found
            begins = not self.goes_on and not number
            mean = self._layer(layer, self.known)
            store_layer(self.session.database, self.result, self.state, mean, found, begins=begins)
        return ()

    def read(self, left: Sequence[str]) -> CarResult:
        """What stands in the graph of the layers that were asked for."""
        database, model = self.session.database, self.result.model
        filters = read_filters(database, model, list(self.groups))
        rows = [self._layer(layer, filters) for layer in self.groups if layer not in left]
        return replace(self.result, layers=tuple(rows), left=tuple(left))

    def _judge(self, ablate: Any, layer: str, groups: Sequence[Group]) -> dict[tuple[str, int], AccuracyReduction]:
        """CAR of the groups of one layer, on each of their channels."""
        self.session.progress.start(f"Leaving out filters of {layer}", len(groups))
        ablation = ablate(groups)
        found: dict[tuple[str, int], AccuracyReduction] = {}
        for start in range(0, len(groups), _LOT):
            lot = groups[start : start + _LOT]
            for group, right in zip(lot, ablation.right_without(lot), strict=True):
                whole = measure_reduction(ablation.labels, ablation.right, right, len(self.data_classes))
                by_name = dict(zip(self.data_classes, whole.by_class, strict=True))
                mine = replace(whole, by_class=tuple(by_name[name] for name in self.state.classes))
                found |= dict.fromkeys(_members(group), mine)
            self.session.progress.advance(len(lot))
        return found

    def _layer(self, layer: str, filters: Mapping[tuple[str, int], AccuracyReduction]) -> CarLayer:
        found = [filters.get((layer, channel)) for channel in range(self.coupling.layers[layer])]
        car = tuple(one.overall if one else None for one in found)
        known = [value for value in car if value is not None]
        if not known:
            raise ConflictError(
                f"The CAR of {layer} is no longer in the graph: somebody measures {self.result.model} on other images.",
                "Measure it again when that is done.",
            )
        mean = round(math.fsum(known) / len(known), 15)  # where they cancel each other it is 0
        return CarLayer(layer, mean, None, car, tuple(one.by_class if one else None for one in found))

    def _say_expectation(self, missing: Sequence[str]) -> None:
        note = self.session.progress.note
        done = [layer for layer in self.groups if layer not in missing]
        if done:
            note(f"The CAR of {listed(done)} stands in the graph and is not measured again.")
        runs = len({group.index for layer in missing for group in self.groups_without(layer)})
        if runs:
            note(self.judge.expect_runs(runs))
        absent = [name for name in self.state.classes if not self.result.class_images.get(name)]
        if absent:
            note(f"There is no image of the class {_few(absent)} to judge on: its CAR by class is absent.")

    def _out_of_time(self, left: Sequence[str], *, stored: int) -> tuple[str, ...]:
        nothing = "measured" if not stored and len(left) == len(self.groups) else None
        told = self.session.progress
        self.context.budget.say_left(listed(left), told, nothing=nothing, hint="Give more {minutes}.")
        return tuple(left)


def _groups(context: Context, named: Sequence[str]) -> dict[str, tuple[Group, ...]]:
    """By layer that was named, the groups with a filter of it that can go.

    Raises:
        NotFoundError: there is no such layer. PlanError: no filter of one that was named can go.
    """
    coupling = context.coupling
    layers = [layer for layer in coupling.layers if layer in set(named_layers(coupling, named))]
    groups = {
        layer: tuple(
            group for group in coupling.groups if not group.fixed and layer in {name for name, _ in group.filters}
        )
        for layer in layers
    }
    fixed = [layer for layer, mine in groups.items() if not mine]
    if fixed and (ALL not in named or len(fixed) == len(layers)):
        reason = explain_fixed(coupling, {}, fixed[0])
        raise PlanError(f"No filter of {fixed[0]} can go: {reason}.", "Name another layer.")
    if fixed:
        context.progress.note(f"No filter of {listed(fixed)} can go: there is nothing to measure.")
    return {layer: mine for layer, mine in groups.items() if mine}


def _few(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}, and of {len(names) - 1} more"
