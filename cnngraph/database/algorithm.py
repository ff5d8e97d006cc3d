"""What is asked of Graph Data Science, as data: which nodes are projected how, and which algorithm runs on them.

Computed by :mod:`cnngraph.database.gds`, printed for a person by ``cnngraph measure --print``. Nothing here needs the
client, so that a list of measures costs no import of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cnngraph.database import cypher

__all__ = ["Algorithm", "Projecting", "Size", "View"]

View = Literal["positions", "channels"]


@dataclass(frozen=True)
class Size:
    """How many nodes and relationships a projection is made of."""

    nodes: int
    relationships: int


@dataclass(frozen=True)
class Projecting:
    """How a network becomes a projection. Its relationships have one property, ``weight``.

    Attributes:
        view: ``positions`` and their arcs, or ``channels``: feature maps and their connections.
        undirected: every relationship in both directions.
        distance: ``weight`` is 1 / strength instead of the strength without its sign.
        class_: the index of the class whose weights the arcs get; ``None``: their mean (positions only).
    """

    view: View = "positions"
    undirected: bool = False
    distance: bool = False
    class_: int | None = None

    @property
    def query(self) -> str:
        """The Cypher that makes the projection, ended by ``RETURN gds.graph.project($name, ...)``."""
        return cypher.load(f"measures/project_{self.view}")

    def parameters(self, model: str) -> dict[str, Any]:
        """Everything that the query reads but the name of the projection."""
        shared = {"model": model, "undirected": ["*"] if self.undirected else [], "distance": self.distance}
        return shared | ({"class_index": self.class_} if self.view == "positions" else {})

    def imagined(self, size: Size) -> dict[str, Any]:
        """The projection as GDS estimates one that is not made yet: any nodes and relationships, so many of them."""
        orientation = "UNDIRECTED" if self.undirected else "NATURAL"
        every = {"type": "*", "orientation": orientation, "properties": ["weight"]}
        return {
            "nodeProjection": "*",
            "relationshipProjection": {"ANY": every},
            "nodeCount": size.nodes,
            "relationshipCount": size.relationships * (2 if self.undirected else 1),
        }


@dataclass(frozen=True)
class Algorithm:
    """One algorithm of GDS with its settings, and the projection that it runs on.

    Attributes:
        name: as the client calls it: ``page_rank``.
        settings: its arguments, as the client calls them: ``{"damping_factor": 0.85}``.
        write_property: of the nodes that get its result; ``None``: it is streamed to us.
        projecting: what it runs on.
        then: the query that goes on from its result, ``measures/leiden``; it reads the model alone.
    """

    name: str
    write_property: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    projecting: Projecting = field(default_factory=Projecting)
    then: str | None = None
