"""What is wrong on the command line itself is exit 2 before any server is looked for, and one JSON object stays one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

NOBODY = {"NEO4J_URI": "bolt://127.0.0.1:1", "NEO4J_PASSWORD": "geheim"}

WRONG = [
    (["show", "a b"], "no valid model name"),
    (["lineage", "a/b/c"], "OWNER/NAME"),
    (["measure", "x y", "--dry-run"], "no valid model name"),
    (["measure", "x", "-m", "degree", "-m", "depth", "--aggregate", "sum"], "does not aggregate"),
    (["plan", "x", "--measure", "pagerank", "--aggregate", "median"], "does not aggregate"),
    (
        ["prune", "x", "--method", "multilayer", "--measure", "depth", "--aggregate", "sum", "--remove", "1"],
        "aggregate",
    ),
    (["plan", "x", "--max-accuracy-drop", "500"], "at most 100"),
    (["plan", "x", "--measure", "join", "--data", "digits"], "so --data would say nothing"),
    (["plan", "x", "--ratio", "0.3", "--data-root", "."], "so --data-root would say nothing"),
    (["query", "overview", "--model", "x", "--param", "from=many"], "not a number from 0 on"),
    (["query", "overview", "--model", "x", "--param", "top=3"], "no parameter 'top'"),
    (["query", "overview", "--model", "x y"], "no valid model name"),
    (["query", "-", "--model", "x y"], "no valid model name"),
    (["criticality", "x", "--schemes", "tunde"], "Did you mean tuned"),
    (["criticality", "x", "--seeds", "0"], "--seeds"),
    (["criticality", "x", "--epochs", "-1"], "--epochs"),
    (["criticality", "x", "--blocks", "a,,b"], "names nothing"),
    (["bench", "x"], "--budget macs=0.5"),
    (["bench", "x", "--budget", "macs=0"], "--budget macs=0 is out of range"),
    (["bench", "x", "--budget", "macs=1"], "neither a share under 1 nor a count"),
    (["bench", "x", "--budget", "macs=nan"], "--budget macs=nan is out of range"),
    (["bench", "x", "--budget", "macs=0.5,,speedup=2"], "names nothing"),
    (["bench", "x", "--budget", "macs=0.5", "--budget", "macs=0.50"], "twice"),
    (["bench", "x", "--budget", "macs=0.5", "--methods", "filters,filters"], "names filters twice"),
    (["bench", "x", "--budget", "macs=0.5", "--methods", "review"], "cannot be held to a budget"),
    (["bench", "x", "--budget", "macs=0.5", "--seeds", "0"], "--seeds"),
    (["bench", "x", "--budget", "macs=0.5", "--minutes", "nan"], "not a finite number above 0"),
    (["bench", "x", "--budget", "macs=0.5", "--picture", "plots.png"], "--picture plots.png is no .svg file"),
    (["bench", "x", "--budget", "macs=0.5", "--csv", "."], "--csv . is a folder"),
    (["bench", "x", "--budget", "macs=0.5", "--csv", "a.html", "--out", "./a.html"], "--out and --csv name the same"),
    (["bench", "x", "--budget", "MACs=0.5"], "--budget macs=0.5"),
    (["delete", "ada/x", "--yes"], "ada's"),
    (["--owner", "a b", "list"], "no valid owner"),
    (["export", "x", "--format", "onx", "--out", "new"], "onnx"),
    (["export", "x", "--format", "onnx", "--class", "3", "--out", "new"], "part of the graph"),
    (["export", "a b", "--format", "pt2", "--out", "new"], "no valid model name"),
    (["adopt", "x y", "--weights", "w"], "no valid model name"),
    (["adopt", "x", "--weights", "w", "--as", "a/b"], "no valid model name"),
    (["prune", "x", "--remove-layer", "a", "--no-retrain", "--trainer", "m:f"], "exclude each other"),
    (["prune", "x", "--remove-layer", "a", "--trainer", "m"], "m names no trainer"),
    (["prune", "/x/y/z", "--remove-layer", "a"], "OWNER/NAME"),
    (["rebuild", "x y", "--from-graph", "--out", "new"], "no valid model name"),
    (["rebuild", "x", "--out", "new"], "--from-graph"),
    (["verify", "x y"], "no valid model name"),
    (["verify", "x", "--of", "runs/x"], "--of belongs to a saved model"),
    (
        ["ingest", "x", "--data", "digits", "--name", "x", "--kernels", "--connections", "top:3"],
        "keeps all connections",
    ),
    (["ingest", "x", "--data", "digits", "--name", "x", "--kernels", "--view", "positions"], "channels or both"),
    (["evaluate", "x", "--data", "digits", "--layout", "class"], "Did you mean classes"),
    (["train", "x", "--data", "digits", "--out", "new", "--group-by", "(["], "no regular expression"),
    (["ingest", "x", "--data", "digits", "--name", "x", "--group-by", "p[0-9]"], "no group"),
    (["ingest", "x", "--name", "x", "--kernels"], "where the bundle is written"),
    (["prune", "x", "--run", "r", "--to-bundle", "b"], "--run and --to-bundle exclude each other"),
    (["prune", "x", "--remove-layer", "a", "--as", "y", "--to-bundle", "b"], "--as and --to-bundle exclude"),
    (["prune", "x", "--method", "multilayer", "--remove", "1", "--to-bundle", "b"], "is decided by the graph"),
    (["prune", "x", "--target-macs", "0.6", "--to-bundle", "b"], "is decided by the graph"),
    (["ingest", "x", "--name", "x", "--without-parent"], "--without-parent is for a bundle"),
    (["compare", "x", "y", "--similarity", "svca"], "Did you mean svcca"),
    (["compare", "x", "y", "--similarity", "cka", "--estimator", "none"], "unknown estimator"),
    (["compare", "x", "y", "--at-least", "1.1"], "no share from 0 to 1"),
    (["compare", "x", "y", "--at-least", "nan"], "no share from 0 to 1"),
    (["compare", "x", "y", "--keep", "0"], "no share"),
    (["compare", "x", "y", "--images", "1"], "--images"),
    (["compare", "x", "y", "--part", "tests"], "Did you mean test"),
    (["compare", "x y"], "no valid model name"),
    (["compare", "x", "x"], "named twice"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_refused_without_a_server(command: Run, arguments: list[str], said: str) -> None:
    done = command(*arguments, env=NOBODY)
    assert done.code == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_printed_query_needs_no_server_and_is_one_object_as_json(command: Run) -> None:
    printed = command("query", "overview", "--model", "ada/net", "--print", env=NOBODY)
    assert printed.code == 0, printed.err
    assert 'MATCH (m:Model {key: "ada/net"})' in printed.out
    found = command("query", "overview", "--model", "ada/net", "--print", "--json", env=NOBODY).json
    assert found["query"] == "overview"
    assert found["cypher"].strip() == printed.out.strip()


def test_a_password_in_the_address_is_refused_and_not_shown(command: Run) -> None:
    done = command("list", "-v", env=NOBODY | {"NEO4J_URI": "neo4j://ada:geheim@127.0.0.1:1"})
    assert done.code == 4
    assert "NEO4J_PASSWORD" in done.err
    assert "geheim" not in done.out + done.err


@pytest.mark.parametrize(
    ("answer", "said"), [("", "--yes"), ("n\n", "Nothing was removed"), ("\n", "Nothing was removed")]
)
def test_nothing_is_removed_without_a_yes(command: Run, tmp_path: Path, answer: str, said: str) -> None:
    kept = tmp_path / "server" / "data"
    kept.mkdir(parents=True)
    done = command("db", "clean", env={"CNNGRAPH_HOME": str(tmp_path)}, stdin=answer)
    assert done.code == 1
    assert said in done.err
    assert kept.is_dir()
    done = command("db", "clean", "--json", env={"CNNGRAPH_HOME": str(tmp_path)}, stdin="y\n")
    assert done.code == 0, done.err
    assert done.json == {"removed": [str(tmp_path / "server")]}
    assert not kept.exists()
