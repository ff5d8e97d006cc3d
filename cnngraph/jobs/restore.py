"""``db restore``: make the embedded database that of a backup (:mod:`cnngraph.jobs.backup`), on any release."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnngraph.console import Progress, Quiet
from cnngraph.database.connection import connect, connect_again
from cnngraph.database.embedded import archive, dump, server
from cnngraph.database.embedded.archive import Manifest
from cnngraph.database.embedded.home import Home
from cnngraph.database.embedded.releases import chosen_release, numbers, release_of
from cnngraph.errors import CnngraphError, ConflictError, DatabaseError
from cnngraph.files import replace_folder
from cnngraph.jobs.backup import Contents, contents_of, require_embedded, require_unused
from cnngraph.settings import Settings
from cnngraph.storage import Storage

__all__ = ["Restored", "has_database", "restore"]


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


def has_database(settings: Settings) -> bool:
    """Whether the home has a database that a restore would replace."""
    return (settings.home / "server" / "data" / "databases" / "neo4j").exists()


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
    require_embedded(settings, "neo4j-admin database load")
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
            require_unused(database)
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


def _require_readable(source: Path, manifest: Manifest) -> None:
    release = chosen_release()
    if numbers(manifest.neo4j) <= numbers(release.neo4j):
        return
    theirs = release_of(manifest.neo4j)
    raise DatabaseError(
        f"The backup {source} is that of Neo4j {manifest.neo4j}; Neo4j {release.neo4j} cannot read it.",
        f"Run it with CNNGRAPH_SERVER={theirs.name}." if theirs else "Upgrade cnngraph.",
    )


def _restore_models(source: Path, manifest: Manifest, settings: Settings, progress: Progress) -> None:
    """Add the saved models that are not there; the storage compares each with its name again."""
    chosen = settings.storage
    storage = Storage(chosen, named=True) if isinstance(chosen, Path) else Storage(settings.home)
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
) -> tuple[server.Server, Contents]:
    """Load the dump into a new folder, put that in the home's place, start it and count; only then the old one goes."""
    part = home.folder.with_name(f".{home.folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    fresh = Home(part, home.release, home.jars, home.cache)
    found: list[tuple[server.Server, Contents]] = []

    def check() -> None:
        running = server.start(home, progress)
        try:
            with connect(settings) as database:
                contents = contents_of(database)
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
