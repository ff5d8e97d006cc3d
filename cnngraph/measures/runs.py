"""MeasureRuns in the graph: named by a hash of what decides them, stored in one transaction, found again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from cnngraph.errors import ConflictError, NotFoundError
from cnngraph.measures.measure import LayerTheta, Measure, MeasureResult, Options, Scores

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["begin_run", "find_run", "finish_run", "read_block_thetas", "run_key"]


def run_key(model: str, measure: str, parameters: dict[str, Any], reference_rule: str) -> str:
    """The key of a run: the same inputs give the same run, so that measuring again writes no second one.

    >>> run_key("ada/lenet", "degree", {"aggregate": "mean"}, "median")
    'ada/lenet:degree-94dd5e0a'
    """
    inputs = json.dumps([parameters, reference_rule], sort_keys=True)
    return f"{model}:{measure}-{hashlib.sha256(inputs.encode()).hexdigest()[:8]}"


def begin_run(db: Database, model: str, measure: Measure) -> str:
    """Say that the nodes' scores belong to no run; a measure that is killed leaves no claim behind.

    Returns:
        the model's fingerprint, for :func:`finish_run`.

    Raises:
        NotFoundError: it has just been deleted.
    """
    from cnngraph.database.cypher import load

    rows = db.write(load("measures/run_begin"), model=model, measure=measure.name)
    if not rows:
        raise NotFoundError(f"There is no model {model} in the database.")
    return str(rows[0]["fingerprint"])


def finish_run(
    db: Database,
    result: MeasureResult,
    engine: str,
    scores: Scores,
    fingerprint: str,
    gds_version: str | None = None,
) -> None:
    """Store the run with its layers and blocks and make it the current one, in one transaction.

    Args:
        scores: that the result was made of. gds_version: of Graph Data Science where it computed them.

    Raises:
        ConflictError: the model was replaced or deleted since :func:`begin_run` returned ``fingerprint``.
    """
    from cnngraph.database.cypher import load

    rows = db.write(
        load("measures/run_finish"),
        model=result.model,
        fingerprint=fingerprint,
        measure=result.measure,
        key=result.key,
        parameters=json.dumps(result.parameters, sort_keys=True),
        reference=result.reference,
        rule=result.reference_rule,
        engine=engine,
        gds=gds_version,
        claims=dict(scores.claims),
        layers=[row._asdict() for row in result.layers],
        blocks=[
            {"block": block, "value": value, "theta": value / result.reference}
            for block, value in scores.blocks.items()
        ],
    )
    if not rows:
        raise ConflictError(
            f"{result.model} was replaced or deleted while it was measured; nothing was stored.", "Measure it again."
        )


def find_run(
    db: Database, model: str, measure: Measure, options: Options, reference_rule: str, engine: str = "database"
) -> MeasureResult | None:
    """The stored run of these inputs, or ``None``."""
    from cnngraph.database.cypher import load

    parameters = measure.parameters(options, engine)
    key = run_key(model, measure.name, parameters, reference_rule)
    rows = db.read(load("measures/run_find"), model=model, key=key)
    if not rows:
        return None
    return MeasureResult(
        key=key,
        measure=measure.name,
        reference=rows[0]["reference"],
        layers=tuple(LayerTheta(row["layer"], row["value"], row["theta"]) for row in rows[0]["layers"]),
        model=model,
        parameters=parameters,
        reference_rule=reference_rule,
    )


def read_block_thetas(db: Database, model: str, run: str) -> dict[str, float] | None:
    """Thetas of the blocks that have a score of their own in a finished run.

    Returns:
        by name; ``None`` where the run does not hold them all: it was stored before blocks had scores, or before the
        model had Block nodes.
    """
    from cnngraph.database.cypher import load

    rows = db.read(load("measures/run_blocks"), model=model, key=run)
    if not rows or len(rows[0]["blocks"]) != rows[0]["scored"]:
        return None
    return {row["block"]: row["theta"] for row in rows[0]["blocks"]}
