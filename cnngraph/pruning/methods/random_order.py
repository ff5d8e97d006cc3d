"""Method ``random``: layers, blocks or filters go in a random order: the null of every other method.

Our choice: what could not be cut together with what went before it in the order is passed over.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.errors import OptionError, PlanError
from cnngraph.pruning.limits.limit import SEARCHED
from cnngraph.pruning.method import Method, Need, option
from cnngraph.vocabulary import UNITS

if TYPE_CHECKING:
    from cnngraph.plan import Plan, Removal
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.path import PruningPath

__all__ = ["METHOD", "Options"]

_EXACT = 1e-9  # a share that is a whole number must not lose one to rounding


@dataclass(frozen=True)
class Options:
    """What goes at random."""

    of: str = option("layers", "What goes in random order: layers, blocks or filters.", words=UNITS)


def find_path(context: Context, options: Options, bounds: Mapping[str, Any]) -> PruningPath:
    """The units in the order of the seed.

    Raises:
        OptionError: a number of filters was asked for. PlanError: so many cannot go.
    """
    return _filter_path(context, bounds) if options.of == "filters" else _layer_path(context, options.of, bounds)


def _filter_path(context: Context, bounds: Mapping[str, Any]) -> PruningPath:
    from cnngraph.pruning.filters import FilterShare, ScoredModel, plan_filters
    from cnngraph.pruning.path import RatioPath
    from cnngraph.surgery.channels.filter_scores import seeded_order

    if "remove" in bounds:
        raise OptionError(f"{{remove={bounds['remove']}}} counts layers or blocks.", "Of filters give {ratio}.")
    context.require_feature_maps()
    scores = seeded_order(context.coupling, context.seed)
    named = {"method": "random", "init": context.init}

    def plan_at(ratio: float) -> Plan:
        scored = ScoredModel("random", context.model, context.architecture)
        made = plan_filters(context.coupling, scores, FilterShare(ratio), scored)
        settings = made.settings | {"of": "filters", "seed": context.seed}
        return made.model_copy(update=named | {"settings": settings})

    return RatioPath(context.empty_plan("random"), plan_at, most=bounds.get("ratio"))


def _layer_path(context: Context, unit: str, bounds: Mapping[str, Any]) -> PruningPath:
    from cnngraph.pruning.path import LayerPath

    base = context.empty_plan("random", of=unit, seed=context.seed)
    able = _removable(context, unit)
    random.Random(context.seed).shuffle(able)
    order = tuple(_explained(_together(context, able), context.seed))
    if bounds.get("remove", 0) > len(order):
        raise PlanError(
            f"Only {len(order)} {unit} can go together in the order of seed {context.seed}, not {bounds['remove']}.",
            "Ask for fewer, or choose another {seed}.",
        )
    if "ratio" in bounds:
        order = order[: math.floor(bounds["ratio"] * len(able) + _EXACT)]
    return LayerPath(base, order[: bounds.get("remove")], context.graph, context.stays)


def _removable(context: Context, unit: str) -> list[Removal]:
    """The layers or blocks that can go by themselves, in network order."""
    from cnngraph.plan import Removal
    from cnngraph.surgery.check import removable, removable_blocks

    if unit == "layers":
        return [Removal(layer=layer) for layer in removable(context.graph) if layer not in context.stays]
    from cnngraph.network.blocks import find_blocks

    inside = {block.name: set(block.layers) for block in find_blocks(context.graph)}
    return [
        Removal(layer=block, kind="block")
        for block, reason in removable_blocks(context.graph).items()
        if reason is None and not inside[block] & context.keep.keys()
    ]


def _together(context: Context, order: Iterable[Removal]) -> Iterator[Removal]:
    """Those of ``order`` that can be cut together with the ones before them."""
    from cnngraph.surgery.cost import Costs

    costs = Costs(context.graph)
    taken: tuple[Removal, ...] = ()
    for removal in order:
        try:
            costs.without((*taken, removal))
        except PlanError:
            continue
        taken = (*taken, removal)
        yield removal


def _explained(order: Iterable[Removal], seed: int) -> Iterator[Removal]:
    for number, removal in enumerate(order, 1):
        yield removal.model_copy(
            update={"score": float(number), "reason": f"Number {number} in the random order of seed {seed}."}
        )


METHOD = Method(
    name="random",
    removes="layers",
    summary="layers, blocks or filters in a random order, to compare with",
    options=Options,
    limits=("remove", "ratio", *SEARCHED),
    needs=lambda _: frozenset({Need.WEIGHTS}),
    path=find_path,
)
