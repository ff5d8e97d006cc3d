"""What is a part, what is a class, and what is refused since it could be both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnngraph.datasets.layout import part_of_name
from cnngraph.datasets.registry import Data, SplitOptions, open_data
from cnngraph.errors import DataError, UsageError
from cnngraph.origin import Preprocessing

TINY = Preprocessing(size=(4, 4))


def lay_out(root: Path, *folders: str, images: int = 12) -> Path:
    """Folders with so many empty files that are named like images; ``name:3`` holds three."""
    for folder in folders:
        name, _, count = folder.partition(":")
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(int(count or images)):
            (root / name / f"{number:03d}.png").touch()
    return root


def opened(root: Path, layout: str | None = None) -> Data:
    return open_data(f"folder:{root}", split_by=SplitOptions(layout=layout), preprocessing=TINY, parts=())


def sizes(data: Data) -> list[int]:
    return [len(getattr(data, part)) for part in ("train", "validation", "test")]


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("train", "Train trainval TRAIN training train_set train-data train_images training_set images_train"),
        ("validation", "val PublicTest Valid validate dev eval val_set val-images VAL2017 devset evaluation"),
        ("test", "PrivateTest testing test1 test2 test_set test-data test_images imgs-test holdout hold_out Test"),
        (None, "bus trainer trainee tester contest testes valley value validity device developer evil tests_of car"),
    ],
)  # fmt: skip
def test_names_of_parts(part: str | None, names: str) -> None:
    assert {name: part_of_name(name) for name in [*names.split()]} == dict.fromkeys(names.split(), part)
    assert part_of_name("Train Set") == "train"


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val"),
        ("trainval", "val"),
        ("Training", "PublicTest"),
        ("Training", "VALID"),
        ("train_set", "dev"),
        ("train2017", "val2017"),
    ],
)
def test_without_a_test_part_val_is_judged_on(tmp_path: Path, names: tuple[str, str]) -> None:
    train, val = names
    data = opened(lay_out(tmp_path, f"{train}/rose", f"{train}/tulip", f"{val}/rose:5", f"{val}/tulip:4"))
    assert len(data.test) == 9
    assert len(data.train) + len(data.validation) == 24
    assert len(data.validation) >= 2
    assert data.taken_from == {"train": "split", "validation": "split", "test": val}


def test_three_parts_of_their_own(tmp_path: Path) -> None:
    counts = {"trn": 9, "dev": 4, "testing": 5}
    data = opened(lay_out(tmp_path, *(f"{part}/{name}:{count}" for part, count in counts.items() for name in "ab")))
    assert sizes(data) == [18, 8, 10]
    assert data.taken_from == {"train": "trn", "validation": "dev", "test": "testing"}
    assert data.warnings == ()


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        (("test1",), "test1 is left out: it holds no class folders"),
        (("Test_Set",), "Test_Set is left out: it holds no class folders"),
        (("test/images",), "test is left out: its one folder, images, is no class of train"),
        (("test/unknown",), "test is left out: its one folder, unknown, is no class of train"),
        (("unlabeled",), "unlabeled is left out: it is no part"),
        (("extra/cat", "extra/dog"), "extra is left out: it is no part"),
    ],
)
def test_an_unlabelled_folder_beside_train_is_no_class(tmp_path: Path, beside: tuple[str, ...], said: str) -> None:
    data = opened(lay_out(tmp_path, "train/cat", "train/dog", *beside))
    assert data.classes == ["cat", "dog"]
    assert sum(sizes(data)) == 24
    assert [warning.startswith(said) for warning in data.warnings] == [True], data.warnings


def test_train_alone(tmp_path: Path) -> None:
    (lay_out(tmp_path, "train/cat", "train/dog") / "docs").mkdir()
    (tmp_path / "labels.csv").touch()
    data = opened(tmp_path)
    assert (data.classes, data.warnings) == (["cat", "dog"], ())
    assert data.taken_from == dict.fromkeys(("train", "validation", "test"), "split")


def test_classes_beside_their_test_part(tmp_path: Path) -> None:
    data = opened(lay_out(tmp_path, "cat", "dog", "test/cat:4", "test/dog:5"))
    assert (data.classes, len(data.test)) == (["cat", "dog"], 9)
    assert data.taken_from["test"] == "test"


@pytest.mark.parametrize(
    "folders",
    [
        ("test", "exam", "quiz"),
        ("dev", "ops", "qa"),
        ("eval", "print", "loop"),
        ("test/hard", "test/easy", "exam/hard", "quiz/easy"),
        ("val", "bond"),
    ],
)
def test_a_name_that_could_be_both_is_refused_until_it_is_said(tmp_path: Path, folders: tuple[str, ...]) -> None:
    lay_out(tmp_path, *folders)
    with pytest.raises(DataError, match="is it a part or a class") as refused:
        opened(tmp_path)
    assert "--layout classes" in refused.value.hint
    assert opened(tmp_path, "classes").classes == sorted({folder.partition("/")[0] for folder in folders})


def test_a_class_of_train_that_stands_beside_it_too(tmp_path: Path) -> None:
    lay_out(tmp_path, "train/cat", "train/dog", "cat")
    with pytest.raises(DataError, match="the folder cat both in train and beside it"):
        opened(tmp_path)
    assert opened(tmp_path, "parts").classes == ["cat", "dog"]
    assert opened(tmp_path, "classes").classes == ["cat", "train"]


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("train/a", "train/b", "val/a", "val/b", "validation/a"), "two folders that could be its validation part"),
        (("train/a", "train/b", "test/a", "test1/a"), "two folders that could be its test part: test and test1"),
        (("train1/a", "train1/b", "train2/a", "train2/b"), "two folders that could be its train part"),
        (("train/a", "train/b", "val/a", "eval/a"), "two folders that could be its validation part: eval and val"),
        (("test/a", "test/b"), "has test but no train part"),
        (("val/a", "val/b", "test/a", "test/b"), "no train part"),
        (("train", "test"), "which hold no class folders"),
        (("train/a", "train/b", "test/a", "test/c"), "a class that train lacks: c"),
        (("train/a", "train/b", "test/c"), "a class that train lacks: c"),
        (("archive/a", "archive/b"), "only one class, archive; the folders in it"),
        (("train/data/a", "train/data/b", "test/data/a"), "only one class, data; the folders in it"),
    ],
)
def test_what_is_refused(tmp_path: Path, folders: tuple[str, ...], said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)) as refused:
        opened(lay_out(tmp_path, *folders))
    assert refused.value.hint


def test_a_test_folder_without_labels_does_not_hide_one_with(tmp_path: Path) -> None:
    data = opened(lay_out(tmp_path, "train/a", "train/b", "test/a:3", "test/b:3", "test1"))
    assert (len(data.test), len(data.warnings)) == (6, 1)


def test_parts_of_unknown_names_are_not_learnt_as_classes_without_a_word(tmp_path: Path) -> None:
    folders = [f"{part}/{name}" for part in ("te", "tr", "va") for name in ("cat", "dog")]
    root = lay_out(tmp_path / "parts", *folders)
    (said,) = opened(root).warnings
    assert said.startswith("te, tr, va each hold the same folders (cat, dog)")
    assert opened(root, "classes").warnings == ()
    assert opened(lay_out(tmp_path / "people", "sick/p1", "sick/p2", "well/p1", "well/p2")).warnings == ()


def test_stray_images_and_absent_classes_are_said(tmp_path: Path) -> None:
    lay_out(tmp_path, "train/a", "train/b", "train/c", "test/a:3", "test/b:0", "test:2", images=9)
    data = opened(tmp_path)
    assert "2 images stand in" in data.warnings[0]
    assert data.warnings[1] == "test has no images of b, c."
    assert len(data.test) == 3


def test_one_spelling_of_an_accent(tmp_path: Path) -> None:
    data = opened(lay_out(tmp_path, "train/caf\u00e9", "train/bar", "val/cafe\u0301:4", "val/bar:4"))
    assert (data.classes, len(data.test)) == (["bar", "caf\u00e9"], 8)


@pytest.mark.parametrize("before", ["", "train/"])
def test_two_spellings_of_one_class_are_refused(tmp_path: Path, before: str) -> None:
    lay_out(tmp_path, f"{before}caf\u00e9", f"{before}cafe\u0301", f"{before}bar")
    with pytest.raises(DataError, match="two folders that are called caf\u00e9"):
        opened(tmp_path)


def test_a_layout_is_of_folders() -> None:
    with pytest.raises(UsageError, match="digits is no folder"):
        open_data("digits", split_by=SplitOptions(layout="classes"), preprocessing=TINY, parts=())
