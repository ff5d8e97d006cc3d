"""The documentation is true: every command of the README runs, the page of commands is the commands' own help."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.pages import carry_out

Run = Callable[..., Any]

MYNET = """
from torch import nn

def build(classes):
    def unit(i, o):
        return [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(
        *unit(3, 8), nn.MaxPool2d(4), *unit(8, 16), *unit(16, 16),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes),
    )
"""


@pytest.mark.db
def test_every_command_of_the_readme(installed: Run, server: Any, tmp_path: Path) -> None:
    """By the installed program; the other pages take processes that have torch already."""
    (tmp_path / "mynet.py").write_text(MYNET)
    for i in range(36):
        file = tmp_path / "photos" / "abc"[i % 3] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 60), (80 * (i % 3) + i, 10, 200 - 5 * i)).save(file)
    assert len(carry_out("README.md", tmp_path, installed, scripts=False)) >= 14
    assert (tmp_path / "tour.html").is_file()


def test_the_page_of_commands_is_current() -> None:
    import runpy

    made = runpy.run_path(str(ROOT / "scripts" / "commands_page.py"))["page"]()
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert made == written, "run: python scripts/commands_page.py"


def test_help_names_every_measure() -> None:
    from cnngraph.cli.options import MEASURE_NAMES
    from cnngraph.measures.registry import MEASURES
    from cnngraph.vocabulary import UNRANKED_MEASURES

    named = re.findall(r"[a-z-]+", MEASURE_NAMES.replace("to compare with", "").replace("of filters", ""))
    assert set(named) == {*MEASURES, *UNRANKED_MEASURES}


def test_links_of_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} -> {target}"
