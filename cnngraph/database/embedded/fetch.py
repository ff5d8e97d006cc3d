"""Fetch the locked jars into the user's cache: in parallel, each hash checked, never half a file under its name."""

from __future__ import annotations

import errno
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
from cnngraph.database.embedded.jars import Jar
from cnngraph.database.embedded.locking import exclusive
from cnngraph.database.embedded.releases import DEFAULT, Release
from cnngraph.errors import CnngraphError, UsageError

__all__ = ["announcement", "discard_damaged", "fetch", "lock_of"]

THREADS = 16
ROUNDS = 4  # times that every repository is asked for a jar
FIRST_PAUSE = 0.25  # seconds between two rounds; four times as long each time
TIMEOUT = (10, 15)  # seconds to connect, seconds without a byte
SPARE = 64 * 2**20  # bytes of disk beside the jars: the merged plugin and some air
_CHUNK = 1 << 16


def lock_of(folder: Path) -> Path:
    """The lock on the cache; beside the folder, so that it outlives its removal."""
    return folder.with_name(f"{folder.name}.lock")


def announcement(missing: Sequence[Jar], folder: Path, release: Release = DEFAULT) -> str:
    """What a person should know before the download: what it is, its size, the disk needed, the licence."""
    size = sum(jar.size for jar in missing)
    return (
        f"Fetching the embedded server: Neo4j {release.neo4j} Community, Graph Data Science {release.gds} (OpenGDS), "
        f"Neo4j Browser {release.browser}.\n"
        f"{len(missing)} files, {size / 1e6:.0f} MB to download, {(size + SPARE) / 1e6:.0f} MB of disk in {folder}.\n"
        "Neo4j and GDS are licensed under the GPL-3; they run as a separate process."
    )


def fetch(
    jars: Sequence[Jar],
    folder: Path,
    progress: Progress | None = None,
    *,
    release: Release = DEFAULT,
    repositories: Sequence[str] = (),
) -> int:
    """Bring every jar into ``folder``; return how many had to be downloaded.

    Two processes that fetch at once take turns, and the second finds everything there. What a broken run has brought
    stays.

    Args:
        release: whose jars they are, for what is said.
        repositories: addresses of Maven repositories, asked in turn; default ``CNNGRAPH_MAVEN``, else jgo's.

    Raises:
        CnngraphError: the disk is too small, the network fails, or what arrives is not what the list says.
        UsageError: ``CNNGRAPH_MAVEN`` is no http address.
    """
    progress = progress or Quiet()
    if all(jar.present(folder) for jar in jars):
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(lock_of(folder), lambda: progress.note("Another command is fetching the server; waiting for it.")):
        missing = [jar for jar in jars if not jar.present(folder)]
        if missing:
            _remove_leftovers(folder)
            _require_space(missing, folder)
            progress.note(announcement(missing, folder, release))
            progress.start("Downloading the server (MB)", round(sum(jar.size for jar in missing) / 1e6, 1))
            _download(missing, folder, progress, repositories or _repositories())
    return len(missing)


