"""``--split-file`` and ``--group-by``: what a person says of the split is kept, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnngraph.datasets.folder import read
from cnngraph.datasets.registry import Data, SplitOptions, open_data
from cnngraph.datasets.split_file import groups_by
from cnngraph.datasets.split_record import SplitRecord
from cnngraph.errors import DataError, NotFoundError, UsageError

from .test_layout import TINY, lay_out, opened, sizes


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Twenty patients with three images each, ten a class."""
    folders = [f"{name}/p{number:02d}:3" for number in range(20) for name in (("sick", "well")[number % 2],)]
    return lay_out(tmp_path / "data", *folders)


def split_by(root: Path, text: str, split: SplitRecord | None = None, **options: str) -> Data:
    (root.parent / "split.csv").write_text(text, encoding="utf-8")
    by = SplitOptions(file=root.parent / "split.csv", **options)
    return open_data(f"folder:{root}", split_by=by, preprocessing=TINY, split=split, parts=())


def paths_of(root: Path) -> list[str]:
    return list(read(root).train.names or ())


def table(root: Path, separator: str = ",") -> str:
    parts = ("train", "val", "test")
    return "\n".join(f"{path}{separator}{parts[at % 3]}" for at, path in enumerate(paths_of(root)))


@pytest.mark.parametrize("separator", [",", "\t", ";", " ", "  , "])
@pytest.mark.parametrize("header", ["", "path{}part\n", "filename{}split\n"])
def test_each_image_is_in_the_part_that_is_written(patients: Path, separator: str, header: str) -> None:
    data = split_by(patients, header.format(separator) + table(patients, separator))
    assert (sizes(data), data.warnings) == ([20, 20, 20], ())
    assert data.taken_from == dict.fromkeys(("train", "validation", "test"), "split file")


def test_columns_in_another_order_and_paths_of_all_kinds(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "data", "a b:3", "c:3")
    lines = [
        "part,note,path",
        "train,x,./a b/000.png",
        r"train,x,c\000.png",
        f"test,x,{root}/a b/001.png",
        "# a remark",
    ]
    lines += ["test,x,c/001.png", "validation,x,a b/002.png", "VAL,x,c/002.png", ""]
    assert sizes(split_by(root, "\ufeff" + "\r\n".join(lines))) == [2, 2, 2]
    spaced = "\n".join(
        f"{path} {part}" for path, part in (("a b/000.png", "train"), ("c/000.png", "train"), ("c/001.png", "test"))
    )
    assert len(split_by(root, spaced).test) == 1


@pytest.mark.parametrize("left_out", [True, False])
def test_a_class_without_an_image_to_learn_from_is_refused(patients: Path, left_out: bool) -> None:
    lines = [line for line in table(patients).splitlines() if line.startswith("sick/")]
    if not left_out:
        lines += [f"{path},test" for path in paths_of(patients) if path.startswith("well/")]
    with pytest.raises(DataError, match="leaves no image for train of class well"):
        split_by(patients, "\n".join(lines))


def test_groups_that_leave_a_class_nothing_to_learn_from_are_said(patients: Path) -> None:
    found = [
        open_data(f"folder:{patients}", split_by=SplitOptions(group_by=by), preprocessing=TINY, parts=())
        for by in (r"^(\w+)/", r"^(\w)")
    ]
    said = [any("No group is left for train" in warning for warning in data.warnings) for data in found]
    lacking = [len(set(data.train.labels.tolist())) < 2 for data in found]
    assert said == lacking and any(lacking)


def test_what_is_not_named_is_left_out(patients: Path) -> None:
    lines = table(patients).splitlines()
    data = split_by(patients, "\n".join(lines[:-2]))
    assert sum(sizes(data)) == 58
    assert data.warnings[0].startswith("2 images are left out, since ")
    assert "well/p19/001.png, ..." in data.warnings[0]


