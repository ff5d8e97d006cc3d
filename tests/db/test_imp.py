"""docs/imp.md as it stands; what the graph then says of the weights that went, round by round."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cnngraph as cg
from cnngraph.database.lineage import read_pruning_run, store_pruning_run
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


@pytest.fixture(scope="module")
def graph(page: Path) -> Iterator[Any]:
    """The same graph in this process: what it gives is the JSON of the commands."""
    with cg.connect() as graph:
        yield graph


def test_lineage_show_and_query_say_what_is_left(graph: Any, database: Any) -> None:
    found = graph.lineage("lottery-ticket")
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
    nodes = database.read(
        "MATCH (s:Step)-[:OF]->(:PruningRun {key: $run}) RETURN s {.*} AS step ORDER BY s.number", run=parent["run"]
    )
    assert [(row["step"]["name"], row["step"]["weights"]) for row in nodes] == [
        (f"round {step['number']}", step["weights"]) for step in steps
    ]
    shown = graph.show("lottery-ticket")
    assert shown["sparsity"] == sparsity_of(cg.load(shown["artifact"]))  # as prune --json says it
    assert (shown["sparsity"]["weights"], shown["sparsity"]["alive"]) == (ALL, left[-1])
    assert "sparsity" not in graph.show("lottery")
    rows = graph.query("sparsity", model="lottery-ticket")
    assert [(row["round"], row["layer"], row["alive"]) for row in rows] == [
        (row["round"], row["layer"], row["alive"]) for row in masks
    ]


def test_the_decision_is_read_back_and_cannot_be_repeated_without_its_masks(command: Run, graph: Any) -> None:
    (ancestor,) = graph.lineage("lottery-ticket")["ancestors"]
    plan = read_pruning_run(graph.database, ancestor["run"])
    masks = cg.get_masks(cg.load(graph.show("lottery-ticket")["artifact"]))
    assert masks is not None
    assert {layer: (one.mask, one.alive) for layer, one in plan.weights.items()} == {
        layer: (masks.sha256_of(layer), masks.count(layer)) for layer in masks.layers
    }
    assert store_pruning_run(graph.database, plan) == ancestor["run"]
    again = command("prune", "lottery", "--run", ancestor["run"], "--no-retrain")
    assert again.code == 1
    assert "its masks are not here" in again.err
    assert "--method imp --rounds 2 --rate 0.5 --rewind weights --mask magnitude" in again.err


def test_the_report_draws_what_is_left(page: Path) -> None:
    html = (page / "lottery-ticket.html").read_text(encoding="utf-8")
    assert "Weights left, layer by layer" in html
    assert "weights left" in html


def test_filters_without_weights_went_and_the_bundle_tells_it(graph: Any) -> None:
    found = graph.lineage("lottery-thin")
    (parent,) = found["ancestors"]
    assert list(parent["filters"]) == ["conv2"]
    gone = len(parent["filters"]["conv2"])
    assert gone >= 1
    assert [(step["weights"] is not None, step["filters"]) for step in _with_weights(found["steps"])] == [
        (True, 0),
        (False, gone),
    ]
    shown = graph.show("lottery-thin")["sparsity"]
    assert {row["layer"]: row["weights"] for row in shown["layers"]}["conv2"] == (16 - gone) * 150


def _with_weights(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"weights": None} | step for step in steps]


def test_what_is_refused(command: Run, page: Path) -> None:
    imp = ("lottery", "--method", "imp")
    assert command("plan", *imp).code == 2
    assert command("prune", *imp, "--rate", "1").code == 2
    many = command("prune", *imp, "--rounds", "99")
    assert many.code == 1
    assert "rounds are possible" in many.err
    unkept = command("prune", "lottery-thin", "--method", "imp", "--rewind", "weights")  # a cut leaves them behind
    assert unkept.code == 1
    assert "--keep-initial" in unkept.err
    dry = command("prune", *imp, "--rounds", "2", "--dry-run", "--json").json
    assert dry["trainings"] == 2
    assert sum(one["weights"] for one in dry["weights"].values()) == ALL


def test_weights_from_elsewhere_that_are_not_zero_lose_the_mask(command: Run, page: Path, graph: Any) -> None:
    done = command("adopt", "lottery-ticket", "--weights", page / "runs" / "lottery", "--as", "lottery-dense", "--json")
    assert "nothing of that is pruned in the new model" in done.err
    assert "sparsity" not in graph.show("lottery-dense")


def test_a_damaged_mask_file_is_one_line(command: Run, page: Path) -> None:
    copy = page / "runs" / "damaged"
    shutil.copytree(page / "runs" / "lottery-thin" / "model", copy)
    (copy / "masks.safetensors").unlink()
    wrong = command("evaluate", copy, "--data", "digits")
    assert wrong.code == 1
    assert "has no masks.safetensors" in wrong.err
