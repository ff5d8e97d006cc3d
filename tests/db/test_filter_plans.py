"""Filters from the decision to the lineage: a residual net is ingested, planned by scores of the net and of the graph,
pruned without training, and a person's own choice of feature maps is carried out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.reader import read_network
from cnngraph.errors import PlanError
from cnngraph.jobs.plan import plan_stored
from cnngraph.jobs.session import Session
from cnngraph.measures.filters import FILTER_MEASURES, filter_scores
from cnngraph.measures.measure import Options
from cnngraph.measures.registry import MEASURES
from cnngraph.plan import Plan
from cnngraph.pruning.choice import choose
from cnngraph.settings import load_settings
from cnngraph.sources.stored import OtherData

pytestmark = pytest.mark.db

Run = Callable[..., Any]
KEY = "tester/filters"


@pytest.fixture(scope="module")
def name(command: Run, server: Any) -> str:
    """A narrow ResNet-20 in the database, its feature maps only."""
    arguments = ("--width", 0.25, "--data", "digits", "--view", "channels", "--images-per-class", 20)
    done = command("ingest", "cnngraph:resnet20", *arguments, "--name", "filters", "--json")
    assert done.code == 0, done.err
    return "filters"


def planned(db: Database, name: str, **options: Any) -> Plan:
    session = Session(load_settings(), connected=db)
    return plan_stored(session, name, choose({"method": "filters"} | options), OtherData())


@pytest.mark.parametrize("score", sorted(FILTER_MEASURES))
def test_scores_of_the_graph_are_those_of_the_oracle(database: Database, name: str, score: str) -> None:
    run, found = filter_scores(database, KEY, score)
    measure = MEASURES[FILTER_MEASURES[score]]
    network = read_network(database, KEY)
    expected = measure.oracle(network, Options())
    assert tuple(found) == expected.layers
    for i, layer in enumerate(expected.layers):
        assert found[layer] == pytest.approx(expected.value[expected.layer == i].tolist(), rel=1e-6, abs=1e-12)
    (stored,) = database.read(
        "MATCH (:Model {key: $key})-[:CURRENT {measure: $measure}]->(r:MeasureRun) RETURN r.key AS key",
        key=KEY,
        measure=measure.name,
    )
    assert stored["key"] == run == filter_scores(database, KEY, score)[0]


@pytest.mark.parametrize("score", ["magnitude", "strength", "redundancy", "pagerank", "taylor", "bn", "random"])
def test_every_score_plans(database: Database, name: str, score: str) -> None:
    made = planned(database, name, ratio=0.25, score=score)
    assert (made.model, made.method, made.measure) == (KEY, "filters", score)
    widths = made.settings["widths"]
    assert {layer: len(filters) for layer, filters in made.filters.items()} == {
        layer: width // 4 for layer, width in widths.items()
    }
    again = planned(database, name, ratio=0.25, score=score)
    assert (made.removes, made.run) == (again.removes, again.run)  # its notes hold measured milliseconds
    first = {tuple(made.filters[layer]) for layer in ("layer2.0.conv2", "layer2.1.conv2", "layer2.0.downsample.0")}
    assert len(first) == 1  # a sum holds their channels together
    assert (made.run is None) == (score not in FILTER_MEASURES)


def test_magnitude_is_that_of_the_graph(database: Database, name: str) -> None:
    """The score from the net alone equals the one that the null ``magnitude`` would leave on the nodes."""
    rows = database.read(
        "MATCH (f:FeatureMap {model: $key, layer: 'layer1.0.conv1'}) RETURN f.l2 AS l2 ORDER BY f.channel", key=KEY
    )
    norms = np.array([row["l2"] for row in rows])
    (removal,) = [one for one in planned(database, name, ratio=0.3).removes if one.layer == "layer1.0.conv1"]
    assert removal.filters == (int(norms.argmin()),)
    assert removal.score == pytest.approx(norms.min() / norms.mean(), rel=1e-6)


def test_a_model_without_feature_maps_is_refused_with_the_way_out(command: Run, database: Database) -> None:
    arguments = ("--width", 0.125, "--data", "digits", "--view", "positions", "--images-per-class", 3)
    assert command("ingest", "cnngraph:vgg11", *arguments, "--name", "no-maps").code == 0
    with pytest.raises(PlanError, match="no feature maps") as refused:
        planned(database, "no-maps", ratio=0.3)
    assert "--view channels" in refused.value.hint


def test_prune_by_ratio_and_its_lineage(command: Run, name: str, database: Database, tmp_path: Path) -> None:
    done = command("plan", name, "--ratio", 0.5, "--score", "strength", "--round-to", 4, "--out", tmp_path / "p.json")
    assert done.code == 0, done.err
    assert "filters go, of" in done.out
    assert "Narrower" not in done.out
    prune = ("prune", name, "--plan", tmp_path / "p.json", "--no-retrain", "--as", "filters-half", "--json")
    would = command(*prune, "--dry-run").json["would_write"]
    done = command(*prune)
    assert done.code == 0, done.err
    result = done.json
    held = catalogue.counts(database, "tester/filters-half")
    for what in ("layers", "feature_maps", "connections", "positions", "arcs", "classes"):
        assert would[what] == held[what], what  # mapped as its parent is, without positions
    foreign = json.loads((tmp_path / "p.json").read_text()) | {"model": ""}
    (tmp_path / "foreign.json").write_text(json.dumps(foreign))
    again = command("prune", "filters-half", "--plan", tmp_path / "foreign.json", "--no-retrain")
    assert again.code == 1
    assert "has no filter" in again.err or "another net of this architecture" in again.err
    assert result["removed"] == []
    assert {layer: len(filters) for layer, filters in result["filters"].items()}["layer3.0.conv1"] == 8
    assert result["verified"]["max_abs_diff"] < 1e-9
    assert all(result["verified"][what] for what in ("train_forward", "save_load", "export"))
    assert result["after"]["parameters"] < 0.5 * result["before"]["parameters"]

    told = command("lineage", "filters-half", "--json").json
    assert told["ancestors"][0]["filters"] == result["filters"]
    assert f" of {len(result['filters'])} layers" in command("lineage", "filters-half").out
    reasons = {(edit["kind"], edit["module"]): edit["reason"] for edit in told["edits"]}
    assert reasons["filters", "layer3.0.conv1"] == "the plan removes 8 of 16 filters"
    assert reasons["inputs", "fc"] == "8 of 16 channels that it reads are gone"
    assert {edit["module"] for edit in told["edits"] if edit["kind"] == "filters"} == set(result["filters"])
    assert "the plan removes 8 of 16 filters" in command("lineage", "filters-half").out
    removed = command("query", "removed", "--model", "filters-half", "--json")
    assert removed.code == 0, removed.err
    page = tmp_path / "page.html"
    assert command("report", "filters-half", "--out", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "layer3.0.conv1: 8 of 16 filters" in text
    assert "ratio 0.5 by layer, rounded to 4" in text
    assert "What changed in the net, and why" in text
    assert "8 of 16 channels that it reads are gone" in text
    shown = command("show", "filters-half")
    assert "then without" in shown.out
    assert (
        catalogue.counts(database, "tester/filters-half")["feature_maps"]
        < catalogue.counts(database, KEY)["feature_maps"]
    )


def test_feature_maps_that_a_person_names_are_removed(command: Run, name: str, database: Database) -> None:
    """With everything that is coupled with them, although the run names two maps of one layer alone."""
    database.write(
        "MATCH (m:Model {key: $key}) CREATE (r:PruningRun {key: 'two-maps'})-[:OF]->(m) WITH r "
        "MATCH (f:FeatureMap {model: $key, layer: 'layer2.1.conv2'}) WHERE f.channel IN [2, 5] "
        "CREATE (r)-[:REMOVES {reason: 'I looked at them'}]->(f)",
        key=KEY,
    )
    done = command("prune", name, "--run", "two-maps", "--no-retrain", "--as", "filters-by-hand", "--json")
    assert done.code == 0, done.err
    assert done.json["run"] == "two-maps"
    assert done.json["filters"] == {"layer2.1.conv2": [2, 5]}
    assert done.json["verified"]["max_abs_diff"] < 1e-9
    rows = database.read(
        "MATCH (l:Layer {model: 'tester/filters-by-hand'}) WHERE l.outChannels = 6 RETURN collect(l.layer) AS layers"
    )
    assert {"layer2.0.conv2", "layer2.1.conv2", "layer2.2.conv2", "layer2.0.downsample.0"} <= set(rows[0]["layers"])
    told = command("lineage", "filters-by-hand", "--json").json
    coupled = [edit["reason"] for edit in told["edits"] if edit["module"] == "layer2.0.conv2"]
    assert coupled[0] == "2 of 8 filters are coupled with those of layer2.1.conv2 by the sum add_4"
    database.write("MATCH (:Model {key: 'tester/filters-by-hand'})<-[made:PRODUCED]-() REMOVE made.edits")
    before = command("lineage", "filters-by-hand", "--json").json  # as a version before wrote it
    assert before == told | {"edits": []}
    assert "edits" not in command("lineage", "filters-by-hand").out
    ancestor = told["ancestors"][0]
    assert (ancestor["run"], ancestor["filters"]) == ("two-maps", {"layer2.1.conv2": [2, 5]})
