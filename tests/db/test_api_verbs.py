"""The verbs of the command line from Python, and what is said where a model has lost its parent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

import cnngraph as cg
from cnngraph.errors import ConflictError, NotFoundError

pytestmark = pytest.mark.db

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def graph(command: Run, server: Any) -> Iterator[cg.Graph]:
    """A small net, stored with its weights as ``verbs``."""
    done = command(
        *("ingest", "cnngraph:vgg11", "--width", 0.125, "--data", "digits", "--images-per-class", 20),
        *("--view", "channels", "--kernels", "--name", "verbs"),
    )
    assert done.code == 0, done.err
    with cg.connect() as opened:
        yield opened


def test_every_kind_of_plan(graph: cg.Graph) -> None:
    assert graph.plan("verbs", measure="depth").removed == []
    last = graph.plan("verbs", measure="depth", remove=1)
    kept = graph.plan("verbs", measure="depth", remove=1, keep={last.removed[0]: "mine"})
    assert kept.removed != last.removed
    assert kept.recipe == last.recipe != ""
    half = graph.plan("verbs", ratio=0.5, score="strength")
    assert {len(gone) for layer, gone in half.filters.items() if layer == "features.0"} == {4}
    assert graph.plan("verbs", remove_layers=["features.8"]).removed == ["features.8"]
    assert graph.plan("verbs", measure="magnitude", target_macs=0.7).settings["target"]["landed"]
    with pytest.raises(NotFoundError, match="features"):
        graph.plan("verbs", remove_layers=["features.99"])


def test_from_a_plan_to_a_net_that_is_shipped(graph: cg.Graph, tmp_path: Path) -> None:
    plan = graph.plan("verbs", remove_layers=["features.8"])
    would = graph.prune("verbs", plan, as_name="verbs-slim", retrain=False, dry_run=True)
    assert would["would_write"]["nodes"] > 0
    slim = graph.prune("verbs", plan, as_name="verbs-slim", retrain=False, out=tmp_path / "slim")
    assert (slim["new_model"], slim["removed"], slim["control"]) == ("tester/verbs-slim", ["features.8"], None)
    with pytest.raises(ConflictError, match="There is a model verbs-slim already"):
        graph.prune("verbs", measure="depth", max_accuracy_drop=50.0, as_name="verbs-slim")
    state = {name: tensor * 1.01 for name, tensor in cg.load(tmp_path / "slim").state_dict().items()}
    save_file(state, tmp_path / "tuned.safetensors")
    assert graph.adopt("verbs-slim", tmp_path / "tuned.safetensors", as_name="verbs-tuned")["action"] == "new"
    table = graph.latency("verbs-tuned", out=tmp_path / "table.csv")
    assert table["whole_ms"] > 0
    assert (tmp_path / "table.csv").is_file()
    assert graph.export("verbs-tuned", tmp_path / "net.safetensors", format="safetensors")["max_abs_diff"] == 0
    graph.export("verbs-tuned", tmp_path / "net.gexf", format="gexf", view="channels")
    assert graph.rebuild("verbs-tuned", tmp_path / "again")["identical"]
    sentence, page = graph.report("verbs-slim", tmp_path / "page.html")
    assert sentence in page.read_text(encoding="utf-8")


def test_a_name_that_is_taken_is_said_before_a_long_search(command: Run, graph: cg.Graph, session_home: Path) -> None:
    before = set((session_home / "work").glob("drop-*"))  # other tests leave theirs
    done = command(
        "prune", "verbs", "--measure", "depth", "--method", "multilayer", "--max-accuracy-drop", 50, "--as", "verbs"
    )
    assert done.code == 1
    assert "There is a model verbs already" in done.err
    assert set((session_home / "work").glob("drop-*")) == before


def test_a_model_that_lost_its_parent_says_what_is_still_known(
    command: Run, graph: cg.Graph, session_home: Path, tmp_path: Path
) -> None:
    done = command("ingest", "cnngraph:lenet5", "--data", "digits", "--images-per-class", 10, "--name", "lost-parent")
    assert done.code == 0, done.err
    graph.prune("lost-parent", ratio=0.25, as_name="lost-child", retrain=False)
    graph.delete("lost-parent")
    done = command("report", "lost-child", "--out", tmp_path / "page.html")
    assert done.code == 3
    said = done.err.strip().splitlines()
    assert "The model that tester/lost-child was pruned from is not in the database" in said[-2]
    assert "Still known: it lost" in said[-1]
    assert "parameters. See: cnngraph show lost-child" in said[-1]
    assert not (tmp_path / "page.html").exists()
    done = command("report", "verbs")
    assert done.code == 3
    assert "was not made by a prune" in done.err
