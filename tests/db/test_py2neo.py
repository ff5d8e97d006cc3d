"""The py2neo door on the same server as everything else."""

from __future__ import annotations

import builtins
import os
from typing import Any

import pytest

from cnngraph.database.connection import Database
from cnngraph.errors import CnngraphError, DatabaseError
from cnngraph.interop.py2neo import graph
from cnngraph.settings import load_settings

pytestmark = pytest.mark.db


def test_reads_and_writes(database: Database) -> None:
    py2neo = pytest.importorskip("py2neo", reason="py2neo is an extra")
    opened = graph(load_settings())
    transaction = opened.begin()
    transaction.create(py2neo.Node("CnngraphPy2neoTest", name="one"))
    opened.commit(transaction)
    try:
        found = database.read("MATCH (n:CnngraphPy2neoTest) RETURN n.name AS name")
        assert found == [{"name": "one"}]
        assert opened.nodes.match("CnngraphPy2neoTest", name="one").count() == 1
        assert opened.run("MATCH (n:CnngraphPy2neoTest) RETURN n.name AS name").data() == found
    finally:
        opened.run("MATCH (n:CnngraphPy2neoTest) DELETE n")
        opened.service.connector.close()  # it would leave its sockets to the garbage collector


def test_without_py2neo(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "py2neo":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(CnngraphError, match="not installed") as caught:
        graph(load_settings())
    assert "cnngraph[py2neo]" in caught.value.hint


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # py2neo leaves its socket open
def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("py2neo", reason="py2neo is an extra")
    for name in [name for name in os.environ if name.startswith("NEO4J_")]:
        monkeypatch.delenv(name)
    with pytest.raises(DatabaseError, match="cannot use bolt://127"):
        graph(load_settings(uri="bolt://127.0.0.1:9", password="wrong-password"))
