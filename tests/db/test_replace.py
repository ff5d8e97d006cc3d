"""docs/replace.md as it stands; what the graph then says, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cnngraph import load
from cnngraph.sources.stored import stored
from tests.forge import Forge
from tests.pages import carry_out

pytestmark = pytest.mark.db
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out."""
    folder = tmp_path_factory.mktemp("replace")
    carry_out("docs/replace.md", folder, command, forge)
    return folder


def test_the_graph_says_what_replaces_what_and_what_survives(command: Run, page: Path, database: Any) -> None:
    (parent,) = command("lineage", "vgg-local", "--json").json["ancestors"]
    assert (parent["method"], parent["removed"], parent["replaced"]) == ("triage", [], ["stage4"])
    (row,) = database.read(
        "MATCH (:PruningRun {key: $run})-[r:REPLACES]->(b:Block) "
        "RETURN r {.by, .stride, .activation} AS by, b.name AS block",
        run=parent["run"],
    )
    assert row == {"by": {"by": "3x3 conv", "stride": [1, 1], "activation": "ReLU"}, "block": "stage4"}
    left = database.read(
        "MATCH (:Model {key: 'tester/vgg-whole'})-[:HAS_LAYER]->(l:Conv) "
        "RETURN l.layer AS layer, EXISTS { (l)-[:SURVIVES_AS]->(:Layer {model: 'tester/vgg-local'}) } AS stays "
        "ORDER BY l.index"
    )
    gone = ["features.11", "features.13"]
    assert [one["layer"] for one in left if not one["stays"]] == gone
    assert not database.read("MATCH (:PruningRun {key: $run})-[r:REMOVES]->() RETURN r", run=parent["run"])


def test_a_local_training_leaves_all_else_bit_for_bit(command: Run, page: Path, database: Any) -> None:
    found = command("verify", "vgg-local", "--json").json
    assert (found["ok"], found["replaced"], found["weights_kept"]) == (True, ["stage4"], True)
    assert command("verify", "vgg-global", "--json").json["weights_kept"] is False
    before, after = (
        load(stored(database, f"tester/{name}").folder).state_dict() for name in ("vgg-whole", "vgg-local")
    )
    new = {"features.11.weight", "features.11.bias"}
    gone = ("features.11.", "features.13.")
    assert set(after) - new == {name for name in before if not name.startswith(gone)}
    assert all(torch.equal(after[name], before[name]) for name in set(after) - new)
    assert after["features.11.weight"].shape == (64, 32, 3, 3)


def test_a_run_is_read_back_whole_and_carried_out_also_when_it_was_made_by_hand(
    command: Run, page: Path, database: Any
) -> None:
    from cnngraph.database.lineage import read_pruning_run, store_pruning_run

    (parent,) = command("lineage", "vgg-global", "--json").json["ancestors"]
    plan = read_pruning_run(database, parent["run"])
    assert [(one.kind, one.layer, one.new_layer.stride) for one in plan.removes] == [("replace", "stage4", (1, 1))]
    assert store_pruning_run(database, plan) == parent["run"]
    database.write(
        "MATCH (b:Block {model: 'tester/vgg-whole', name: 'stage2'}), (m:Model {key: 'tester/vgg-whole'}) "
        "CREATE (run:PruningRun {key: 'stage2-by-hand'})-[:OF]->(m), (run)-[:REPLACES {by: $by}]->(b)",
        by="5x5 conv",
    )
    by_hand = ("prune", "vgg-whole", "--run", "stage2-by-hand", "--no-retrain")
    found = command(*by_hand, "--as", "vgg-by-hand", "--json").json
    assert found["removed"] == ["stage2"]
    assert load(stored(database, "tester/vgg-by-hand").folder).get_submodule("features.3").kernel_size == (5, 5)
    database.write("MATCH (:PruningRun {key: 'stage2-by-hand'})-[r:REPLACES]->() SET r.by = 'a pool'")
    wrong = command("prune", "vgg-whole", "--run", "stage2-by-hand", "--dry-run")
    assert wrong.code == 1 and "'a pool' of stage2 is no square conv" in wrong.err


def test_a_model_from_before_there_were_stages_gets_them(command: Run, page: Path, database: Any) -> None:
    database.write("MATCH (b:Block {model: 'tester/vgg-parent'}) DETACH DELETE b")
    blocks = command("show", "vgg-parent", "--blocks", "--json").json["blocks"]
    assert [(block["name"], block["kind"]) for block in blocks] == [(f"stage{n}", "stage") for n in range(1, 6)]
    command("prune", "vgg-parent", "--replace-block", "stage3", "--no-retrain", "--as", "vgg-twice", "--json")
    (parent, grandparent) = command("lineage", "vgg-twice", "--json").json["ancestors"]
    assert (parent["replaced"], grandparent["replaced"]) == (["stage3"], ["stage5"])
    rebuilt = command("rebuild", "vgg-twice", "--from-graph", "--out", page / "rebuilt", "--json")
    assert rebuilt.code == 0, rebuilt.err
    assert type(load(page / "rebuilt").get_submodule("features.8")).__name__ == "Identity"


def test_a_bundle_needs_no_database(command: Run, page: Path) -> None:
    replaced = ("--replace-block", "stage2", "--init", "random", "--no-retrain")
    found = command("prune", page / "runs" / "vgg-whole", *replaced, "--to-bundle", page / "bundle", "--json").json
    assert found["removed"] == ["stage2"]
    assert command("verify", page / "bundle" / "model", "--json").json["replaced"] == ["stage2"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "One of these is needed: --remove, "),
        (("--replace-block", "stage1", "--target-macs", "0.5"), 2, "--target-macs and --replace-block exclude each"),
        (("--remove", "1"), 1, "The graph does not know what the blocks of tester/vgg-whole are worth"),
        (("--replace-block", "stag1"), 3, "The net has no block 'stag1'"),
        (("--replace-block", "stage1", "--init", "inherit"), 2, "--init inherit says nothing of a layer that takes"),
        (
            ("--replace-block", "stage1", "--train", "local", "--init", "scratch"),
            2,
            "gives the whole net new weights",
        ),
        (("--replace-block", "stage1", "--keep", "features.0"), 1, "features.0 is in it, and it is to be kept"),
        (("--replace-block", "stage1", "--ratio", "0.5"), 2, "--ratio belongs to"),
    ],
)
def test_what_is_refused(command: Run, page: Path, options: tuple[str, ...], code: int, said: str) -> None:
    wrong = command("prune", "vgg-whole", "--method", "triage", *options)
    assert (wrong.code, said in wrong.err) == (code, True), wrong.err


def test_a_stage_is_not_removed_and_other_layers_know_no_parent(command: Run, page: Path) -> None:
    wrong = command("prune", "vgg-whole", "--remove-block", "stage1")
    assert wrong.code == 1 and "stage1 cannot go: it is a stage" in wrong.err and "--replace-block" in wrong.err
    wrong = command("prune", "vgg-whole", "--remove-layer", "features.3", "--init", "parent")
    assert wrong.code == 2 and "--init parent says nothing of layers where ends are joined" in wrong.err
