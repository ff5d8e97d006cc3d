"""``db backup``, ``db restore``: the embedded database with its saved models as one file, and back on any release.

The database goes by the server's own offline dump: it holds every node as it is, people's own ones and the schema too,
and a newer Neo4j upgrades it when it is loaded. Bundles would carry our models alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cnngraph.console import Progress, Quiet
from cnngraph.database import cypher
from cnngraph.database.connection import Database, connect, connect_again
from cnngraph.database.embedded import archive, dump, server
from cnngraph.database.embedded.archive import DUMP, Manifest
from cnngraph.database.embedded.home import Home
from cnngraph.database.embedded.releases import chosen_release, numbers, release_of
from cnngraph.errors import CnngraphError, ConflictError, DatabaseError, NotFoundError, UsageError
from cnngraph.files import replace_folder
from cnngraph.settings import Settings
from cnngraph.storage import Storage

__all__ = ["BackedUp", "Restored", "back_up", "has_database", "restore"]


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
class Restored:
    """What was restored.

    Attributes:
        home: the server's folder.
        made_by, neo4j: versions of the server that made the backup, and of the one that runs its data now.
        nodes, relationships: how many are there.
        models: keys of the models.
        saved_models: how many saved models came along.
        seconds: how long it took.
    """

    home: Path
    made_by: str
    neo4j: str
    nodes: int
    relationships: int
    models: Sequence[str]
    saved_models: int
    seconds: float


@dataclass(frozen=True)
class _Contents:
    nodes: int
    relationships: int
    models: list[str]


def has_database(settings: Settings) -> bool:
    """Whether the home has a database that a restore would replace."""
    return (settings.home / "server" / "data" / "databases" / "neo4j").exists()


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
    _require_embedded(settings, "neo4j-admin database dump")
    target = Path(file).expanduser().resolve()
    _require_place(target, force=force)
    ran = server.status(settings) is not None
    with connect(settings, progress) as database:
        contents, versions = _look(database, stop=stop), (database.server_version, database.gds_version or "")
    named = settings.storage is not None
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


def restore(
    settings: Settings, file: str | Path, *, replace: bool = False, stop: bool = False, progress: Progress | None = None
) -> Restored:
    """Make the home's database that of a backup, and run it; one of an older Neo4j is upgraded.

    The backup is checked first. The database that was there is removed after the new one has been started and counted;
    until then every error brings it back. Saved models are added to those that are there.

    Args:
        replace: remove a database that the home has.
        stop: stop the home's server although others are connected.

    Raises:
        UsageError: a server of one's own is configured.
        NotFoundError: there is no such file.
        CnngraphError: it is no backup, or damaged.
        DatabaseError: it is a newer Neo4j's, or what was loaded is not what the backup says.
        ConflictError: the home has a database, or others are connected to it.
    """
    begin, progress = time.perf_counter(), progress or Quiet()
    _require_embedded(settings, "neo4j-admin database load")
    source = Path(file).expanduser().resolve()
    manifest = archive.verify(source, progress)
    _require_readable(source, manifest)
    if has_database(settings) and not replace:
        raise ConflictError(
            f"There is a database in {settings.home}.", "Replace it by --yes, or set CNNGRAPH_HOME to another folder."
        )
    # The running server may be of the other release, which connect() would refuse.
    database = None if stop else connect_again(settings, uri="")
    if database is not None:
        with database:
            _require_unused(database)
    with server.stopped(settings, progress) as home:
        _restore_models(source, manifest, settings, progress)
        running, found = _load(source, manifest, home, settings, progress)
    return Restored(
        home=running.home,
        made_by=manifest.neo4j,
        neo4j=running.neo4j,
        nodes=found.nodes,
        relationships=found.relationships,
        models=found.models,
        saved_models=len(manifest.saved_models),
        seconds=time.perf_counter() - begin,
    )


def _require_embedded(settings: Settings, instead: str) -> None:
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


def _require_readable(source: Path, manifest: Manifest) -> None:
    release = chosen_release()
    if numbers(manifest.neo4j) <= numbers(release.neo4j):
        return
    theirs = release_of(manifest.neo4j)
    raise DatabaseError(
        f"The backup {source} is that of Neo4j {manifest.neo4j}; Neo4j {release.neo4j} cannot read it.",
        f"Run it with CNNGRAPH_SERVER={theirs.name}." if theirs else "Upgrade cnngraph.",
    )


def _others(database: Database) -> int:
    """How many connections others have; one is ours."""
    return len(database.read(cypher.load("backup/connections"))) - 1


def _require_unused(database: Database) -> None:
    others = _others(database)
    if others > 0:
        words = "1 other connection uses" if others == 1 else f"{others} other connections use"
        raise ConflictError(
            f"{words} the embedded server, which must be stopped.",
            "Wait until the others are done, or stop it all the same by --stop.",
        )


def _look(database: Database, *, stop: bool) -> _Contents | None:
    """What the database holds; ``None`` where others may change that before the server is stopped."""
    if not stop:
        _require_unused(database)
    before = _others(database)
    contents = _contents(database)
    if not stop:
        _require_unused(database)
    return None if before or _others(database) else contents


def _contents(database: Database) -> _Contents:
    return _Contents(**database.read(cypher.load("backup/contents"))[0])


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
    contents: _Contents | None,
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


def _restore_models(source: Path, manifest: Manifest, settings: Settings, progress: Progress) -> None:
    """Add the saved models that are not there; the storage compares each with its name again."""
    storage = Storage(settings.home) if settings.storage is None else Storage(Path(settings.storage), named=True)
    missing = [sha256 for sha256 in manifest.saved_models if sha256 not in storage]
    if not missing:
        return
    progress.start("Restoring the saved models", len(missing))
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home, prefix=".restore-") as folder:
        for place in archive.extract_models(source, missing, Path(folder)):
            found = storage.add(place, link=True)
            if found != place.name:
                raise CnngraphError(f"The backup {source} is damaged: models/{place.name} has the sha256 {found}.")
            progress.advance()


def _load(
    source: Path, manifest: Manifest, home: Home, settings: Settings, progress: Progress
) -> tuple[server.Server, _Contents]:
    """Load the dump into a new folder, put that in the home's place, start it and count; only then the old one goes."""
    part = home.folder.with_name(f".{home.folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    fresh = Home(part, home.release, home.jars, home.cache)
    found: list[tuple[server.Server, _Contents]] = []

    def check() -> None:
        running = server.start(home, progress)
        try:
            with connect(settings) as database:
                contents = _contents(database)
            expected = (manifest.nodes, manifest.relationships)
            if manifest.nodes is not None and (contents.nodes, contents.relationships) != expected:
                raise DatabaseError(
                    f"The backup {source} names {manifest.nodes} nodes and {manifest.relationships} relationships; "
                    f"{contents.nodes} and {contents.relationships} were loaded.",
                    "Nothing was changed.",
                )
        except BaseException:
            server.end(home, progress)
            raise
        found.append((running, contents))

    try:
        server.provide(home, progress)
        fresh.prepare(progress)
        with archive.open_dump(source) as stream:
            dump.load(fresh, stream, progress)
        replace_folder(part, home.folder, check)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return found[0]
