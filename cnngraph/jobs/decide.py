"""A model in the database -> the decision about it; nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from cnngraph.console import Progress
from cnngraph.errors import NotFoundError, PlanError, UsageError, nearest
from cnngraph.jobs.bench import Bench, Scales, Timing
from cnngraph.jobs.drop import within_accuracy_drop
from cnngraph.jobs.stored import OtherData, Stored, stored
from cnngraph.jobs.subject import ModelChoice, open_subject
from cnngraph.jobs.target import reach_by_layers, reach_by_ratio
from cnngraph.plan import Init, Plan, Removal, read_plan
from cnngraph.pruning.accuracy_drop import Ladder, layer_ladder, ratio_ladder
from cnngraph.pruning.target import Target
from cnngraph.settings import Settings

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["Decision", "decide", "given", "init_of", "named"]


@dataclass(frozen=True)
class Decision:
    """What is chosen, and how.

    ``method`` multilayer (layers): one of ``threshold``, ``remove``, ``max_accuracy_drop`` (in points), ``target``, or
    none. ``filters``: one of ``ratio``, ``max_accuracy_drop``, ``target``; ``scope``, ``score``, ``round_to`` and
    ``at_least`` as :func:`cnngraph.pruning.filters.plan_filters` has them.
    ``keep``: layers that cannot go, with the reason. ``steps``: of ``max_accuracy_drop``, as is
    ``tuned``, whether the net will be trained after its cut: see :mod:`cnngraph.jobs.drop`. ``timing``: how ``target``
    measures latency.
    """

    method: str = "multilayer"
    measure: str = "degree"
    aggregate: str = "mean"
    threshold: float | None = None
    remove: int | None = None
    ratio: float | None = None
    scope: str = "layer"
    score: str = "magnitude"
    round_to: int = 1
    at_least: int = 1
    max_accuracy_drop: float | None = None
    reference: str = "median"
    engine: str = "auto"
    init: str = "least-squares"
    seed: int = 0
    device: str = "auto"
    steps: int = 1
    tuned: bool = True
    target: Target | None = None
    timing: Timing = field(default_factory=Timing)
    keep: Mapping[str, str] = field(default_factory=dict)


def decide(
    db: Database,
    settings: Settings,
    name: str,
    decision: Decision,
    *,
    data: OtherData,
    progress: Progress,
    costs: bool = True,
) -> Plan:
    """The plan; nothing is changed, and nothing is trained unless ``max_accuracy_drop`` is given.

    Args:
        data: instead of the data that the model was ingested with.
        costs: fill parameters, MACs and latency into the schedule; of filters say them of the net that is left.
    """
    model = stored(db, name)
    way = _filters if decision.method == "filters" else _layers
    made = way(db, settings, model, decision, data=data, progress=progress, costs=costs)
    if made.removes:
        progress.start("Rehearsing the plan")
        _rehearse(model, made)
    return made.model_copy(update={"recipe": model.recipe})


def _rehearse(model: Stored, plan: Plan) -> None:
    """Return if what ``plan`` leaves runs and trains; raises as :func:`cnngraph.surgery.rehearsal.rehearse`."""
    from cnngraph.surgery.rehearsal import rehearse
    from cnngraph.surgery.saved import read_saved

    if model.is_saved:
        saved = read_saved(model.folder)
        rehearse(saved.model, plan, input_shape=saved.input_shape)


def _filters(
    db: Database,
    settings: Settings,
    model: Stored,
    decision: Decision,
    *,
    data: OtherData,
    progress: Progress,
    costs: bool,
) -> Plan:
    from cnngraph.jobs.filters import filter_planner

    init = init_of(decision.init)
    plan_at = filter_planner(db, model, decision, data=data, progress=progress)
    if decision.max_accuracy_drop is not None:
        base = Plan(
            model=model.key, architecture=model.properties.get("architecture") or "", method="filters", init=init
        )
        ladder = ratio_ladder(lambda ratio: plan_at(ratio).model_copy(update={"init": init}), base)
        made = _within_drop(settings, model, decision, ladder, data, progress)
    elif decision.target is not None:
        made = reach_by_ratio(_Anatomy(model).bench(decision, progress), plan_at)
    elif decision.ratio is not None:
        made = plan_at(decision.ratio)
    else:
        raise UsageError("It is not said how many filters go.", "Give --ratio, such as --ratio 0.3.")
    if costs and decision.target is None:  # a target has measured it
        made = _Anatomy(model).weighed(made, progress)
    return made.model_copy(update={"init": init})


def _within_drop(
    settings: Settings, model: Stored, decision: Decision, ladder: Ladder, data: OtherData, progress: Progress
) -> Plan:
    assert decision.max_accuracy_drop is not None
    return within_accuracy_drop(
        open_subject(ModelChoice(name=str(model.folder)), model.data(data)),
        ladder,
        decision.max_accuracy_drop,
        steps=decision.steps,
        tuned=decision.tuned,
        device=decision.device,
        seed=decision.seed,
        work=settings.home / "work",
        progress=progress,
    )


def _layers(
    db: Database,
    settings: Settings,
    model: Stored,
    decision: Decision,
    *,
    data: OtherData,
    progress: Progress,
    costs: bool,
) -> Plan:
    from cnngraph.pruning.multilayer import plan as plan_stored

    _require_own_data(model, decision, data)
    anatomy = _Anatomy(model, decision.keep) if model.is_saved else None
    made = plan_stored(
        db,
        model.key,
        measure=decision.measure,
        aggregate=decision.aggregate,
        threshold=decision.threshold,
        remove=decision.remove,
        reference=decision.reference,
        engine=decision.engine,
        init=init_of(decision.init),
        seed=decision.seed,
        keep=anatomy.fixed if anatomy else decision.keep,
        progress=progress,
    )
    if decision.max_accuracy_drop is not None:
        opened = anatomy or _Anatomy(model, decision.keep)
        made = opened.arranged(
            _layers_within_drop(settings, model, decision, made, opened.candidates(made), data, progress)
        )
    if decision.target is not None:
        opened = anatomy or _Anatomy(model, decision.keep)
        made = reach_by_layers(opened.bench(decision, progress), made, opened.fixed)
    if anatomy is not None and costs:
        progress.start("Estimating what each step of the schedule costs")
        made = anatomy.annotate(made)
    return made


def _layers_within_drop(
    settings: Settings,
    model: Stored,
    decision: Decision,
    ranking: Plan,
    order: tuple[Removal, ...],
    data: OtherData,
    progress: Progress,
) -> Plan:
    """Without what the user's own code cannot do without: every rung above it would fail."""
    from cnngraph.surgery.rehearsal import sparing

    return sparing(
        order,
        lambda left: _within_drop(settings, model, decision, layer_ladder(ranking, left), data, progress),
        lambda error: progress.note(error.message),
    )


