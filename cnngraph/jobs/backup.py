"""``db backup``: the embedded database with its saved models as one file; :mod:`cnngraph.jobs.restore` reads it.

The database goes by the server's own offline dump: it holds every node as it is, people's own ones and the schema too,
and a newer Neo4j upgrades it when it is loaded. Bundles would carry our models alone.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cnngraph.console import Progress, Quiet
from cnngraph.database import cypher
from cnngraph.database.connection import Database, connect
from cnngraph.database.embedded import archive, dump, server
from cnngraph.database.embedded.archive import DUMP, Manifest
from cnngraph.database.embedded.home import Home
from cnngraph.errors import CnngraphError, ConflictError, NotFoundError, UsageError
from cnngraph.settings import Settings

__all__ = ["BackedUp", "Contents", "back_up", "contents_of", "require_embedded", "require_unused"]


@dataclass(frozen=True)
class BackedUp:
    """What a backup holds.

    Attributes:
        file, bytes: where it is, how large.
        neo4j: version of the server whose data they are.
        nodes, relationships: how many; ``None`` where others wrote while the server was stopped.
        models: keys of the models.
        saved_models: how many saved models are in it.
        storage: the folder with the saved models, where that is not the home's; they are not in the backup then.
        seconds: how long it took.
    """

    file: Path
    bytes: int
    neo4j: str
    nodes: int | None
    relationships: int | None
    models: Sequence[str]
    saved_models: int
    storage: str | None
    seconds: float


@dataclass(frozen=True)
class Contents:
    """What a database holds: two counts, and the keys of its models."""

    nodes: int
    relationships: int
    models: list[str]


def back_up(
    settings: Settings, file: str | Path, *, force: bool = False, stop: bool = False, progress: Progress | None = None
) -> BackedUp:
    """Write the embedded database and the home's saved models into one file; the server is stopped meanwhile.

    It is whole or not there. The server runs again afterwards if it ran before.

    Args:
        force: replace a file that is there.
        stop: stop the server although others are connected.

    Raises:
        UsageError: a server of one's own is configured.
        ConflictError: the file is there, or others are connected.
        CnngraphError: the file cannot be written, or there is too little space.
    """
    begin, progress = time.perf_counter(), progress or Quiet()
    require_embedded(settings, "neo4j-admin database dump")
    target = Path(file).expanduser().resolve()
    _require_place(target, force=force)
    ran = server.status(settings) is not None
    with connect(settings, progress) as database:
        contents, versions = _look(database, stop=stop), (database.server_version, database.gds_version or "")
    named = isinstance(settings.storage, Path)  # an address has a copy of what is in the home
    models = [] if named else _files_of_models(settings.home / "models")
    try:
        with server.stopped(settings, progress) as home:
            _require_space(target.parent, home, models)
            manifest = _write(target, home, models, contents, versions, progress)
    finally:
        if ran:
            server.up(settings, progress)
    return BackedUp(
        file=target,
        bytes=target.stat().st_size,
        neo4j=manifest.neo4j,
        nodes=manifest.nodes,
        relationships=manifest.relationships,
        models=manifest.models,
        saved_models=len({path.parent.name for path in models}),
        storage=str(settings.storage) if named else None,
        seconds=time.perf_counter() - begin,
    )


def require_embedded(settings: Settings, instead: str) -> None:
    """Raise UsageError where a server of one's own is configured, which ``instead`` is for."""
    if not settings.embedded:
        raise UsageError(
            "Only the embedded database is backed up and restored by cnngraph.",
            f"On the machine of your server: {instead} (docs/administration.md, docker/compose.yaml).",
        )


def _require_place(target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise ConflictError(f"{target} is a folder.", "Name the file that the backup shall be.")
    if target.exists() and not force:
        raise ConflictError(f"{target} is there already.", "Choose another file, or replace it by --force.")
    if not target.parent.is_dir():
        raise NotFoundError(f"There is no folder {target.parent}.", "Make it first.")
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise CnngraphError(
            f"The folder {target.parent} cannot be written: {error.strerror or error}.", "Choose another file."
        ) from error


def _require_space(folder: Path, home: Home, models: Sequence[Path]) -> None:
    """Refuse before anything is written; a dump is smaller than its database, how much is not known before."""
    store = sum(path.stat().st_size for path in (home.folder / "data" / "databases" / "neo4j").rglob("*"))
    needed, free = store + sum(path.stat().st_size for path in models), shutil.disk_usage(folder).free
    if free < needed:
        raise CnngraphError(
            f"The backup may take {needed / 1e6:.0f} MB in {folder}; {free / 1e6:.0f} MB are free.",
            "Make room, or choose a file on a larger disk.",
        )


def _others(database: Database) -> int:
    """How many connections others have; one is ours."""
    return len(database.read(cypher.load("backup/connections"))) - 1


def require_unused(database: Database) -> None:
    """Raise ConflictError where others are connected, who would notice that the server is stopped."""
    others = _others(database)
    if others > 0:
        words = "1 other connection uses" if others == 1 else f"{others} other connections use"
        raise ConflictError(
            f"{words} the embedded server, which must be stopped.",
            "Wait until the others are done, or stop it all the same by --stop.",
        )


def _look(database: Database, *, stop: bool) -> Contents | None:
    """What the database holds; ``None`` where others may change that before the server is stopped."""
    if not stop:
        require_unused(database)
    before = _others(database)
    contents = contents_of(database)
    if not stop:
        require_unused(database)
    return None if before or _others(database) else contents


def contents_of(database: Database) -> Contents:
    """What the database holds now."""
    return Contents(**database.read(cypher.load("backup/contents"))[0])


def _files_of_models(folder: Path) -> list[Path]:
    """The files of the saved models that are named after their content; older ones no graph of ours names any more."""
    if not folder.is_dir():
        return []
    kept = (place for place in sorted(folder.iterdir()) if place.is_dir() and len(place.name) == 64)
    return [file for place in kept for file in sorted(place.iterdir()) if not file.name.startswith(".")]


def _write(
    target: Path,
    home: Home,
    models: Sequence[Path],
    contents: Contents | None,
    versions: tuple[str, str],
    progress: Progress,
) -> Manifest:
    neo4j, gds = versions
    manifest = Manifest(
        neo4j=neo4j,
        gds=gds,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        nodes=contents.nodes if contents else None,
        relationships=contents.relationships if contents else None,
        models=contents.models if contents else [],
    )
    with archive.written(target) as writer:
        writer.add(DUMP, lambda sink: dump.dump(home, sink.write, progress))
        size = sum(path.stat().st_size for path in models)
        if models:
            progress.start("Copying the saved models (MB)", round(size / 1e6, 1))
        for path in models:
            writer.add_file(f"models/{path.parent.name}/{path.name}", path, progress)
        writer.close(manifest)
    return manifest
