"""Scores of filters from the graph: the measures of feature maps, by layer and channel."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from cnngraph.measures.database_scores import map_score_rows
from cnngraph.measures.registry import MEASURES, measure

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database

__all__ = ["FILTER_MEASURES", "filter_scores"]

# What a person asks for by --score, and the measure that says it of feature maps.
FILTER_MEASURES = {"strength": "strength", "redundancy": "map-redundancy", "pagerank": "map-pagerank"}


def filter_scores(
    db: Database, key: str, score: str, *, engine: str = "auto", progress: Progress | None = None
) -> tuple[str, dict[str, tuple[float, ...]]]:
    """The score of every filter of the conv layers; measures the model first where the nodes carry none.

    Args:
        db: an open database.
        key: the model, ``owner/name``.
        score: one of :data:`FILTER_MEASURES`.
        engine: ``database`` (also ``auto``) or ``local``.
        progress: told what is being done.

    Returns:
        The key of the MeasureRun, and by layer the scores by channel; low goes first. A module that is called several
        times has the mean over its calls.

    Raises:
        As :func:`cnngraph.measures.registry.measure`.
    """
    from cnngraph.database.catalogue import require_complete
    from cnngraph.database.cypher import load

    require_complete(db, key)
    chosen = MEASURES[FILTER_MEASURES[score]]
    current = db.read(load("measures/current_run"), model=key, measure=chosen.name)
    # The reference only serves the layers' thetas; over the positive scores it exists wherever there are any.
    run = (
        current[0]["key"]
        if current
        else measure(db, key, chosen.name, engine=engine, reference="median-positive", progress=progress).key
    )
    calls: dict[str, list[list[float]]] = defaultdict(list)
    for row in map_score_rows(db, key, chosen):
        calls[row["shared_with"] or row["layer"]].append(row["values"])
    return run, {layer: tuple(np.mean(values, axis=0).tolist()) for layer, values in calls.items()}
