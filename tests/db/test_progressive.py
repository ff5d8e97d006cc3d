"""docs/progressive.md as it stands; what the graph then says of the steps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnngraph import connect
from tests.forge import Forge
from tests.pages import carry_out

pytestmark = pytest.mark.db
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out."""
    folder = tmp_path_factory.mktemp("progressive")
    (folder / "data").symlink_to(shared / "data")
    carry_out("docs/progressive.md", folder, command, forge)
    return folder


def test_the_graph_says_what_went_in_which_step(command: Run, page: Path, database: Any) -> None:
    found = command("lineage", "stepwise-slim", "--json").json
    (parent,) = found["ancestors"]
    assert (parent["model"], parent["method"]) == ("tester/stepwise", "progressive")
    steps = found["steps"]
    assert [(step["number"], step["layer"], step["filters"], step["epochs"]) for step in steps] == [
        (1, "features.0", 3, 2),
        (2, "features.3", 8, 2),
    ]
    rows = database.read(
        "MATCH (:PruningRun {key: $run})-[r:REMOVES]->(f:FeatureMap) "
        "RETURN f.layer AS layer, r.step AS step, collect(f.channel) AS filters ORDER BY step",
        run=parent["run"],
    )
    assert [(row["layer"], row["step"]) for row in rows] == [("features.0", 1), ("features.3", 2)]
    assert {row["layer"]: sorted(row["filters"]) for row in rows} == parent["filters"]
    nodes = database.read(
        "MATCH (s:Step)-[:OF]->(:PruningRun {key: $run}) RETURN s {.*} AS step ORDER BY s.number", run=parent["run"]
    )
    assert [node["step"]["name"] for node in nodes] == ["1 features.0", "2 features.3"]
    for node, step in zip(nodes, steps, strict=True):
        assert node["step"]["trainedParameters"] == step["trained_parameters"]
        assert step["seconds"] > 0
        assert -1 <= step["kappa"] <= step["accuracy"] <= 1
    told = command("lineage", "stepwise-slim").out
    assert "steps" in told
    assert "features.3" in told


def test_the_decision_is_read_back_as_it_was(page: Path) -> None:
    with connect() as graph:
        from cnngraph.database.lineage import read_pruning_run, store_pruning_run

        (ancestor,) = graph.lineage("stepwise-slim")["ancestors"]
        plan = read_pruning_run(graph.database, ancestor["run"])
        assert [set(removal.steps) for removal in plan.removes] == [{1}, {2}]
        assert store_pruning_run(graph.database, plan) == ancestor["run"]
        assert [step["layer"] for step in plan.settings["trained_steps"]] == ["features.0", "features.3"]


def test_the_page_shows_the_steps(command: Run, page: Path) -> None:
    html = (page / "stepwise-slim.html").read_text(encoding="utf-8")
    steps = command("lineage", "stepwise-slim", "--json").json["steps"]
    for step in steps:
        row = (step["layer"], step["filters"], f"{step['trained_parameters']:,}", f"{step['accuracy']:.4f}")
        assert re.search("</td><td[^>]*>".join(map(str, row)), html), row
    assert "filters left" in html
    assert "nothing trained in between" not in html
    assert "features.3: 8 of 16 went" in html


def test_another_model_of_the_same_decision_has_no_steps_of_the_first(command: Run, page: Path) -> None:
    first = command("lineage", "stepwise-slim", "--json").json
    (parent,) = first["ancestors"]
    command("prune", "stepwise", "--run", parent["run"], "--no-retrain", "--as", "stepwise-at-once", "--json")
    other = command("lineage", "stepwise-at-once", "--json").json
    assert other["ancestors"][0]["run"] == parent["run"]
    assert other["steps"] == []
    assert command("lineage", "stepwise-slim", "--json").json["steps"] == first["steps"]
    command("report", "stepwise-at-once", "--out", page / "at-once.html")
    assert "filters left" not in (page / "at-once.html").read_text(encoding="utf-8")


def test_verify_proves_the_steps(command: Run, page: Path) -> None:
    found = command("verify", "stepwise-slim", "--json").json
    assert (found["ok"], found["steps"]) == (True, 2)


def test_a_bundle_of_steps_is_stored_with_them(command: Run, page: Path) -> None:
    command("ingest", page / "runs" / "stepwise-bundle", "--name", "stepwise-by-bundle", "--json")
    found = command("lineage", "stepwise-by-bundle", "--json").json
    assert [(step["layer"], step["filters"]) for step in found["steps"]] == [("features.3", 4)]


def test_what_is_refused_and_what_a_dry_run_says(command: Run, page: Path) -> None:
    wrong = command("plan", "stepwise", "--method", "progressive", "--ratio", "0.5")
    assert wrong.code == 2
    assert "decides while it trains" in wrong.err
    wrong = command("prune", "stepwise", "--method", "progressive", "--ratio", "0.5", "--no-retrain")
    assert wrong.code == 2
    dry = command("prune", "stepwise", "--method", "progressive", "--ratio", "0.5", "--dry-run", "--json").json
    assert (dry["trainings"], dry["filter_counts"]) == (2, {"features.0": 3, "features.3": 8})


def test_from_python_and_gone_with_its_model(page: Path, database: Any) -> None:
    with connect() as graph:
        result = graph.prune(
            "stepwise",
            method="progressive",
            criterion="apoz",
            layer="features.0",
            filters=1,
            epochs=1,
            control=False,
            as_name="stepwise-by-python",
        )
        assert [(step["layer"], step["filters"]) for step in result["steps"]] == [("features.0", 1)]
        count = "MATCH (s:Step {run: $run}) RETURN count(s) AS steps"
        assert database.read(count, run=result["run"])[0]["steps"] == 1
