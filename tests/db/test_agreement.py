"""The agreement of a prune, and what its figures were found on: in words, JSON, graph and report, also by a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.db

Run = Callable[..., Any]
HARSH = ("--remove-layer", "features.8", "--remove-layer", "features.11", "--remove-layer", "features.13")
KEYS = {"images", "images_from", "same_class", "kl", "correlation", "chance", "unrelated"}

NETS = """
import torch
from torch import nn
from torch.nn import functional as F

class Body(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.fc = nn.Linear(4, classes)

    def features(self, x):
        return torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3))

class Always(Body):
    def forward(self, x):
        return self.fc(F.dropout(self.features(x), 0.2))

class Named(Body):
    def forward(self, x):
        f = self.features(x)
        return {"features": f, "answer": self.fc(f)}

class Maps(Body):
    def forward(self, x):
        return self.b(self.a(x))
"""


@pytest.fixture(scope="module")
def saved(command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("agreement") / "vgg11"
    how = ("--data", "digits", "--epochs", 2, "--learning-rate", 0.003)
    done = command("train", "cnngraph:vgg11", "--width", 0.125, *how, "--out", out)
    assert done.code == 0, done.err
    return out


@pytest.fixture(scope="module")
def name(command: Run, server: Any, saved: Path) -> str:
    done = command("ingest", saved, "--data", "digits", "--name", "agree", "--view", "positions")
    assert done.code == 0, done.err
    return "agree"


def test_a_prune_says_it_in_json_graph_and_report(command: Run, database: Any, name: str, tmp_path: Path) -> None:
    done = command("prune", name, "--remove-layer", "features.8", "--no-retrain", "--as", "agree-one", "--json")
    assert done.code == 0, done.err
    found = done.json["agreement"]
    assert set(found) == KEYS
    assert found["images"] == found["images_from"]["images"] > 100
    assert found["images_from"]["part"] == "validation"
    assert done.json["after"]["images_from"]["part"] == "test"
    assert "Old and new net before any training" in done.err
    row = database.read(
        "MATCH (e:Evaluation {model: 'tester/agree-one'}) WHERE e.agreementImages IS NOT NULL RETURN e {.*} AS e"
    )
    assert len(row) == 1
    kept = row[0]["e"]
    for key, spelled in (
        ("same_class", "SameClass"),
        ("kl", "Kl"),
        ("correlation", "Correlation"),
        ("chance", "Chance"),
    ):
        assert kept[f"agreement{spelled}"] == found[key]
    assert kept["agreementTakenFrom"] == found["images_from"]["taken_from"]
    assert kept["trainedOn"] == done.json["after"]["images_from"]["trained_on"]
    assert command("report", "agree-one", "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert f"the same class for {100 * found['same_class']:.1f} % of them" in page
    assert "Judged on" in page


def test_nothing_left_is_said_loudly_and_is_no_failure(command: Run, name: str) -> None:
    done = command("prune", name, *HARSH, "--init", "inherit", "--no-retrain", "--as", "agree-none", "--json")
    assert done.code == 0, done.err
    assert done.json["agreement"]["unrelated"]
    assert "warning: what is left has hardly anything to do with the old net" in done.err
    done = command("prune", name, *HARSH, "--init", "reset", "--no-retrain", "--as", "agree-reset", "--json")
    assert done.code == 0, done.err
    assert "hardly anything" not in done.err
    assert "That is expected: --init reset" in done.err


def test_a_bundle_brings_it_along(command: Run, database: Any, name: str, saved: Path, tmp_path: Path) -> None:
    how = ("--remove-layer", "features.11", "--no-retrain", "--to-bundle", tmp_path / "slim", "--json")
    done = command("prune", saved, *how)
    assert done.code == 0, done.err
    found = done.json["agreement"]
    assert set(found) == KEYS
    done = command("ingest", tmp_path / "slim", "--name", "agree-bundle", "--json")
    assert done.code == 0, done.err
    row = database.read(
        "MATCH (e:Evaluation {model: 'tester/agree-bundle'}) RETURN e.agreementKl AS kl, e.agreementImages AS images"
    )
    assert row == [{"kl": found["kl"], "images": found["images"]}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with own nets, where commands are run."""
    made = tmp_path_factory.mktemp("own")
    (made / "agreenets.py").write_text(NETS)
    return made


def _train(command: Run, folder: Path, net: str) -> Any:
    how = ("--data", "digits", "--size", 32, "--images-per-class", 12, "--epochs", 1, "--out", folder / net)
    return command("train", f"python:agreenets:{net}", *how, "--json", cwd=folder)


def test_a_dict_with_one_matrix_of_logits_goes_through_the_chain(command: Run, server: Any, folder: Path) -> None:
    done = _train(command, folder, "Named")
    assert done.code == 0, done.err
    assert "output['answer'] is taken" in done.err
    how = ("--data", "digits", "--images-per-class", 12, "--name", "agree-named", "--view", "positions")
    assert command("ingest", folder / "Named", *how, cwd=folder).code == 0
    done = command(
        "prune", "agree-named", "--remove-layer", "a", "--epochs", 1, "--as", "named-slim", "--json", cwd=folder
    )
    assert done.code == 0, done.err
    assert done.json["verified"]["save_load"]
    assert set(done.json["agreement"]) == KEYS
    assert command("verify", "named-slim", cwd=folder).code == 0


def test_a_segmenter_is_refused_before_it_is_trained_and_can_be_mapped(command: Run, server: Any, folder: Path) -> None:
    done = _train(command, folder, "Maps")
    assert done.code == 1
    assert "The net's output is no matrix of logits (images, 10)" in done.err
    assert "Traceback" not in done.err
    assert not (folder / "Maps").exists()
    how = ("--data", "digits", "--size", 32, "--images-per-class", 12, "--name", "agree-maps", "--view", "positions")
    done = command("ingest", "python:agreenets:Maps", *how, cwd=folder)
    assert done.code == 0, done.err
    assert "no matrix of logits" in done.err
    done = command("prune", "agree-maps", "--remove-layer", "a", "--no-retrain", cwd=folder)
    assert done.code == 1
    assert "no matrix of logits" in done.err


def test_a_random_net_is_named_by_its_line(command: Run, server: Any, folder: Path) -> None:
    done = _train(command, folder, "Always")
    assert done.code == 0, done.err
    assert "warning: The net gives other outputs for the same images each time" in done.err
    how = ("--data", "digits", "--images-per-class", 12, "--name", "agree-always", "--view", "positions")
    assert command("ingest", folder / "Always", *how, cwd=folder).code == 0
    done = command("prune", "agree-always", "--remove-layer", "b", "--no-retrain", cwd=folder)
    assert done.code == 1
    assert "agreenets.py:" in done.err
    assert "F.dropout(self.features(x), 0.2)" in done.err
    assert "Remove other layers" not in done.err
