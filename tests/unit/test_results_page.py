"""A section of docs/results.md is written anew; what a person changed in it is kept elsewhere, and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import read_section, write_section

BEGIN = "<!-- speed: written by benchmarks/speed.py -->"
PAGE = f"# Results\n\nMine.\n\n{BEGIN}\n\n<!-- end of speed -->\n\nMine, too.\n"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    written = tmp_path / "results.md"
    written.write_text(PAGE, encoding="utf-8")
    return written


def test_a_section_is_written_anew_and_all_else_stays(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_section("speed", "one", page) is None
    assert write_section("speed", "two\n\nthree", page) is None
    assert read_section("speed", page) == "two\n\nthree"
    around = page.read_text(encoding="utf-8")
    assert around.startswith(f"# Results\n\nMine.\n\n{BEGIN}\n")
    assert around.endswith("-->\n\nMine, too.\n")
    assert capsys.readouterr().err == ""
    assert [one.name for one in page.parent.iterdir()] == ["results.md"]


def test_what_a_person_changed_is_kept_and_said(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_section("speed", "one", page)
    page.write_text(page.read_text(encoding="utf-8").replace("one", "one, I think"), encoding="utf-8")
    kept = write_section("speed", "two", page)
    assert kept is not None
    assert kept.parent == page.parent
    assert kept.read_text(encoding="utf-8") == "one, I think\n"
    said = capsys.readouterr().err
    assert "results.md: the section speed was edited by hand" in said
    assert str(kept) in said
    assert read_section("speed", page) == "two"
    assert write_section("speed", "three", page) is None  # said once
    page.write_text(page.read_text(encoding="utf-8").replace("three", "3"), encoding="utf-8")
    other = write_section("speed", "four", page)
    assert other not in (None, kept)
    assert kept.read_text(encoding="utf-8") == "one, I think\n"


def test_a_section_without_a_hash_is_kept_too(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page.write_text(PAGE.replace(BEGIN, f"{BEGIN}\n\nfrom an older version"), encoding="utf-8")
    kept = write_section("speed", "new", page)
    assert kept is not None
    assert kept.read_text(encoding="utf-8") == "from an older version\n"
    assert "may have been edited by hand" in capsys.readouterr().err


def test_blanks_at_the_ends_of_lines_are_no_edit(page: Path) -> None:
    write_section("speed", "one  \ntwo", page)
    page.write_text(page.read_text(encoding="utf-8").replace("one  \n", "one\r\n"), encoding="utf-8", newline="")
    assert write_section("speed", "three", page) is None


def test_the_same_words_lose_nothing(page: Path) -> None:
    page.write_text(PAGE.replace(BEGIN, f"{BEGIN}\n\nold"), encoding="utf-8")
    assert write_section("speed", "old", page) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("# Results\n", id="none"),
        pytest.param(PAGE.replace(BEGIN, ""), id="no beginning"),
        pytest.param(f"<!-- end of speed -->\n{BEGIN}\nMine.\n", id="turned round"),
        pytest.param(PAGE + PAGE, id="twice"),
    ],
)
def test_a_page_without_one_such_section_is_refused(page: Path, text: str) -> None:
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="sections speed"):
        write_section("speed", "one", page)
    assert page.read_text(encoding="utf-8") == text
