"""The measure and the method ``similarity`` from a stored model to a pruned one: they open its net and its own data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cnngraph.api.graph import Graph
from cnngraph.console import Quiet
from cnngraph.database.connection import Database
from cnngraph.database.writer import write_network
from cnngraph.errors import PlanError
from cnngraph.measures.registry import measure
from cnngraph.measures.runs import read_block_thetas
from cnngraph.measures.similarity import read_changes
from cnngraph.settings import load_settings
from tests.synthetic import small_network

pytestmark = pytest.mark.db

DIGITS = ("--data", "digits", "--view", "channels", "--images-per-class", 20)


def test_layers_that_change_little_go(command: Callable[..., Any], database: Database) -> None:
    assert command("ingest", "cnngraph:vgg11", "--width", 0.125, *DIGITS, "--name", "alike").code == 0
    preview = command("measure", "alike", "--measure", "similarity", "--dry-run", "--json").json
    assert preview["runs"][0]["would_write"] == {"measure_runs": 1, "scored": 8, "scores": 0}
    done = command("measure", "alike", "--measure", "similarity", "--json")
    assert done.code == 0, done.err
    (run,) = done.json["runs"]
    assert len(run["layers"]) == 8
    assert all(-0.1 < row["value"] < 1.1 for row in run["layers"])
    (stored,) = database.read("MATCH (r:MeasureRun {key: $key}) RETURN r.images AS images", key=run["key"])
    assert stored["images"] == 200
    ranked = sorted(run["layers"], key=lambda row: row["theta"])
    planned = command("plan", "alike", "--method", "similarity", "--remove", 2, "--json")
    assert planned.code == 0, planned.err
    assert planned.json["run"] == run["key"]  # measured once
    assert (planned.json["method"], planned.json["measure"]) == ("similarity", "similarity")
    assert {removal["layer"] for removal in planned.json["removes"]} <= {row["layer"] for row in ranked[:4]}
    by_measure = command("plan", "alike", "--measure", "similarity", "--remove", 2, "--json").json
    assert by_measure["removes"] == planned.json["removes"]
    pruned = command(
        "prune", "alike", "--method", "similarity", "--threshold", 0.9, "--no-retrain", "--as", "alike-slim", "--json"
    )
    assert pruned.code == 0, pruned.err
    (parent,) = command("lineage", "alike-slim", "--json").json["ancestors"]
    assert (parent["model"], parent["method"]) == ("tester/alike", "similarity")


def test_scores_of_blocks_are_stored_with_the_run(
    command: Callable[..., Any], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("ingest", "cnngraph:resnet20", "--width", 0.25, *DIGITS, "--name", "alike-blocks").code == 0
    key = "tester/alike-blocks"
    found = measure(database, key, "similarity")
    rows = database.read(
        "MATCH (:MeasureRun {key: $key})-[s:SCORED]->(b:Block) "
        "RETURN b.name AS block, s.value AS value, s.theta AS theta",
        key=found.key,
    )
    changes = read_changes(database, key, 0, Quiet())
    assert {row["block"]: row["value"] for row in rows} == pytest.approx(changes.blocks)
    assert len(rows) == 9
    assert read_block_thetas(database, key, found.key) == {row["block"]: row["theta"] for row in rows}
    graph = Graph(database, load_settings())
    with monkeypatch.context() as patched:
        patched.setattr("cnngraph.measures.similarity.read_changes", refuse)
        planned = graph.plan("alike-blocks", method="similarity", target_macs=0.8)
    # A run that was stored before blocks had scores: they are found anew, and the decision is the same.
    database.write("MATCH (r:MeasureRun {key: $key})-[s:SCORED]->(:Block) REMOVE r.blocks DELETE s", key=found.key)
    assert read_block_thetas(database, key, found.key) is None
    assert graph.plan("alike-blocks", method="similarity", target_macs=0.8).removes == planned.removes


def refuse(*_: object) -> None:
    """In the place of what must not be computed again."""
    raise AssertionError


def test_it_needs_the_net(database: Database, command: Callable[..., Any]) -> None:
    key = write_network(database, small_network(1), "not-alike")["model"]
    with pytest.raises(PlanError, match=r"similarity reads the net itself\. .*not-alike has no saved model"):
        measure(database, key, "similarity")
    with pytest.raises(PlanError, match="similarity needs the net itself"):
        measure(database, key, "similarity", engine="local")
    refused = command("plan", "alike", "--method", "similarity", "--data", "mnist")
    assert refused.code == 2, refused.err
