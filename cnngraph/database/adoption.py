"""Models known by their weights: which have these very ones, and which took theirs from a training elsewhere.

A hash of weights is that of :func:`cnngraph.network.trace.weights_sha256`, the property ``sha256`` of a Model.
"""

from __future__ import annotations

from cnngraph.database import cypher
from cnngraph.database.connection import Database
from cnngraph.errors import NotFoundError

__all__ = ["adopted_models", "models_of_weights", "store_adopted"]


def store_adopted(db: Database, child: str, parent: str, *, file: str, sha256: str) -> None:
    """Store that the model ``child`` is ``parent`` with weights that were trained elsewhere.

    Args:
        db: the database. child, parent: keys of the models.
        file, sha256: name and hash of the file that the weights came in.

    Raises:
        NotFoundError: one of the models is not there.
    """
    query = cypher.load("lineage/store_adopted")
    if not db.write(query, child=child, parent=parent, file=file, sha256=sha256):
        raise NotFoundError(f"The model {child} or the model {parent} is not there.")


def adopted_models(db: Database, parent: str, sha256: str) -> list[str]:
    """Keys of the models, written to their end, that were adopted from ``parent`` with these weights."""
    rows = db.read(cypher.load("lineage/adopted"), parent=parent, sha256=sha256)
    return [str(row["model"]) for row in rows]


def models_of_weights(db: Database, sha256: str) -> list[str]:
    """Keys of everybody's models that have these weights and were written to their end, one's own first."""
    found = [str(row["model"]) for row in db.read(cypher.load("lineage/models_of_weights"), sha256=sha256)]
    return sorted(found, key=lambda key: (not key.startswith(f"{db.owner}/"), key))
