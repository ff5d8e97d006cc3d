"""Bad input that a database must be there for: one clear line, the documented exit code, nothing changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.synthetic import small_network

pytestmark = pytest.mark.db

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def graph_only(database: Any) -> str:
    """A model without a saved net, written from Python."""
    from cnngraph.database.writer import write_network

    write_network(database, small_network(3), "bad-graph-only")
    return "bad-graph-only"


def _refused(done: Any, code: int, said: str) -> None:
    assert done.code == code, (done.code, done.err)
    assert said in done.err, done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("verb", ["show", "lineage", "plan", "measure", "delete"])
def test_unknown_model(command: Run, graph_only: str, verb: str) -> None:
    _refused(command(verb, "bad-graph-onl"), 3, "bad-graph-only")


def test_a_graph_without_its_net_is_not_rebuilt(command: Run, graph_only: str) -> None:
    _refused(command("prune", graph_only, "--method", "multilayer", "--remove", 1), 1, "no saved model")


def test_remove_too_many(command: Run, graph_only: str) -> None:
    _refused(command("plan", graph_only, "--remove", 99), 2, "--remove 99")


def test_unknown_query_parameter(command: Run, graph_only: str) -> None:
    done = command("query", "layers-by-theta", "--model", graph_only, "--param", "nosuch=3")
    assert done.code in (2, 3), done.err
    assert "nosuch" in done.err


def test_a_query_cannot_write(command: Run, graph_only: str) -> None:
    done = command("query", "-", stdin="CREATE (:Model {key: 'x/y'})")
    assert done.code != 0
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "valid plan"),
        ('{"removes": [{"layer": "a"}, {"layer": "a"}]}', "more than once"),
        ('{"version": 99}', "newer"),
        ('{"thresold": 1}', "thresold"),
    ],
)
def test_bad_plan_file(command: Run, graph_only: str, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    _refused(command("prune", graph_only, "--plan", tmp_path / "plan.json"), 1, said)


def test_another_models_plan(command: Run, graph_only: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"model": "somebody/else", "removes": [{"layer": "a"}]}))
    _refused(command("prune", graph_only, "--plan", tmp_path / "plan.json"), 1, "somebody/else")


def test_no_plan_file(command: Run, graph_only: str) -> None:
    _refused(command("prune", graph_only, "--plan", "nowhere.json"), 3, "nowhere.json")


def test_no_server(command: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    _refused(command("list", env={"NEO4J_URI": f"bolt://127.0.0.1:{port}", "NEO4J_PASSWORD": "x"}), 4, str(port))


def test_wrong_password(command: Run, server: Any) -> None:
    if server is None:
        pytest.skip("a given server's password is not to be tried out")
    _refused(command("list", env={"NEO4J_URI": server.uri, "NEO4J_PASSWORD": "wrong-password"}), 4, "password")


def test_a_model_that_is_still_loading(command: Run, database: Any) -> None:
    database.write(
        "MERGE (m:Model {key: 'tester/bad-loading'}) SET m.owner='tester', m.name='bad-loading', m.status='loading'"
    )
    for verb in ("plan", "measure"):
        _refused(command(verb, "bad-loading"), 1, "not complete")
    assert command("delete", "bad-loading", "--yes").code == 0


def test_a_newer_schema(command: Run, database: Any) -> None:
    database.write("MATCH (d:DataModel) SET d.was = d.version, d.version = 999")
    try:
        _refused(command("list"), 4, "version 999")
    finally:
        database.write("MATCH (d:DataModel) SET d.version = d.was REMOVE d.was")


BOMB = '<?xml version="1.0"?><!DOCTYPE g [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><gexf>&b;</gexf>'


@pytest.mark.parametrize("content", ["no xml", "<gexf>", BOMB, ""])
def test_broken_gexf(command: Run, server: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "g.gexf").write_text(content)
    (tmp_path / "c.csv").write_text(",mean_output\n1,2.0\n")
    done = command(
        "import", "cnn2multilayer", tmp_path / "g.gexf", "--classes", tmp_path / "c.csv", "--name", "bad-import"
    )
    _refused(done, 1, "g.gexf")
    assert command("show", "bad-import").code == 3
