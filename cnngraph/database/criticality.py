"""How critical the blocks of a model are, in the graph: ``(:Criticality)-[:OF]->(:Block)``, one node a trial.

A trial is a block, a scheme, a seed and a budget (how the net was trained, on what it was judged): the same one again
replaces what stands there. In a model that was stored before there were such blocks it hangs on the block's last layer.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from cnngraph.errors import ConflictError

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["CriticalityRecord", "read_criticality", "store_criticality"]


@dataclass(frozen=True)
class CriticalityRecord:
    """One trial.

    Attributes:
        last_layer: of the block. temperature, alpha: of the distillation, where there is one.
        value: accuracy of the parent minus that of the trial; below 0 where the net is better without the block.
        accuracy, kappa: of the best epoch, on the validation images; parent_accuracy: of the net with the block.
        curve: accuracy before any training and after each epoch.
        epochs_to_95: after how many it has 95 % of the parent's accuracy; ``None``: after none.
        failed: why the training did not come to its end; then all else is of the untrained net.
        budget: the recipe and the data, as JSON text. work: the folder of this machine with what was not stored.
    """

    block: str
    last_layer: str
    scheme: str
    seed: int
    temperature: float | None
    alpha: float | None
    value: float
    accuracy: float
    kappa: float
    parent_accuracy: float
    curve: tuple[float, ...]
    epochs_to_95: int | None
    parameters_saved: int
    macs_saved: int
    seconds: float
    budget: str
    work: str
    failed: str | None = None

    @property
    def digest(self) -> str:
        """Of what tells trials apart."""
        content = json.dumps([self.block, self.scheme, self.seed, self.temperature, self.alpha, self.budget])
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def store_criticality(db: Database, model: str, weights: str, record: CriticalityRecord) -> str:
    """Store one trial, once, however often this is repeated; the label of the node that it hangs on.

    Args:
        weights: sha256 of those that were tried.

    Raises:
        ConflictError: the model was replaced or deleted meanwhile.
    """
    from cnngraph.database.cypher import load
    from cnngraph.database.rows import camel

    properties: dict[str, Any] = {camel(name): value for name, value in asdict(record).items() if name != "last_layer"}
    properties |= {"curve": list(record.curve), "model": model, "owner": db.owner}
    properties["name"] = f"{record.scheme} {record.accuracy:.1%}"
    properties["key"] = f"{model}/criticality/{record.digest}"
    rows = db.write(
        load("criticality/store"),
        model=model,
        weights=weights,
        block=record.block,
        last_layer=record.last_layer,
        key=properties["key"],
        properties=properties,
    )
    if not rows:
        raise ConflictError(
            f"{model} was replaced or deleted while its blocks were tried.", "Repeat the command on what is there now."
        )
    return str(rows[0]["label"])


def read_criticality(db: Database, model: str) -> list[dict[str, Any]]:
    """All trials of a model, by block in network order, then as they were stored: the fields of a record as far as they
    are known, ``kind`` of the block, ``key`` and ``created_at``.
    """
    from cnngraph.database.cypher import load
    from cnngraph.database.rows import camel

    names = [one.name for one in fields(CriticalityRecord)] + ["kind", "key", "created_at"]
    rows = [row["row"] for row in db.read(load("criticality/read"), model=model)]
    return [{name: row[camel(name)] for name in names if row.get(camel(name)) is not None} for row in rows]
