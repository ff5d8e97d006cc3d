"""What a model that is complete in the target lacks of its original: runs, reviews, scores that were made meanwhile.

Nothing that only the copy has is taken away, since others work with it. New values come first, in batches, as those of
a measure do; then new nodes and every relationship in one transaction: a run is there with all that it says, or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import neo4j

from cnngraph.database import cypher
from cnngraph.database.copy_compare import Edges, NodeChange
from cnngraph.database.copy_crossing import Crossing
from cnngraph.database.copy_sides import Copied, Sides
from cnngraph.database.lease import Lease
from cnngraph.database.whole import in_parts, read_ids

__all__ = ["Difference", "find_difference", "find_lineage_difference", "merge"]

_LINEAGE = ("PruningRun", "Step", "Evaluation")  # labels of what explains how a child was made


@dataclass
class Difference:
    """What a copy has not, or has otherwise.

    Attributes:
        done: what is left out. there: the copies of the nodes, by the ids of their originals.
        new: nodes as they are to be created. changes: of nodes that are there. lacks, other: relationships that are
            missing, or are there otherwise; instead: what stands there then.
        crossing: what leads to or comes from other models; joins: how many of these are missing; joined_otherwise: how
            many are there otherwise, and stay so.
    """

    done: Copied = field(default_factory=Copied)
    there: dict[str, str] = field(default_factory=dict)
    new: list[dict[str, Any]] = field(default_factory=list)
    changes: list[tuple[str, NodeChange]] = field(default_factory=list)
    lacks: Edges = field(default_factory=list)
    other: Edges = field(default_factory=list)
    instead: Edges = field(default_factory=list)
    crossing: Crossing | None = None
    joins: int = 0
    joined_otherwise: int = 0

    @property
    def contradicts(self) -> int:
        """How many nodes and relationships are there otherwise."""
        return sum(change.differs for _, change in self.changes) + len(self.other)

    def rows(self, *, overwrite: bool) -> list[dict[str, Any]]:
        """What ``copy/set_nodes`` takes."""
        rows = (change.row(copy, overwrite=overwrite) for copy, change in self.changes)
        return [row for row in rows if row is not None]

    def count(self, *, overwrite: bool) -> Copied:
        """What :func:`merge` writes; with ``overwrite`` also what is there otherwise."""
        return Copied(
            nodes=len(self.new),
            relationships=sum(len(row["targets"]) for row in self.lacks) + self.joins,
            changed=len(self.rows(overwrite=overwrite)) + (len(self.other) if overwrite else 0),
            differs=self.joined_otherwise + (0 if overwrite else self.contradicts),
            left_out=self.done.left_out,
        )


def find_difference(sides: Sides) -> Difference:
    """Compare a model with its complete copy, element by element."""
    found = Difference()
    nodes = sides.originals(found.done)
    copies = sides.copies()
    found.there = {node.id: copies[sides.identity(node)] for node in nodes if sides.identity(node) in copies}
    back = {copy: node for node, copy in found.there.items()}
    crossing = Crossing(sides, {node.id for node in nodes})
    sides.progress.start(f"Comparing {sides.names.old} with its copy", len(nodes))
    for part in in_parts(nodes):
        rows = sides.read(part)
        old = [row for row in rows if row["id"] in found.there]
        found.new += [row for row in rows if row["id"] not in found.there]
        found.changes += sides.changes(old, found.there)
        changes = sides.edge_changes(
            crossing.split(sides.edges([node.id for node in part])), [found.there[row["id"]] for row in old], back
        )
        found.lacks += changes.lacks
        found.other += changes.other
        found.instead += changes.instead
        sides.progress.advance(len(part))
    crossing.find(nodes, found.done)
    lacks, found.joined_otherwise = crossing.missing(found.there)
    found.joins, found.crossing = len(lacks), crossing
    return found


def find_lineage_difference(sides: Sides, runs: set[str], children: set[str]) -> Difference:
    """What an ancestor that is there lacks of how its children were made: their pruning run, its steps, evaluations.

    Args:
        runs: keys of the pruning runs that lead from the ancestor to the models that are copied. children: their keys.
    """
    found = Difference()
    few = sides.originals(found.done, many=False)
    copies = sides.copies(many=False)
    found.there = {node.id: copies[sides.identity(node)] for node in few if sides.identity(node) in copies}
    lacking = [node for node in few if node.id not in found.there and node.label in _LINEAGE]
    for part in in_parts(lacking):
        found.new += [row for row in sides.read(part) if _explains(row, runs, children)]
    edges = sides.edges([row["id"] for row in found.new])
    known = {node.id for node in few}
    if any(target not in known for row in edges for target in row["targets"]):  # a run that removes filters
        nodes, copies = read_ids(sides.source, sides.names.old), sides.copies()
        found.there = {node.id: copies[sides.identity(node)] for node in nodes if sides.identity(node) in copies}
    own = found.there.keys() | {row["id"] for row in found.new}
    for row in edges:
        targets = [target for target in row["targets"] if target in own]
        found.lacks += [row | {"targets": targets}] if targets else []
    return found


def _explains(row: dict[str, Any], runs: set[str], children: set[str]) -> bool:
    properties = row["properties"]
    if "PruningRun" in row["labels"]:
        return properties.get("key") in runs
    return properties.get("child") in children


def merge(sides: Sides, found: Difference, held: Lease, *, overwrite: bool) -> Copied:
    """Write what was found; with ``overwrite`` also what is there otherwise."""
    rows = found.rows(overwrite=overwrite)
    sides.progress.start(f"Completing {sides.names.new}", len(rows))
    for start in range(0, len(rows), 5_000):
        sides.write("copy/set_nodes", rows[start : start + 5_000], held)
        sides.progress.advance(5_000)
    held.check()
    sides.target.transact(lambda tx: _join(sides, found, tx, held, overwrite=overwrite))
    return found.count(overwrite=overwrite)


def _join(sides: Sides, found: Difference, tx: neo4j.ManagedTransaction, held: Lease, *, overwrite: bool) -> None:
    def run(query: str, rows: list[Any]) -> list[dict[str, Any]]:
        if not rows:
            return []
        return [dict(record) for record in tx.run(cypher.load(query), rows=rows, model=sides.names.new)]

    held.fence(tx)
    made = run("copy/create_nodes", [{"labels": row["labels"], "properties": row["properties"]} for row in found.new])
    there = found.there | {found.new[one["place"]]["id"]: one["id"] for one in made}
    for batch in sides.batches(found.instead if overwrite else [], there):
        run("copy/delete_edges", batch)
    for batch in sides.batches(found.lacks + (found.other if overwrite else []), there):
        run("copy/create_edges", batch)
    if found.crossing is not None:
        found.crossing.create(there, tx, held)
