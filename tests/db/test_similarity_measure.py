"""The measure and the method ``similarity`` from a stored model to a pruned one: they open its net and its own data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cnngraph.database.connection import Database
from cnngraph.database.writer import write_network
from cnngraph.errors import PlanError
from cnngraph.measures.registry import measure
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
    (kept,) = database.read("MATCH (r:PruningRun {produced: $key}) RETURN r.method AS method", key="tester/alike-slim")
    assert kept["method"] == "similarity"


def test_blocks_have_scores_of_their_own(command: Callable[..., Any], database: Database) -> None:
    assert command("ingest", "cnngraph:resnet20", "--width", 0.25, *DIGITS, "--name", "alike-blocks").code == 0
    planned = command("plan", "alike-blocks", "--method", "similarity", "--target-macs", 0.8, "--json")
    assert planned.code == 0, planned.err
    blocks = [removal for removal in planned.json["removes"] if removal["kind"] == "block"]
    assert blocks
    assert not any("the highest of its layers" in removal["reason"] for removal in blocks)


def test_it_needs_the_net(database: Database, command: Callable[..., Any]) -> None:
    key = write_network(database, small_network(1), "not-alike")["model"]
    with pytest.raises(PlanError, match=r"similarity reads the net itself\. .*not-alike has no saved model"):
        measure(database, key, "similarity")
    with pytest.raises(PlanError, match="similarity needs the net itself"):
        measure(database, key, "similarity", engine="local")
    refused = command("plan", "alike", "--method", "similarity", "--data", "mnist")
    assert refused.code == 2, refused.err
