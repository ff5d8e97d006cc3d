"""What a person sees: progress in one style, tables that fit."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from cnngraph import console

SOURCE = Path(console.__file__).parent


def test_progress_is_said_in_one_form() -> None:
    """Every phase begins with a capital and a verb in its -ing form, wherever it is started."""
    for path in SOURCE.rglob("*.py"):
        for text in re.findall(r'\.start\(\s*f?"([^"]*)"', path.read_text(encoding="utf-8")):
            assert re.match(r"[A-Z]\w*ing\b", text), f"{path.name}: {text}"


def test_a_long_phase_gives_a_sign_of_life(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "SILENCE", 0.3)
    with console.progress() as shown:
        shown.start("Mapping images", 40)
        shown.advance(10)
        time.sleep(1.2)
        shown.start("Writing arcs")
    first, *signs, last = capsys.readouterr().err.splitlines()
    assert (first, last) == ("Mapping images", "Writing arcs")
    assert signs and all(re.fullmatch(r"Mapping images goes on: \d s, 10 of 40", line) for line in signs)


def test_short_phases_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as shown:
        for what in ("Reading the model", "Rebuilding"):
            shown.start(what)
        shown.note("A remark.")
    assert capsys.readouterr().err.splitlines() == ["Reading the model", "Rebuilding", "A remark."]
