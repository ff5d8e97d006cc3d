"""The commands of the docs, one after the other, as a user types them: train, ingest, measure, plan, prune, lineage."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.db

Run = Callable[..., Any]
FIGURES = {"accuracy", "precision", "recall", "kappa", "epoch_seconds", "latency_ms", "parameters", "macs"}


@pytest.fixture(scope="module")
def saved(command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny VGG11 trained for one epoch on digits."""
    out = tmp_path_factory.mktemp("chain") / "vgg11"
    done = command(
        "train", "cnngraph:vgg11", "--width", 0.125, "--data", "digits", "--epochs", 1, "--out", out, "--json"
    )
    assert done.code == 0, done.err
    assert {"accuracy", "precision", "recall", "kappa", "per_class", "epoch_seconds"} <= set(done.json)
    return out


@pytest.fixture(scope="module")
def name(command: Run, server: Any, saved: Path) -> str:
    """The same net in the database."""
    done = command("ingest", saved, "--data", "digits", "--name", "chain", "--json")
    assert done.code == 0, done.err
    counts = done.json
    assert counts["model"] == "tester/chain"
    assert counts["positions"] > 0
    assert counts["arcs"] > 0
    assert counts["connections"] > 0
    assert counts["classes"] == 10
    assert set(counts) >= {"layers", "feature_maps", "seconds", "relationships_per_second"}
    return "chain"


def test_the_same_ingest_again_writes_nothing(command: Run, name: str, saved: Path) -> None:
    first = command("show", name, "--json").json
    again = command("ingest", saved, "--data", "digits", "--name", name, "--json")
    assert again.code == 0, again.err
    assert again.json["action"] == "nothing"
    counts = ("layers", "feature_maps", "connections", "positions", "arcs", "classes")
    assert {what: again.json[what] for what in counts} == {what: first[what] for what in counts}


def test_other_inputs_under_the_same_name_are_refused(command: Run, name: str, saved: Path) -> None:
    done = command("ingest", saved, "--data", "digits", "--name", name, "--patch", "sum")
    assert done.code == 1
    assert "--replace" in done.err


def test_a_dry_run_counts_exactly_and_writes_nothing(command: Run, name: str, saved: Path) -> None:
    done = command("ingest", saved, "--data", "digits", "--name", "chain-dry", "--dry-run", "--json")
    assert done.code == 0, done.err
    shown = command("show", name, "--json").json
    assert {what: done.json[what] for what in ("positions", "arcs", "connections")} == {
        what: shown[what] for what in ("positions", "arcs", "connections")
    }
    assert command("show", "chain-dry").code == 3


def test_measure_and_plan(command: Run, name: str, tmp_path: Path) -> None:
    done = command("measure", name, "-m", "degree", "-m", "depth", "--json")
    assert done.code == 0, done.err
    assert [run["measure"] for run in done.json["runs"]] == ["degree", "depth"]
    assert set(done.json["runs"][0]) >= {"key", "reference", "layers"}
    done = command("plan", name, "--method", "multilayer", "--measure", "degree", "--json")
    assert done.code == 0, done.err
    plan = done.json
    assert plan["removed"] == []
    assert plan["layers"]
    steps = plan["schedule"]
    assert all(set(a["removed"]) < set(b["removed"]) for a, b in pairwise(steps))
    assert steps[0]["parameters"] > 0
    assert steps[0]["macs"] > 0
    assert steps[0]["latency_ms"] > 0
    assert set(plan["correlations"]) >= {"depth", "activation"}


def test_plan_prune_and_lineage(command: Run, name: str, tmp_path: Path) -> None:
    plan_file = tmp_path / "plan.json"
    done = command("plan", name, "--remove", 2, "--out", plan_file, "--json")
    assert done.code == 0, done.err
    removed = done.json["removed"]
    assert len(removed) == 2
    done = command(
        "prune", name, "--plan", plan_file, "--as", "chain-slim", "--epochs", 1, "--out", tmp_path / "slim", "--json"
    )
    assert done.code == 0, done.err
    result = done.json
    assert result["new_model"] == "tester/chain-slim"
    assert result["removed"] == removed
    assert result["verified"] == {"max_abs_diff": None, "train_forward": True, "save_load": True, "export": True}
    for which in ("before", "after", "control"):
        assert set(result[which]) >= FIGURES
    assert result["after"]["parameters"] < result["before"]["parameters"]
    assert (tmp_path / "slim" / "model.json").is_file()
    lineage = command("lineage", "chain-slim", "--json").json
    assert lineage["ancestors"][0]["model"] == "tester/chain"
    assert lineage["ancestors"][0]["removed"] == removed
    listed = {row["name"]: row for row in command("list", "--json").json["models"]}
    assert listed["chain-slim"]["pruned_from"] == "tester/chain"
    assert listed["chain-slim"]["accuracy"] == result["after"]["accuracy"]
    report = command("report", "chain-slim", "--out", tmp_path / "page.html")
    assert report.code == 0, report.err
    assert "Before, after, and the control" in (tmp_path / "page.html").read_text()


