"""Fetch the locked jars into the user's cache: in parallel, each hash checked, never half a file under its final name."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from cnngraph.console import Progress, Quiet
from cnngraph.database.embedded.jars import BROWSER_VERSION, GDS_VERSION, NEO4J_VERSION, Jar
from cnngraph.database.embedded.locking import exclusive
from cnngraph.errors import CnngraphError, UsageError

__all__ = ["announcement", "discard_damaged", "fetch"]

THREADS = 16
TRIES = 4
_SPARE = 64 * 2**20  # left free beside the jars, for the merged plugin and the lock files
_CHUNK = 1 << 16


def announcement(jars: Sequence[Jar], folder: Path) -> str:
    """What a person should know before the download: size, disk, licence."""
    size = sum(jar.size for jar in jars)
    return (
        f"The embedded server needs {len(jars)} files ({size / 1e6:.0f} MB to download, {(size + _SPARE) / 1e6:.0f} MB of "
        f"disk in {folder}): Neo4j {NEO4J_VERSION} Community, Graph Data Science {GDS_VERSION} (OpenGDS) and Neo4j Browser "
        f"{BROWSER_VERSION}. Neo4j and GDS are licensed under GPL-3 and run as a separate process."
    )


def fetch(jars: Sequence[Jar], folder: Path, progress: Progress | None = None, repositories: Sequence[str] = ()) -> int:
    """Bring every jar of ``jars`` into ``folder``; return how many had to be downloaded.

    Two processes that fetch at once take turns, and the second finds everything there. What a broken run has
    brought stays.

    Args:
        repositories: addresses of Maven repositories to ask in turn; default ``CNNGRAPH_MAVEN``, else jgo's.

    Raises:
        CnngraphError: the disk is too small, the network fails, or what arrives is not what the list says.
        UsageError: ``CNNGRAPH_MAVEN`` is no http address.
    """
    progress = progress or Quiet()
    if all(jar.present(folder) for jar in jars):
        return 0
    with exclusive(folder / ".lock", lambda: progress.note("Another command is fetching the server; waiting for it.")):
        missing = [jar for jar in jars if not jar.present(folder)]
        if not missing:
            return 0
        _remove_leftovers(folder)
        _require_space(missing, folder)
        progress.note(announcement(missing, folder))
        progress.start("Downloading the server (MB)", round(sum(jar.size for jar in missing) / 1e6, 1))
        _download_all(missing, folder, progress, repositories or _repositories())
    return len(missing)


def discard_damaged(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    """Remove the cached jars whose content is not what the list says (a failing disk); return them."""
    with exclusive(folder / ".lock"):
        damaged = [jar for jar in jars if jar.path(folder).exists() and not _intact(jar, folder)]
        for jar in damaged:
            jar.path(folder).unlink()
    return damaged


def _intact(jar: Jar, folder: Path) -> bool:
    from cnngraph.database.embedded.jars import sha256_of

    return jar.present(folder) and sha256_of(jar.path(folder)) == jar.sha256


def _repositories() -> list[str]:
    chosen = os.environ.get("CNNGRAPH_MAVEN")
    if chosen:
        if not re.match(r"https?://", chosen):
            raise UsageError(
                f"CNNGRAPH_MAVEN is no http address: {chosen!r}.", "Give the address of a Maven repository."
            )
        return [chosen]
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    own = GlobalSettings.load().repositories
    return [*own.values(), *MavenContext().remote_repos.values()]


def _require_space(missing: Sequence[Jar], folder: Path) -> None:
    needed = sum(jar.size for jar in missing) + _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CnngraphError(
            f"The server needs {needed / 1e6:.0f} MB in {folder}, and {free / 1e6:.0f} MB are free.",
            "Make room, or set CNNGRAPH_CACHE to a folder on a larger disk.",
        )


def _remove_leftovers(folder: Path) -> None:
    """Unfinished files of a killed run; called under the lock, so that nobody is writing them."""
    for leftover in folder.glob("*/*.part"):
        leftover.unlink(missing_ok=True)


def _download_all(missing: Sequence[Jar], folder: Path, progress: Progress, repositories: Sequence[str]) -> None:
    work = _Download(folder, progress, repositories)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
    try:
        # the largest first: else one of them would be the last, alone
        futures = [pool.submit(work.bring, jar) for jar in sorted(missing, key=lambda jar: -jar.size)]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        work.stop.set()
        pool.shutdown(cancel_futures=True)
        work.close()


class _Download:
    """One run of downloads; ``stop`` makes its threads end at the next chunk."""

    def __init__(self, folder: Path, progress: Progress, repositories: Sequence[str]) -> None:
        self.folder = folder
        self.repositories = [address.rstrip("/") for address in repositories]
        self.stop = threading.Event()
        self._progress = progress
        self._reporting = threading.Lock()
        self._local = threading.local()
        self._sessions: list[Any] = []

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def bring(self, jar: Jar) -> None:
        """Download one jar, again where it arrives broken.

        Raises:
            CnngraphError: it did not arrive whole in ``TRIES`` rounds, or cannot be written.
        """
        problem = ""
        for attempt in range(TRIES):
            for repository in self.repositories:
                try:
                    problem = self._attempt(jar, repository)
                except OSError as error:
                    raise CnngraphError(
                        f"Cannot write {jar.path(self.folder)}: {error.strerror}.", "Check the disk."
                    ) from error
                if not problem:
                    return
            if self.stop.wait(0.25 * 4**attempt):
                return
        raise CnngraphError(
            f"Cannot fetch {jar}: {problem}",
            "Check the network and run it again: what has arrived is kept. CNNGRAPH_MAVEN names a mirror.",
        )

    def _attempt(self, jar: Jar, repository: str) -> str:
        """Try one repository; return what went wrong, or an empty string. Nothing broken is left behind."""
        import requests

        target = jar.path(self.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        digest, received = hashlib.sha256(), 0
        try:
            with (
                self._session().get(f"{repository}/{_address(jar)}", stream=True, timeout=(10, 30)) as answer,
                part.open("wb") as file,
            ):
                if answer.status_code != requests.codes.ok:
                    return f"the repository answers {answer.status_code}."
                for chunk in answer.iter_content(_CHUNK):
                    if self.stop.is_set():
                        return "stopped."
                    file.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != jar.sha256:
                return f"what arrives ({received} of {jar.size} bytes) has not the locked SHA-256."
            part.replace(target)
        except requests.RequestException as error:
            return f"{type(error).__name__}."
        finally:
            part.unlink(missing_ok=True)
        with self._reporting:
            self._progress.advance(jar.size / 1e6)
        return ""

    def _session(self) -> Any:
        """One connection pool a thread: a connection is used for many jars."""
        if not hasattr(self._local, "session"):
            import requests

            self._local.session = requests.Session()
            with self._reporting:
                self._sessions.append(self._local.session)
        return self._local.session


def _address(jar: Jar) -> str:
    """The jar's path in a Maven repository."""
    from jgo.maven import MavenContext

    component = MavenContext().project(jar.group, jar.artifact).at_version(jar.version)
    return f"{component.path_prefix.as_posix()}/{component.artifact(jar.classifier, 'jar').filename}"
