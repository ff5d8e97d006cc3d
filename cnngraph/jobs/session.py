"""What every job has: the settings, a way to tell how far it is, and the database where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnngraph.console import Progress, Quiet
from cnngraph.errors import DatabaseError
from cnngraph.jobs.workspace import Workspace
from cnngraph.settings import Settings

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["Session"]


@dataclass(frozen=True)
class Session:
    """One use of cnngraph.

    Attributes:
        connected: the open database; ``None`` for jobs that need none.
    """

    settings: Settings
    progress: Progress = field(default_factory=Quiet)
    connected: Database | None = None

    @property
    def database(self) -> Database:
        """The open database.

        Raises:
            DatabaseError: the job was begun without one.
        """
        if self.connected is None:
            raise DatabaseError("This needs a database, and none is open.", "Open one: cnngraph.connect().")
        return self.connected

    @property
    def workspace(self) -> Workspace:
        """Where unfinished jobs leave their stages, so that the same call goes on from there."""
        return Workspace(self.settings.home / "work")
