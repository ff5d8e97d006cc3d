"""A database as a stream of bytes and back, with a double for the server's tool."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cnngraph.database.embedded import dump, server
from cnngraph.database.embedded.home import Home
from cnngraph.errors import DatabaseError
from cnngraph.settings import Settings

from .conftest import Notes

CONTENT = b"\x00\xff nodes and relationships" * 100_000  # more than a pipe holds


@pytest.fixture
def home(settings: Settings, notes: Notes) -> Home:
    """A prepared home whose server does not run."""
    with server.stopped(settings, notes) as home:
        server.provide(home, notes)
        home.prepare(notes)
    return home


def store(home: Home) -> Path:
    return home.folder / "data" / "databases" / "neo4j" / "store"


def test_what_is_loaded_is_dumped(home: Home, notes: Notes) -> None:
    dump.load(home, io.BytesIO(CONTENT), notes)
    assert store(home).read_bytes() == CONTENT
    pieces: list[bytes] = []
    dump.dump(home, pieces.append, notes)
    assert b"".join(pieces) == CONTENT
    assert notes.phases[-2:] == ["Loading the database (%)", "Dumping the database (%)"]
    assert notes.amount >= 200  # percent
    assert not (home.folder / "run" / "tool.args").exists()


def test_why_the_tool_failed_is_said(home: Home, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_DOUBLE", "dies")
    with pytest.raises(DatabaseError, match=r"cannot be loaded: the disk is on fire$"):
        dump.load(home, io.BytesIO(CONTENT), notes)
    with pytest.raises(DatabaseError, match=r"cannot be dumped: the disk is on fire$"):
        dump.dump(home, lambda _: None, notes)


def test_an_error_of_the_taker_ends_the_tool(home: Home, notes: Notes) -> None:
    dump.load(home, io.BytesIO(CONTENT), notes)

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        dump.dump(home, full, notes)
