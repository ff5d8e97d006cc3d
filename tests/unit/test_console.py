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


NAMES = [f"group-of-the-institute/resnet152-pneumonia-{number:03d}-{'long' * 12}" for number in range(150)]


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [60, 100])
@pytest.mark.parametrize(
    ("headers", "rows"),
    [
        (("name", "accuracy", "macs"), [(name, 0.91234, 10**11) for name in NAMES]),
        (("threshold", "removed"), [(0.1, ", ".join(f"layer{number}.conv1" for number in range(150)))]),
        (("key", "method", "removed", "produced"), [(NAMES[0], "multilayer", ", ".join(NAMES[:5]), NAMES[1])]),
        (tuple(f"figure_{letter}" for letter in "abcdefghijklmno"), [tuple(range(10**9, 10**9 + 15))]),
        (("sha256",), [("0123456789abcdef" * 16,)]),
    ],
    ids=["150 long names", "150 layers", "keys", "15 large numbers", "no place to break"],
)
def test_tables_fit_and_nothing_is_cut(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    columns: int,
    headers: tuple[str, ...],
    rows: list[tuple[object, ...]],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    console.table(headers, rows)
    lines = printed(capsys)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    for row in rows:
        for cell in row:
            if isinstance(cell, int | float):
                assert console.number(cell) in text
    # every word is there whole, or broken over lines of its own column
    letters = sorted(sign for sign in text if sign.isalnum())
    wanted = "".join([*headers, *(console.number(cell) for row in rows for cell in row)])
    for sign in set(wanted):
        if sign.isalnum():
            assert letters.count(sign) >= wanted.count(sign), sign


def test_numbers_stand_under_each_other(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    console.table(("layer", "theta"), [("a", 3.776), ("b", 25.3), ("c", None), ("d", 12)])
    assert printed(capsys)[2:] == ["a       3.776", "b      25.3", "c       -", "d      12"]


def test_text_is_wrapped_and_its_lines_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    console.line("short\n  indented " + "word " * 12)
    lines = printed(capsys)
    assert lines[0] == "short" and all(text.startswith("  ") for text in lines[1:]) and max(map(len, lines)) <= 40
