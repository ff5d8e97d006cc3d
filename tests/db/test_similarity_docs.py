"""docs/similarity.md as it stands, and the numbers that it prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.forge import Forge
from tests.pages import blocks, carry_out

PAGE = "docs/similarity.md"


def test_the_numbers_in_the_text_are_those_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    scripts = [text for language, text in blocks(PAGE) if language == "python"]
    for script in scripts[:2]:
        exec(compile(script, PAGE, "exec"), {})
        said = [float(number) for number in re.findall(r"-?\d\.\d+", capsys.readouterr().out)]
        # What stands behind # in the page, in order; "about 0" is a number of its own.
        lines = [line.partition("#")[2] for line in script.splitlines() if line.startswith("print(")]
        written = [number for line in lines for number in re.findall(r"\d\.\d+|about 0", line)]
        assert len(said) == len(written)
        for number, text in zip(said, written, strict=True):
            digits = 1 if text == "about 0" else len(text.split(".")[1])
            wanted = 0.0 if text == "about 0" else float(text)
            assert number == pytest.approx(wanted, abs=0.6 * 10**-digits)


@pytest.mark.db
def test_the_page(command: Callable[..., Any], forge: Forge, server: Any, tmp_path: Path) -> None:
    ran = carry_out(PAGE, tmp_path, command, forge)
    assert len(ran) == 5
    lineage = command("lineage", "alike20-slim", "--json").json
    assert [parent["method"] for parent in lineage["ancestors"]] == ["similarity"]


def test_the_page_is_reached_from_the_measures() -> None:
    assert "similarity.md" in (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
