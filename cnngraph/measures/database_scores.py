"""Scores between the graph and numpy: batched Cypher that leaves them on the nodes, and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnngraph.errors import PlanError
from cnngraph.measures.measure import Measure, Scores

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = [
    "ROWS_A_WRITE",
    "class_count",
    "map_score_rows",
    "map_scores",
    "missing",
    "position_scores",
    "ranked_sizes",
    "run_batched",
    "scores_of_rows",
    "stored_conv_layers",
    "stored_map_scores",
    "write_scores",
]

ROWS_A_WRITE = 10_000


def run_batched(db: Database, stem: str, key: str, progress: Progress, **parameters: Any) -> None:
    """Run a query that commits in batches (``CALL ... IN TRANSACTIONS``) over the nodes of one model."""
    from cnngraph.database.cypher import load

    progress.start(f"Measuring {stem.removeprefix('measures/')}")
    db.auto(load(stem), model=key, **parameters)


def class_count(db: Database, key: str) -> int:
    """How many classes the model's per-class lists have."""
    from cnngraph.database.cypher import load

    rows = db.read(load("measures/class_count"), model=key)
    return int(rows[0]["classes"]) if rows else 0


def stored_conv_layers(db: Database, key: str) -> tuple[str, ...]:
    """Names of the model's conv layers in network order."""
    from cnngraph.database.cypher import load

    return tuple(row["layer"] for row in db.read(load("measures/conv_layers"), model=key))


def ranked_sizes(db: Database, key: str, measure: Measure) -> dict[str, int]:
    """How many nodes of each layer a measure of positions or of feature maps scores, in network order.

    Raises:
        PlanError: the model has none.
    """
    from cnngraph.database.cypher import load

    what = f"{measure.scores}s"
    rows = db.read(load("measures/layer_sizes"), model=key)
    sizes = {row["layer"]: row[what] for row in rows if row[what]}
    if not sizes:
        raise missing(key, what)
    return sizes


def missing(key: str, what: str) -> PlanError:
    """The error for a model that was ingested without ``what``: positions or maps."""
    if what == "positions":
        return PlanError(f"{key} has no positions.", "Ingest it with --view positions or --view both.")
    return PlanError(f"{key} has no feature maps.", "Ingest it with --view channels or --view both.")


def position_scores(db: Database, key: str, property_: str) -> Scores:
    """The scores that a measure left on the positions as ``property_``.

    Raises:
        PlanError: the model has no positions, or some carry no score (they were written since).
    """
    from cnngraph.database.cypher import load

    rows = db.read(load("measures/position_scores"), model=key, property=property_)
    if not rows:
        raise missing(key, "positions")
    for row in rows:
        if len(row["values"]) != row["positions"]:
            raise PlanError(
                f"Not every position of {key} has a {property_}.", f"Run: cnngraph measure {key} --measure {property_}"
            )
    return scores_of_rows(rows)


def map_scores(db: Database, stem: str, key: str, **parameters: Any) -> Scores:
    """The scores that a one-transaction query leaves on the feature maps and returns as rows {layer, values}.

    Raises:
        PlanError: the model's conv layers have no feature maps.
    """
    from cnngraph.database.cypher import load

    rows = db.write(load(stem), model=key, **parameters)
    if not rows:
        raise missing(key, "maps")
    return scores_of_rows(rows)


def stored_map_scores(db: Database, key: str, measure: Measure) -> Scores:
    """The scores that ``measure`` left on the feature maps of the conv layers, by layer and channel.

    Raises:
        PlanError: the model has no feature maps, or some carry no score (they were written since).
    """
    return scores_of_rows(map_score_rows(db, key, measure))


def map_score_rows(db: Database, key: str, measure: Measure) -> list[dict[str, Any]]:
    """The same as rows {layer, shared_with, values}; values by channel, rows in network order."""
    from cnngraph.database.cypher import load

    rows = db.read(load("measures/map_scores"), model=key, property=measure.property)
    if not rows:
        raise missing(key, "maps")
    if any(len(row["values"]) != row["maps"] for row in rows):
        raise PlanError(
            f"Not every feature map of {key} has a {measure.property}.",
            f"Run: cnngraph measure {key} --measure {measure.name}",
        )
    return rows


def scores_of_rows(rows: Sequence[Mapping[str, Any]]) -> Scores:
    """Rows {layer, values} in network order as Scores."""
    sizes = [len(row["values"]) for row in rows]
    values = np.array([value for row in rows for value in row["values"]], dtype=np.float64)
    return Scores(tuple(row["layer"] for row in rows), np.repeat(np.arange(len(rows)), sizes), values)


def write_scores(
    db: Database, key: str, measure: Measure, network: Network, scores: Scores, progress: Progress
) -> None:
    """Put an oracle's scores on the nodes of the model, in the order of the Network's table; layers carry none."""
    from cnngraph.database.cypher import load

    if measure.property is None:
        return
    by_name = {measure.property: scores.value, **scores.extra}
    cypher = load(f"measures/write_{measure.scores}_scores")
    progress.start(f"Writing {measure.name}", total=len(scores.value))
    for rows in _batches(measure, network, scores, by_name):
        db.write(cypher, model=key, rows=rows)
        progress.advance(len(rows))


def _batches(
    measure: Measure, network: Network, scores: Scores, by_name: Mapping[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    if measure.scores == "position":
        table = network.positions.select(["number"])
    else:
        table = network.feature_maps.select(["layer", "channel"])
        ranked = set(scores.layers)
        table = table.filter([layer in ranked for layer in table["layer"].to_pylist()])
    for start in range(0, table.num_rows, ROWS_A_WRITE):
        rows = table.slice(start, ROWS_A_WRITE).to_pylist()
        columns = {name: values[start : start + ROWS_A_WRITE].tolist() for name, values in by_name.items()}
        for i, row in enumerate(rows):
            row["scores"] = {name: column[i] for name, column in columns.items()}
        yield rows
