"""``--value-range`` and ``--channels`` through the commands, and what travels with the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., Any]

NETS = """
from torch import nn

class Grey(nn.Sequential):
    def __init__(self, classes=2):
        head = nn.AdaptiveMaxPool2d(4), nn.Flatten(), nn.Linear(128, classes)
        super().__init__(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), *head)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ct``: Hounsfield units as int32, of which the upper half is brighter in one class; ``grey``: as 8-bit PNG."""
    root = tmp_path_factory.mktemp("scans")
    (root / "nets.py").write_text(NETS)
    rng = np.random.default_rng(0)
    for label in ("healthy", "lesion"):
        for kind in ("ct", "grey"):
            (root / kind / label).mkdir(parents=True)
        for number in range(24):
            hounsfield = -1000 + rng.normal(0, 8, (16, 16)).clip(-30, 30)
            hounsfield[:8] += 700 if label == "lesion" else 300
            Image.fromarray(hounsfield.round().astype(np.int32)).save(root / "ct" / label / f"{number}.tif")
            grey = (hounsfield + 1030) / 800 * 255
            Image.fromarray(grey.astype(np.uint8)).save(root / "grey" / label / f"{number}.png")
    return root


def test_the_range_is_asked_for_and_travels(command: Run, folder: Path) -> None:
    train = ["train", "python:nets:Grey", "--size", 16, "--data", "folder:ct", "--epochs", 30, "--batch-size", 8]
    done = command(*train, "--out", "ct-net", cwd=folder)
    assert done.code == 1 and "--value-range" in done.err and not (folder / "ct-net").exists()
    done = command(*train, "--out", "ct-net", "--value-range", -1000, -200, "--json", cwd=folder)
    assert done.code == 0, done.err
    assert done.json["accuracy"] == 1
    wanted = json.loads((folder / "ct-net" / "model.json").read_text())["preprocessing"]
    assert (wanted["channels"], wanted["value_range"]) == (1, [-1000, -200])
    done = command("evaluate", "ct-net", "--data", "folder:ct", "--json", cwd=folder)
    assert done.code == 0 and done.json["accuracy"] == 1
    done = command("evaluate", "ct-net", "--data", "folder:grey", cwd=folder)  # 8 bits by a range of Hounsfield units
    assert done.code == 1 and "0..255" not in done.out, (done.out, done.err)
    done = command("evaluate", "ct-net", "--data", "folder:grey", "--value-range", 0, 255, "--json", cwd=folder)
    assert done.code == 0, done.err
    done = command("ingest", "ct-net", "--data", "folder:ct", "--to-bundle", "bundle", cwd=folder)
    assert done.code == 0, done.err
    assert json.loads((folder / "bundle" / "model" / "model.json").read_text())["preprocessing"] == wanted
    assert json.loads((folder / "bundle" / "network.json").read_text())["details"]["preprocessing"] == wanted
    done = command("export", "ct-net", "--format", "pt2", "--out", "net.pt2", cwd=folder)
    assert done.code == 0, done.err
    import torch

    files = {"preprocessing.json": ""}
    torch.export.load(folder / "net.pt2", extra_files=files)
    assert json.loads(files["preprocessing.json"]) == wanted


@pytest.mark.parametrize("values", [(400, -1000), (5, 5), ("nan", 1), (0, "inf")])
def test_a_range_is_two_numbers_in_order(command: Run, folder: Path, values: tuple[object, object]) -> None:
    done = command("evaluate", "cnngraph:lenet5", "--data", "digits", "--value-range", *values, cwd=folder)
    assert done.code == 2 and "not two finite numbers" in done.err


def test_channels_that_are_not_the_nets(command: Run, folder: Path) -> None:
    how = ["--data", "folder:grey", "--size", 16]
    done = command("evaluate", "python:nets:Grey", *how, "--channels", 3, cwd=folder)
    assert done.code == 1 and "reads 1 channel, not 3" in done.err
    done = command("evaluate", "torchvision:resnet18", *how, "--channels", 1, cwd=folder)
    assert done.code == 2 and "reads 3 channels, always" in done.err
    done = command("evaluate", "cnngraph:lenet5", *how, "--channels", 5, "--json", cwd=folder)
    assert done.code == 0, done.err
