"""A stored network in the hands of Neo4j's Graph Data Science client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

from cnngraph.api.opened import Opened
from cnngraph.errors import UsageError, nearest

if TYPE_CHECKING:
    from cnngraph.database.gds import Projection

__all__ = ["Projections"]


class Projections(Opened):
    """Stored networks as projections of Graph Data Science."""

    @contextmanager
    def gds(
        self,
        name: str,
        *,
        view: str = "positions",
        class_: str | int | None = None,
        undirected: bool = False,
        distance: bool = False,
    ) -> Iterator[Projection]:
        """The network of ``name`` as a projection, with Neo4j's client ``graphdatascience``; dropped at the end.

            with cg.connect() as graph, graph.gds("mine", class_="cat") as mine:
                G, gds = mine
                ranks = mine.keyed(gds.page_rank.stream(G, relationship_weight_property="weight"))

        Relationships have one property, ``weight``: the strength without its sign; those of strength 0 are left out.
        Nodes stand in the order of our own numbers, so that an algorithm with a seed and one thread gives the same on
        every server. ``keyed`` puts our keys in the place of GDS's node ids. See docs/gds.md.

        Args:
            view: ``positions`` and their arcs, or ``channels``: feature maps and their connections.
            class_: a class by name or number, whose weights the arcs get; default: the mean over the classes.
            undirected: every relationship in both directions (Leiden wants that).
            distance: ``weight`` is 1 / strength, for shortest paths.

        Raises:
            UsageError: there is no such view, or a class was asked of the channels.
            NotFoundError: the model or the class is not there. ConflictError: the model is not complete.
            PlanError: the model has no such nodes.
            DatabaseError: the server has no Graph Data Science, or too little memory for this.
        """
        from cnngraph.database import catalogue, cypher
        from cnngraph.database.algorithm import Projecting, View

        if view not in get_args(View):
            raise UsageError(f"There is no view {view!r} to project.", nearest(view, get_args(View)))
        if class_ is not None and view != "positions":
            raise UsageError("Connections of feature maps have one weight for all classes.", "Leave class_ out.")
        from cnngraph.database.gds import projected
        from cnngraph.network.edge_weights import find_class

        key = self.key(name)
        catalogue.require_complete(self.database, key)
        index = None
        if class_ is not None:
            rows = self.database.read(cypher.load("read/classes"), key=key)
            index = find_class([row["row"]["name"] for row in rows], class_)
        how = Projecting("channels" if view == "channels" else "positions", undirected, distance, index)
        with projected(self.database, key, how) as projection:
            yield projection
