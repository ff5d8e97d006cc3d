"""Fixtures that every test shares: the real data folder, one embedded Neo4j a session, commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.forge import Forge

ROOT = Path(__file__).resolve().parent.parent
# A shell that starts the tests in the background leaves Ctrl-C ignored, for every command that they run too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Two threads that wait actively for each other on a busy machine are slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The developers' data folder (real images, golden network); a user's machine has none."""
    folder = Path(os.environ.get("CNNGRAPH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared test data at {folder} (set CNNGRAPH_SHARED)")
    return folder


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The CNNGRAPH_HOME of this test session; no setting of the person who runs the tests leaks in."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("NEO4J_") and not name.startswith("NEO4J_TEST_"):
                patch.delenv(name)
        patch.setenv("CNNGRAPH_HOME", str(home))
        patch.setenv("CNNGRAPH_OWNER", "tester")
        for name in ("PROFILE", "STORAGE", "CA", "EDITION"):
            patch.delenv(f"CNNGRAPH_{name}", raising=False)
        yield home


@pytest.fixture(scope="session")
def server(session_home: Path) -> Iterator[Any]:
    """The embedded Neo4j of this session, stopped at its end; with NEO4J_TEST_URI a given server instead."""
    from cnngraph.settings import load_settings

    given = os.environ.get("NEO4J_TEST_URI")
    if given:
        with pytest.MonkeyPatch.context() as patch:
            for key in ("URI", "USERNAME", "PASSWORD", "DATABASE"):
                if os.environ.get(f"NEO4J_TEST_{key}"):
                    patch.setenv(f"NEO4J_{key}", os.environ[f"NEO4J_TEST_{key}"])
            yield None
        return
    from cnngraph.database.embedded import server as embedded

    settings = load_settings()
    running = embedded.up(settings)
    try:
        _choose_language(running)
        yield running
    finally:
        embedded.down(settings)


def _choose_language(running: Any) -> None:
    """Let the server read queries without a version as CNNGRAPH_TEST_CYPHER (25) says; newer servers alone can."""
    language = os.environ.get("CNNGRAPH_TEST_CYPHER")
    if language:
        from neo4j import GraphDatabase

        with GraphDatabase.driver(running.uri, auth=(running.username, running.password)) as driver:
            cypher = f"ALTER DATABASE neo4j SET DEFAULT LANGUAGE CYPHER {int(language)}"
            driver.execute_query(cypher, database_="system")


@pytest.fixture(scope="session")
def database(server: Any) -> Iterator[Any]:
    """A connected, migrated Database on the session's server; tests use names of their own in it."""
    from cnngraph.database import schema
    from cnngraph.database.connection import connect
    from cnngraph.settings import load_settings

    with connect(load_settings()) as db:
        if not load_settings().embedded:
            schema.migrate(db)
        yield db


@dataclass(frozen=True)
class Finished:
    """What a finished command left: exit code, both streams, and the JSON of its stdout."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """Processes in which torch and cnngraph are imported already."""
    server = Forge(tmp_path_factory.mktemp("forge"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def command(session_home: Path, forge: Forge) -> Callable[..., Finished]:
    """Run a command in a process of its own: ``command("plan", "net", "--json", cwd=tmp_path)``.

    It does not import torch anew, so that a test of what a command does takes a tenth of the time. What is about the
    installed program itself (its start, its imports, what the environment tells Python) takes :func:`installed`.
    """

    def run(
        *arguments: object,
        cwd: Path | None = None,
        timeout: float = 600,
        env: dict[str, str] | None = None,
        stdin: str = "",
    ) -> Finished:
        line = ["cnngraph", *map(str, arguments)]
        changed = dict(os.environ) | (env or {})
        return Finished(*forge.run(line, cwd=cwd or session_home, env=changed, stdin=stdin, timeout=timeout))

    return run


@pytest.fixture(scope="session")
def installed(session_home: Path) -> Callable[..., Finished]:
    """As :func:`command`, with the installed program, started anew."""
    executable = shutil.which("cnngraph", path=str(Path(sys.executable).parent)) or shutil.which("cnngraph")
    assert executable, "the command cnngraph is not installed in this environment"

    def run(
        *arguments: object,
        cwd: Path | None = None,
        timeout: float = 600,
        env: dict[str, str] | None = None,
        stdin: str = "",
    ) -> Finished:
        done = subprocess.run(
            [executable, *map(str, arguments)],
            cwd=cwd or session_home,
            env=os.environ | (env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run
