"""The split of a net is kept: whatever came or went, nothing that it was trained on becomes a test image."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from cnngraph.datasets.digits import read as read_digits
from cnngraph.datasets.folder import read
from cnngraph.datasets.former_split import record_of_folder, record_of_set, stratified_parts
from cnngraph.datasets.parts import Pool
from cnngraph.datasets.pixels import ArrayPixels, Part, RawData
from cnngraph.datasets.registry import Data, SplitOptions, open_data
from cnngraph.datasets.split import path_keys
from cnngraph.datasets.split_record import CODES, SplitRecord

from .test_layout import TINY, lay_out, opened


def again(root: Path, former: SplitRecord | None, by: SplitOptions | None = None) -> Data:
    return open_data(f"folder:{root}", preprocessing=TINY, split=former, split_by=by, parts=())


def record_of(data: Data) -> SplitRecord:
    assert data.record is not None
    return data.record


def paths(data: Data, part: str) -> set[str]:
    images = getattr(data, part)
    sources = getattr(images._pixels, "_sources", [images._pixels])
    files = [path for source in sources for path in source._paths]
    return {str(files[place]) for place in images._places}


@pytest.mark.parametrize("seed", range(4))
def test_a_living_folder(tmp_path: Path, seed: int) -> None:
    lay_out(tmp_path, "a:60", "b:40", "c:4", "d:2")
    first = opened(tmp_path)
    held = {part: paths(first, part) for part in CODES}
    chance = random.Random(seed)
    for name in "abcd":
        for file in chance.sample(sorted((tmp_path / name).iterdir()), 1):
            file.unlink()
        for number in range(chance.randint(1, 20)):
            (tmp_path / name / f"new-{number}.png").touch()
    now = again(tmp_path, record_of(first))
    for part in CODES:
        for other in CODES:
            if other != part:
                assert not paths(now, part) & held[other], (part, other)
    assert now.change is not None
    assert sum(now.change.gone.values()) == 4
    # A net that is trained on it knows what its parent knew, also of what is gone today.
    kept = record_of(now)
    assert set(record_of(first).keys["train"].tolist()) <= set(kept.keys["train"].tolist())


def test_without_a_change_nothing_is_said(tmp_path: Path) -> None:
    first = opened(lay_out(tmp_path, "a", "b"))
    now = again(tmp_path, record_of(first))
    assert record_of(now) == record_of(first)
    assert now.change is not None
    assert not any((*now.change.new.values(), *now.change.gone.values()))
    assert now.change.words == "none new, none gone"


def test_an_image_that_was_trained_on_stays_where_a_test_folder_comes_later(tmp_path: Path) -> None:
    first = opened(lay_out(tmp_path, "train/a:30", "train/b:30"))
    held = {part: paths(first, part) for part in CODES}
    lay_out(tmp_path, "test/a:5", "test/b:5")
    now = again(tmp_path, record_of(first))
    assert paths(now, "train") == held["train"]
    assert held["test"] < paths(now, "test")
    assert len(now.test) == len(held["test"]) + 10
    assert now.taken_from["test"] == "split"  # not the folder alone


def test_a_split_file_that_the_net_overrules_is_said(tmp_path: Path) -> None:
    lay_out(tmp_path / "data", "a:30", "b:30")
    first = opened(tmp_path / "data")
    trained_on = sorted(str(Path(path).relative_to(tmp_path / "data")) for path in paths(first, "train"))
    lines = [f"{name},{'test' if name in trained_on[:5] else 'train'}" for name in trained_on]
    (tmp_path / "split.csv").write_text("\n".join(lines))
    now = again(tmp_path / "data", record_of(first), SplitOptions(file=tmp_path / "split.csv"))
    assert len(now.test) == 0
    said = f"5 images stay in the part that the net was trained with, not in that of the split file: {trained_on[0]}"
    assert now.warnings[1:] == (f"{said} (train, not test).",)


def test_own_folders_that_the_net_overrules_are_said(tmp_path: Path) -> None:
    first = opened(lay_out(tmp_path, "train/a:30", "train/b:30", "val/a:3", "val/b:3"))
    assert first.taken_from["test"] == "val"
    lay_out(tmp_path, "test/a:3", "test/b:3")
    now = again(tmp_path, record_of(first))
    assert len(now.test) == 12
    torn = sum("/val/" in path for path in paths(now, "test")) + sum(
        "/train/" in path for path in paths(now, "validation")
    )
    (said,) = now.warnings
    assert said.startswith(f"{torn} images stay in the part that the net was trained with, not in that of their folder")


def test_new_images_of_a_patient_go_where_the_patient_is(tmp_path: Path) -> None:
    lay_out(tmp_path, *(f"{name}/p{number}:2" for name in "ab" for number in range(12)))
    first = again(tmp_path, None, SplitOptions(group_by=r"(p\d+)"))
    lay_out(tmp_path, *(f"{name}/p{number}:6" for name in "ab" for number in range(12)))
    now = again(tmp_path, record_of(first), SplitOptions(group_by=r"(p\d+)"))
    patients = [{path.split("/")[-2] for path in paths(now, part)} for part in CODES]
    assert sum(map(len, patients)) == 12
    assert now.warnings == ()


def test_a_record_of_another_set_decides_nothing(tmp_path: Path) -> None:
    first = opened(lay_out(tmp_path, "a", "b"))
    digits = open_data("digits", preprocessing=TINY, split=record_of(first), parts=())
    assert digits.change is None
    assert record_of(digits).data == "digits"


def test_a_thousand_of_a_name_take_eight_bytes_each() -> None:
    keys = path_keys(f"a/{number}" for number in range(1000))
    record = SplitRecord.of({"train": keys[:700], "validation": keys[700:800], "test": keys[800:]}, rule=2, data="x")
    assert record.counts == {"train": 700, "validation": 100, "test": 200}
    assert sum(found.nbytes for found in record.keys.values()) == 8000
    assert "keys" not in record.model_dump()
    assert record.parts_of(keys[[0, 750, 900]]).tolist() == [0, 1, 2]
    assert record.parts_of(path_keys(["b/0"])).tolist() == [-1]


def test_the_former_rule_is_found_again(tmp_path: Path) -> None:
    lay_out(tmp_path, "b:25", "a:17", "a/.thumbs:17", "a/deep:3", ".cache:4", "tiny:2")
    files = [sorted(path for path in (tmp_path / name).rglob("*.png")) for name in ("a", "b", "tiny")]
    assert list(map(len, files)) == [37, 25, 2]
    labels = np.repeat([0, 1, 2], [37, 25, 2])
    listed = [str(path.relative_to(tmp_path)) for group in files for path in group]
    rows = stratified_parts(labels, (0.1, 0.2))
    former = record_of_folder(tmp_path, "folder:x")
    for part, expected in zip(CODES, rows, strict=True):
        assert former.keys[part].tolist() == sorted(path_keys([listed[row] for row in expected]).tolist())
    assert (former.rule, former.proven) == (1, False)
    now = open_data(f"folder:{tmp_path}", preprocessing=TINY, split="former", parts=())
    visible = {path for path in listed if ".thumbs" not in path}
    for part, expected in zip(CODES, rows, strict=True):
        assert {str(Path(path).relative_to(tmp_path)) for path in paths(now, part)} == visible & {
            listed[row] for row in expected
        }
    assert set(read(tmp_path).train.names or ()) == visible


def test_the_former_rule_kept_parts_of_their_own(tmp_path: Path) -> None:
    lay_out(tmp_path, "train/a:30", "train/b:30", "val/a:4", "val/b:4")
    data = open_data(f"folder:{tmp_path}", preprocessing=TINY, split="former", parts=())
    assert [len(data.train), len(data.validation), len(data.test)] == [48, 8, 12]
    assert all("/train/" in path for path in paths(data, "test"))


def test_the_own_test_images_of_a_named_set_are_not_new() -> None:
    pixels, labels = ArrayPixels(np.zeros((60, 2, 2), dtype=np.uint8)), np.repeat([0, 1], 30)
    raw = RawData(["a", "b"], Part(pixels, labels), test=Part(pixels, labels))
    shared = Pool(raw, "mnist").share_out(record_of_set(raw, "mnist"))
    assert shared.change is not None
    assert shared.change.words == "none new, none gone"
    assert shared.taken_from == {"train": "split", "validation": "split", "test": "own"}


def test_the_former_split_of_a_named_set() -> None:
    data = open_data("digits", preprocessing=TINY, split="former", parts=())
    rows = stratified_parts(read_digits().train.labels, (0.1, 0.2))
    for part, expected in zip(CODES, rows, strict=True):
        assert getattr(data, part)._places.tolist() == expected.tolist()
    assert record_of(data).proven
