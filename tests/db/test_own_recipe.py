"""The user's own recipe on two machines: a training of one's own, and a prune where no database is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.forge import Forge
from tests.pages import carry_out

pytestmark = pytest.mark.db

Run = Callable[..., Any]
NOWHERE = {"NEO4J_URI": "bolt://127.0.0.1:1", "NEO4J_USERNAME": "neo4j", "NEO4J_PASSWORD": "none"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trainer of the documentation."""
    folder = tmp_path_factory.mktemp("recipe")
    shutil.copy(ROOT / "tests" / "examples" / "my_trainer.py", folder)
    return folder


@pytest.fixture(scope="module")
def bundle(command: Run, place: Path) -> Path:
    """A net, trained and pruned by that trainer where no database answers."""
    for line in (
        "train cnngraph:vgg11 --width 0.125 --data digits --epochs 1 --trainer my_trainer:fit --out vgg11",
        "prune vgg11 --remove-layer features.8 --to-bundle slim --epochs 1 --trainer my_trainer:fit --json",
    ):
        done = command(*line.split(), cwd=place, env=NOWHERE)
        assert done.code == 0, done.err
    result = done.json
    assert result["removed"] == ["features.8"]
    assert result["verified"] == {"max_abs_diff": None, "train_forward": True, "save_load": True, "export": True}
    assert result["control"]["parameters"] == result["before"]["parameters"] > result["after"]["parameters"]
    assert done.err.count("epoch 1: ") == 2  # the pruned net and the control, by the user's own function
    training = json.loads((place / "slim" / "model" / "model.json").read_text())["training"]
    assert training["trainer"] == "my_trainer:fit"
    assert len(training["trainer_sha256"]) == 64
    return place / "slim"


def test_what_a_bundle_cannot_be_made_of(command: Run, bundle: Path, place: Path) -> None:
    how = {"cwd": place, "env": NOWHERE}
    graph = command("prune", "vgg11", "--ratio", 0.3, "--score", "strength", "--to-bundle", "other", **how)
    assert (graph.code, "--score strength is decided by the graph" in graph.err) == (2, True)
    taken = command("prune", "vgg11", "--remove-layer", "features.8", "--to-bundle", "slim", **how)
    assert (taken.code, "slim exists" in taken.err) == (1, True)
    path = command("prune", place / "vgg11", "--remove-layer", "features.8", **how)
    assert (path.code, "is a folder.\n  Add --to-bundle DIR" in path.err) == (2, True)


def test_a_bundle_brings_its_lineage_once(command: Run, database: Any, bundle: Path, place: Path) -> None:
    early = command("ingest", bundle, "--name", "own-slim")
    assert early.code == 3
    assert "The net that this one was pruned from is not in the database (weights sha256 " in early.err
    alone = command("ingest", bundle, "--name", "own-alone", "--without-parent", "--json")
    assert alone.code == 0, alone.err
    assert (alone.json["pruned_from"], alone.json["run"]) == (None, None)
    assert len(command("lineage", "own-alone", "--json").json["evaluations"]) == 1

    done = command("ingest", place / "vgg11", "--data", "digits", "--name", "own", "--view", "channels")
    assert done.code == 0, done.err
    dry = command("ingest", bundle, "--name", "own-slim", "--dry-run", "--json")
    assert (dry.code, dry.json["pruned_from"]) == (0, "tester/own")
    assert command("show", "own-slim").code == 3
    first = command("ingest", bundle, "--name", "own-slim", "--json")
    assert first.code == 0, first.err
    assert first.json["pruned_from"] == "tester/own"
    (parent,) = command("lineage", "own-slim", "--json").json["ancestors"]
    assert (parent["model"], parent["relation"], parent["run"]) == ("tester/own", "PRUNED_FROM", first.json["run"])
    assert parent["removed"] == ["features.8"]

    def everything() -> Any:
        return database.read("MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN count(DISTINCT n) AS n, count(r) AS r")

    written = everything()
    again = command("ingest", bundle, "--name", "own-slim", "--json")
    assert (again.code, again.json["action"], again.json["run"]) == (0, "nothing", first.json["run"])
    assert everything() == written
    taken = command("ingest", bundle, "--name", "own")
    assert (taken.code, "with other weights or data" in taken.err) == (1, True)


def test_a_damaged_card_is_refused(command: Run, bundle: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(bundle, tmp_path / "broken")
    card = json.loads((broken / "pruning.json").read_text())
    for content, said in (
        ("{", "it is not JSON"),
        (json.dumps(card | {"sha256": "0"}), "is the card of another net"),
        (json.dumps(card | {"version": 9}), "written by a newer cnngraph"),
        (json.dumps({**card, "after": 3}), "is damaged: after: "),
    ):
        (broken / "pruning.json").write_text(content)
        done = command("ingest", broken, "--name", "own-broken")
        assert (done.code, said in done.err) == (1, True), done.err


def test_the_commands_of_the_page(command: Run, forge: Forge, server: Any, tmp_path: Path) -> None:
    for example in ("my_trainer.py", "train_elsewhere.py"):
        shutil.copy(ROOT / "tests" / "examples" / example, tmp_path)
    assert len(carry_out("docs/own-recipe.md", tmp_path, command, forge)) == 10
    told = {name: command("lineage", name, "--json").json["ancestors"] for name in ("net-tuned", "net-mine", "net-gpu")}
    assert [row["relation"] for row in told["net-tuned"]] == ["ADOPTED_FROM", "PRUNED_FROM"]
    assert [(row["model"], row["method"]) for row in told["net-mine"]] == [("tester/net", "manual")]
    assert [(row["model"], row["method"]) for row in told["net-gpu"]] == [("tester/net", "multilayer")]
