"""The real embedded server: Neo4j with GDS and Browser, killed and cut off in the ways that happen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

from cnngraph.database.embedded import answering, process, server
from cnngraph.database.embedded.releases import chosen_release
from cnngraph.database.embedded.server import Server
from cnngraph.settings import Settings, cache_dir

pytestmark = pytest.mark.db

PROCEDURES = {"2.13.9": 434, "2.26.0": 484}  # fewer where the jars of GDS are not merged as they must be
UP = (
    "from cnngraph.settings import load_settings; from cnngraph.database.embedded.server import up; up(load_settings())"
)


@dataclass(frozen=True)
class Home:
    """A home of its own for these tests, which kill its server."""

    settings: Settings

    @property
    def folder(self) -> Path:
        return self.settings.home / "server"

    def process(self) -> tuple[int, float] | None:
        return process.find(f"@{self.folder / 'run' / 'server.args'}")

    def begin(self) -> subprocess.Popen[bytes]:
        """Another command that starts the server."""
        environment = os.environ | {
            "CNNGRAPH_HOME": str(self.settings.home),
            "CNNGRAPH_CACHE": str(self.settings.cache),
        }
        return subprocess.Popen(
            [sys.executable, "-c", UP], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def until(holds: Callable[[], Any], patience: float = 240) -> Any:
    """Wait until ``holds`` gives something true, and return that."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def query(running: Server, cypher: str) -> list[dict[str, Any]]:
    from neo4j import GraphDatabase

    with GraphDatabase.driver(running.uri, auth=(running.username, running.password)) as driver:
        return [record.data() for record in driver.execute_query(cypher).records]


def fresh(folder: Path) -> Iterator[Home]:
    settings = Settings(None, "neo4j", None, None, "tester", folder, cache_dir())
    try:
        yield Home(settings)
    finally:
        server.down(settings)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The first home; its path has a blank in it."""
    yield from fresh(tmp_path_factory.mktemp("embedded") / "first home")


@pytest.fixture(scope="module")
def second_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    yield from fresh(tmp_path_factory.mktemp("embedded") / "second")


@pytest.fixture
def running(home: Home) -> Server:
    return server.up(home.settings)


def test_it_is_neo4j_with_all_of_gds_and_browser(running: Server) -> None:
    release = chosen_release()
    kernel = 'CALL dbms.components() YIELD name, versions, edition WHERE name = "Neo4j Kernel" RETURN versions, edition'
    assert query(running, kernel) == [{"versions": [release.neo4j], "edition": "community"}]
    assert query(running, "RETURN gds.version() AS version") == [{"version": release.gds}]
    assert query(running, "CALL gds.list() YIELD name RETURN count(*) AS n") == [{"n": PROCEDURES[release.gds]}]
    assert (running.neo4j, running.gds) == (release.neo4j, release.gds)
    with urlopen(f"{running.http}/browser/") as page:
        assert page.status == 200


def test_it_is_on_loopback_and_asks_for_the_password(running: Server) -> None:
    listening = [c for c in psutil.Process(running.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.ip.removeprefix("::ffff:") for connection in listening} == {"127.0.0.1"}
    port = int(running.http.rpartition(":")[2])
    assert answering.login(port, running.username, running.password) == 202
    assert answering.login(port, running.username, "neo4j") == 401
    assert running.password not in " ".join(psutil.Process(running.pid).cmdline())


def test_killed_it_comes_back_with_what_was_written(home: Home, running: Server) -> None:
    query(running, "CREATE (:Survivor {number: 1})")
    os.kill(running.pid, signal.SIGKILL)
    psutil.Process(running.pid).wait(30)
    assert server.status(home.settings) is None
    again = server.up(home.settings)
    assert again.pid != running.pid
    assert query(again, "MATCH (s:Survivor) RETURN s.number AS number") == [{"number": 1}]


def test_a_lost_password_costs_no_data(home: Home, running: Server) -> None:
    query(running, "MERGE (:Survivor {number: 2})")
    assert server.down(home.settings)
    assert not psutil.pid_exists(running.pid)
    running.password_file.unlink()
    again = server.up(home.settings)
    assert again.password != running.password
    assert query(again, "MATCH (s:Survivor {number: 2}) RETURN count(s) AS n") == [{"n": 1}]


def test_ctrl_c_while_it_starts_leaves_no_process(second_home: Home) -> None:
    with second_home.begin() as command:
        pid, _ = until(second_home.process)
        time.sleep(0.5)
        command.send_signal(signal.SIGINT)
        command.wait(60)
    assert not psutil.pid_exists(pid)
    assert server.status(second_home.settings) is None


def test_a_first_start_cut_off_twice_is_finished_beside_the_other_home(second_home: Home, running: Server) -> None:
    system = second_home.folder / "data" / "databases" / "system"
    with second_home.begin() as command:  # everything dies in the middle of making the databases
        pid, _ = until(second_home.process)
        until(system.exists)
        command.kill()
        os.kill(pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid))
    with second_home.begin() as command:  # only the command dies; the server goes on and is adopted
        pid, _ = until(second_home.process)
        command.kill()
    second = server.up(second_home.settings)
    assert second.pid == pid
    assert second.uri != running.uri
    assert second.http != running.http
    assert query(second, "RETURN 1 AS one") == [{"one": 1}]
    assert query(running, "RETURN 1 AS one") == [{"one": 1}]
