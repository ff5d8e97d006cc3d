"""Hidden things are passed over, links are followed; nothing of both is said for nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cnngraph.datasets.image_files import is_hidden, is_image
from cnngraph.errors import DataError

from .test_layout import lay_out, opened, sizes

HIDDEN = (
    ".ipynb_checkpoints", ".thumbs", ".git", "__MACOSX", "@eaDir", "#snapshot", "~snapshot", "$RECYCLE.BIN",
    "lost+found", "__pycache__", "System Volume Information",
)  # fmt: skip


def names(root: Path) -> set[str]:
    from cnngraph.datasets.folder import read

    raw = read(root)
    return {name for part in (raw.train, raw.validation, raw.test) if part is not None for name in part.names or ()}


@pytest.mark.parametrize("hidden", HIDDEN)
def test_hidden_folders_are_passed_over_at_any_depth(tmp_path: Path, hidden: str) -> None:
    lay_out(tmp_path, "a", "b", hidden, f"a/{hidden}", f"b/deep/{hidden}/deeper")
    data = opened(tmp_path)
    assert (data.classes, sum(sizes(data)), data.warnings) == (["a", "b"], 24, ())
    assert data.details == ("Passed over: 3 hidden files and folders.",)


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    lay_out(tmp_path, "a", "b")
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.jpg"):
        (tmp_path / "a" / name).touch()
    (tmp_path / "a" / "notes.txt").touch()
    data = opened(tmp_path)
    assert sum(sizes(data)) == 24
    assert data.details == ("Passed over: 5 hidden files and folders; 1 files that are no images.",)


def test_images_of_kinds_that_are_not_read_are_said(tmp_path: Path) -> None:
    lay_out(tmp_path, "a", "b")
    for name in ("1.heic", "2.HEIC", "3.nii.gz", "IM00001", "README", "labels.csv"):
        (tmp_path / "a" / name).touch()
    (tmp_path / "b" / "4.jp2").symlink_to(tmp_path / "a" / "1.heic")
    data = opened(tmp_path)
    assert sum(sizes(data)) == 24
    first = tmp_path / "a" / "1.heic"
    kinds = "1 without an ending, 2 .heic, 1 .jp2, 1 .nii.gz"
    said = f"Files of kinds that are not read are left out: {kinds} (first {first}). Convert those that are images."
    assert data.warnings == (said,)
    assert data.details == ("Passed over: 2 files that are no images.",)


def test_hidden_folders_are_no_parts(tmp_path: Path) -> None:
    assert opened(lay_out(tmp_path, "train/a", "train/b", "__MACOSX/train", ".test/a", "train/.thumbs")).classes == [
        "a",
        "b",
    ]


def test_what_is_hidden_and_what_is_an_image() -> None:
    assert all(map(is_hidden, HIDDEN))
    assert not any(map(is_hidden, ("a", "thumbs", "_", "checkpoints", "MACOSX", "lost")))
    assert is_image("a.b.JPeG")
    assert not any(map(is_image, ("jpg", "a.npy", "a.png.txt", "a")))


def test_links_to_images_and_folders_are_followed(tmp_path: Path) -> None:
    source = lay_out(tmp_path / "source", "p1:6", "p2:5", "whole:7")
    data = lay_out(tmp_path / "data", "sick/p1:0", "b:4")
    for image in source.joinpath("p1").iterdir():
        (data / "sick" / "p1" / image.name).symlink_to(image)
    (data / "sick" / "p2").symlink_to(source / "p2")
    (data / "well").symlink_to(source / "whole", target_is_directory=True)
    found = opened(data)
    assert (found.classes, sum(sizes(found)), found.warnings) == (["b", "sick", "well"], 6 + 5 + 7 + 4, ())


def test_parts_may_be_links(tmp_path: Path) -> None:
    source = lay_out(tmp_path / "source", "one/a", "one/b", "two/a:4", "two/b:4")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(source / "one")
    (tmp_path / "data" / "val").symlink_to(source / "two")
    assert len(opened(tmp_path / "data").test) == 8


@pytest.mark.parametrize("target", [".", "..", "deep", "../a", "../../data/a/deep"])
def test_loops_end(tmp_path: Path, target: str) -> None:
    data = lay_out(tmp_path / "data", "a", "a/deep:3", "b")
    (data / "a" / "deep" / "again").symlink_to(os.path.relpath(data / "a" / target, data / "a" / "deep"))
    found = opened(data)
    assert (sum(sizes(found)), found.warnings) == (27, ())
    assert len(found.details) == 1


def test_a_class_that_is_the_whole_folder_is_none(tmp_path: Path) -> None:
    lay_out(tmp_path, "a", "b")
    (tmp_path / "c").symlink_to(tmp_path)
    with pytest.raises(DataError, match="c holds no images"):
        opened(tmp_path)


def test_a_link_to_itself_and_dead_links_are_named(tmp_path: Path) -> None:
    lay_out(tmp_path, "a", "b")
    (tmp_path / "a" / "self.png").symlink_to("self.png")
    (tmp_path / "b" / "gone.png").symlink_to("/nowhere/x.png")
    (tmp_path / "c").symlink_to("/nowhere/folder")
    data = opened(tmp_path)
    assert data.warnings == (f"3 links lead nowhere, the first is {tmp_path}/a/self.png.",)
    assert sum(sizes(data)) == 24


def test_a_link_to_itself_beside_the_class_folders_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path, "train/a", "train/b", "extra")
    for folder in (tmp_path, tmp_path / "train", tmp_path / "extra"):
        (folder / "self").symlink_to("self")
    assert any("self" in warning for warning in opened(tmp_path).warnings)


def test_one_file_of_several_paths_counts_once_in_a_class_and_is_said_in_two(tmp_path: Path) -> None:
    lay_out(tmp_path, "a", "b")
    (tmp_path / "a" / "000-link.png").symlink_to("001.png")
    os.link(tmp_path / "a" / "002.png", tmp_path / "a" / "zzz.png")
    data = opened(tmp_path)
    assert (sum(sizes(data)), data.warnings) == (24, ())
    assert "a/001.png" in names(tmp_path)
    (tmp_path / "b" / "of-a.png").symlink_to("../a/003.png")
    assert opened(tmp_path).warnings == (
        "One image is in two classes or parts, as links to one file: a/003.png and b/of-a.png.",
    )


def test_many_links_among_folders_stay_few(tmp_path: Path) -> None:
    folders = [f"a/{number}:1" for number in range(12)]
    lay_out(tmp_path, *folders, "b")
    for one in range(12):
        for other in range(12):
            (tmp_path / "a" / str(one) / f"to{other}").symlink_to(f"../{other}")
    assert sum(sizes(opened(tmp_path))) == 24


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    (lay_out(tmp_path, "a", "b") / "a").chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        opened(tmp_path)