def test_a_part_that_is_not_named_is_split_off(patients: Path) -> None:
    data = split_by(
        patients, "\n".join(f"{path},{'test' if at < 20 else 'train'}" for at, path in enumerate(paths_of(patients)))
    )
    assert (len(data.test), data.taken_from["validation"]) == (20, "split")
    assert len(data.validation) > 0
    judged = split_by(
        patients, "\n".join(f"{path},{'val' if at < 20 else 'train'}" for at, path in enumerate(paths_of(patients)))
    )
    assert len(judged.test) == 20
    assert "are those that nets are judged on" in judged.warnings[0]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["sick/p00/000.png,train", "sick/p00/009.png,test"], "line 2: there is no image sick/p00/009.png in"),
        (["sick/p00/000.png,train", "sick/p00/000.png,test"], "line 2: sick/p00/000.png is in another part in line 1"),
        (["sick/p00/000.png,train", "sick/p00/001.png,exam"], "line 2: there is no part 'exam'"),
        (["sick/p00/000.png,train", "sick/p00/001.png"], "line 2 has no part"),
        (["sick/p00/000.png,train", ",test"], "line 2 has no path"),
        (["path,part,group", "sick/p00/000.png,train,p", "sick/p00/001.png,test,p"], "the group p is in another part"),
        (["sick/p00/000.png,test", "sick/p00/001.png,test"], "names no image for train"),
        (["path,colour", "sick/p00/000.png,red"], "without the columns"),
        (["# nothing", ""], "names no image"),
    ],
)  # fmt: skip
def test_bad_split_files(patients: Path, lines: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        split_by(patients, "\n".join(lines))
    assert refused.value.hint
    assert "\n" not in refused.value.message


def test_no_split_file_no_text_and_other_content(patients: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read"):
        open_data(f"folder:{patients}", split_by=SplitOptions(file=patients / "none.csv"), preprocessing=TINY, parts=())
    (patients.parent / "split.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no text in UTF-8"):
        open_data(
            f"folder:{patients}",
            split_by=SplitOptions(file=patients.parent / "split.csv"),
            preprocessing=TINY,
            parts=(),
        )
    with pytest.raises(DataError, match="its content differs"):
        split_by(patients, table(patients), sha256="0" * 64)
    with pytest.raises(UsageError, match="digits is no folder"):
        open_data("digits", split_by=SplitOptions(file=patients.parent / "split.csv"), preprocessing=TINY, parts=())


def patients_of(data: Data, part: str, root: Path) -> set[str]:
    images = getattr(data, part)
    return {str(Path(images._pixels._paths[place]).relative_to(root)).split("/")[1] for place in images._places}


@pytest.mark.parametrize("how", ["regex", "column"])
def test_a_patients_images_stay_together(patients: Path, how: str) -> None:
    if how == "regex":
        data = open_data(
            f"folder:{patients}", split_by=SplitOptions(group_by=r"/(p\d+)/"), preprocessing=TINY, parts=()
        )
    else:
        data = split_by(
            patients, "path,group\n" + "\n".join(f"{path},{path.split('/')[1]}" for path in paths_of(patients))
        )
    found = [patients_of(data, part, patients) for part in ("train", "validation", "test")]
    assert sum(map(len, found)) == len(set.union(*found)) == 20
    assert all(found)
    assert all(len(np.unique(getattr(data, part).labels)) == 2 for part in ("train", "validation", "test"))
    torn = opened(patients)
    assert sum(len(patients_of(torn, part, patients)) for part in ("train", "validation", "test")) > 20


def test_a_group_that_has_a_part_takes_its_other_images_along(patients: Path) -> None:
    rows = [
        f"{path},{'test' if path.endswith('p02/000.png') else ''},{path.split('/')[1]}" for path in paths_of(patients)
    ]
    data = split_by(patients, "path,part,group\n" + "\n".join(rows))
    assert "p02" in patients_of(data, "test", patients) - patients_of(data, "train", patients)


def test_images_that_are_left_out_stay_out_beside_a_kept_split(patients: Path) -> None:
    group_by = r"(p\d+)"
    first = open_data(f"folder:{patients}", split_by=SplitOptions(group_by=group_by), preprocessing=TINY, parts=())
    (patients / "sick" / "p00" / "new.png").touch()
    lines = "\n".join(f"{path},train" for path in paths_of(patients) if "new" not in path and "p02" not in path)
    data = split_by(patients, lines, group_by=group_by, split=first.record)
    assert sum(sizes(data)) == 57
    assert not any("p02" in patients_of(data, part, patients) for part in ("train", "validation", "test"))


def test_groups_across_parts_of_their_own_are_said(tmp_path: Path) -> None:
    lay_out(tmp_path, "train/a/p1", "train/b/p2", "val/a/p1", "val/b/p3")
    data = open_data(f"folder:{tmp_path}", split_by=SplitOptions(group_by=r"(p\d)"), preprocessing=TINY, parts=())
    assert any("One group has images in several parts" in warning and "p1" in warning for warning in data.warnings)


def test_a_pattern_that_does_not_match(patients: Path) -> None:
    with pytest.raises(DataError, match=r"finds no group in sick/p00/000.png"):
        open_data(f"folder:{patients}", split_by=SplitOptions(group_by=r"(q\d+)"), preprocessing=TINY, parts=())
    (patients / "sick" / "stray.png").touch()
    with pytest.raises(DataError, match=r"finds no group in sick/stray.png"):
        open_data(f"folder:{patients}", split_by=SplitOptions(group_by=r"(p\d+)"), preprocessing=TINY, parts=())


@pytest.mark.parametrize(("pattern", "said"), [("([", "no regular expression"), ("p[0-9]+", "has no group")])
def test_a_pattern_that_names_no_group_is_refused_from_python_too(pattern: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        groups_by(pattern, ["p1/1.png"])
