"""The same content in two parts or in two classes is said once both were read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnngraph.datasets import images as images_module
from cnngraph.datasets.images import Images, loader
from cnngraph.datasets.pixels import ArrayPixels
from cnngraph.datasets.registry import Data, open_data
from cnngraph.datasets.same_content import ContentWatch, compare_classes, compare_parts
from cnngraph.origin import Preprocessing

SMALL = Preprocessing(size=(8, 8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two parts of two classes of four images each, all different."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in ("a", "b"):
            place = tmp_path / part / label
            place.mkdir(parents=True)
            for number in range(4):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path


def said(data: Data, capsys: pytest.CaptureFixture[str], parts: tuple[str, ...] = ("train", "test")) -> list[str]:
    capsys.readouterr()
    data.preload(parts)
    return [line for line in capsys.readouterr().err.splitlines() if "same content" in line]


def opened(folder: Path) -> Data:
    return open_data(f"folder:{folder}", preprocessing=SMALL, parts=())


def test_nothing_is_said_of_different_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(opened(folder), capsys) == []


def test_images_of_test_that_are_in_train_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(folder / "train" / "a" / "0.png", folder / "test" / "b" / "other.png")
    shutil.copy(folder / "train" / "b" / "3.png", folder / "test" / "b" / "third.png")
    data = open_data(f"folder:{folder}", preprocessing=SMALL, parts=())
    whole = said(data, capsys, ("train", "validation", "test"))
    counts = [line.split()[1] for line in whole if "of test have" in line or "of test has" in line]
    assert sum(2 if count == "2" else 1 for count in counts) == 2  # validation was split off train
    assert all("other.png" in line or "third.png" in line for line in whole)
    assert said(data, capsys) == []  # once


def test_where_one_part_is_read_nothing_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(folder / "train" / "a" / "0.png", folder / "test" / "a" / "other.png")
    assert said(opened(folder), capsys, ("test",)) == []


def test_one_image_in_two_classes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(folder / "test" / "a" / "0.png", folder / "test" / "b" / "again.png")
    (line,) = said(opened(folder), capsys, ("test",))
    assert "2 images of test" in line and "a/0.png" in line and "b/again.png" in line
    shutil.copy(folder / "test" / "a" / "0.png", folder / "test" / "a" / "twin.png")  # the same class is no fault
    (line,) = said(opened(folder), capsys, ("test",))
    assert "3 images of test" in line


def test_arrays_are_compared_too() -> None:
    array = np.random.default_rng(0).integers(0, 256, (10, 8, 8)).astype(np.uint8)
    array[7], array[9] = array[2], array[3]
    labels = np.arange(10) % 2
    first, last = (Images(ArrayPixels(array), labels, SMALL, np.arange(*ends)) for ends in ((0, 5), (5, 10)))
    for part in (first, last):
        part.preload()
    sentence = compare_parts("test", "train", last, first)
    assert sentence is not None and sentence.startswith("2 images of test") and "image 7 and image 2" in sentence
    assert compare_classes("train", first) is None
    whole = Images(ArrayPixels(array), labels, SMALL)
    whole.preload()
    sentence = compare_classes("train", whole)
    assert sentence is not None and "image 2 and image 7" in sentence


def test_images_that_are_not_kept_are_compared_after_the_first_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "CACHE_BYTES", 10)
    array = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    parts = {
        name: Images(ArrayPixels(array), np.zeros(6, dtype=np.int64), SMALL, np.array(rows))
        for name, rows in (("train", [0, 1, 2, 3]), ("test", [3, 4, 5]))
    }
    told: list[str] = []
    watch = ContentWatch(told.append)
    for images in parts.values():
        images.when_read = lambda: watch.compare(parts)
        images.preload()
    assert told == []
    for images in parts.values():
        for _ in loader(images, batch_size=2):
            pass
    assert len(told) == 1 and told[0].startswith("one image of test has the same content")
