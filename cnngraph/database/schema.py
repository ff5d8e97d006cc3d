"""The schema: constraints and indexes, kept up to date by the migrations ``cypher/migrations/V001__name.cypher``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cnngraph import __version__
from cnngraph.database import cypher, failures
from cnngraph.database.connection import Database
from cnngraph.errors import ConflictError, DatabaseError
from cnngraph.network.tables import KINDS

__all__ = ["LABELS", "Migration", "migrate", "migrations", "pending", "require_current"]

LABELS = (
    "Model",
    "Layer",
    *KINDS,
    "FeatureMap",
    "Position",
    "Class",
    "MeasureRun",
    "PruningRun",
    "Evaluation",
    "DataModel",
)
_FILE = re.compile(r"V(\d{3})__(\w+)")


@dataclass(frozen=True)
class Migration:
    """One step of the schema; ``text`` is what an administrator may run by hand."""

    version: int
    name: str
    text: str


def migrations() -> list[Migration]:
    """All that this program knows, in order."""
    found = []
    for path in sorted((cypher.folder() / "migrations").glob("V*.cypher")):
        match = _FILE.fullmatch(path.stem)
        if match:
            found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    return found


def pending(db: Database) -> list[Migration]:
    """The migrations that the database still needs.

    Raises:
        DatabaseError: its schema is newer than this program.
    """
    known = migrations()
    rows = db.read(cypher.load("schema/version"))
    version = rows[0]["version"] if rows else 0
    newest = known[-1].version
    if version > newest:
        raise DatabaseError(
            f"The database's schema has version {version}, newer than the {newest} of this cnngraph {__version__}.",
            f"Install cnngraph {rows[0]['program']} or newer: pip install --upgrade cnngraph",
        )
    return [migration for migration in known if migration.version > version]


def migrate(db: Database, *, share_database: bool = False) -> list[Migration]:
    """Bring the schema up to date; returns the migrations that were run.

    Safe to repeat after a break: each statement leaves alone what is there, and the version is recorded last.

    Args:
        db: the database.
        share_database: allow other people's nodes with our labels; they are never read, changed or deleted.

    Raises:
        ConflictError: before the first migration one of our labels is in use by somebody else.
        DatabaseError: the schema is newer than this program, or the server refuses.
    """
    todo = pending(db)
    if todo and todo[0].version == 1 and not share_database:
        _refuse_strangers(db)
    for migration in todo:
        for statement in cypher.statements(migration.text):
            _run(db, statement)
        db.write(cypher.load("schema/record_version"), version=migration.version, program=__version__)
    return todo


def require_current(db: Database) -> None:
    """Return if the schema is the one that this program writes; the embedded server is migrated on the spot.

    Raises:
        DatabaseError: migrations are pending on a server of somebody's own, or its schema is newer.
    """
    if not pending(db):
        return
    if not db.embedded:
        raise DatabaseError(
            f"The database at {db.uri} has not the schema of this cnngraph.",
            "Run: cnngraph db migrate (--print shows it).",
        )
    migrate(db)


def _refuse_strangers(db: Database) -> None:
    counts = db.read(cypher.load("schema/label_counts"), labels=list(LABELS))
    if counts:
        listed = ", ".join(f"{row['nodes']} :{row['label']}" for row in counts)
        raise ConflictError(
            f"The database holds nodes of somebody else under labels that cnngraph uses: {listed}.",
            "Choose another one with NEO4J_DATABASE, or add --share-database: they are never touched.",
        )


def _run(db: Database, statement: str) -> None:
    try:
        db.auto(statement)
    except DatabaseError as error:
        if failures.refused(error, "ConstraintCreationFailed") or failures.refused(error, "ConstraintValidationFailed"):
            raise ConflictError(
                f"Somebody else's nodes contradict the schema: {error.message}", "Use a database of your own."
            ) from error
        raise
