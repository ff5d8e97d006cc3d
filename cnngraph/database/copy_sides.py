"""The two databases of a copy: what the original has, what the copy has of it, and how it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import neo4j

from cnngraph.console import Progress, Quiet
from cnngraph.database import cypher, failures
from cnngraph.database.connection import Database
from cnngraph.database.copy_compare import EdgeChanges, Edges, NodeChange, Renaming, compare_edges, compare_nodes
from cnngraph.database.lease import Lease
from cnngraph.database.schema import KEYS
from cnngraph.database.whole import Node, read_ids, read_nodes
from cnngraph.errors import DatabaseError

__all__ = ["ANCHORS", "Copied", "Identity", "Sides", "read_edges"]

_AT_ONCE = 20_000  # relationships in one transaction
ANCHORS = ("OF", "HAS_CLASS", "HAS_TENSOR")  # by which read/whole_rest finds nodes
Identity = tuple[Any, ...]
_Row = TypeVar("_Row")
_T = TypeVar("_T")


@dataclass
class Copied:
    """What a copy wrote, or would write.

    Attributes:
        nodes, relationships: new ones. changed: nodes whose values or labels were completed or replaced.
        differs: nodes and relationships that are there otherwise.
        left_out: relationships by type, and comparisons, whose other end is not there; nodes without a key by label.
    """

    nodes: int = 0
    relationships: int = 0
    changed: int = 0
    differs: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Copied) -> Copied:
        return Copied(
            self.nodes + other.nodes,
            self.relationships + other.relationships,
            self.changed + other.changed,
            other.differs,
            other.left_out,
        )

    @property
    def nothing(self) -> bool:
        """Whether all was there."""
        return not (self.nodes or self.relationships or self.changed)


@dataclass(frozen=True)
class Sides:
    """One model in two databases.

    Attributes:
        names: its key in the source and in the target.
        together: keys of all models that go with it, which bring what they share themselves. before: of those that are
            counted as there, since they go first.
    """

    source: Database
    target: Database
    names: Renaming
    progress: Progress = field(default_factory=Quiet)
    together: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()

    @cached_property
    def models_there(self) -> frozenset[str]:
        """Keys of all models in the target, the copy's own too."""
        known = frozenset(row["key"] for row in self.target.read(cypher.load("catalogue/keys")))
        return known | self.before | {self.names.new}

    def originals(self, done: Copied, *, many: bool = True) -> list[Node]:
        """The nodes of the model in the source that can be copied; what cannot is counted as left out."""
        nodes = read_ids(self.source, self.names.old, many=many)
        nameless = [node for node in nodes if None in node.identity]
        done.left_out.update(f"{node.label} without a key" for node in nameless)
        dropped = {node.id for node in nameless} | self._half_there(nodes, done)
        return [node for node in nodes if node.id not in dropped]

    def _half_there(self, nodes: list[Node], done: Copied) -> set[str]:
        """The comparisons with a model that is not in the target; their keys are made of the names, so all of a model
        that gets another one.
        """
        comparisons = [node.id for node in nodes if node.label == "Comparison"]
        ends = self.ends(self.source, comparisons)
        half = set()
        for comparison in comparisons:
            models = set(ends[comparison][1])
            if self.names.old != self.names.new or not models <= self.models_there:
                half.add(comparison)
            if self.names.old != self.names.new or not models <= self.models_there | self.together:
                done.left_out["Comparison"] += 1
        return half

    def copies(self, *, many: bool = True) -> dict[Identity, str]:
        """What the target has of the model: its element ids by what tells nodes apart."""
        return {(node.label, *node.identity): node.id for node in read_ids(self.target, self.names.new, many=many)}

    def identity(self, node: Node) -> Identity:
        """What tells a node of the source apart in the target."""
        return (node.label, *map(self.names.of, node.identity))

    def read(self, part: Sequence[Node]) -> list[dict[str, Any]]:
        """``id``, ``labels`` and ``properties`` of nodes of the source, as they are called in the target."""
        rows = read_nodes(self.source, [node.id for node in part])
        for row in rows:
            row["properties"] = self.names.of_all(row["properties"])
            if "Model" in row["labels"]:
                owner, _, name = self.names.new.partition("/")
                row["properties"] |= {"owner": owner, "name": name}
        return rows

    def changes(self, rows: list[dict[str, Any]], there: Mapping[str, str]) -> list[tuple[str, NodeChange]]:
        """Where copies are not as their originals: the element id of the copy, and how."""
        copies = {row["id"]: row for row in read_nodes(self.target, [there[row["id"]] for row in rows])}
        pairs = ((there[row["id"]], row) for row in rows)
        found = ((copy, compare_nodes(row, copies[copy])) for copy, row in pairs if copy in copies)
        return [(copy, change) for copy, change in found if change is not None]

    def edges(self, ids: Sequence[str]) -> Edges:
        """The relationships that begin at nodes of the source, as they are in the target but for their ends."""
        rows = read_edges(self.source, ids)
        for row in rows if self.names.old != self.names.new else ():
            row["properties"] = self.names.of_all(row["properties"])
        return rows

    def edge_changes(self, rows: Edges, copies: Sequence[str], back: Mapping[str, str]) -> EdgeChanges:
        """What the copies of some nodes lack of the relationships ``rows``, or have otherwise; ends of the source.

        Args:
            copies: element ids of those copies. back: the original of each copy of a node of the model.
        """
        found = read_edges(self.target, copies)
        for row in found:
            row["source"] = back[row["source"]]
            row["targets"] = [back[target] for target in row["targets"] if target in back]
        return compare_edges(rows, found)

    def count_edges(self, nodes: Sequence[Node]) -> int:
        """How many relationships begin at nodes of the source."""
        ids = [node.id for node in nodes]
        query = cypher.load("copy/degrees")
        parts = (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
        return sum(int(self.source.read(query, ids=part)[0]["relationships"]) for part in parts)

    def ends(self, db: Database, ids: Sequence[str]) -> dict[str, tuple[Identity, list[str]]]:
        """Of nodes of ours: what tells each apart within its model, and its models."""
        rows = db.read(cypher.load("copy/ends"), ids=list(ids), keys=KEYS, order=list(KEYS))
        return {row["id"]: ((row["label"], *row["identity"]), row["models"]) for row in rows}

    def batches(self, rows: Edges, there: Mapping[str, str]) -> Iterator[list[Any]]:
        """Rows of ``copy/create_edges``, with the ends in the target."""
        batch: list[Any] = []
        size = 0
        for row in rows:
            targets = [there[target] for target in row["targets"]]
            for start in range(0, len(targets), _AT_ONCE):
                some = targets[start : start + _AT_ONCE]
                if size and size + len(some) > _AT_ONCE:
                    yield batch
                    batch, size = [], 0
                batch.append([there[row["source"]], row["type"], row["properties"], some])
                size += len(some)
        if batch:
            yield batch

    def anchors(self, ids: Sequence[str], model: str) -> Edges:
        """The relationships by which ``read/whole_rest`` finds some nodes, and a delete does.

        Args:
            ids: of nodes of the source. model: element id of the Model there.
        """
        entering = self.source.read(cypher.load("copy/entering"), ids=list(ids))
        found = [row for row in entering if row["source"] == model and row["type"] in ANCHORS]
        return found + [row for row in self.edges(ids) if row["type"] in ANCHORS]

    def create(
        self, rows: Sequence[dict[str, Any]], anchors: Edges, there: Mapping[str, str], held: Lease
    ) -> dict[str, str]:
        """Create nodes; the element id of each copy by that of its original.

        Args:
            anchors: relationships that come in the same transaction, so that no node is there that nobody finds.
            there: the copies that these lead to or come from.
        """

        def work(tx: neo4j.ManagedTransaction, some: Sequence[dict[str, Any]]) -> dict[str, str]:
            sent = [{"labels": row["labels"], "properties": row["properties"]} for row in some]
            answer = tx.run(cypher.load("copy/create_nodes"), rows=sent, model=self.names.new)
            made = {some[one["place"]]["id"]: one["id"] for one in answer}
            known = {**there, **made}
            mine = [
                row
                | {
                    "targets": [
                        end for end in row["targets"] if end in known and (row["source"] in made or end in made)
                    ]
                }
                for row in anchors
                if row["source"] in known
            ]
            for batch in self.batches(mine, known):
                tx.run(cypher.load("copy/create_edges"), rows=batch, model=self.names.new).consume()
            return made

        found: dict[str, str] = {}
        for made in self._in_transactions(rows, work, held):
            found |= made
        return found

    def write(self, query: str, rows: Sequence[Any], held: Lease) -> None:
        """Run a query over all rows."""

        def work(tx: neo4j.ManagedTransaction, some: Sequence[Any]) -> None:
            tx.run(cypher.load(query), rows=some, model=self.names.new).consume()

        for _ in self._in_transactions(rows, work, held):
            pass

    def _in_transactions(
        self, rows: Sequence[_Row], work: Callable[[neo4j.ManagedTransaction, Sequence[_Row]], _T], held: Lease
    ) -> Iterator[_T]:
        """Do ``work`` on all rows, in transactions that shrink where the server is short of memory.

        Managed ones, not auto-commit: what may have been done is not done twice.
        """
        start, size = 0, len(rows)
        while start < len(rows):
            held.check()
            some = rows[start : start + size]

            def fenced(tx: neo4j.ManagedTransaction, some: Sequence[_Row] = some) -> _T:
                held.fence(tx)
                return work(tx, some)

            try:
                answer = self.target.transact(fenced)
            except DatabaseError as error:
                if size == 1 or not failures.is_short_of_memory(error.__cause__):
                    raise
                size = max(1, size // 2)
                continue
            yield answer
            start += size

    def stamp(self) -> list[dict[str, Any]]:
        """What changes in the source where somebody measures, plans, prunes or reviews the model."""
        return self.source.read(cypher.load("copy/stamp"), key=self.names.old)


def read_edges(db: Database, ids: Iterable[str]) -> Edges:
    """The relationships that begin at some nodes: ``source, type, properties, targets``."""
    return db.read(cypher.load("copy/edges"), ids=list(ids))
