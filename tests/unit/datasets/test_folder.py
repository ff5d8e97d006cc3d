"""``folder:PATH``: layouts, splits, and everything that can be wrong with a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnngraph.datasets.registry import Subset, open_data
from cnngraph.errors import DataError, NotFoundError
from cnngraph.origin import Preprocessing

TINY = Preprocessing(size=(4, 4))


def fill(folder: Path, count: int, shade: int = 0) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (6, 5), (shade, number, 0)).save(folder / f"{number:03d}.png")


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    fill(tmp_path / "cat", 10)
    fill(tmp_path / "dog", 20, 1)
    return tmp_path


def sizes(data: object) -> list[int]:
    return [len(getattr(data, part)) for part in ("train", "validation", "test")]


def test_a_plain_folder_is_split(animals: Path) -> None:
    data = open_data(f"folder:{animals}", preprocessing=TINY)
    assert data.classes == ["cat", "dog"]
    assert sizes(data) == [17, 6, 7]  # by the hashes of these very paths
    assert np.bincount(data.test.labels).tolist() == [2, 5]
    assert (data.channels, data.warnings) == (3, ())


def test_the_split_does_not_depend_on_the_seed(animals: Path) -> None:
    first, second = (open_data(f"folder:{animals}", subset=Subset(seed=seed), preprocessing=TINY) for seed in (0, 1))
    rows = list(range(6))
    assert (first.test[rows][0] == second.test[rows][0]).all()


def test_parts_are_disjoint(animals: Path) -> None:
    data = open_data(f"folder:{animals}", preprocessing=TINY.model_copy(update={"mean": (0.0,), "std": (1 / 255,)}))
    seen = [
        (label, round(float(image[1].mean())))
        for part in (data.train, data.validation, data.test)
        for image, label in part
    ]
    assert sorted(seen) == [(0, n) for n in range(10)] + [(1, n) for n in range(20)]


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "testing")])
def test_own_parts_are_kept(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name, count in zip(names, (5, 3, 4), strict=True):
        fill(tmp_path / name / "cat", count)
        fill(tmp_path / name / "dog", count)
    data = open_data(f"folder:{tmp_path}", preprocessing=TINY)
    assert sizes(data) == [10, 6, 8]


def test_a_missing_validation_part_is_split_off_train(tmp_path: Path) -> None:
    for part, count in (("train", 10), ("test", 4)):
        fill(tmp_path / part / "cat", count)
        fill(tmp_path / part / "dog", count)
    assert sizes(open_data(f"folder:{tmp_path}", preprocessing=TINY)) == [18, 2, 8]


def test_classes_called_train_and_bus_are_classes(tmp_path: Path) -> None:
    fill(tmp_path / "train", 5)
    fill(tmp_path / "bus", 5)
    assert open_data(f"folder:{tmp_path}", preprocessing=TINY).classes == ["bus", "train"]


def test_a_class_of_two_images_stays_in_train(animals: Path) -> None:
    fill(animals / "yak", 2)
    data = open_data(f"folder:{animals}", preprocessing=TINY)
    assert data.warnings == ("Too few images to split, so they are all in train: class yak.",)
    assert [int((part.labels == 2).sum()) for part in (data.train, data.validation, data.test)] == [2, 0, 0]


def test_nested_images_count_and_other_files_do_not(animals: Path) -> None:
    fill(animals / "cat" / "kittens", 3)
    (animals / "cat" / "notes.txt").write_text("meow")
    (animals / "cat" / "._000.png").write_text("left by another system")
    (animals / ".cache").mkdir()
    assert sum(sizes(open_data(f"folder:{animals}", preprocessing=TINY))) == 33


def test_a_path_is_relative_to_the_data_root(animals: Path) -> None:
    assert open_data(f"folder:{animals.name}", root=animals.parent, preprocessing=TINY).classes == ["cat", "dog"]


def test_a_subset_is_stratified_and_named_when_too_large(animals: Path) -> None:
    data = open_data(f"folder:{animals}", subset=Subset(images_per_class=2), preprocessing=TINY)
    assert [np.bincount(part.labels).tolist() for part in (data.train, data.test)] == [[2, 2], [2, 2]]
    assert np.bincount(
        open_data(f"folder:{animals}", subset=Subset(limit=9), preprocessing=TINY).train.labels
    ).tolist() == [3, 6]
    with pytest.raises(DataError, match="only 6 training images of class cat, fewer than the 8"):
        open_data(f"folder:{animals}", subset=Subset(images_per_class=8), preprocessing=TINY)
    with pytest.raises(DataError, match="only 17 training images, fewer than the 22"):
        open_data(f"folder:{animals}", subset=Subset(limit=22), preprocessing=TINY)


def test_only_the_wanted_parts_are_read(animals: Path) -> None:
    broken = sorted((animals / "cat").iterdir())
    data = open_data(f"folder:{animals}", preprocessing=TINY, parts=())
    kept = open_data(f"folder:{animals}", preprocessing=TINY, parts=("train",))
    assert (data.train._cache is None, kept.train._cache is None, kept.test._cache is None) == (True, False, True)
    broken[0].write_bytes(b"broken")
    with pytest.raises(DataError, match=r"000.png is no readable image"):
        open_data(f"folder:{animals}", preprocessing=TINY)


def test_missing_empty_and_one_class(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no data folder"):
        open_data(f"folder:{tmp_path / 'none'}", preprocessing=TINY)
    with pytest.raises(DataError, match="holds no class folders"):
        open_data(f"folder:{tmp_path}", preprocessing=TINY)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        open_data(f"folder:{tmp_path / 'file'}", preprocessing=TINY)
    fill(tmp_path / "cat", 4)
    with pytest.raises(DataError, match="only one class: cat"):
        open_data(f"folder:{tmp_path}", preprocessing=TINY)
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="dog holds no images"):
        open_data(f"folder:{tmp_path}", preprocessing=TINY)


def test_a_class_that_train_lacks(tmp_path: Path) -> None:
    fill(tmp_path / "train" / "cat", 4)
    fill(tmp_path / "train" / "dog", 4)
    fill(tmp_path / "test" / "cow", 4)
    with pytest.raises(DataError, match="a class that train lacks: cow"):
        open_data(f"folder:{tmp_path}", preprocessing=TINY)
