"""Method ``car``: the filters whose absence costs the least accuracy go, one after the other.

Abbasi-Asl, Yu, "Structural Compression of Convolutional Neural Networks with Applications in Interpretability",
Frontiers in Big Data 4:704182, 2021. Our choices, where the paper is silent: what goes is a coupling group
(:mod:`cnngraph.pruning.greedy`); of equals the first goes; several layers go in the order of the net, each to its share
of filters, judged on the net without what went before; under a limit of accuracy or a target they are one pool, lowest
CAR a filter first; the accuracy is judged on the validation part.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.console import duration
from cnngraph.errors import OptionError
from cnngraph.pruning.limits.limit import SEARCHED
from cnngraph.pruning.method import ALL, Method, Need, layer_option, option
from cnngraph.vocabulary import JUDGED_ON

if TYPE_CHECKING:
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.greedy import GreedyStep
    from cnngraph.pruning.path import PruningPath
    from cnngraph.surgery.channels.ablation import Ablation
    from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["METHOD", "Judge", "Options"]


@dataclass(frozen=True)
class Options:
    """Which filters may go, and what judges them."""

    layer: tuple[str, ...] = layer_option()
    per_step: int = option(1, "So many go before all are judged anew.", least=1)
    judged_on: str = option(
        "validation", f"The images that accuracy is judged on: {', '.join(JUDGED_ON)}.", words=JUDGED_ON
    )


def find_path(context: Context, options: Options, bounds: Mapping[str, Any]) -> PruningPath:
    """Filters in the order in which the accuracy misses them least.

    Raises:
        OptionError: no layer was named, or options do not go together. NotFoundError: a layer is not there.
        PlanError: its filters cannot go, or not so many; or there are no images to judge on.
    """
    from cnngraph.pruning.greedy import Room, groups_of, take_from_each, take_from_pool
    from cnngraph.pruning.greedy_path import GreedyPath, KeptSteps
    from cnngraph.pruning.layer_shares import named_layers, require_as_many, require_groups, share_of, take_first

    if not options.layer:
        raise OptionError("The method car needs {layer}: whose filters may go.", f"Name one, or {{layer={ALL}}}.")
    if options.judged_on != "validation" and context.max_accuracy_drop is not None:
        raise OptionError(
            f"{{judged_on={options.judged_on}}} and {{max_accuracy_drop}} do not go together: a drop is of validation "
            "accuracy.",
            "Leave out one of them.",
        )
    context.require_feature_maps()
    coupling = context.coupling
    layers = named_layers(coupling, options.layer)
    groups = groups_of(coupling, layers)
    if ALL in options.layer:
        groups = {layer: mine for layer, mine in groups.items() if mine}
    require_groups(context, coupling, groups, layers)
    if ALL in options.layer:
        require_as_many(coupling, groups, bounds)
    shares = {
        layer: share_of(coupling, layer, mine, bounds, strict=ALL not in options.layer)
        for layer, mine in groups.items()
    }
    judge = Judge(context, coupling, options.judged_on)
    state = {
        "recipe": context.saved.origin.digest,
        "images": judge.images_sha256,
        "layers": list(groups),
        "shares": shares,
        "pool": context.searching,
        "options": [options.per_step, options.judged_on],
        "keep": sorted(context.keep),
        "device": str(judge.device),
    }

    def find(known: Sequence[GreedyStep]) -> Iterator[GreedyStep]:
        ablate = judge.begin(len(groups) if context.searching else 1)
        take = take_from_pool if context.searching else take_from_each
        return take(groups, Room.of(coupling, shares), ablate, per_step=options.per_step, known=known)

    by_index = {group.index: (layer, group) for layer, mine in groups.items() for group in mine}
    kept = KeptSteps(context.state("car", state) if context.state else None, by_index, options.per_step)
    context.progress.note(judge.expectation(groups, shares))
    widths = {layer: coupling.layers[layer] for layer in groups}
    base = context.empty_plan("car", layers=list(groups), per_step=options.per_step, widths=widths)
    return GreedyPath(
        base.model_copy(update={"measure": "car", "notes": coupling.notes}),
        coupling,
        {layer: take_first(layer, mine, shares[layer]) for layer, mine in groups.items()},
        find,
        kept,
        judge.baseline,
        judge.shown,
        context.budget,
        context.progress,
    )


class Judge:
    """The images that accuracy is judged on, and the net to judge.

    Attributes:
        baseline: the accuracy of the whole net. count: of the images; shown: which they are, in words.
        class_images: how many there are of each class. seconds: that one run of the net over all of them takes.
        images_sha256: of the images and their classes. device: where the net runs.
    """

    def __init__(self, context: Context, coupling: Coupling, part: str) -> None:
        from cnngraph.training.evaluate import evaluate
        from cnngraph.training.execution import pick_device

        self._context, self._coupling = context, coupling
        self._images = context.open_judged(part)
        self.device = pick_device(context.device)
        net, digest, counts = copy.deepcopy(context.saved.model), hashlib.sha256(), [0] * self._images.classes
        began = context.budget.clock()
        seen = _noted(self._images.batches, digest, counts)
        found = evaluate(net, seen, classes=self._images.classes, device=self.device)
        self.images_sha256, self.class_images = digest.hexdigest(), tuple(counts)
        self.seconds = context.budget.clock() - began
        self.baseline, self.count = found.accuracy, found.images
        self.shown = self._images.taken_from or f"{self.count} {part} images"
        if self.count < 100:
            context.progress.note(
                f"There are {self.count} images to judge on: CAR goes in steps of {100 / self.count:.2g} points."
            )

    def begin(self, judges: int) -> Any:
        """What makes the judge of some groups; all of them judge one and the same net, ``judges`` at a time."""
        from cnngraph.surgery.channels.ablation import MEMORY, AblatedNet, Ablation

        ablated = AblatedNet(copy.deepcopy(self._context.saved.model).to(self.device), self._coupling)
        shape, images = self._context.saved.input_shape, self._images
        batch = min(self.count, self._context.batch)

        def batches() -> Iterable[Any]:
            return images.batches

        def ablate(groups: Sequence[Group]) -> Ablation:
            memory = MEMORY // judges
            return Ablation(
                ablated, groups, batches, input_shape=shape, classes=images.classes, batch=batch, memory=memory
            )

        return ablate

    def expectation(self, groups: Mapping[str, Sequence[Group]], shares: Mapping[str, int]) -> str:
        """How many answers are asked for, and how long whole runs would take for them at most."""
        runs = sum(
            sum(len(mine) - gone for gone in range(min(shares[layer], len(mine)))) for layer, mine in groups.items()
        )
        return f"At most {self.expect_runs(runs)}"

    def expect_runs(self, runs: int) -> str:
        """How long so many runs without a filter take at most, in words."""
        took = duration(runs * self.seconds)
        return f"{runs:,} times without a filter on {self.shown}: {took} as whole runs of the net; mostly it is less."


def _noted(batches: Iterable[Any], digest: Any, counts: list[int]) -> Iterator[Any]:
    """The batches as they are; ``digest`` takes in what is in them, ``counts`` how many images there are of a class."""
    for images, labels in batches:
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
        for label in labels.tolist():
            counts[label] += 1
        yield images, labels


METHOD = Method(
    name="car",
    removes="filters",
    summary="filters whose absence costs the least accuracy, one after the other",
    options=Options,
    limits=("ratio", "filters", *SEARCHED),
    needs=lambda _: frozenset({Need.WEIGHTS, Need.IMAGES, Need.LABELS}),
    path=find_path,
    takes_long=True,
    paper="Abbasi-Asl & Yu 2021",
)
