"""The folder of one embedded server: layout, configuration, password. Everything here can be done again after a kill."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnngraph.database.embedded.jars import GDS_VERSION, NEO4J_VERSION, Jar
from cnngraph.database.embedded.java import JVM_OPTIONS, argument_file, environment, find_java, heap
from cnngraph.database.embedded.plugin import plugin_path
from cnngraph.errors import DatabaseError

__all__ = ["Home", "Ports", "write_atomically"]

_FOLDERS = ("conf", "data", "import", "licenses", "logs", "run")
_ADMIN = "org.neo4j.server.startup.Neo4jAdminCommand"
_SERVER = "org.neo4j.server.CommunityEntryPoint"


@dataclass(frozen=True)
class Ports:
    """The loopback ports of a server."""

    bolt: int
    http: int


def write_atomically(path: Path, text: str) -> None:
    """Write a file that only its owner can read; a kill leaves the old content or the new."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


class Home:
    """``HOME/server`` and the jars that its server runs from."""

    def __init__(self, folder: Path, jars: Sequence[Jar], cache: Path) -> None:
        self.folder = folder
        self.jars = jars
        self.cache = cache

    @property
    def lock(self) -> Path:
        """Held while a command starts or stops the server; beside the folder, so that it outlives ``clean``."""
        return self.folder.with_name(self.folder.name + ".lock")

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    @property
    def state_file(self) -> Path:
        return self.folder / "run" / "server.json"

    @property
    def console(self) -> Path:
        """What the server prints: its log."""
        return self.folder / "logs" / "console.log"

    @property
    def server_arguments(self) -> Path:
        """The argument file of the server; its path in a process's command line tells whose server that is."""
        return self.folder / "run" / "server.args"

    @property
    def conf(self) -> Path:
        return self.folder / "conf" / "neo4j.conf"

    @property
    def plugin(self) -> Path:
        return plugin_path(self.jars, self.cache)

    def password(self) -> str:
        return self.password_file.read_text(encoding="utf-8").strip()

    def prepare(self) -> None:
        """Make what is missing: folders, password, the database's first credentials.

        Raises:
            DatabaseError: the data are a newer Neo4j's, or the password of existing data is lost.
        """
        self._require_fitting_version()
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        made = (self.folder / "data" / "databases" / "system").exists()
        if not self.password_file.exists():
            if made:
                raise DatabaseError(
                    f"The password of the server's data is lost: {self.password_file} is gone.",
                    "Put the file back, or remove the data with: cnngraph db clean",
                )
            self._discard_credentials()
            write_atomically(self.password_file, secrets.token_urlsafe(24) + "\n")
        self.password_file.chmod(0o600)
        if not made and not self._credentials.exists():
            self._set_initial_password()
        write_atomically(self.folder / "version.json", json.dumps({"neo4j": NEO4J_VERSION, "gds": GDS_VERSION}) + "\n")

    def configure(self, ports: Ports) -> None:
        """Write ``neo4j.conf`` and the argument file for these ports."""
        settings = {
            "server.default_listen_address": "127.0.0.1",
            "server.default_advertised_address": "127.0.0.1",
            "server.bolt.listen_address": f"127.0.0.1:{ports.bolt}",
            "server.bolt.advertised_address": f"127.0.0.1:{ports.bolt}",
            "server.http.listen_address": f"127.0.0.1:{ports.http}",
            "server.http.advertised_address": f"127.0.0.1:{ports.http}",
            "server.https.enabled": "false",
            "server.directories.plugins": str(self.plugin.parent),
            "server.memory.heap.max_size": heap(),
            "server.memory.pagecache.size": "512m",
            "dbms.security.auth_enabled": "true",
            "dbms.security.procedures.unrestricted": "gds.*",
            "dbms.usage_report.enabled": "false",
            "client.allow_telemetry": "false",
            "db.tx_log.rotation.retention_policy": "keep_none",
            "db.tx_log.preallocate": "false",
        }
        write_atomically(self.conf, "".join(f"{name}={value}\n" for name, value in settings.items()))
        size = heap()
        memory = (f"-Xms{min(512, _megabytes(size))}m", f"-Xmx{size}")
        arguments = (
            *memory,
            *JVM_OPTIONS,
            "-cp",
            self._class_path(),
            _SERVER,
            f"--home-dir={self.folder}",
            f"--config-dir={self.folder / 'conf'}",
            "--console-mode",
        )
        write_atomically(self.server_arguments, argument_file(arguments))

    def command(self) -> list[str]:
        """The command line of the server."""
        return [str(find_java()), f"@{self.server_arguments}"]

    @property
    def _credentials(self) -> Path:
        return self.folder / "data" / "dbms" / "auth.ini"

    def _discard_credentials(self) -> None:
        self._credentials.unlink(missing_ok=True)

    def _class_path(self) -> str:
        return os.pathsep.join([str(self.plugin), *(str(jar.path(self.cache)) for jar in self.jars if not jar.of_gds)])

    def _set_initial_password(self) -> None:
        """Let the server's own tool write the first credentials; the password goes through a 0600 file."""
        file = self.folder / "run" / "password.args"
        arguments = (
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            self._class_path(),
            f"-Dbasedir={self.folder}",
            _ADMIN,
        )
        try:
            write_atomically(file, argument_file((*arguments, "dbms", "set-initial-password", self.password())))
            done = subprocess.run(
                [find_java(), f"@{file}"],
                env=environment() | {"NEO4J_HOME": str(self.folder), "NEO4J_CONF": str(self.folder / "conf")},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            file.unlink(missing_ok=True)
        if done.returncode or not self._credentials.exists():
            self._discard_credentials()
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            raise DatabaseError(f"The server's first password could not be set: {last[0]}", "Run: cnngraph db clean")

    def _require_fitting_version(self) -> None:
        """Refuse data that a newer Neo4j has written: they cannot be read, and trying could harm them."""
        file = self.folder / "version.json"
        if not file.exists():
            return
        try:
            found = str(json.loads(file.read_text(encoding="utf-8"))["neo4j"])
            parts = [int(part) for part in found.split(".")]
        except (ValueError, KeyError, TypeError):
            return  # a damaged note says nothing; the server itself will
        if parts > [int(part) for part in NEO4J_VERSION.split(".")]:
            raise DatabaseError(
                f"The data in {self.folder} are those of Neo4j {found}; this cnngraph runs {NEO4J_VERSION}.",
                "Upgrade cnngraph, or set CNNGRAPH_HOME to another folder.",
            )


def _megabytes(size: str) -> int:
    return int(size[:-1]) * (1024 if size[-1] == "g" else 1)
