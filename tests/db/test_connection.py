"""Every way in which a server can say no, as one line that says what to do."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator
from typing import Any

import neo4j
import pytest
from neo4j.exceptions import TransientError

from cnngraph.database import connection
from cnngraph.database.connection import Database, connect
from cnngraph.errors import DatabaseError
from cnngraph.settings import Settings, load_settings

pytestmark = pytest.mark.db


@pytest.fixture
def reachable(database: Database, server: Any) -> Settings:
    """The session's server as somebody's own: address and password are given."""
    settings = load_settings()
    if not settings.embedded:
        return settings
    return dataclasses.replace(settings, uri=server.uri, username=server.username, password=server.password)


def test_the_given_server_answers(database: Database, reachable: Settings) -> None:
    with connect(reachable) as db:
        assert not db.embedded
        assert db.read("RETURN $x AS x", x=[1, {"a": None}]) == [{"x": [1, {"a": None}]}]
        assert tuple(int(part) for part in db.server_version.split(".")[:2]) >= (5, 26)
        assert db.gds_version == database.gds_version


def test_a_wrong_password(reachable: Settings) -> None:
    with pytest.raises(DatabaseError, match="refuses the user name or the password") as refused:
        connect(dataclasses.replace(reachable, password="wrong-password"))
    assert "NEO4J_PASSWORD" in refused.value.hint
    assert "wrong-password" not in str(refused.value)


def test_no_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"bolt://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(DatabaseError, match="No Neo4j server answers") as refused:
        connect(load_settings(uri=uri, password="x"))
    assert refused.value.exit_code == 4
    assert uri in refused.value.message


@pytest.mark.parametrize("uri", ["http://127.0.0.1:7474", "neo4j+s:", "nonsense"])
def test_no_address(uri: str) -> None:
    with pytest.raises(DatabaseError, match="no address") as refused:
        connect(load_settings(uri=uri, password="x"))
    assert "neo4j+s" in refused.value.hint


def test_an_unknown_database(reachable: Settings) -> None:
    with pytest.raises(DatabaseError, match="no such database") as refused:
        connect(dataclasses.replace(reachable, database="nowhere"))
    assert "NEO4J_DATABASE" in refused.value.hint


def test_too_old(reachable: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MINIMUM_SERVER", (9999, 1))
    with pytest.raises(DatabaseError, match="too old") as refused:
        connect(reachable)
    assert "9999.1" in refused.value.hint


def test_read_only(database: Database) -> None:
    with pytest.raises(DatabaseError, match="read-only"):
        database.read("CREATE (:StoreTest)")
    assert database.read("MATCH (n:StoreTest) RETURN count(n) AS n") == [{"n": 0}]


def test_no_gds_procedure(database: Database) -> None:
    with pytest.raises(DatabaseError, match="no Graph Data Science") as refused:
        database.read("CALL gds.there.is.none()")
    assert "--engine local" in refused.value.hint
    with pytest.raises(DatabaseError, match="no Graph Data Science"):
        database.read("RETURN gds.there.is.none()")


def test_wrong_cypher_says_where(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"The server refuses: .*Invalid input"):
        database.read("MATCH (n) RETRUN n")


class _Wire:
    """A socket between the driver and the server that can be cut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        for end in (self._listener, *self._open):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(timeout=10)
        for end in (self._listener, *self._open):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                thread = threading.Thread(target=_pump, args=(source, sink), daemon=True)
                self._threads.append(thread)
                thread.start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        return


@pytest.fixture
def wire(database: Database) -> Iterator[_Wire]:
    host, port = database.driver.get_server_info().address[:2]
    between = _Wire((host, port))
    yield between
    between.cut()


def test_a_connection_lost_half_way(reachable: Settings, wire: _Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE", 0.01)
    through = dataclasses.replace(reachable, uri=f"bolt://127.0.0.1:{wire.port}")
    with connect(through) as db:
        assert db.read("RETURN 1 AS x") == [{"x": 1}]
        wire.cut()
        with pytest.raises(DatabaseError, match="lost half-way") as lost:
            db.auto("RETURN 1")
        assert "same command again" in lost.value.hint


def test_auto_commit_is_repeated_after_a_deadlock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_PAUSE", 0.01)
    attempts: list[int] = []
    run = neo4j.Session.run

    def unlucky(self: neo4j.Session, *args: Any, **kwargs: Any) -> neo4j.Result:
        attempts.append(1)
        if len(attempts) < 3:
            error = TransientError("deadlock")
            error._neo4j_code = "Neo.TransientError.Transaction.DeadlockDetected"
            raise error
        return run(self, *args, **kwargs)

    monkeypatch.setattr(neo4j.Session, "run", unlucky)
    assert database.auto("RETURN 1 AS x") == [{"x": 1}]
    assert len(attempts) == 3
