"""Method ``multilayer``: the conv layers whose every node is weak in the class networks go; or by another measure.

Amelio, Bonifazi, Corradini, Ursino, Virgili, "A Multilayer Network-Based Approach to Represent, Explore and Handle
Convolutional Neural Networks", Cognitive Computation 2022, doi 10.1007/s12559-022-10084-6. The decision itself, pure,
is in :mod:`cnngraph.pruning.multilayer`; blocks beside single layers are our choice, where a layer cannot go alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.pruning.limits.limit import SEARCHED
from cnngraph.pruning.method import Method, Need, engine_option, option
from cnngraph.vocabulary import (
    AGGREGATES,
    MEASURES,
    NULL_MEASURES,
    OF_NET_MEASURES,
    REFERENCES,
    UNRANKED_MEASURES,
)

if TYPE_CHECKING:
    from cnngraph.plan import Plan, Removal
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.path import PruningPath

__all__ = ["METHOD", "Options"]

_RANKING = ", ".join(name for name in MEASURES if name not in NULL_MEASURES)


@dataclass(frozen=True)
class Options:
    """What ranks the layers."""

    measure: str = option(
        "degree",
        f"What ranks the layers: {_RANKING}; to compare with: {', '.join(NULL_MEASURES)}.",
        words=(*MEASURES, *UNRANKED_MEASURES),  # find_measure says why not the latter
    )
    aggregate: str = option("mean", "Over classes: mean, sum or median.", words=AGGREGATES)
    reference: str = option("median", "Of all scores: median, mean, median-positive.", words=REFERENCES)
    engine: str = engine_option()


def find_path(context: Context, options: Options, bounds: Mapping[str, Any]) -> PruningPath:
    """Layers and blocks, lowest theta first, from a stored or new run of the measure.

    Raises:
        OptionError: the measure reads the model's own data, and others were named.
        PlanError: the model cannot be ranked by it, or so many layers cannot go.
    """
    from cnngraph.pruning.multilayer import Extent, Ranking, require_own_data
    from cnngraph.pruning.multilayer import plan as plan_stored
    from cnngraph.pruning.path import LayerPath

    require_own_data(options.measure, context)
    stays = context.stays if context.has_net else dict(context.keep)
    made = plan_stored(
        context.database,
        context.model,
        Ranking(options.measure, options.aggregate, options.reference, context.seed, options.engine),
        Extent(bounds.get("threshold"), bounds.get("remove"), stays, context.init),
        context.progress,
    )
    order = _order(context, made, bounds) if context.searching else ()
    return LayerPath(made, order, context.graph if context.has_net else None, stays, bounded=made)


def _order(context: Context, ranking: Plan, bounds: Mapping[str, Any]) -> tuple[Removal, ...]:
    """What a search may take, lowest theta first, within the bounds."""
    from cnngraph.pruning.candidates import candidates
    from cnngraph.pruning.decision import below

    order = candidates(context.graph, ranking, context.stays)
    if "threshold" in bounds:
        order = tuple(one for one in order if one.score is not None and below(one.score, bounds["threshold"]))
    return order[: bounds.get("remove")]


def _needs(options: Options) -> frozenset[Need]:
    return frozenset({Need.GRAPH, Need.OWN_IMAGES} if options.measure in OF_NET_MEASURES else {Need.GRAPH})


METHOD = Method(
    name="multilayer",
    removes="layers",
    summary="layers whose every node is weak",
    options=Options,
    limits=("threshold", "remove", *SEARCHED),
    needs=_needs,
    path=find_path,
    implied=True,
    lists=True,
    paper="Amelio et al. 2022",
)
