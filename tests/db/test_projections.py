"""GDS projections: ours are dropped whatever happens, others' are never touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cnngraph.database import catalogue
from cnngraph.database import projections as named
from cnngraph.database.algorithm import Projecting
from cnngraph.database.connection import Database
from cnngraph.database.gds import projected
from cnngraph.database.lease import this_host
from cnngraph.database.projections import PREFIX, drop_stale, new_name
from cnngraph.database.writer import write_network
from cnngraph.errors import DatabaseError, PlanError
from cnngraph.measures.registry import measure
from tests.synthetic import small_network

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
def model(database: Database) -> Iterator[str]:
    if database.gds_version is None:
        pytest.skip("the server has no Graph Data Science")
    key = write_network(database, small_network(2), "projected")["model"]
    yield key
    catalogue.delete(database, key)


def projections(db: Database) -> set[str]:
    return {row["name"] for row in db.read("CALL gds.graph.list() YIELD graphName RETURN graphName AS name")}


def make(db: Database, name: str) -> None:
    db.read("MATCH (p:Position) WITH p LIMIT 1 WITH gds.graph.project($name, p, null) AS g RETURN g", name=name)


def drop(db: Database, *names: str) -> None:
    for name in names:
        db.auto("CALL gds.graph.drop($name, false) YIELD graphName RETURN graphName", name=name)


def test_a_projection_holds_the_positions_and_is_gone_afterwards(database: Database, model: str) -> None:
    with projected(database, model, Projecting()) as projection:
        name = projection.name
        assert name in projections(database)
        (size,) = database.read("CALL gds.graph.list($name) YIELD nodeCount RETURN nodeCount AS n", name=name)
        assert size["n"] == small_network(2).positions.num_rows
    assert name not in projections(database)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_it_is_gone_after_an_error(database: Database, model: str, error: type[BaseException]) -> None:
    before = projections(database)
    with pytest.raises(error), projected(database, model, Projecting()):
        raise error
    assert projections(database) == before


def test_it_is_gone_after_the_library_refuses(database: Database, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnngraph.measures.pagerank.DAMPING", 7)
    before = projections(database)
    with pytest.raises(DatabaseError):
        measure(database, model, "pagerank")
    assert projections(database) == before


def test_a_model_without_positions_is_refused_and_leaves_none(database: Database, model: str) -> None:
    before = projections(database)
    with pytest.raises(PlanError, match="no positions"), projected(database, f"{model}-not-there", Projecting()):
        pass
    assert projections(database) == before


def test_what_a_dead_process_left_is_dropped_by_the_next_command_and_nothing_else(
    database: Database, model: str
) -> None:
    made_and_dead = subprocess.run(
        [sys.executable, "-c", "from cnngraph.database.projections import new_name; print(new_name())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    reused_pid = f"{PREFIX}{os.getpid()}.1.abcdef12.{this_host()}"
    others = {
        "somebody-elses",
        "cnngraph.written-by-hand",
        f"{PREFIX}1.1.abcdef12.another.host",
        new_name(),
    }
    names = {made_and_dead, reused_pid, *others}
    try:
        for name in names:
            make(database, name)
        assert names <= projections(database)
        measure(database, model, "pagerank", reference="mean")
        assert projections(database) & names == others
    finally:
        drop(database, *names)


def test_a_drop_that_fails_does_not_hide_the_error_before_it(
    database: Database, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Database.auto

    def gone(self: Database, cypher: str, /, **params: object) -> object:
        if "gds.graph.drop" in cypher:
            raise DatabaseError("The connection is lost.")
        return real(self, cypher, **params)

    with pytest.raises(ValueError, match="first"), projected(database, model, Projecting()) as first:
        monkeypatch.setattr(Database, "auto", gone)
        raise ValueError("first")
    with pytest.raises(DatabaseError, match="lost"), projected(database, model, Projecting()) as other:
        pass
    monkeypatch.undo()
    drop(database, first.name, other.name)


def test_stale_names_are_read_and_nothing_else() -> None:
    assert not named._is_stale(new_name())
    for strange in ("cnngraph.", "cnngraph.a.b.c.d", f"cnngraph.1.{this_host()}"):
        assert not named._is_stale(strange)


def test_dropping_twice_is_no_failure(database: Database, model: str) -> None:
    drop_stale(database)
    assert drop_stale(database) == []
