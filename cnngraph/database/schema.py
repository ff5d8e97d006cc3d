"""The schema: constraints and indexes, kept up to date by the migrations ``cypher/migrations/V001__name.cypher``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cnngraph import __version__
from cnngraph.console import Progress
from cnngraph.database import cypher, failures
from cnngraph.database.connection import Database, connect
from cnngraph.database.empty_lists import in_cypher, left_to_set, set_empty_lists
from cnngraph.database.saved_models import store_by_content
from cnngraph.errors import ConflictError, DatabaseError
from cnngraph.network.tables import KINDS
from cnngraph.settings import Settings

__all__ = [
    "KEYS",
    "LABELS",
    "Migration",
    "migrate",
    "migrations",
    "open_current",
    "pending",
    "require_current",
    "script",
]

LABELS = (
    "Model",
    "Layer",
    *KINDS,
    "FeatureMap",
    "Position",
    "Class",
    "Block",
    "Tensor",
    "CouplingGroup",
    "MeasureRun",
    "PruningRun",
    "Step",
    "Review",
    "Comparison",
    "Criticality",
    "Evaluation",
    "DataModel",
    # on layers, for Browser: see docs/schema.md
    "Removed",
    *(f"Theta{size}" for size in range(1, 6)),
)
# Each label of a node that belongs to a model, with the properties that tell it apart there.
KEYS: dict[str, tuple[str, ...]] = {
    "Model": (),
    "Layer": ("layer",),
    "FeatureMap": ("layer", "channel"),
    "Position": ("number",),
    "Class": ("index",),
    "Block": ("name",),
    "CouplingGroup": ("index",),
    "Tensor": ("name",),
    "MeasureRun": ("key",),
    "PruningRun": ("key",),
    "Evaluation": ("key",),
    "Step": ("run", "child", "number"),
    "Review": ("key",),
    "Comparison": ("key",),
    "Criticality": ("key",),
}
_FILE = re.compile(r"V(\d{3})__(\w+)")
_CONSTRAINED = re.compile(r"FOR \(n:(\w+)\)")


@dataclass(frozen=True)
class Migration:
    """One step of the schema; ``text`` is what an administrator may run by hand."""

    version: int
    name: str
    text: str

    @property
    def labels(self) -> frozenset[str]:
        """Labels whose nodes it constrains or indexes."""
        return frozenset(_CONSTRAINED.findall(self.text))


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
        ConflictError: a label that is new to this database's schema is in use by somebody else.
        DatabaseError: the schema is newer than this program, or the server refuses.
    """
    todo = pending(db)
    if not share_database:
        _refuse_strangers(db, todo)
    set_empty_lists(db)
    for migration in todo:
        for statement in cypher.statements(migration.text):
            _run(db, statement)
        db.write(cypher.load("schema/record_version"), version=migration.version, program=__version__)
    return todo


def open_current(settings: Settings, progress: Progress, *, prepare: bool = True) -> Database:
    """Connect to a database whose schema is current, as :func:`require_current` sees to.

    Args:
        prepare: ``False``: whatever its schema is.
    """
    database = connect(settings, progress=progress)
    if prepare:
        try:
            require_current(database)
        except BaseException:
            database.close()
            raise
    return database


def script(db: Database) -> str:
    """The pending migrations as Cypher that an administrator can run as it is, the records of their versions included.

    Raises:
        DatabaseError: the schema is newer than this program.
    """
    todo = pending(db)
    if not todo:
        return "// The schema is up to date.\n"
    parts = [part for migration in todo for part in (migration.text, _record(migration))]
    parts.append(in_cypher(left_to_set(db)))
    strangers = _strangers(db, todo)
    if strangers:
        parts.insert(0, f"// Labels that are in use by somebody else: {strangers}. Their nodes are never touched.\n")
    return "\n".join(parts)


def _record(migration: Migration) -> str:
    """The statement that records a version, with its values in the place of its parameters."""
    (text,) = cypher.statements(cypher.load("schema/record_version"))
    return text.replace("$version", str(migration.version)).replace("$program", f"'{__version__}'") + ";\n"


def require_current(db: Database) -> None:
    """Return if the schema is the one that this program writes; the embedded server is migrated on the spot.

    Raises:
        DatabaseError: migrations are pending on a server of somebody's own, or its schema is newer.
    """
    if not pending(db):
        return
    if not db.embedded:
        of_profile = f" --profile {db.profile}" if db.profile else ""
        raise DatabaseError(
            f"The database at {db.uri} has not the schema of this cnngraph.",
            f"Run: cnngraph db migrate{of_profile} (--print shows it).",
        )
    migrate(db)
    store_by_content(db)


def _refuse_strangers(db: Database, todo: list[Migration]) -> None:
    strangers = _strangers(db, todo)
    if strangers:
        raise ConflictError(
            f"The database holds nodes of somebody else under labels that cnngraph uses: {strangers}.",
            "Choose another one with NEO4J_DATABASE, or add --share-database: they are never touched.",
        )


def _strangers(db: Database, todo: list[Migration]) -> str:
    """The labels that ``todo`` brings in and that are in use, with their counts; empty where there are none.

    Nodes under them cannot be ours: nothing of ours is written before the schema is current.
    """
    new = _new_labels(db, todo)
    rows = db.read(cypher.load("schema/label_counts")) if new else []
    return ", ".join(f"{row['nodes']} :{row['label']}" for row in rows if row["label"] in new)


def _new_labels(db: Database, todo: list[Migration]) -> frozenset[str]:
    """The labels that become ours by ``todo``; none by an upgrade of the embedded server, which is the user's own.

    A version 0 is on record where ``neo4j-admin`` imported an export: all nodes are ours, only the schema is missing.
    """
    if not todo or _is_import(db):
        return frozenset()
    if todo[0].version == 1:
        return frozenset(LABELS)
    if db.embedded:
        return frozenset()
    before = [migration.labels for migration in migrations() if migration.version < todo[0].version]
    return frozenset().union(*(migration.labels for migration in todo)).difference(*before)


def _is_import(db: Database) -> bool:
    return [row["version"] for row in db.read(cypher.load("schema/version"))] == [0]


def _run(db: Database, statement: str) -> None:
    try:
        db.auto(statement)
    except DatabaseError as error:
        if failures.refused(error, ".Schema."):  # their nodes, or an index or constraint of theirs
            raise ConflictError(
                f"Somebody else's nodes or indexes contradict the schema: {error.message}",
                "Use a database of your own.",
            ) from error
        raise