def test_nothing_that_was_removed_survives(command: Run, database: Any, tmp_path: Path) -> None:
    """An identity or an adapter stands where a conv was, under the same path: it is not that conv."""
    removes = [{"layer": "conv1"}, {"layer": "layer2.1.conv1"}, {"layer": "layer3.1", "kind": "block"}]
    (tmp_path / "plan.json").write_text(json.dumps({"removes": removes}))
    for line in (
        "train cnngraph:resnet20 --width 0.25 --data digits --images-per-class 8 --epochs 1 --seed 3 --out net",
        "ingest net --data digits --images-per-class 8 --name fates --view channels",
        "prune fates --plan plan.json --no-retrain --as fates-here",
        "prune net --plan plan.json --no-retrain --to-bundle slim",
        "ingest slim --name fates-bundle",
    ):
        done = command(*line.split(), cwd=tmp_path)
        assert done.code == 0, done.err
    for child in ("fates-here", "fates-bundle"):
        pairs = database.read(
            "MATCH (old:Layer {model: 'tester/fates'})-[:SURVIVES_AS]->(new:Layer {model: $new}) "
            "RETURN old.layer AS old, new.layer AS new, old.kind = new.kind AS alike, "
            "       EXISTS { (old)<-[:REMOVES]-(:PruningRun) } AS removed",
            new=f"tester/{child}",
        )
        assert all(row["old"] == row["new"] and row["alike"] and not row["removed"] for row in pairs)
        survivors = {row["layer"] for row in command("query", "survivors", "--model", child, "--json").json["rows"]}
        assert survivors == {row["old"] for row in pairs}
        assert survivors >= {"layer1.0.conv1", "layer2.1.conv2", "layer3.2.conv1", "fc"}
        assert not survivors & {"conv1", "layer2.1.conv1", "layer3.1.conv1", "layer3.1.conv2", "bn1", "layer2.1.bn1"}
        rows = database.read("MATCH (l:Layer {model: $m}) RETURN l.layer AS layer", m=f"tester/{child}")
        assert {row["layer"] for row in rows} >= {"conv1", "layer2.1.conv1"}  # what took their place


def test_a_pruned_model_is_pruned_again(command: Run, name: str, tmp_path: Path) -> None:
    first = command("prune", name, "--remove-layer", "features.3", "--no-retrain", "--as", "chain-once", "--json")
    assert first.code == 0, first.err
    assert first.json["control"] is None
    again = command(
        "prune", "chain-once", "--method", "multilayer", "--remove", 1, "--no-retrain", "--as", "chain-twice", "--json"
    )
    assert again.code == 0, again.err
    ancestors = command("lineage", "chain-twice", "--json").json["ancestors"]
    assert [row["model"] for row in ancestors] == ["tester/chain-once", "tester/chain"]


def test_a_pruning_run_made_by_hand_in_cypher(command: Run, name: str) -> None:
    cypher = (
        "MATCH (m:Model {key: 'tester/chain'}), (l:Layer {model: m.key, layer: 'features.8'}) "
        "CREATE (r:PruningRun {key: 'chain-by-hand', method: 'manual', owner: 'tester'})-[:OF]->(m), "
        "(r)-[:REMOVES {reason: 'I say so'}]->(l)"
    )
    assert command("query", "-", stdin=cypher).code != 0
    done = command("query", "-", "--write", stdin=cypher)
    assert done.code == 0, done.err
    done = command("prune", name, "--run", "chain-by-hand", "--no-retrain", "--json")
    assert done.code == 0, done.err
    assert done.json["removed"] == ["features.8"]
    assert done.json["new_model"].startswith("tester/chain-pruned")
    assert done.json["run"] == "chain-by-hand"
    (parent,) = command("lineage", done.json["new_model"], "--json").json["ancestors"]
    assert (parent["model"], parent["run"], parent["removed"]) == ("tester/chain", "chain-by-hand", ["features.8"])


def test_within_an_accuracy_drop(command: Run, name: str) -> None:
    done = command(
        "prune", name, "--method", "multilayer", "--max-accuracy-drop", 100, "--no-retrain", "--dry-run", "--json"
    )
    assert done.code == 0, done.err
    assert len(done.json["removed"]) == 7
    assert "trials" in done.err


@pytest.mark.parametrize("init", ["inherit", "reset", "scratch"])
def test_every_init(command: Run, name: str, init: str) -> None:
    done = command(
        "prune", name, "--remove-layer", "features.3", "--init", init, "--no-retrain", "--as", f"chain-{init}", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["verified"]["train_forward"]


def test_a_bundle_between_two_machines(command: Run, name: str, saved: Path, tmp_path: Path) -> None:
    done = command("ingest", saved, "--data", "digits", "--to-bundle", tmp_path / "bundle", "--json")
    assert done.code == 0, done.err
    done = command("ingest", tmp_path / "bundle", "--name", "chain-bundle", "--json")
    assert done.code == 0, done.err
    shown = command("show", name, "--json").json
    assert done.json["arcs"] == shown["arcs"]
    assert command("prune", "chain-bundle", "--remove-layer", "features.3", "--no-retrain", "--json").code == 0


def test_delete_removes_one_model_only(command: Run, name: str, saved: Path) -> None:
    assert command("ingest", saved, "--data", "digits", "--name", "chain-gone", "--view", "positions").code == 0
    dry = command("delete", "chain-gone", "--dry-run", "--json")
    assert dry.json["positions"] > 0
    refused = command("delete", "chain-gone", stdin="n\n")
    assert refused.code == 1
    assert command("delete", "chain-gone", "--yes").code == 0
    assert command("show", "chain-gone").code == 3
    assert command("show", name).code == 0


def test_python_sees_what_the_commands_wrote(database: Any, name: str) -> None:
    import cnngraph as cg

    with cg.connect() as graph:
        nodes, edges = graph.frames(name)
        assert len(nodes)
        assert len(edges)
        plan = graph.plan(name, method="multilayer", threshold=0.3)
    assert json.loads(plan.model_dump_json())["model"] == "tester/chain"
