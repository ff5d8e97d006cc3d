"""Nets, weights, bundles and plans that are there but unusable, up to the database: nothing is stored."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.db

Run = Callable[..., Any]

NETS = """
import torch
from torch import nn

def one_conv(classes):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))

class FailsInTrainMode(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        x = torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3))
        if self.training:
            raise RuntimeError("this net cannot be trained")
        return self.head(x)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with mynets.py, where commands are run."""
    made = tmp_path_factory.mktemp("nets")
    (made / "mynets.py").write_text(NETS)
    return made


def _ingest(command: Run, folder: Path, model: object, name: str, *more: object) -> Any:
    return command(
        "ingest", model, "--data", "digits", "--images-per-class", 5, "--name", name, "--size", 32, *more, cwd=folder
    )


def _refused(done: Any, code: int, said: str) -> None:
    assert done.code == code, (done.code, done.out, done.err)
    assert said in done.err, done.err
    assert "Traceback" not in done.err


def test_a_net_with_one_conv_has_nothing_to_decide(command: Run, server: Any, folder: Path) -> None:
    assert _ingest(command, folder, "python:mynets:one_conv", "one-conv").code == 0
    for arguments in (("plan", "one-conv"), ("prune", "one-conv", "--remove-layer", "0", "--no-retrain")):
        done = command(*arguments, cwd=folder)
        assert done.code == 1, (done.out, done.err)
        assert "Traceback" not in done.err


def test_a_failed_proof_stores_nothing(command: Run, server: Any, folder: Path) -> None:
    assert _ingest(command, folder, "python:mynets:FailsInTrainMode", "fails").code == 0
    done = command("prune", "fails", "--remove-layer", "b", "--no-retrain", "--as", "fails-slim", cwd=folder)
    _refused(done, 5, "cannot be trained")
    assert command("show", "fails-slim").code == 3
    assert command("show", "fails", "--json").json["pruning_runs"] == 0


def test_wrong_input_size(command: Run, server: Any, folder: Path) -> None:
    done = command(
        "ingest", "torchvision:alexnet", "--data", "digits", "--images-per-class", 2, "--name", "small", "--size", 16
    )
    assert done.code == 1, done.err
    assert "size" in done.err
    assert command("show", "small").code == 3


def test_weights_that_do_not_fit(command: Run, server: Any, folder: Path) -> None:
    from cnngraph.models.registry import build

    torch.save(build("cnngraph:lenet5", classes=7).state_dict(), folder / "seven.pt")
    done = _ingest(command, folder, "cnngraph:lenet5", "seven", "--weights", folder / "seven.pt")
    _refused(done, 1, "--new-head")
    assert (
        _ingest(command, folder, "cnngraph:lenet5", "seven", "--weights", folder / "seven.pt", "--new-head").code == 0
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(command: Run, server: Any, folder: Path, value: float) -> None:
    from cnngraph.models.registry import build

    state = build("cnngraph:lenet5", classes=10).state_dict()
    state[next(iter(state))][0] = value
    torch.save(state, folder / "broken.pt")
    done = _ingest(command, folder, "cnngraph:lenet5", "broken", "--weights", folder / "broken.pt")
    assert done.code == 1, done.err
    assert command("show", "broken").code == 3


def test_a_bundle_that_contradicts_itself(command: Run, server: Any, folder: Path) -> None:
    bundle = folder / "bundle"
    done = command(
        "ingest", "cnngraph:lenet5", "--data", "digits", "--images-per-class", 5, "--to-bundle", bundle, cwd=folder
    )
    assert done.code == 0, done.err
    shutil.copy(bundle / "classes.parquet", bundle / "arcs.parquet")
    done = command("ingest", bundle, "--name", "from-bundle")
    assert done.code == 1, done.err
    assert "arcs" in done.err
    assert command("show", "from-bundle").code == 3


@pytest.fixture(scope="module")
def lenet(command: Run, server: Any, folder: Path) -> str:
    """A small model that plans can be wrong about."""
    assert _ingest(command, folder, "cnngraph:vgg11", "wrong-plans", "--width", 0.0625).code == 0
    return "wrong-plans"


@pytest.mark.parametrize(
    ("removes", "said"),
    [
        (["features.33"], "features.3"),
        ([f"features.{i}" for i in (0, 3, 6, 8, 11, 13, 16, 18)], "all"),
        (["classifier.0"], "classifier.0"),
    ],
)
def test_plans_that_cannot_be_carried_out(
    command: Run, lenet: str, tmp_path: Path, removes: list[str], said: str
) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"removes": [{"layer": layer} for layer in removes]}))
    _refused(command("prune", lenet, "--plan", tmp_path / "plan.json", "--no-retrain"), 1, said)


def test_a_layer_named_by_hand_that_is_not_there(command: Run, lenet: str) -> None:
    _refused(command("prune", lenet, "--remove-layer", "features.33", "--no-retrain"), 3, "features.3")
    _refused(command("prune", lenet, "--remove-block", "layer9.9", "--no-retrain"), 3, "layer9.9")


def test_another_architectures_plan(command: Run, lenet: str, tmp_path: Path) -> None:
    plan = {"architecture": "cnngraph:resnet20", "removes": [{"layer": "features.3"}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    _refused(command("prune", lenet, "--plan", tmp_path / "plan.json", "--no-retrain"), 1, "resnet20")


def test_two_ingests_of_one_name_at_once(command: Run, server: Any, folder: Path) -> None:
    executable = shutil.which("cnngraph", path=str(Path(sys.executable).parent))
    assert executable
    base = [executable, "ingest", "cnngraph:vgg11", "--data", "digits", "--images-per-class", "20", "--size", "32"]
    arguments = [*base, "--name", "at-once"]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "env": os.environ}
    with subprocess.Popen(arguments, **streams) as one, subprocess.Popen(arguments, **streams) as two:
        said = [one.communicate()[1], two.communicate()[1]]
    codes = sorted([one.returncode, two.returncode])
    # The second is refused while the first writes; where it came only afterwards, it found nothing to do.
    assert codes in ([0, 1], [0, 0]), said
    assert "Traceback" not in "".join(said)
    again = command(*arguments[1:], "--json")
    assert again.code == 0, again.err
    assert again.json["action"] == "nothing"
