"""Saved models by their content: kept once, found by their hash, and what is said of a wrong root or a wrong file."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database import saved_models
from cnngraph.errors import CnngraphError, ModelError, NotFoundError, UsageError
from cnngraph.settings import load_settings
from cnngraph.storage import Storage, content_sha256, storage_of
from cnngraph.store import Store


def made(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "root")


def test_the_same_content_is_there_once(storage: Storage, tmp_path: Path) -> None:
    first, second = storage.add(made(tmp_path / "a")), storage.add(made(tmp_path / "b"))
    other = storage.add(made(tmp_path / "c", b"others"))
    assert first == second != other
    assert sorted(path.name for path in (storage.root / "models").iterdir()) == sorted([first, other])
    assert (storage.find(first, "ada/m") / "weights.safetensors").read_bytes() == b"weights"
    assert first in storage
    assert "0" * 64 not in storage
    assert None not in storage


def test_a_person_can_check_the_hash_by_hand(storage: Storage, tmp_path: Path) -> None:
    folder = storage.find(storage.add(made(tmp_path / "a")), "ada/m")
    said = subprocess.run("sha256sum * | sha256sum", shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert said.stdout.split()[0] == folder.name


def test_names_count_and_hidden_files_do_not(tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    before = content_sha256(folder)
    (folder / ".DS_Store").write_text("the file manager's")
    assert content_sha256(folder) == before
    (folder / "weights.safetensors").rename(folder / "split.safetensors")
    assert content_sha256(folder) != before


def test_the_source_stays_and_shares_no_file_with_the_copy(storage: Storage, tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    kept = storage.find(storage.add(folder), "ada/m")
    (folder / "weights.safetensors").write_bytes(b"changed by its owner")
    assert (kept / "weights.safetensors").read_bytes() == b"weights"
    linked = storage.find(storage.add(made(tmp_path / "b", b"more"), link=True), "ada/m")
    assert os.path.samefile(linked / "weights.safetensors", tmp_path / "b" / "weights.safetensors")


def test_what_is_missing_is_named_by_its_hash_and_how_to_get_it(storage: Storage, tmp_path: Path) -> None:
    content = storage.add(made(tmp_path / "a"))
    elsewhere = Storage(tmp_path / "other")
    with pytest.raises(ModelError) as refused:
        elsewhere.find(content, "ada/m")
    message = f"The saved model of ada/m is not on this machine: the storage root {elsewhere.root} (which is not there"
    assert refused.value.message.startswith(message)
    assert f"models/{content}" in refused.value.message
    assert "CNNGRAPH_STORAGE" in refused.value.hint
    assert "\n" not in str(refused.value)
    shutil.copytree(storage.place(content), elsewhere.place(content))  # as the hint says
    assert elsewhere.find(content, "ada/m") == elsewhere.place(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "weights.safetensors").write_bytes(b"weightz"),
        lambda folder: (folder / "model.json").write_text('{"format": 99}'),
        lambda folder: (folder / "weights.safetensors").unlink(),
        lambda folder: (folder / "more.json").write_text("{}"),
    ],
)
def test_content_that_was_changed_is_never_taken_for_what_was_stored(
    storage: Storage, tmp_path: Path, damage: Any
) -> None:
    content = storage.add(made(tmp_path / "a"))
    damage(storage.place(content))
    with pytest.raises(ModelError, match="is not what was stored: its content has the sha256 ") as refused:
        storage.find(content, "ada/m")
    assert f"move {storage.place(content)} away" in refused.value.hint


def test_a_file_of_the_storage_that_cannot_be_read(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = storage.add(made(tmp_path / "a"))

    def broken(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("cnngraph.storage.file_sha256", broken)
    with pytest.raises(ModelError, match=r"of ada/m cannot be read: .*Input/output error"):
        storage.find(content, "ada/m")


def test_a_root_that_a_person_named_is_not_made(tmp_path: Path) -> None:
    folder, root = made(tmp_path / "a"), tmp_path / "disk"
    for say in (lambda: Storage(root, named=True).add(folder), Storage(root, named=True).require_writable):
        with pytest.raises(NotFoundError, match=r"The storage root .*disk is not there") as refused:
            say()
        assert "Mount it" in refused.value.hint
    assert not root.exists()
    root.write_text("a file")
    with pytest.raises(NotFoundError, match="is no folder"):
        Storage(root, named=True).add(folder)


def test_a_root_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder, root = made(tmp_path / "a"), tmp_path / "root"
    root.mkdir()
    (root / "models").write_text("a file where the folder belongs: as good as read-only, for root too")
    for say in (lambda: Storage(root).add(folder), Storage(root).require_writable):
        with pytest.raises(CnngraphError, match=r"The storage root .* cannot be written: ") as refused:
            say()
        assert refused.value.exit_code == 1
        assert "CNNGRAPH_STORAGE" in refused.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_root_without_the_right_to_write(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o500)
    with pytest.raises(CnngraphError, match="cannot be written: Permission denied"):
        Storage(root).require_writable()


def test_a_full_disk_leaves_nothing_behind(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "a")
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "weights.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(CnngraphError, match=r"The storage root .*root is full") as refused:
        storage.add(folder)
    assert "Free some space" in refused.value.hint
    assert list((storage.root / "models").iterdir()) == []
    monkeypatch.undo()
    assert storage.add(folder) in storage


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB; who may not mount one skips the test."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_real_disk_that_is_full_and_then_read_only(small_disk: Path, tmp_path: Path) -> None:
    large, small = made(tmp_path / "large", bytes(600_000)), made(tmp_path / "small")
    storage = Storage(small_disk, named=True)
    kept = storage.add(small)
    with pytest.raises(CnngraphError, match=r"The storage root .*disk is full"):
        storage.add(large)
    assert [path.name for path in (small_disk / "models").iterdir()] == [kept]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for say in (lambda: storage.add(large), storage.require_writable):
        with pytest.raises(CnngraphError, match="cannot be written: Read-only file system"):
            say()
    assert storage.find(kept, "ada/m").name == kept  # reading needs no right to write


def test_another_process_that_was_faster(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "a")
    rename = Path.rename

    def late(part: Path, place: Path) -> Path:
        shutil.copytree(part, place)
        return rename(part, place)

    monkeypatch.setattr(Path, "rename", late)
    content = storage.add(folder)
    assert [path.name for path in (storage.root / "models").iterdir()] == [content]


@pytest.mark.parametrize("strange", ["", "..", "../../etc", "a" * 63, "A" * 64])
def test_what_is_no_hash_leads_nowhere(storage: Storage, tmp_path: Path, strange: str) -> None:
    storage.add(made(tmp_path / "a"))
    assert strange not in storage
    with pytest.raises(ModelError, match="is not on this machine"):
        storage.find(strange, "ada/m")


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "a file"])
def test_what_is_no_saved_model_is_not_kept(storage: Storage, tmp_path: Path, what: str) -> None:
    source = tmp_path / "source"
    if what != "nothing":
        source.mkdir() if "folder" in what else source.write_text("x")
    with pytest.raises(NotFoundError, match="There is no saved model in"):
        storage.add(source)
    assert not storage.root.exists()


def test_settings_name_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CNNGRAPH_STORAGE", raising=False)
    assert storage_of(load_settings()) == Storage(tmp_path / "home")
    monkeypatch.setenv("CNNGRAPH_STORAGE", "disk")
    assert storage_of(load_settings()) == Storage(tmp_path / "disk", named=True, home=tmp_path / "home")
    monkeypatch.setenv("CNNGRAPH_STORAGE", (tmp_path / "disk").as_uri())
    assert storage_of(load_settings()) == Storage(tmp_path / "disk", named=True, home=tmp_path / "home")
    monkeypatch.setenv("CNNGRAPH_STORAGE", "s3://bucket/models/")
    assert storage_of(load_settings()) == Storage(tmp_path / "home", store=Store("s3://bucket/models"))
    monkeypatch.setenv("CNNGRAPH_STORAGE", "sftp://ada:secret@host/models")
    with pytest.raises(UsageError, match="holds a password") as refused:
        load_settings()
    assert "secret" not in str(refused.value)
    monkeypatch.delenv("CNNGRAPH_STORAGE")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text('[profiles.team]\nuri = "bolt://team:7687"\nstorage = "/mnt/team"\n')
    assert load_settings(profile="team").storage == Path("/mnt/team")


def test_a_model_that_an_earlier_version_stored_by_path(storage: Storage, tmp_path: Path) -> None:
    here = {"artifact": str(made(tmp_path / "a")), "sha256": "ab" * 32}
    assert saved_models.find_saved(storage, "ada/m", here) == tmp_path / "a"
    assert saved_models.describe_saved(storage, "ada/m", here)["artifact"] == str(tmp_path / "a")
    for strange in ("/" + 300 * "x", "slim/", "/a\0b"):  # not even a path here
        assert saved_models.describe_saved(storage, "ada/m", here | {"artifact": strange})["artifact"] is None
    foreign = here | {"artifact": "/home/somebody/else/models/ada/m/abababababab"}
    with pytest.raises(ModelError) as refused:
        saved_models.find_saved(storage, "ada/m", foreign)
    assert "not on this machine (its weights have the sha256 abab" in refused.value.message
    assert "/home/somebody" not in str(refused.value)
    assert "cnngraph db migrate" in refused.value.hint
    shown = saved_models.describe_saved(storage, "ada/m", foreign)
    assert (shown["artifact"], shown["artifact_missing"]) == (None, refused.value.message)
    with pytest.raises(ModelError, match="ada/m has no saved model"):
        saved_models.find_saved(storage, "ada/m", {})
