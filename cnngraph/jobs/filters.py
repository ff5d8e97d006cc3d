"""A stored model -> the filters that go at a ratio: opened and scored once, decided for as many ratios as needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnngraph.console import Progress
from cnngraph.errors import UsageError, nearest
from cnngraph.jobs.data_choice import DataChoice
from cnngraph.jobs.stored import OtherData, Stored
from cnngraph.jobs.subject import ModelChoice, open_subject
from cnngraph.plan import Plan

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.jobs.decide import Decision
    from cnngraph.surgery.channels.coupling import Coupling
    from cnngraph.surgery.channels.filter_scores import FilterScores
    from cnngraph.surgery.saved import Saved

__all__ = ["SCORES", "filter_planner", "filters_of_file"]

FROM_NET = ("magnitude", "taylor", "bn", "random")
FROM_GRAPH = ("strength", "redundancy", "pagerank")
SCORES = (*FROM_NET, *FROM_GRAPH)


def filter_planner(
    db: Database, model: Stored, decision: Decision, *, data: OtherData, progress: Progress
) -> Callable[[float], Plan]:
    """What gives the filter plan of a ratio; the net is opened, and its filters are scored, here and once.

    Args:
        decision: score, scope, round_to, at_least, engine, seed and device count.
        data: instead of the data that the model was ingested with (``taylor`` reads images).

    Raises:
        UsageError: there is no such score.
        ModelError: the model has no saved net.
        PlanError: it has no feature maps, so that nothing could be said in the graph of what goes.
    """
    from cnngraph.measures.database_scores import ranked_sizes
    from cnngraph.measures.registry import MEASURES
    from cnngraph.surgery.channels.coupling import coupled
    from cnngraph.surgery.saved import read_saved

    if decision.score not in SCORES:
        raise UsageError(f"There is no score {decision.score!r}.", nearest(decision.score, SCORES))
    ranked_sizes(db, model.key, MEASURES["magnitude"])  # refused before anything is computed
    saved = read_saved(model.folder)
    progress.start("Finding the filters that go together")
    coupling = coupled(saved.model, saved.input_shape)
    run = None
    if decision.score in FROM_GRAPH:
        from cnngraph.measures.filters import filter_scores

        run, scores = filter_scores(db, model.key, decision.score, engine=decision.engine, progress=progress)
    else:
        progress.start(f"Scoring filters by {decision.score}")
        scores = _from_net(saved, coupling, decision, model.folder, lambda: model.data(data))

    def plan_at(ratio: float) -> Plan:
        made = _plan(coupling, scores, decision, ratio)
        changes = {"model": model.key, "architecture": model.properties.get("architecture") or "", "run": run}
        return made.model_copy(update=changes)

    return plan_at


def filters_of_file(folder: Path, decision: Decision, data: Callable[[], DataChoice], *, progress: Progress) -> Plan:
    """The filter plan of a saved model that no database needs to know, by a score that the net itself gives.

    Args:
        decision: ratio, score, scope, round_to, at_least, seed and device count.
        data: what ``taylor`` reads images from.

    Raises:
        UsageError: the score comes from the graph, or there is no such score.
    """
    from cnngraph.jobs.decide import init_of
    from cnngraph.surgery.channels.coupling import coupled
    from cnngraph.surgery.saved import read_saved

    if decision.score not in FROM_NET or decision.ratio is None:
        known = f"{', '.join(FROM_NET[:-1])} and {FROM_NET[-1]}"
        raise UsageError(f"The score {decision.score} needs a database.", f"Without one there are {known}.")
    saved = read_saved(folder)
    progress.start(f"Scoring filters by {decision.score}")
    coupling = coupled(saved.model, saved.input_shape)
    made = _plan(coupling, _from_net(saved, coupling, decision, folder, data), decision, decision.ratio)
    return made.model_copy(update={"architecture": saved.origin.architecture, "init": init_of(decision.init)})


def _plan(coupling: Coupling, scores: FilterScores, decision: Decision, ratio: float) -> Plan:
    from cnngraph.pruning.filters import plan_filters

    made = plan_filters(
        coupling,
        scores,
        ratio=ratio,
        scope=decision.scope,
        round_to=decision.round_to,
        at_least=decision.at_least,
        score_name=decision.score,
    )
    return made.model_copy(update={"notes": (*coupling.notes, *made.notes)})


def _from_net(
    saved: Saved, coupling: Coupling, decision: Decision, folder: Path, data: Callable[[], DataChoice]
) -> FilterScores:
    from cnngraph.datasets.registry import loader
    from cnngraph.surgery.channels.filter_scores import score_filters
    from cnngraph.training.execution import pick_device

    batches, classes = None, None
    if decision.score == "taylor":
        subject = open_subject(ModelChoice(name=str(folder)), data())
        batches = loader(subject.data.train, seed=decision.seed, shuffle=True)
        classes = len(subject.data.classes)
    return score_filters(
        saved.model,
        coupling,
        decision.score,
        loader=batches,
        seed=decision.seed,
        device=pick_device(decision.device),
        classes=classes,
    )
