"""What a backup and a restore refuse before anything is started or written; no server is needed for that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cnngraph.console import Quiet
from cnngraph.database.embedded import archive
from cnngraph.database.embedded.archive import DUMP, Manifest
from cnngraph.errors import CnngraphError, ConflictError, DatabaseError, NotFoundError, UsageError
from cnngraph.jobs.backup import back_up
from cnngraph.jobs.restore import has_database, restore
from cnngraph.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(None, "neo4j", None, None, "tester", tmp_path / "home", tmp_path / "cache")


def made_by(version: str, target: Path) -> Path:
    """A backup whose dump no server made."""
    dump = target.with_name("dump")
    dump.write_bytes(b"dump")
    with archive.written(target) as writer:
        writer.add_file(DUMP, dump, Quiet())
        writer.close(Manifest(version, "", "", 0, 0, []))
    return target


def test_a_server_of_ones_own_is_backed_up_where_it_is(settings: Settings, tmp_path: Path) -> None:
    theirs = replace(settings, uri="neo4j://graph.example:7687")
    for work in (back_up, restore):
        with pytest.raises(UsageError, match="Only the embedded database") as caught:
            work(theirs, tmp_path / "a")
        assert "neo4j-admin database" in caught.value.hint


def test_a_file_that_is_there_is_kept(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("precious")
    with pytest.raises(ConflictError, match="is there already") as caught:
        back_up(settings, tmp_path / "a")
    assert "--force" in caught.value.hint
    with pytest.raises(ConflictError, match="is a folder"):
        back_up(settings, tmp_path, force=True)
    with pytest.raises(NotFoundError, match="There is no folder"):
        back_up(settings, tmp_path / "none" / "a")
    assert not settings.home.exists()


@pytest.mark.parametrize(
    ("chosen", "version", "hint"),
    [
        ("default", "2026.08.1", "CNNGRAPH_SERVER=latest"),
        ("default", "5.26.31", "Upgrade cnngraph"),
        ("latest", "2099.01.0", "Upgrade cnngraph"),
    ],
)
def test_a_newer_neo4js_backup_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, version: str, hint: str
) -> None:
    monkeypatch.setenv("CNNGRAPH_SERVER", chosen)
    with pytest.raises(DatabaseError, match=rf"is that of Neo4j {version}; Neo4j .* cannot read it\.") as caught:
        restore(settings, made_by(version, tmp_path / "a"))
    assert hint in caught.value.hint
    assert not settings.home.exists()


def test_a_database_that_is_there_is_kept(settings: Settings, tmp_path: Path) -> None:
    assert not has_database(settings)
    (settings.home / "server" / "data" / "databases" / "neo4j").mkdir(parents=True)
    assert has_database(settings)
    with pytest.raises(ConflictError, match="There is a database in") as caught:
        restore(settings, made_by("5.26.30", tmp_path / "a"))
    assert "--yes" in caught.value.hint


def test_a_damaged_backup_is_refused_before_all_else(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(made_by("5.26.30", tmp_path / "b").read_bytes()[:-1])
    with pytest.raises(CnngraphError, match="damaged"):
        restore(settings, tmp_path / "a", replace=True)
    assert not settings.home.exists()
