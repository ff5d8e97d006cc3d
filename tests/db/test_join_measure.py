"""The measure ``join`` from a stored model to a plan: it opens the saved net and the data that it was ingested with."""

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


def test_join_ranks_the_convs_of_a_stored_model(command: Callable[..., Any], database: Database) -> None:
    arguments = ("--width", 0.125, "--data", "digits", "--view", "channels", "--images-per-class", 20)
    assert command("ingest", "cnngraph:vgg11", *arguments, "--name", "joined").code == 0
    preview = command("measure", "joined", "--measure", "join", "--dry-run", "--json").json
    assert preview["runs"][0]["would_write"] == {"measure_runs": 1, "scored": 8, "scores": 0}
    done = command("measure", "joined", "--measure", "join", "--json")
    assert done.code == 0, done.err
    (run,) = done.json["runs"]
    assert len(run["layers"]) == 8
    assert all(0 <= row["value"] < 10 for row in run["layers"])
    lowest = min(run["layers"], key=lambda row: row["theta"])["layer"]
    planned = command("plan", "joined", "--measure", "join", "--remove", 1, "--json")
    assert planned.code == 0, planned.err
    assert [removal["layer"] for removal in planned.json["removes"]] == [lowest]
    assert planned.json["run"] == run["key"]  # measured once


def test_join_needs_the_net(database: Database) -> None:
    key = write_network(database, small_network(1), "no-net")["model"]
    with pytest.raises(PlanError, match=r"join reads the net itself\. .*no-net has no saved model"):
        measure(database, key, "join")
    with pytest.raises(PlanError, match="join needs the net itself"):
        measure(database, key, "join", engine="local")
