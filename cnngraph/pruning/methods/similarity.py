"""Method ``similarity``: the conv layers go that change least what they are given, by unbiased CKA.

The published layer pruning by CKA, as a peer of the graph's measures: the decision is that of ``multilayer``
(:mod:`cnngraph.pruning.multilayer`) with the measure ``similarity``. Our choice: where a layer cannot go without its
block, the block stands by its own score, the CKA of what the block is given and what it makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.pruning.limits.limit import SEARCHED
from cnngraph.pruning.method import Method, Need, option
from cnngraph.vocabulary import REFERENCES

if TYPE_CHECKING:
    from cnngraph.plan import Plan, Removal
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.path import PruningPath

__all__ = ["METHOD", "Options"]

_MEASURE = "similarity"


@dataclass(frozen=True)
class Options:
    """What a score is held against."""

    reference: str = option("median", "Of all scores: median, mean, median-positive.", words=REFERENCES)


def find_path(context: Context, options: Options, bounds: Mapping[str, Any]) -> PruningPath:
    """Layers and blocks, those first that change least what they are given, from a stored or new run of the measure.

    Raises:
        OptionError: other data were named than the model was ingested with.
        PlanError: the model cannot be ranked, or so many layers cannot go.
    """
    from cnngraph.pruning.multilayer import Extent, Ranking, require_own_data
    from cnngraph.pruning.multilayer import plan as plan_stored
    from cnngraph.pruning.path import LayerPath

    require_own_data(_MEASURE, context)
    stays = context.stays if context.has_net else dict(context.keep)
    made = plan_stored(
        context.database,
        context.model,
        Ranking(_MEASURE, reference=options.reference, seed=context.seed),
        Extent(bounds.get("threshold"), bounds.get("remove"), stays, context.init),
        context.progress,
    ).model_copy(update={"method": "similarity"})
    order = _order(context, made, bounds) if context.searching else ()
    return LayerPath(made, order, context.graph if context.has_net else None, stays, bounded=made)


def _order(context: Context, ranking: Plan, bounds: Mapping[str, Any]) -> tuple[Removal, ...]:
    """What a search may take, lowest theta first, within the bounds."""
    from cnngraph.pruning.candidates import candidates
    from cnngraph.pruning.decision import below

    order = candidates(context.graph, ranking, context.stays, _block_thetas(context, ranking))
    if "threshold" in bounds:
        order = tuple(one for one in order if one.score is not None and below(one.score, bounds["threshold"]))
    return order[: bounds.get("remove")]


def _block_thetas(context: Context, ranking: Plan) -> dict[str, float]:
    """Thetas of the blocks, as the run of the ranking holds them; found anew where it holds none."""
    from cnngraph.measures.runs import read_block_thetas
    from cnngraph.measures.similarity import read_changes

    assert ranking.run is not None
    assert ranking.reference is not None
    stored = read_block_thetas(context.database, context.model, ranking.run)
    if stored is not None:
        return stored
    found = read_changes(context.database, context.model, context.seed, context.progress)
    return {block: score / ranking.reference for block, score in found.blocks.items()}


METHOD = Method(
    name="similarity",
    removes="layers",
    summary="layers that change least what they are given, by CKA",
    options=Options,
    limits=("threshold", "remove", *SEARCHED),
    needs=lambda _: frozenset({Need.GRAPH, Need.OWN_IMAGES}),
    path=find_path,
    lists=True,
)
