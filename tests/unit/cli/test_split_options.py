"""Layouts, split files, groups and ``-v`` on the command line, right through ``train`` and ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., Any]

NET = ("cnngraph:lenet5", "--width", "0.5", "--size", "32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("exam", "test", "quiz"):
        for number in range(12):
            file = tmp_path / "sheets" / name / f"p{number // 2}-{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (8, 8)).astype(np.uint8)).save(file)
    (tmp_path / "sheets" / "exam" / ".thumbs").mkdir()
    return tmp_path


def test_from_a_layout_to_a_judgement(command: Run, folder: Path) -> None:
    refused = command("evaluate", *NET, "--data", "folder:sheets", cwd=folder)
    assert refused.code == 1
    assert refused.err.splitlines()[-2:][0].endswith("is it a part or a class?")
    options = ("--data", "folder:sheets", "--layout", "classes", "--group-by", "(p[0-9]+)")
    made = command("train", *NET, *options, "--epochs", "1", "--out", "net", "--json", cwd=folder)
    assert made.code == 0, made.err
    assert made.json["images_from"] | {"images": 0} == {
        "part": "test", "images": 0, "taken_from": "split", "trained_on": "no",
    }  # fmt: skip
    # What it was trained with holds without being typed again, by whatever path.
    judged = command("evaluate", "net", "--data", f"folder:{folder}/sheets", "-v", "--json", cwd=folder)
    assert judged.code == 0, judged.err
    assert judged.json["images_from"] == made.json["images_from"]
    assert judged.json["accuracy"] == made.json["accuracy"]
    assert "Passed over: 1 hidden files and folders." in judged.err
    quiet = command("evaluate", "net", "--data", "folder:sheets", cwd=folder)
    assert "Passed over" not in quiet.err
    assert f"Judged on {made.json['images_from']['images']} test images" in quiet.err


def test_a_split_file_that_is_not_there(command: Run, folder: Path) -> None:
    found = command("evaluate", *NET, "--data", "folder:sheets", "--split-file", "none.csv", cwd=folder)
    assert (found.code, "There is no split file none.csv" in found.err) == (3, True)
