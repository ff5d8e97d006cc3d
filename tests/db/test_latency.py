"""Targets of speed and size in the database, and the commands of docs/latency.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.forge import Forge
from tests.pages import carry_out

pytestmark = pytest.mark.db

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page was carried out: a trained resnet20, in the database as ``fast``, and what came of it."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("latency")
    assert len(carry_out("docs/latency.md", folder, command, forge)) >= 10
    return folder


def test_the_commands_of_the_page(command: Run, folder: Path) -> None:
    assert (folder / "table.csv").read_text().startswith("layer,milliseconds\nconv1,")
    plan = json.loads((folder / "faster.json").read_text())
    assert plan["settings"]["target"]["kind"] == "speedup"
    assert len(plan["settings"]["target"]["measured"]) >= 2
    found = {row["name"]: row for row in command("list", "--json").json["models"]}
    assert found["fast-macs"]["macs"] / found["fast"]["macs"] == pytest.approx(0.6, rel=0.15)
    assert found["fast-filters"]["parameters"] / found["fast"]["parameters"] == pytest.approx(0.5, rel=0.15)


def test_a_speed_up_of_filters_makes_its_statement(command: Run, folder: Path) -> None:
    done = command("plan", "fast", "--target-speedup", 1.1, "--score", "random", "--round-to", 2, "--json", cwd=folder)
    if done.code == 1:  # a net this narrow may gain nothing on this machine; then the most is said
        assert "out of reach: the most is a speed-up of" in done.err
        return
    assert done.code == 0, done.err
    plan = done.json
    assert plan["settings"]["target"]["value"] == 1.1
    assert plan["settings"]["latency"]["runtime"] == "eager"
    assert any("wanted was a speed-up of 1.10" in note for note in plan["notes"])
    assert any(re.search(r"Latency .* ms -> .* ms", note) for note in plan["notes"])


@pytest.mark.parametrize(
    ("rows", "said"), [("conv9,1\nlayer9,2\n", "conv9, layer9"), ("conv1,fast\n", "row 2: 'conv1,fast'")]
)
def test_a_table_that_does_not_fit_is_exit_1(command: Run, folder: Path, tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(f"layer,milliseconds\n{rows}")
    done = command("plan", "fast", "--target-speedup", 2, "--latency-table", tmp_path / "t.csv", cwd=folder)
    assert done.code == 1
    assert said in done.err


def test_more_than_can_be_reached_is_exit_1(command: Run, folder: Path) -> None:
    done = command("prune", "fast", "--target-macs", 0.0001, "--no-retrain", cwd=folder)
    assert done.code == 1
    assert "out of reach: the most is" in done.err
