"""``cnngraph demo``, as ``make demo`` runs it: from nothing, after an interruption, and once more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.db

Run = Callable[..., Any]


def test_demo(command: Run, server: Any, session_home: Path) -> None:
    done = command("demo")
    assert done.code == 0, done.err
    shown = done.out
    for expected in (
        "The schedule",
        "Removed: ",
        "accuracy",
        "precision (macro)",
        "recall (macro)",
        "epoch (s)",
        "latency (ms",
        "parameters",
        "MACs",
        "control: the unpruned net",
        "points against the control",
        "Neo4j Browser: http",
        "password",
        "Your own net and folder:",
        "Stop it: cnngraph db down",
    ):
        assert expected in shown, shown
    assert len(re.findall(r"^MATCH", shown, flags=re.MULTILINE)) >= 3
    # Each step says the command that it stands for.
    for verb in ("train", "db up", "ingest", "plan", "prune", "report"):
        assert f"$ cnngraph {verb}" in done.err
    page = session_home / "demo" / "summary.html"
    assert "<svg" in page.read_text(encoding="utf-8")

    again = command("demo", "--json")
    assert again.code == 0, again.err
    result = json.loads(again.out)
    assert "It is there from an earlier run." in again.err
    assert result["after"]["parameters"] < result["before"]["parameters"]
    assert result["verified"] == {"max_abs_diff": None, "train_forward": True, "save_load": True, "export": True}
