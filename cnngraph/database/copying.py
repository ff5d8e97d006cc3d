"""A model from one database into another, element for element: whatever belongs to it, whatever its labels.

What is read is what a delete removes (``read/whole_rest``, ``read/whole_many``): a new label needs no line here. A
model that is new there has status ``loading`` and a lease until all of it is there; a copy that was broken off goes on
from what it left, compared with the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import neo4j

from cnngraph.database import catalogue, cypher
from cnngraph.database.copy_compare import Edges
from cnngraph.database.copy_crossing import Crossing
from cnngraph.database.copy_sides import ANCHORS, Copied, Sides
from cnngraph.database.lease import Lease
from cnngraph.database.whole import Node, in_parts
from cnngraph.errors import ConflictError

__all__ = ["copy_whole"]

# Labels of nodes that are found by what they belong to; the others by their own properties.
_ANCHORED = ("Class", "Tensor", "MeasureRun", "PruningRun", "Evaluation", "Step", "Review", "Comparison")
_TRIES = 3  # how often what was done to the original meanwhile is fetched


def copy_whole(sides: Sides, held: Lease | None) -> Copied:
    """Make a model that is loading in the target what it is in the source, and complete.

    Args:
        held: the lease on it in the target; ``None``: nothing is written, only counted.

    Raises:
        ConflictError: the original is changed all the time; or somebody else writes the copy.
        DatabaseError: a server refuses or is lost; the same call goes on.
    """
    done = Copied()
    for _ in range(_TRIES):
        before = sides.stamp()
        found = _Mirror(sides, held).run()
        done = found if held is None else done + found
        if sides.stamp() == before:
            break
    else:
        raise ConflictError(
            f"{sides.names.old} is changed all the time while it is copied.",
            "Wait until nobody measures, prunes or reviews it; then run the same command again: it goes on.",
        )
    if held is not None:
        _verify(sides)
        sides.target.transact(lambda tx: _finish(tx, sides.names.new, held))
    return done


def _finish(tx: neo4j.ManagedTransaction, key: str, held: Lease) -> None:
    held.fence(tx)
    tx.run(cypher.load("write/finish_model"), key=key).consume()


class _Mirror:
    """One pass over the original: the copy is what it was when it ends."""

    def __init__(self, sides: Sides, held: Lease | None) -> None:
        self._sides = sides
        self._held = held
        self._done = Copied()
        self._there: dict[str, str] = {}  # element ids of the source -> those of the target
        self._model = ""  # element id of the Model in the source
        self._anchored: set[str] = set()  # nodes that came with what they belong to

    def run(self) -> Copied:
        sides = self._sides
        nodes = sides.originals(self._done)
        self._model = nodes[0].id
        copies = sides.copies()
        self._there = {node.id: copies.pop(sides.identity(node)) for node in nodes if sides.identity(node) in copies}
        was_there = dict(self._there)
        self._write("copy/delete_nodes", list(copies.values()))
        sides.progress.start(f"Copying the nodes of {sides.names.old}", len(nodes))
        for part in in_parts(nodes):
            self._copy_nodes(part, was_there)
            sides.progress.advance(len(part))
        crossing = Crossing(sides, {node.id for node in nodes})
        back = {copy: node for node, copy in self._there.items()} if was_there else {}
        sides.progress.start(f"Copying the relationships of {sides.names.old}", sides.count_edges(nodes))
        for part in in_parts(nodes):
            self._copy_edges(part, crossing, was_there, back)
        crossing.find(nodes, self._done)
        if self._held is None:
            lacks, others = crossing.missing(self._there)
            joined = len(lacks)
        else:
            held = self._held
            joined, others = sides.target.transact(lambda tx: crossing.create(self._there, tx, held))
        self._done.relationships += joined
        self._done.differs += others
        return self._done

    def _copy_nodes(self, part: list[Node], was_there: Mapping[str, str]) -> None:
        rows = self._sides.read(part)
        new = [row for row in rows if row["id"] not in was_there]
        self._done.nodes += len(new)
        if self._held is None:
            self._there |= {row["id"]: row["id"] for row in new}  # so to say
        else:
            self._create(part[0].label, new, self._held)
        changes = self._sides.changes([row for row in rows if row["id"] in was_there], was_there)
        self._done.changed += len(changes)
        found = [change.row(copy, overwrite=True, mirror=True) for copy, change in changes]
        self._write("copy/set_nodes", [row for row in found if row is not None])

    def _create(self, label: str, new: list[dict[str, Any]], held: Lease) -> None:
        anchors: Edges = []
        if new and label in _ANCHORED:
            anchors = self._sides.anchors([row["id"] for row in new], self._model)
            self._anchored.update(row["id"] for row in new)
        self._there |= self._sides.create(new, anchors, self._there, held)
        self._done.relationships += sum(end in self._there for row in anchors for end in row["targets"])

    def _copy_edges(
        self, part: list[Node], crossing: Crossing, was_there: Mapping[str, str], back: Mapping[str, str]
    ) -> None:
        rows = crossing.split(self._sides.edges([node.id for node in part]))
        rows = [row for row in rows if row["source"] not in self._anchored or row["type"] not in ANCHORS]
        size = sum(len(row["targets"]) for row in rows)
        before = [was_there[node.id] for node in part if node.id in was_there]
        if before:
            changes = self._sides.edge_changes(rows, before, back)
            for batch in self._sides.batches(changes.instead + changes.more, self._there):
                self._write("copy/delete_edges", batch)
            rows = changes.lacks + changes.other
        self._done.relationships += sum(len(row["targets"]) for row in rows)
        if self._held is not None:
            for batch in self._sides.batches(rows, self._there):
                self._write("copy/create_edges", batch)
        self._sides.progress.advance(size)

    def _write(self, query: str, rows: list[Any]) -> None:
        if self._held is not None and rows:
            self._sides.write(query, rows, self._held)


def _verify(sides: Sides) -> None:
    """Return if the copy has as much of each kind as the original."""
    wanted = catalogue.counts(sides.source, sides.names.old)
    found = catalogue.counts(sides.target, sides.names.new)
    wrong = [f"{found[what]} {what} instead of {count}" for what, count in wanted.items() if found[what] != count]
    if wrong:
        raise ConflictError(
            f"The copy {sides.names.new} has {', '.join(wrong)}: somebody changed it while it was written.",
            "Run the same command again: it goes on.",
        )
