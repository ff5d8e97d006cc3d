"""What two models of the database have in common, layer by layer: Comparison nodes and SIMILAR relationships.

A comparison belongs to whoever made it (``owner``), also where a model is somebody else's: of that it writes nothing
but relationships. The same comparison is there once; one of other weights, images or another measure is another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import neo4j

from cnngraph.database import catalogue, cypher
from cnngraph.database.connection import Database
from cnngraph.database.rows import camel
from cnngraph.errors import ConflictError

__all__ = ["SimilarLayers", "StoredComparison", "comparison_key", "find_survivors", "is_there", "store_comparison"]


@dataclass(frozen=True)
class SimilarLayers:
    """One SIMILAR relationship, from a layer of the first model to one of the second.

    Attributes:
        value: 0..1; ``None`` where it is not defined (a map that never changes). null: what unrelated layers come to.
        points: rows that were compared. images: that they are of.
        matched_by: the rule by which the two are counterparts; ``None`` of other pairs.
    """

    a: str
    b: str
    value: float | None
    null: float | None
    estimator: str
    points: int
    images: int
    matched_by: str | None = None


@dataclass(frozen=True)
class StoredComparison:
    """A comparison as the graph keeps it.

    Attributes:
        a, b: keys of the models. measure: the similarity's word. about: all that decides what comes out, of which its
            key is a digest.
        figures: properties of its node beside these. layers: its SIMILAR relationships.
    """

    a: str
    b: str
    measure: str
    about: Mapping[str, Any]
    figures: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[SimilarLayers] = ()


def comparison_key(db: Database, found: StoredComparison) -> str:
    """The key of a comparison: its owner, and a digest of what it is about."""
    about = {"a": found.a, "b": found.b, "measure": found.measure, **found.about}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return f"{db.owner}/compare/{digest[:16]}"


def is_there(db: Database, key: str) -> bool:
    """Whether the comparison of that key is stored."""
    return bool(db.read(cypher.load("compare/find"), key=key))


def find_survivors(db: Database, parent: str, child: str) -> dict[str, str]:
    """The layers of ``parent`` that are left in ``child``, which came of it, and their names there."""
    return {row["old"]: row["new"] for row in db.read(cypher.load("compare/survivors"), parent=parent, child=child)}


def store_comparison(db: Database, found: StoredComparison) -> str:
    """Store a comparison in one transaction; its key. One that is there stays as it is.

    Raises:
        NotFoundError: one of the models is not there.
        ConflictError: one is not complete, or has no layer of that name.
    """
    for key in (found.a, found.b):
        catalogue.require_complete(db, key)
    key = comparison_key(db, found)
    short = [name.split("/")[-1] for name in (found.a, found.b)]
    properties = {
        "name": f"{found.measure} {short[0]} ~ {short[1]}",
        "owner": db.owner,
        "similarity": found.measure,
        "a": found.a,
        "b": found.b,
    } | {camel(name): value for name, value in found.figures.items() if value is not None}
    rows = [
        {
            "a": one.a,
            "b": one.b,
            "properties": {
                camel(name): value
                for name, value in asdict(one).items()
                if name not in ("a", "b") and value is not None
            },
        }
        for one in found.layers
    ]

    def store(tx: neo4j.ManagedTransaction) -> None:
        names = {"a": found.a, "b": found.b, "measure": found.measure, "rows": rows, "properties": properties}
        done = tx.run(cypher.load("compare/store"), names | {"key": key}).single()
        if done is None or done["similar"] != len(rows):
            raise ConflictError(
                f"{found.a} or {found.b} has other layers in the database than its saved model.",
                "Ingest it again with --replace.",
            )

    db.transact(store)
    return key
