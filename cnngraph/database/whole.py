"""All that belongs to a model, whatever its labels: which nodes there are, and what stands on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cnngraph.database import cypher
from cnngraph.database.schema import KEYS

if TYPE_CHECKING:
    import neo4j

    from cnngraph.database.connection import Database

__all__ = ["Node", "in_parts", "read_ids", "read_nodes"]

MANY = ("FeatureMap", "Position")  # the labels of which a model has thousands
_AT_ONCE = {"FeatureMap": 1_000, "Position": 5_000, "Tensor": 20}  # nodes of one label that come in one answer
_OTHERS = 500
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a model.

    Attributes:
        id: its element id. label: the first of :data:`~cnngraph.database.schema.KEYS` that it bears.
        identity: what tells it apart from the others of that label, in the order of ``KEYS``.
    """

    id: str
    label: str
    identity: tuple[Any, ...]


def read_ids(db: Database, key: str, *, many: bool = True, tx: neo4j.ManagedTransaction | None = None) -> list[Node]:
    """All nodes of the model, in the order of their labels and identities, the numbers among these as numbers.

    Args:
        many: also its feature maps and positions. tx: where they are read; ``None``: in transactions of their own.
    """

    def read(query: str, **named: Any) -> list[dict[str, Any]]:
        if tx is None:
            return db.read(cypher.load(query), key=key, **named)
        return [dict(record) for record in tx.run(cypher.load(query), key=key, **named)]

    found = read("read/whole_rest", keys=KEYS, order=list(KEYS))
    if many:
        found += read("read/whole_many")
    nodes = [Node(row["id"], row["label"], tuple(row["identity"])) for row in found]
    order = {label: place for place, label in enumerate(KEYS)}
    return sorted(nodes, key=lambda node: (order[node.label], list(map(_place, node.identity))))


def read_nodes(db: Database, ids: Sequence[str]) -> list[dict[str, Any]]:
    """``id``, ``labels`` and ``properties`` of the nodes with these element ids, in this order, but what is gone."""
    rows = db.read(cypher.load("read/whole_nodes"), ids=list(ids))
    by_id = {row["id"]: row for row in rows}
    return [by_id[one] for one in ids if one in by_id]


def in_parts(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """The nodes as parts that fit in the memory of both sides, each of one label."""
    part: list[Node] = []
    for node in nodes:
        if part and (part[0].label != node.label or len(part) == _AT_ONCE.get(node.label, _OTHERS)):
            yield part
            part = []
        part.append(node)
    if part:
        yield part


def _place(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, int) else (True, str(value))
