"""docs/architecture.md is what the code is, and its method in one file works."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest
from torch import nn

from cnngraph import save
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.surgery.saved import load
from tests.conftest import ROOT
from tests.pages import blocks

PAGE = ROOT / "docs" / "architecture.md"


def test_the_map_and_the_table_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert run_path(str(ROOT / "scripts" / "architecture_page.py"))["page"](text) == text


def test_no_room_imports_one_that_imports_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    arrows = [line.split(" --> ") for line in text.splitlines() if " --> " in line]
    after: dict[str, set[str]] = {}
    for room, other in arrows:
        after.setdefault(room.strip(), set()).add(other.strip())
    for room in after:
        seen, left = set(), list(after[room])
        while left:
            one = left.pop()
            if one not in seen:
                seen.add(one)
                left += after.get(one, set())
        assert room not in seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the package, and a saved net beside it."""
    shutil.copytree(ROOT / "cnngraph", tmp_path / "cnngraph", ignore=shutil.ignore_patterns("__pycache__"))
    net = build("cnngraph:vgg11", classes=10, width=0.125, seed=0)
    channels = next(net.parameters()).shape[1]
    preprocessing = Preprocessing(channels=channels, size=(32, 32), mean=(0.5,) * channels, std=(0.5,) * channels)
    classes = tuple(str(digit) for digit in range(10))
    save(net, tmp_path / "net", preprocessing=preprocessing, classes=classes, dataset="digits", trained=False)
    return tmp_path


def test_a_method_is_one_file_and_one_line(folder: Path) -> None:
    (_, file), (_, line), (_, commands) = blocks("docs/architecture.md")
    (folder / "cnngraph/pruning/methods/deepest.py").write_text(file, encoding="utf-8")
    registry = folder / "cnngraph/pruning/registry.py"
    text = registry.read_text(encoding="utf-8")
    listed = re.compile(r"^_FILES = \(.*?^\)$", flags=re.MULTILINE | re.DOTALL)
    registry.write_text(listed.sub(line.rstrip(), text, count=1), encoding="utf-8")
    home = {"PYTHONPATH": str(folder), "CNNGRAPH_HOME": str(folder / "home")}
    for command in commands.strip().splitlines():
        ran = [sys.executable, "-c", "from cnngraph.cli.main import main; main()", *shlex.split(command)[1:]]
        done = subprocess.run(ran, cwd=folder, env=os.environ | home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    nets = [load(folder / path) for path in ("net", "slim/model", "slimmer/model")]
    convs = [sum(isinstance(module, nn.Conv2d) for module in net.modules()) for net in nets]
    assert convs[1] == convs[0] - 1
    assert convs[2] < convs[0]
    told = subprocess.run(
        [sys.executable, "-c", "from cnngraph.cli.main import main; main()", "plan", "--help"],
        cwd=folder,
        env=os.environ | home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Of --method deepest" in told.stdout
    assert "--spare" in told.stdout
