"""Method ``filters``: a share of the filters goes, those of the lowest score, in groups of coupled channels.

The decision itself, pure, is in :mod:`cnngraph.pruning.filters`; here are its options and where scores come from: the
net itself, or the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.pruning.limits.limit import SEARCHED
from cnngraph.pruning.method import Method, Need, engine_option, option
from cnngraph.vocabulary import FILTER_SCORES, GRAPH_SCORES, IMAGE_SCORES, SCOPES

if TYPE_CHECKING:
    from cnngraph.plan import Plan
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.path import PruningPath
    from cnngraph.surgery.channels.filter_scores import FilterScores

__all__ = ["METHOD", "Options"]


@dataclass(frozen=True)
class Options:
    """What ranks the filters, and in which portions they go."""

    score: str = option("magnitude", f"What ranks the filters: {', '.join(FILTER_SCORES)}.", words=FILTER_SCORES)
    scope: str = option("layer", "The share is that of every layer (layer) or of the net (global).", words=SCOPES)
    round_to: int = option(
        1, "Layers that lose filters keep a multiple of this many; for a target of time the default is 8.", least=1
    )
    at_least: int = option(1, "Every layer keeps at least this many filters.", least=1)
    engine: str = engine_option()


def find_path(context: Context, options: Options, bounds: Mapping[str, Any]) -> PruningPath:
    """Ratios of the filters; the net is opened and its filters are scored here, once.

    Raises:
        ModelError: there is no saved net. PlanError: the score comes from the graph, and there is none; or the graph
            has no feature maps, so that nothing could be said in it of what goes.
    """
    from cnngraph.pruning.filters import FilterShare, ScoredModel, plan_filters
    from cnngraph.pruning.path import RatioPath

    context.require_feature_maps()
    run, scores = _scores(context, options)
    coupling = context.coupling
    scored = ScoredModel(options.score, context.model, context.architecture, run)

    def plan_at(ratio: float) -> Plan:
        share = FilterShare(ratio, options.scope, options.round_to, options.at_least)
        made = plan_filters(coupling, scores, share, scored)
        return made.model_copy(update={"notes": (*coupling.notes, *made.notes), "init": context.init})

    return RatioPath(context.empty_plan("filters"), plan_at, most=bounds.get("ratio"))


def _scores(context: Context, options: Options) -> tuple[str | None, FilterScores]:
    """The run of the measure, where one was needed, and the scores by layer."""
    if options.score in GRAPH_SCORES:
        from cnngraph.measures.filters import filter_scores

        return filter_scores(
            context.database, context.model, options.score, engine=options.engine, progress=context.progress
        )
    from cnngraph.surgery.channels.filter_scores import score_filters
    from cnngraph.training.execution import pick_device

    coupling, images = context.coupling, context.images if options.score in IMAGE_SCORES else None
    context.progress.start(f"Scoring filters by {options.score}")
    return None, score_filters(
        context.saved.model,
        coupling,
        options.score,
        loader=images.batches if images else None,
        classes=images.classes if images else None,
        seed=context.seed,
        device=pick_device(context.device),
    )


def _needs(options: Options) -> frozenset[Need]:
    if options.score in GRAPH_SCORES:
        return frozenset({Need.GRAPH, Need.WEIGHTS})
    if options.score in IMAGE_SCORES:
        return frozenset({Need.WEIGHTS, Need.IMAGES} | ({Need.LABELS} if options.score == "taylor" else set()))
    return frozenset({Need.WEIGHTS})


METHOD = Method(
    name="filters",
    removes="filters",
    summary="a share of the filters, implied by --ratio",
    options=Options,
    limits=("ratio", *SEARCHED),
    needs=_needs,
    path=find_path,
    implied=True,
)