def discard_damaged(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    """Remove the jars whose content is no longer what the list says (a failing disk); return them."""
    with exclusive(lock_of(folder)):
        damaged = [jar for jar in jars if not jar.intact(folder)]
        for jar in damaged:
            jar.path(folder).unlink(missing_ok=True)
    return damaged


def _repositories() -> list[str]:
    chosen = os.environ.get("CNNGRAPH_MAVEN")
    if chosen:
        if not re.match(r"https?://", chosen):
            raise UsageError(f"CNNGRAPH_MAVEN is no http address: {chosen!r}.", "Give a Maven repository's address.")
        return [chosen]
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    return [*GlobalSettings.load().repositories.values(), *MavenContext().remote_repos.values()]


def _require_space(missing: Sequence[Jar], folder: Path) -> None:
    needed = sum(jar.size for jar in missing) + SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CnngraphError(
            f"The embedded server needs {needed / 1e6:.0f} MB in {folder}; {free / 1e6:.0f} MB are free.",
            "Make room, or set CNNGRAPH_CACHE to a folder on a larger disk.",
        )


def _remove_leftovers(folder: Path) -> None:
    """Unfinished files of a killed run; called under the lock, so nobody is writing them."""
    for leftover in folder.glob("*/*.part"):
        leftover.unlink()


def _download(missing: Sequence[Jar], folder: Path, progress: Progress, repositories: Sequence[str]) -> None:
    work = _Download(folder, progress, repositories)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
    try:
        # the largest first: else one of them would be the last, alone
        largest_first = sorted(missing, key=lambda jar: jar.size, reverse=True)
        done, _ = wait([pool.submit(work.bring, jar) for jar in largest_first], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:  # also on Ctrl-C
        work.stop.set()
        pool.shutdown(cancel_futures=True)
        work.close()


class _Download:
    """One run of downloads by several threads; ``stop`` makes them end at the next chunk."""

    def __init__(self, folder: Path, progress: Progress, repositories: Sequence[str]) -> None:
        self.folder = folder
        self.repositories = [address.rstrip("/") for address in repositories]
        self.stop = threading.Event()
        self._progress = progress
        self._guard = threading.Lock()
        self._thread = threading.local()
        self._sessions: list[Any] = []

    def close(self) -> None:
        """Close the connections of all threads."""
        for session in self._sessions:
            session.close()

    def bring(self, jar: Jar) -> None:
        """Download one jar, again where it arrives broken.

        Raises:
            CnngraphError: in no round did it arrive whole, or it cannot be written.
        """
        problem = ""
        for attempt in range(ROUNDS):
            for repository in self.repositories:
                problem = self._attempt(jar, repository)
                if not problem:
                    with self._guard:
                        self._progress.advance(jar.size / 1e6)
                    return
            if self.stop.wait(FIRST_PAUSE * 4**attempt):
                return
        raise CnngraphError(
            f"Cannot fetch {jar}: {problem}.",
            "Check the network and run it again: what has arrived is kept. CNNGRAPH_MAVEN can name a mirror.",
        )

    def _attempt(self, jar: Jar, repository: str) -> str:
        """Ask one repository; return what went wrong, or an empty string. Nothing broken is left behind."""
        import requests

        target = jar.path(self.folder)
        part = target.with_suffix(".part")
        try:
            target.parent.mkdir(exist_ok=True)
            problem = self._receive(jar, f"{repository}/{_address(jar)}", part)
            if not problem:
                part.replace(target)
        except requests.RequestException as error:
            return f"the connection failed ({type(error).__name__})"
        except OSError as error:
            hint = "Make room, or set CNNGRAPH_CACHE to a folder on a larger disk."
            if error.errno != errno.ENOSPC:
                hint = "Set CNNGRAPH_CACHE to a folder that you may write."
            raise CnngraphError(f"Cannot write {target}: {error.strerror}.", hint) from error
        finally:
            part.unlink(missing_ok=True)
        return problem

    def _receive(self, jar: Jar, address: str, part: Path) -> str:
        digest, received = hashlib.sha256(), 0
        with self._session().get(address, stream=True, timeout=TIMEOUT) as answer, part.open("wb") as file:
            if answer.status_code != 200:
                return f"the repository answers {answer.status_code}"
            for chunk in answer.iter_content(_CHUNK):
                if self.stop.is_set():
                    return "stopped"
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != jar.sha256:
            return f"what arrives ({received} bytes of {jar.size}) has not the locked SHA-256"
        return ""

    def _session(self) -> Any:
        """One connection a thread, used for many jars."""
        if not hasattr(self._thread, "session"):
            import requests

            self._thread.session = requests.Session()
            with self._guard:
                self._sessions.append(self._thread.session)
        return self._thread.session


def _address(jar: Jar) -> str:
    """The jar's path in a Maven repository."""
    from jgo.maven import MavenContext

    component = MavenContext().project(jar.group, jar.artifact).at_version(jar.version)
    return f"{component.path_prefix.as_posix()}/{component.artifact(jar.classifier, 'jar').filename}"
