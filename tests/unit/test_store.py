"""Saved models at an address: whole, hashed, and fetched where they are not here."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from cnngraph.errors import CnngraphError, ModelError, UsageError
from cnngraph.storage import Storage
from cnngraph.store import Store, check_address


def saved(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(b"weights")
    return folder


def storage(tmp_path: Path, name: str) -> Storage:
    return Storage(tmp_path / name, store=Store(f"local://{tmp_path}/store"))


def test_what_one_machine_adds_another_fetches(tmp_path: Path) -> None:
    content = storage(tmp_path, "ada").add(saved(tmp_path / "net"))
    other = storage(tmp_path, "bob")
    assert content in other
    assert not other.is_here(content)
    assert other.size(content) == len("{}weights")
    assert (other.find(content, "ada/net") / "weights.safetensors").read_bytes() == b"weights"
    assert other.is_here(content)
    assert sorted(path.name for path in (tmp_path / "store" / "models" / content).iterdir()) == [
        "model.json",
        "weights.safetensors",
    ]


def test_another_file_is_refused_and_named(tmp_path: Path) -> None:
    content = storage(tmp_path, "ada").add(saved(tmp_path / "net"))
    (tmp_path / "store" / "models" / content / "weights.safetensors").write_bytes(b"others")
    other = storage(tmp_path, "bob")
    with pytest.raises(ModelError, match=f"gives another saved model for ada/net: models/{content} has the sha256 "):
        other.find(content, "ada/net")
    assert not other.is_here(content)
    assert list((tmp_path / "bob" / "models").iterdir()) == []


def test_half_an_upload_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    ada, plain = storage(tmp_path, "ada"), LocalFileSystem.put_file

    def full(self: LocalFileSystem, source: str, target: str, **how: object) -> None:
        if source.endswith("model.json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(self, source, target, **how)

    monkeypatch.setattr(LocalFileSystem, "put_file", full)
    with pytest.raises(CnngraphError, match=r"The store local://.*/store is full"):
        ada.add(saved(tmp_path / "net"))
    monkeypatch.undo()
    content = Storage(tmp_path / "plain").add(tmp_path / "net")
    assert content not in storage(tmp_path, "bob")
    assert ada.add(tmp_path / "net") == content
    assert content in storage(tmp_path, "bob")


def test_addresses_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds a password"):
        check_address("sftp://ada:secret@host/x")
    with pytest.raises(UsageError, match="an address that fsspec does not know"):
        Store("nonsense://x").require_writable()
    (tmp_path / "file").write_text("")
    with pytest.raises(CnngraphError, match="cannot be written"):
        Store(f"local://{tmp_path}/file").require_writable()
