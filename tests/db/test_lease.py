"""One writer at a time; a dead one is no hindrance."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cnngraph.database import catalogue, cypher
from cnngraph.database import lease as leases
from cnngraph.database.connection import Database
from cnngraph.database.lease import lease
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import ConflictError
from tests.synthetic import small_network

pytestmark = pytest.mark.db


@pytest.fixture
def key(database: Database) -> Iterator[str]:
    """A Model of its own, empty."""
    chosen = f"{database.owner}/leased"
    database.write(cypher.load("write/open_model"), key=chosen, owner=database.owner, name="leased")
    yield chosen
    database.write("MATCH (m:Model {key: $key}) DETACH DELETE m", key=chosen)


def held(db: Database, key: str) -> dict[str, Any]:
    return {name: value for name, value in catalogue.properties(db, key).items() if name.startswith("lease")}


def pretend(db: Database, key: str, *, host: str, pid: int, started: float, age: float) -> None:
    """Put somebody's lease on the model."""
    db.write(
        "MATCH (m:Model {key: $key}) SET m.leaseToken = 'theirs', m.leaseHost = $host, m.leasePid = $pid, "
        "m.leaseStarted = $started, m.leaseSeen = timestamp() - toInteger(1000 * $age)",
        key=key,
        host=host,
        pid=pid,
        started=started,
        age=age,
    )


def test_a_live_lease_refuses_the_second_writer_and_is_given_back(database: Database, key: str) -> None:
    with lease(database, key):
        assert held(database, key)["leasePid"] == os.getpid()
        with pytest.raises(ConflictError, match=f"process {os.getpid()} on "), lease(database, key):
            pass
        with pytest.raises(ConflictError):
            write_network(database, small_network(), "leased", WriteOptions(yes=True))
        with pytest.raises(ConflictError):
            catalogue.delete(database, key)
        assert held(database, key)
    assert not held(database, key)
    with lease(database, key):
        pass


def test_a_lease_is_given_back_after_an_error(database: Database, key: str) -> None:
    with pytest.raises(KeyboardInterrupt), lease(database, key):
        raise KeyboardInterrupt
    assert not held(database, key)


def test_a_dead_process_of_this_host_is_taken_over_at_once(database: Database, key: str) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    pretend(database, key, host=leases.this_host(), pid=dead.pid, started=time.time(), age=0)
    with lease(database, key):
        assert held(database, key)["leasePid"] == os.getpid()


def test_a_number_that_another_process_got_is_no_life(database: Database, key: str) -> None:
    pretend(database, key, host=leases.this_host(), pid=os.getpid(), started=12345.0, age=0)
    with lease(database, key):
        pass


def test_another_host_is_taken_over_after_a_minute_of_silence(database: Database, key: str) -> None:
    pretend(database, key, host="elsewhere", pid=1, started=1.0, age=50)
    with pytest.raises(ConflictError, match="on elsewhere"), lease(database, key):
        pass
    pretend(database, key, host="elsewhere", pid=1, started=1.0, age=61)
    with lease(database, key):
        pass


def test_the_heart_beats_and_notices_a_takeover(database: Database, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT", 0.05)
    with lease(database, key) as mine:
        first = held(database, key)["leaseSeen"]
        deadline = time.monotonic() + 20
        while held(database, key)["leaseSeen"] == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert held(database, key)["leaseSeen"] > first
        mine.check()
        pretend(database, key, host="elsewhere", pid=1, started=1.0, age=0)
        mine.renew()
        with pytest.raises(ConflictError, match=r"took .* over"):
            mine.check()
    assert held(database, key)["leaseToken"] == "theirs"


def test_a_model_that_vanished_is_no_crash(database: Database) -> None:
    with pytest.raises(ConflictError, match="deleted by somebody"), lease(database, "nobody/nothing"):
        pass


def test_what_a_dead_writer_left_running_is_ended(database: Database, key: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from cnngraph.errors import DatabaseError

    busy = "UNWIND range(1, 2000000000) AS i WITH count(i * i) AS n RETURN n, $model"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(database.auto, busy, model=key)
        shown = "SHOW TRANSACTIONS YIELD parameters WHERE parameters.model = $key RETURN count(*) AS n"
        while not database.auto(shown, key=key)[0]["n"]:
            time.sleep(0.05)
        pretend(database, key, host=leases.this_host(), pid=os.getpid(), started=1.0, age=0)
        with lease(database, key), pytest.raises(DatabaseError, match="terminated"):
            running.result(timeout=60)
