"""The file of a backup: whole or not there, and refused where it is not exactly what was written."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnngraph.console import Quiet
from cnngraph.database.embedded import archive
from cnngraph.database.embedded.archive import DUMP, Manifest
from cnngraph.errors import CnngraphError, NotFoundError

from .conftest import Notes

MODEL = "0123456789abcdef" * 4
BYTES = b"what the server's tool gave" * 1000


def write_all(sink: Any, *pieces: bytes) -> None:
    for piece in pieces:
        sink.write(piece)


def write(target: Path, tmp_path: Path) -> Manifest:
    """A backup with a dump and a model of two files."""
    saved = tmp_path / "weights"
    saved.write_bytes(b"w" * 3_000_000)
    manifest = Manifest("5.26.30", "2.13.9", "2026-11-29T20:00:00+00:00", 3, 2, ["ada/one"])
    with archive.written(target) as writer:
        writer.add(DUMP, lambda sink: write_all(sink, BYTES[:100], BYTES[100:]))
        writer.add_file(f"models/{MODEL}/weights.safetensors", saved, Quiet())
        writer.add_file(f"models/{MODEL}/model.json", saved, Quiet())
        writer.close(manifest)
    return manifest


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    write(tmp_path / "a.backup", tmp_path)
    return tmp_path / "a.backup"


def test_what_was_written_is_read_back(backup: Path, tmp_path: Path, notes: Notes) -> None:
    found = archive.verify(backup, notes)
    assert (found.neo4j, found.nodes, found.relationships, found.models) == ("5.26.30", 3, 2, ["ada/one"])
    assert found.saved_models == {MODEL}
    assert notes.amount == pytest.approx(6.0 + len(BYTES) / 1e6)
    with archive.open_dump(backup) as dump:
        assert dump.read() == BYTES
    (place,) = archive.extract_models(backup, found.saved_models, tmp_path / "out")
    assert {path.name: path.stat().st_size for path in place.iterdir()} == {
        "weights.safetensors": 3_000_000,
        "model.json": 3_000_000,
    }


def test_its_owner_alone_may_read_it_and_nothing_is_left_beside_it(backup: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert not list(backup.parent.glob(".*"))


def test_an_error_leaves_what_was_before(backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(KeyboardInterrupt), archive.written(backup) as writer:
        writer.add(DUMP, lambda sink: write_all(sink, b"half"))
        raise KeyboardInterrupt
    assert backup.read_bytes() == before
    assert not list(backup.parent.glob(".*"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2_000_000] ^= 1
    path.write_bytes(content)


def replace(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Write the zip anew, valid in itself, with one file changed."""

    def work(path: Path) -> None:
        with zipfile.ZipFile(path) as old:
            content = {entry: old.read(entry) for entry in old.namelist()}
        content[name] = change(content.get(name, b""))
        with zipfile.ZipFile(path, "w") as new:
            for entry, data in content.items():
                new.writestr(entry, data)

    return work


def manifest_with(**more: object) -> Callable[[Path], None]:
    return replace("backup.json", lambda data: json.dumps(json.loads(data) | more).encode())


def lead_away(data: bytes) -> bytes:
    content = json.loads(data)
    content["files"]["../../evil"] = ["0" * 64, 1]
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (cut, "no backup of cnngraph, or it is damaged"),
        (flip, "damaged"),
        (lambda path: path.write_bytes(b"no zip"), "no backup of cnngraph"),
        (lambda path: path.write_bytes(b""), "no backup of cnngraph"),
        (replace(DUMP, lambda data: data[:-1] + b"x"), "damaged: neo4j.dump is not what was written"),
        (replace("more", lambda _: b"x"), "damaged: other files are in it than it names"),
        (replace("backup.json", lambda _: b"{}"), "is no backup of cnngraph"),
        (replace("backup.json", lambda _: b"[1]"), "is no backup of cnngraph"),
        (replace("backup.json", lead_away), "is no backup of cnngraph"),
        (manifest_with(kind="another"), "is no backup of cnngraph"),
        (manifest_with(more=1), "is no backup of cnngraph"),
        (manifest_with(format=2), "made by a newer cnngraph"),
    ],
)
def test_what_is_not_whole_or_not_ours_is_refused(backup: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(backup)
    with pytest.raises(CnngraphError, match=said) as caught:
        archive.verify(backup, Quiet())
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no backup .*none"):
        archive.verify(tmp_path / "none", Quiet())


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CnngraphError, match="cannot be written"), archive.written(tmp_path / "none" / "a") as writer:
        writer.close(Manifest("", "", "", 0, 0, []))