def _require_own_data(model: Stored, decision: Decision, data: OtherData) -> None:
    """Refuse other data where the ranking is of the saved net and its own data: it would be passed over in silence.

    Raises:
        UsageError: so it is.
    """
    from cnngraph.measures.registry import find_measure

    chosen, _ = find_measure(decision.measure, aggregate=decision.aggregate)
    if chosen.of_net and data != OtherData() and model.data(data) != model.data(OtherData()):
        raise UsageError(
            f"The measure {chosen.name} reads the data that {model.key} was ingested with, not other data.",
            "Leave out --data and --data-root; to train on other data, plan first, then: cnngraph prune NAME --plan",
        )


class _Anatomy:
    """The saved net, opened without its data: which layers cannot go, and what a net without some would cost."""

    def __init__(self, model: Stored, keep: Mapping[str, str] | None = None) -> None:
        from cnngraph.network.graph import follow
        from cnngraph.surgery.saved import read_saved

        saved = read_saved(model.folder)
        self._net, self._shape = saved.model, saved.input_shape
        self._graph = follow(saved.model, saved.input_shape)
        self._keep = dict(keep or {})

    @cached_property
    def fixed(self) -> dict[str, str]:
        """The layers that cannot go by themselves, with the reason."""
        from cnngraph.surgery.check import removable

        return {layer: reason for layer, reason in removable(self._graph).items() if reason} | self._keep

    def bench(self, decision: Decision, progress: Progress) -> Bench:
        """Where nets that are cut out of this one are measured for the decision's target."""
        assert decision.target is not None
        return Bench(self._net, self._shape, decision.timing, progress, target=decision.target)

    def weighed(self, plan: Plan, progress: Progress) -> Plan:
        """The plan with a note of what the net costs before and after: latency, MACs, parameters."""
        if not plan.removes:
            return plan
        progress.start("Measuring the net that the plan leaves")
        words = Scales(self._net, self._shape).in_words(plan.removes)
        return plan.model_copy(update={"notes": (*plan.notes, *words)})

    def candidates(self, plan: Plan) -> tuple[Removal, ...]:
        """What may go, lowest score first."""
        from cnngraph.pruning.candidates import candidates

        return candidates(self._graph, plan, self.fixed)

    def arranged(self, plan: Plan) -> Plan:
        """The plan with what goes in network order."""
        from cnngraph.pruning.candidates import in_network_order

        return plan.model_copy(update={"removes": in_network_order(self._graph, plan.removes)})

    def annotate(self, plan: Plan) -> Plan:
        """The plan with parameters, MACs and estimated latency in each step of its schedule."""
        from cnngraph.surgery.cost import Costs
        from cnngraph.training.latency_table import measure_layers

        return Costs(self._graph, measure_layers(self._net, self._shape).layers).annotate(plan)


