"""docs/car.md as it stands; what the graph then says of the filters that went."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cnngraph as cg
from tests.forge import Forge
from tests.pages import carry_out

pytestmark = pytest.mark.db
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out."""
    folder = tmp_path_factory.mktemp("car")
    carry_out("docs/car.md", folder, command, forge)
    return folder


def test_the_plan_of_an_accuracy_limit_keeps_it(page: Path) -> None:
    settings = json.loads((page / "gentle.json").read_text(encoding="utf-8"))["settings"]
    assert settings["baseline"] - settings["steps"][-1]["accuracy"] <= 0.02
    assert {"layer", "filters", "car", "accuracy"} == settings["steps"][0].keys()


def test_the_graph_says_which_filters_went_and_what_each_cost(command: Run, page: Path, database: Any) -> None:
    (parent,) = command("lineage", "digits5-slim", "--json").json["ancestors"]
    assert (parent["model"], parent["method"]) == ("tester/digits5", "car")
    assert {layer: len(filters) for layer, filters in parent["filters"].items()} == {"features.0": 2, "features.3": 6}
    rows = database.read(
        "MATCH (:PruningRun {key: $run})-[r:REMOVES]->(f:FeatureMap) "
        "RETURN f.layer AS layer, f.channel AS channel, r.score AS car",
        run=parent["run"],
    )
    again = command(
        "plan",
        "digits5",
        "--method",
        "car",
        "--layer",
        "features.0",
        "--layer",
        "features.3",
        "--ratio",
        "0.4",
        "--json",
    ).json
    assert {one["layer"]: one["filters"] for one in again["removes"]} == parent["filters"]
    cost = {(step["layer"], filters): step["car"] for step in again["settings"]["steps"] for filters in step["filters"]}
    assert {(row["layer"], row["channel"]): row["car"] for row in rows} == pytest.approx(cost)


def test_the_graph_says_what_each_filter_is_for(command: Run, page: Path, database: Any) -> None:
    kept = "MATCH (f:FeatureMap {model: $key})-[s:SERVES]->(c:Class) WHERE f.car IS NOT NULL RETURN f.layer AS layer, "
    kept += "f.channel AS channel, f.car AS car, c.index AS class, s.reduction AS reduction, s.rank AS rank "
    kept += "ORDER BY layer, channel, rank"
    rows = database.read(kept, key="tester/digits5")
    assert {row["layer"] for row in rows} == {"features.0", "features.3"}
    assert all(1 <= row["rank"] <= 10 and abs(row["reduction"]) <= 1 for row in rows)
    assert rows == database.read(kept, key="tester/digits5-again")  # ingested from the bundle
    (lowest,) = command("plan", "digits5", "--method", "car", "--layer", "features.3", "--filters", 1, "--json").json[
        "settings"
    ]["steps"]
    (filter_,) = lowest["filters"]
    cars = {row["channel"]: row["car"] for row in rows if row["layer"] == "features.3"}
    assert cars[filter_] == pytest.approx(lowest["car"]) == pytest.approx(min(cars.values()))
    assert command("query", "filters-of-class", "--model", "digits5", "--param", "class=3", "--json").json["rows"]


def test_the_stored_net_holds_the_zeros(command: Run, page: Path) -> None:
    lineage = command("lineage", "digits5-thin", "--json").json
    assert [edit["module"] for edit in lineage["edits"] if edit["kind"] == "zeros"] == ["features.3"]
    net = cg.load(command("show", "digits5-thin", "--json").json["artifact"])
    weight = net.get_submodule("features.3").get_parameter("weight")
    assert (weight.numel(), int((weight != 0).sum())) == (1200, 240)


def test_the_report_shows_the_filters_that_went_in_their_order(command: Run, page: Path) -> None:
    html = (page / "digits5-slim.html").read_text(encoding="utf-8")
    plan = command("report", "digits5-slim", "--out", page / "again.html", "--json")
    assert plan.json["colour_selective"] == []
    assert html == (page / "again.html").read_text(encoding="utf-8")  # what was looked at is shown from then on
    assert "Colour is undefined here: the images are grey." in html
    assert "Accuracy, step by step" in html
    went = html.index("Went, in this order")
    assert went < html.index("Stay:", went)
    assert html.count("data:image/png;base64,") > 2 * 6  # the filters of conv1, and patches of conv2
    assert not re.search(r'(?:src|href)="(?!data:|#|http://(?:localhost|127\.0\.0\.1))', html)  # nothing from outside
