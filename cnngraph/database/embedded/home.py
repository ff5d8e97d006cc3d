"""The folder of one embedded server: layout, configuration, password. Every step can be repeated after a kill."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cnngraph.console import Progress
from cnngraph.database.embedded import plugin
from cnngraph.database.embedded.jars import Jar
from cnngraph.database.embedded.java import OPTIONS, argument_file, environment, find_java, heap_megabytes
from cnngraph.database.embedded.releases import Release, release_of
from cnngraph.errors import CnngraphError, DatabaseError

__all__ = ["USERNAME", "Home", "Ports", "write_atomically"]

USERNAME = "neo4j"
_FOLDERS = ("conf", "data", "import", "licenses", "logs", "run")
_ADMIN = "org.neo4j.server.startup.Neo4jAdminCommand"
_PAGE_CACHE = "512m"
_SPACE = 128 * 2**20  # bytes of disk that a server needs to start and to write its logs


@dataclass(frozen=True)
class Ports:
    """The loopback ports of a server."""

    bolt: int
    http: int


def write_atomically(path: Path, text: str) -> None:
    """Write a file that its owner alone can read; a kill leaves the old content or the new."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


class Home:
    """``HOME/server``, the release that runs there, and the cache with the jars that it runs from."""

    def __init__(self, folder: Path, release: Release, jars: Sequence[Jar], cache: Path) -> None:
        self.folder = folder
        self.release = release
        self.jars = jars
        self.cache = cache
        self.lock = folder.with_name(f"{folder.name}.lock")  # beside the folder, so that it outlives its removal
        self.password_file = folder / "password"
        self.state_file = folder / "run" / "server.json"
        self.console = folder / "logs" / "console.log"
        self.conf = folder / "conf" / "neo4j.conf"
        self._arguments = folder / "run" / "server.args"
        self._made = folder / "made.json"
        self._credentials = folder / "data" / "dbms" / "auth.ini"

    @property
    def mark(self) -> str:
        """The argument by which a process is known as this home's server."""
        return f"@{self._arguments}"

    def password(self) -> str:
        """The password of the user ``neo4j``."""
        return self.password_file.read_text(encoding="utf-8").strip()

    def prepare(self, progress: Progress) -> None:
        """Make what is missing: folders, password, the database's first credentials.

        Raises:
            CnngraphError: the disk is full.
            DatabaseError: the data are another Neo4j's, or the first credentials cannot be made.
        """
        self.require_fitting_version()
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        free = shutil.disk_usage(self.folder).free
        if free < _SPACE:
            raise CnngraphError(
                f"The embedded server needs {_SPACE / 1e6:.0f} MB in {self.folder}; {free / 1e6:.0f} MB are free.",
                "Make room, or set CNNGRAPH_HOME to a folder on a larger disk.",
            )
        if self._has_users() and not (self.password_file.exists() and self.password()):
            # the data themselves are in another database, which a new system database takes over
            progress.note(f"The server's password was lost; its users are put aside in {self._put_users_aside()}.")
        if not self._has_users():
            # No hyphen: the server's tool would take a password that begins with one for an option.
            write_atomically(self.password_file, secrets.token_hex(24) + "\n")
            self._set_initial_password()
        self.password_file.chmod(0o600)

    def configure(self, ports: Ports) -> None:
        """Write ``neo4j.conf`` and the argument file for these ports."""
        heap = heap_megabytes()
        settings = {
            "server.default_listen_address": "127.0.0.1",
            "server.default_advertised_address": "127.0.0.1",
            "server.bolt.listen_address": f"127.0.0.1:{ports.bolt}",
            "server.bolt.advertised_address": f"127.0.0.1:{ports.bolt}",
            "server.http.listen_address": f"127.0.0.1:{ports.http}",
            "server.http.advertised_address": f"127.0.0.1:{ports.http}",
            "server.https.enabled": "false",
            "server.directories.plugins": str(plugin.path(self.jars, self.cache).parent),
            "server.memory.heap.max_size": f"{heap}m",
            "server.memory.pagecache.size": _PAGE_CACHE,
            "dbms.security.auth_enabled": "true",
            "dbms.security.procedures.unrestricted": "gds.*",
            "dbms.usage_report.enabled": "false",
            "client.allow_telemetry": "false",
            "db.tx_log.rotation.retention_policy": "keep_none",
            "db.tx_log.preallocate": "false",  # else a new home takes 512 MB
        } | dict(self.release.settings)
        write_atomically(self.conf, "".join(f"{name}={value}\n" for name, value in settings.items()))
        arguments = (
            f"-Xms{min(512, heap)}m",
            f"-Xmx{heap}m",
            *OPTIONS,
            f"-XX:ErrorFile={self.folder}/logs/crash.log",
            "-cp",
            self._class_path(),
            self.release.main,
            f"--home-dir={self.folder}",
            f"--config-dir={self.conf.parent}",
            "--console-mode",
        )
        write_atomically(self._arguments, argument_file(arguments))

    def command(self) -> list[str]:
        """The command line of the server, after ``configure``."""
        return [str(find_java(self.release.java)), self.mark]

    def mark_made(self) -> None:
        """Remember that this home's server has answered, and of which version it was."""
        if self.versions() != (self.release.neo4j, self.release.gds):
            versions = {"neo4j": self.release.neo4j, "gds": self.release.gds}
            write_atomically(self._made, json.dumps(versions) + "\n")

    @contextmanager
    def tool(self, *words: str, heap: int = 128) -> Iterator[tuple[list[str], dict[str, str]]]:
        """The command line and the environment of ``neo4j-admin`` with these words; they stand in a file meanwhile.

        Args:
            heap: megabytes of memory for it.
        """
        file = self.folder / "run" / "tool.args"
        java = (f"-Xmx{heap}m", "-XX:TieredStopAtLevel=1", "-cp", self._class_path(), f"-Dbasedir={self.folder}")
        try:
            write_atomically(file, argument_file((*java, _ADMIN, *words)))
            command = [str(find_java(self.release.java)), f"@{file}"]
            yield command, environment() | {"NEO4J_HOME": str(self.folder), "NEO4J_CONF": str(self.conf.parent)}
        finally:
            file.unlink(missing_ok=True)

    def versions(self) -> tuple[str, str]:
        """The versions of Neo4j and GDS that last ran here; empty where none has, or where the note is damaged."""
        try:
            found = json.loads(self._made.read_text(encoding="utf-8"))
            return str(found["neo4j"]), str(found["gds"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", ""

    def require_fitting_version(self) -> None:
        """Refuse the data of another release: a newer one's cannot be read, an older one's would be changed unasked.

        Raises:
            DatabaseError: it is so; the message has both versions.
        """
        found, _ = self.versions()
        if not found or self.release.takes_over(found):
            return
        theirs = release_of(found)
        raise DatabaseError(
            f"The data in {self.folder} are those of Neo4j {found}; CNNGRAPH_SERVER={self.release.name} runs "
            f"{self.release.neo4j}.",
            f"Run it with CNNGRAPH_SERVER={theirs.name}, or set CNNGRAPH_HOME to another folder."
            if theirs
            else "Upgrade cnngraph, or set CNNGRAPH_HOME to another folder.",
        )

    def put_unfinished_aside(self) -> Path | None:
        """Rename the data of a server that has never answered, so that a new start begins anew; where they are now."""
        if self._made.exists() or not self._has_users():
            return None
        aside = self._aside("data.unfinished")
        (self.folder / "data").rename(aside)
        return aside

    def _has_users(self) -> bool:
        return (self.folder / "data" / "databases" / "system").exists()

    def _put_users_aside(self) -> Path:
        aside = self._aside("system.lost-password")
        aside.mkdir()
        for part in ("databases", "transactions"):
            system = self.folder / "data" / part / "system"
            if system.exists():
                system.rename(aside / part)
        return aside

    def _aside(self, name: str) -> Path:
        return next(path for number in count(1) if not (path := self.folder / f"{name}-{number}").exists())

    def _class_path(self) -> str:
        own = (str(jar.path(self.cache)) for jar in self.jars if not jar.of_gds)
        return os.pathsep.join([str(plugin.path(self.jars, self.cache)), *own])

    def _set_initial_password(self) -> None:
        """Let the server's own tool write the first credentials; the password goes through a file, not the command."""
        self._credentials.unlink(missing_ok=True)  # of an earlier try, perhaps cut off
        with self.tool("dbms", "set-initial-password", self.password()) as (command, surroundings):
            done = subprocess.run(
                command, env=surroundings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        if done.returncode or not self._credentials.exists():
            said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
            raise DatabaseError(f"The server's first password cannot be set: {said[-1]}", "Run: cnngraph db clean")