def given(
    db: Database,
    name: str,
    *,
    layers: list[str] | None = None,
    blocks: list[str] | None = None,
    made: Plan | str | Path | None = None,
    run: str | None = None,
    init: str | None = None,
) -> Plan:
    """A plan that a person made: layers and blocks by name, a plan or its file, or a PruningRun of the graph.

    Raises:
        NotFoundError: a layer, block, file or run that is not there; the hint has the nearest names.
        PlanError: the plan is another model's.
    """
    from cnngraph.database import lineage

    model = stored(db, name)
    if made is not None:
        made = made if isinstance(made, Plan) else read_plan(made)
    elif run is not None:
        made = lineage.read_pruning_run(db, run)
    else:
        made = named(model.folder, layers or [], blocks or [])
    if made.model and made.model != model.key:
        raise PlanError(
            f"This plan is for {made.model}, not for {model.key}.", "Plan this model, or empty the plan's field model."
        )
    changes: dict[str, Any] = {
        "model": model.key,
        "architecture": made.architecture or model.properties.get("architecture") or "",
    }
    if init is not None:
        changes["init"] = init_of(init)
    return made.model_copy(update=changes)


def init_of(name: str) -> Init:
    """``name`` if joins can be initialised so, else UsageError."""
    if name not in get_args(Init):
        raise UsageError(f"There is no init {name!r}.", nearest(name, get_args(Init)))
    return cast(Init, name)


def named(folder: Path, layers: list[str], blocks: list[str]) -> Plan:
    """The plan that layers and blocks of a saved model go, which were typed on the command line.

    Layers that go along, since half of a unit makes no sense, are in it too, with that reason.

    Raises:
        NotFoundError: one is not there; the hint has the nearest names. PlanError: one cannot go.
    """
    from cnngraph.network.graph import follow
    from cnngraph.surgery.check import check, units
    from cnngraph.surgery.saved import read_saved

    saved = read_saved(folder)
    graph = follow(saved.model.eval(), saved.input_shape)
    removes = [Removal(layer=layer, reason="named by hand") for layer in dict.fromkeys(layers)]
    removes += [Removal(layer=block, kind="block", reason="named by hand") for block in dict.fromkeys(blocks)]
    check(graph, Plan(removes=tuple(removes)), unknown=NotFoundError)
    along = {other: layer for layer, others in units(graph, layers).items() for other in others if other not in layers}
    removes += [
        Removal(layer=other, reason=f"goes with {layer}: half of what they do together makes no sense")
        for other, layer in along.items()
    ]
    return Plan(removes=tuple(removes))
