"""A model of the database in the hands of Neo4j's Graph Data Science client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

from cnngraph.errors import UsageError, nearest

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.database.gds import Projection

__all__ = ["project"]


@contextmanager
def project(
    db: Database, name: str, *, view: str, class_: str | int | None, undirected: bool, distance: bool
) -> Iterator[Projection]:
    """The network of ``name`` as a projection, dropped at the end; see :meth:`cnngraph.Graph.gds`."""
    from cnngraph.database import catalogue, cypher
    from cnngraph.database.algorithm import Projecting, View

    if view not in get_args(View):
        raise UsageError(f"There is no view {view!r} to project.", nearest(view, get_args(View)))
    if class_ is not None and view != "positions":
        raise UsageError("Connections of feature maps have one weight for all classes.", "Leave class_ out.")
    from cnngraph.database.gds import projected
    from cnngraph.network.edge_weights import find_class

    key = catalogue.resolve(db, name)
    catalogue.require_complete(db, key)
    index = None
    if class_ is not None:
        rows = db.read(cypher.load("read/classes"), key=key)
        index = find_class([row["row"]["name"] for row in rows], class_)
    how = Projecting("channels" if view == "channels" else "positions", undirected, distance, index)
    with projected(db, key, how) as projection:
        yield projection
