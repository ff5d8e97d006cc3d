"""The connection that everything about stored models goes through."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from cnngraph.console import Progress, Quiet
from cnngraph.settings import Settings

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.jobs.session import Session

__all__ = ["Opened"]


class Opened:
    """An open connection, and the settings that it was opened with; a context manager."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    @classmethod
    def open(cls, settings: Settings, *, progress: Progress | None = None, prepare: bool = True) -> Self:
        """Connect; ``prepare`` brings the embedded server's schema up to date and refuses any other that is not."""
        from cnngraph.database import schema
        from cnngraph.database.connection import connect as open_database

        database = open_database(settings, progress=progress or Quiet())
        if prepare:
            try:
                schema.require_current(database)
            except BaseException:
                database.close()
                raise
        return cls(database, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; an embedded server goes on running."""
        self.database.close()

    def session(self, progress: Progress | None) -> Session:
        """What every job takes."""
        from cnngraph.jobs.session import Session

        return Session(self.settings, progress or Quiet(), self.database)

    def key(self, name: str) -> str:
        """The key of a model that is there.

        Raises:
            NotFoundError: there is none; the hint has the nearest names.
        """
        from cnngraph.database import catalogue

        return catalogue.resolve(self.database, name)
