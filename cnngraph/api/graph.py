"""Everything about the models of one database, in one object."""

from __future__ import annotations

from cnngraph.api.contents import Contents
from cnngraph.api.decisions import Decisions
from cnngraph.api.new_models import NewModels
from cnngraph.api.projections import Projections

__all__ = ["Graph"]


class Graph(Contents, Decisions, NewModels, Projections):
    """The networks in one Neo4j database; a context manager. Names are one's own, or ``OWNER/NAME``."""
