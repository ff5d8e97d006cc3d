"""docs/imp.md as it stands; what the graph then says of the weights that went, round by round."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cnngraph as cg
from cnngraph.jobs.sparsity import sparsity_of
from tests.forge import Forge
from tests.pages import carry_out

pytestmark = pytest.mark.db
Run = Callable[..., Any]

WEIGHTS = {"conv1": 150, "conv2": 2_400, "dense1": 30_720, "dense2": 10_080}
ALL = sum(WEIGHTS.values())


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out."""
    folder = tmp_path_factory.mktemp("imp")
    carry_out("docs/imp.md", folder, command, forge)
    return folder


def test_lineage_show_and_query_say_what_is_left(command: Run, page: Path, database: Any) -> None:
    found = command("lineage", "lottery-ticket", "--json").json
    (parent,) = found["ancestors"]
    assert (parent["model"], parent["method"], parent["removed"]) == ("tester/lottery", "imp", [])
    steps = found["steps"]
    left = [ALL - ALL // 2]
    left += [left[0] - left[0] // 2]
    assert [(step["number"], step["alive"], step["epochs"]) for step in steps] == [
        (number, alive, 1) for number, alive in enumerate(left, 1)
    ]
    masks = found["masks"]
    assert {(row["round"], row["layer"]) for row in masks} == {(one, layer) for one in (1, 2) for layer in WEIGHTS}
    assert all(row["weights"] == WEIGHTS[row["layer"]] for row in masks)
    for number, alive in enumerate(left, 1):
        assert sum(row["alive"] for row in masks if row["round"] == number) == alive
    by_layer = {layer: [row["alive"] for row in masks if row["layer"] == layer] for layer in WEIGHTS}
    assert all(counts == sorted(counts, reverse=True) for counts in by_layer.values())
    text = command("lineage", "lottery-ticket").out
    assert "Weights left, by round" in text
    nodes = database.read(
        "MATCH (s:Step)-[:OF]->(:PruningRun {key: $run}) RETURN s {.*} AS step ORDER BY s.number", run=parent["run"]
    )
    assert [(row["step"]["name"], row["step"]["weights"]) for row in nodes] == [
        (f"round {step['number']}", step["weights"]) for step in steps
    ]
    shown = command("show", "lottery-ticket", "--json").json
    assert shown["sparsity"] == sparsity_of(cg.load(shown["artifact"]))  # as prune --json says it
    assert (shown["sparsity"]["weights"], shown["sparsity"]["alive"]) == (ALL, left[-1])
    assert "sparsity" not in command("show", "lottery", "--json").json
    rows = command("query", "sparsity", "--model", "lottery-ticket", "--json").json["rows"]
    assert [(row["round"], row["layer"], row["alive"]) for row in rows] == [
        (row["round"], row["layer"], row["alive"]) for row in masks
    ]


def test_the_decision_is_read_back_and_cannot_be_repeated_without_its_masks(command: Run, page: Path) -> None:
    with cg.connect() as graph:
        from cnngraph.database.lineage import read_pruning_run, store_pruning_run

        (ancestor,) = graph.lineage("lottery-ticket")["ancestors"]
        plan = read_pruning_run(graph.database, ancestor["run"])
        saved = graph.show("lottery-ticket")["artifact"]
        masks = cg.get_masks(cg.load(saved))
        assert masks is not None
        assert {layer: (one.mask, one.alive) for layer, one in plan.weights.items()} == {
            layer: (masks.sha256_of(layer), masks.count(layer)) for layer in masks.layers
        }
        assert store_pruning_run(graph.database, plan) == ancestor["run"]
    again = command("prune", "lottery", "--run", ancestor["run"], "--no-retrain")
    assert again.code == 1
    assert "its masks are not here" in again.err
    assert "--method imp --rounds 2 --rate 0.5 --rewind weights --mask magnitude" in again.err


def test_the_proof_and_the_page(command: Run, page: Path) -> None:
    found = command("verify", "lottery-ticket", "--json").json
    assert (found["ok"], found["steps"]) == (True, 2)
    assert set(found["pruned_weights"]) == set(WEIGHTS)
    html = (page / "lottery-ticket.html").read_text(encoding="utf-8")
    assert "Weights left, layer by layer" in html
    assert "weights left" in html


def test_filters_without_weights_went_and_the_bundle_tells_it(command: Run, page: Path) -> None:
    found = command("lineage", "lottery-thin", "--json").json
    (parent,) = found["ancestors"]
    assert list(parent["filters"]) == ["conv2"]
    gone = len(parent["filters"]["conv2"])
    assert gone >= 1
    assert [(step["weights"] is not None, step["filters"]) for step in _with_weights(found["steps"])] == [
        (True, 0),
        (False, gone),
    ]
    shown = command("show", "lottery-thin", "--json").json["sparsity"]
    assert {row["layer"]: row["weights"] for row in shown["layers"]}["conv2"] == (16 - gone) * 150


def _with_weights(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"weights": None} | step for step in steps]


def test_what_is_refused(command: Run, page: Path) -> None:
    imp = ("lottery", "--method", "imp")
    assert command("plan", *imp).code == 2
    for wrong in (("--rate", "0"), ("--rate", "1"), ("--rounds", "0"), ("--no-retrain",)):
        assert command("prune", *imp, *wrong).code == 2, wrong
    many = command("prune", *imp, "--rounds", "99")
    assert many.code == 1
    assert "rounds are possible" in many.err
    command("ingest", "cnngraph:lenet5_avg", "--channels", "1", "--data", "digits", "--images-per-class", "2",
            "--view", "channels", "--name", "lottery-unkept")  # fmt: skip
    unkept = command("prune", "lottery-unkept", "--method", "imp", "--rewind", "weights")
    assert unkept.code == 1
    assert "--keep-initial" in unkept.err
    dry = command("prune", *imp, "--rounds", "2", "--dry-run", "--json").json
    assert dry["trainings"] == 2
    assert sum(one["weights"] for one in dry["weights"].values()) == ALL


def test_weights_from_elsewhere_that_are_not_zero_lose_the_mask_and_it_is_said(command: Run, page: Path) -> None:
    done = command("adopt", "lottery-ticket", "--weights", page / "runs" / "lottery", "--as", "lottery-dense", "--json")
    assert "nothing of that is pruned in the new model" in done.err
    assert "sparsity" not in command("show", "lottery-dense", "--json").json


def test_a_damaged_mask_file_is_one_line(command: Run, page: Path) -> None:
    copy = page / "runs" / "damaged"
    shutil.copytree(page / "runs" / "lottery-thin" / "model", copy)
    (copy / "masks.safetensors").unlink()
    wrong = command("evaluate", copy, "--data", "digits")
    assert wrong.code == 1
    assert "has no masks.safetensors" in wrong.err
