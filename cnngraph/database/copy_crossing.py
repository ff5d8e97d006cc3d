"""Relationships between a model that is copied and others: they exist in the target where both ends do.

A child is PRUNED_FROM its parent, layers survive as its layers, a run of the parent PRODUCED it; layers of two nets are
SIMILAR. Whichever of two models comes last brings what they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import neo4j

from cnngraph.database import cypher
from cnngraph.database.copy_compare import Edges, compare_edges
from cnngraph.database.copy_sides import Copied, Identity, Sides, read_edges
from cnngraph.database.lease import Lease
from cnngraph.database.whole import MANY, Node, read_ids

__all__ = ["Crossing"]

_AT_ONCE = 10_000


class Crossing:
    """The relationships of one model that lead to or come from others."""

    def __init__(self, sides: Sides, own: set[str]) -> None:
        self._sides = sides
        self._own = own
        self._edges: Edges = []
        self._rows: Edges = []  # own ends as in the source, others as in the target
        self._models = {sides.names.new}  # that have ends of what is created

    def split(self, rows: Edges) -> Edges:
        """The rows without what leads to another model, which is kept for the end."""
        own = self._own
        inside: Edges = []
        for row in rows:
            targets = [target for target in row["targets"] if target in own]
            if len(targets) < len(row["targets"]):
                self._edges.append(row | {"targets": [target for target in row["targets"] if target not in own]})
            if targets:
                inside.append(row | {"targets": targets})
        return inside

    def find(self, nodes: Sequence[Node], done: Copied) -> None:
        """Find what leads to or comes from models that the target has too; all else is counted as left out.

        Args:
            nodes: of the model.
        """
        found = self._edges + self._entering(nodes)
        outside = {end for row in found for end in (row["source"], *row["targets"]) if end not in self._own}
        ends = self._sides.ends(self._sides.source, sorted(outside))
        known = self._copies_of(ends)
        later = {node for node, (_, models) in ends.items() if not self._sides.together.isdisjoint(models)}
        for row in found:
            for a, b in ((row["source"], target) for target in row["targets"]):
                lacking = {a, b} - self._own - known.keys()
                if not lacking:
                    self._rows.append(row | {"source": known.get(a, a), "targets": [known.get(b, b)]})
                elif not lacking <= later:
                    done.left_out[row["type"]] += 1

    def missing(self, there: Mapping[str, str], tx: neo4j.ManagedTransaction | None = None) -> tuple[Edges, int]:
        """What of it the target lacks, with the ends in the target, and how many relationships it has otherwise.

        Args:
            there: the copies of the model's nodes. tx: where it is looked up; ``None``: in a transaction of its own.
        """
        rows = [
            row | {"source": there.get(row["source"], row["source"]), "targets": [there.get(end, end)]}
            for row in self._rows
            for end in row["targets"]
        ]
        ids = sorted({row["source"] for row in rows})
        if tx is None:
            found = read_edges(self._sides.target, ids)
        else:
            found = [dict(record) for record in tx.run(cypher.load("copy/edges"), ids=ids)]
        changes = compare_edges(rows, found)
        return changes.lacks, len(changes.other)

    def create(self, there: Mapping[str, str], tx: neo4j.ManagedTransaction, held: Lease) -> tuple[int, int]:
        """Create what is missing; how many were, and how many are there otherwise. The models are locked first."""
        if not self._rows:
            return 0, 0
        held.check()
        tx.run(cypher.load("copy/lock_models"), keys=sorted(self._models)).consume()
        held.fence(tx)
        lacks, others = self.missing(there, tx)
        sent = [[row["source"], row["type"], row["properties"], row["targets"]] for row in lacks]
        tx.run(cypher.load("copy/create_edges"), rows=sent, model=self._sides.names.new).consume()
        return len(lacks), others

    def _entering(self, nodes: Sequence[Node]) -> Edges:
        found: Edges = []
        query = cypher.load("copy/entering")
        ids = [node.id for node in nodes]
        for start in range(0, len(ids), _AT_ONCE):
            rows = self._sides.source.read(query, ids=ids[start : start + _AT_ONCE])
            found += [row for row in rows if row["source"] not in self._own]
        names = self._sides.names
        return [row | {"properties": names.of_all(row["properties"])} for row in found]

    def _copies_of(self, ends: Mapping[str, tuple[Identity, list[str]]]) -> dict[str, str]:
        """Nodes of other models in the source, with their copies in the target."""
        sides = self._sides
        by_model: dict[str, dict[str, Identity]] = {}
        for node, (identity, models) in ends.items():
            for model in models:
                if model in sides.models_there and model != sides.names.old:
                    by_model.setdefault(model, {})[node] = (identity[0], *map(sides.names.of, identity[1:]))
        self._models |= by_model.keys()
        found: dict[str, str] = {}
        for model, wanted in by_model.items():
            many = any(identity[0] in MANY for identity in wanted.values())
            copies = {(one.label, *one.identity): one.id for one in read_ids(sides.target, model, many=many)}
            if model in sides.before and not copies:
                found |= {node: node for node in wanted}  # so to say
            found |= {node: copies[identity] for node, identity in wanted.items() if identity in copies}
        return found
