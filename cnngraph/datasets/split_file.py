"""What a person says of the split: a file with the part of each image, and groups that must not be torn apart.

A line of the file names an image, by its path relative to the root of the data, and its part; between them stands a
comma, a tab, a semicolon or spaces. A first line that names the columns (``path``, ``part``, ``group``) may give them
in any order and leave out ``part`` where there is ``group``: then the hash of the group decides. Images that it does
not name are left out.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from cnngraph.datasets.layout import part_of_name
from cnngraph.datasets.split import TEST, VALIDATION, PartCodes
from cnngraph.datasets.split_record import CODES
from cnngraph.errors import DataError, NotFoundError, UsageError

__all__ = ["BY_RULE", "LEFT_OUT", "Given", "group_pattern", "groups_by", "read_split_file"]

BY_RULE, LEFT_OUT = -1, -2
_COLUMNS = {
    "path": ("path", "file", "filename", "image", "image_path", "name"),
    "part": ("part", "split", "set", "subset", "partition"),
    "group": ("group", "group_id", "patient", "patient_id", "video", "video_id"),
}


@dataclass(frozen=True)
class Given:
    """What a split file says of each image of a data set.

    Attributes:
        codes: the part, BY_RULE where it names the group alone, LEFT_OUT where it does not name the image.
        groups: the group of each image; ``None`` where the file has none.
        warnings: sentences about what is left out.
    """

    codes: PartCodes
    groups: list[str] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Line:
    number: int
    path: str
    part: str
    group: str


def read_split_file(file: Path, names: Sequence[str], root: Path, *, sha256: str | None = None) -> Given:
    """Read a split file for the images ``names``, whose paths are relative to ``root``.

    Args:
        sha256: of the content that is expected, where it is known.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is not the file that was meant, has no lines, names an image that is not there, an image or a
            group in two parts, or a part that is none.
    """
    lines = _read_lines(file, sha256)
    places = {_normal(name): at for at, name in enumerate(names)}
    codes = np.full(len(names), LEFT_OUT, dtype=np.int8)
    groups = [""] * len(names)
    of_group: dict[str, tuple[int, int]] = {}
    seen: dict[int, int] = {}
    for line in lines:
        at = places.get(_relative(line.path, root))
        if at is None:
            raise DataError(
                f"{file}, line {line.number}: there is no image {line.path} in {root}.",
                "Paths are relative to the folder of the data; take out the lines of images that are gone.",
            )
        code = _code_of(file, line)
        if at in seen and int(codes[at]) != code:
            raise DataError(
                f"{file}, line {line.number}: {line.path} is in another part in line {seen[at]}.",
                "Keep one of the two.",
            )
        if line.group and code != BY_RULE:
            first, where = of_group.setdefault(line.group, (code, line.number))
            if first != code:
                raise DataError(
                    f"{file}, line {line.number}: the group {line.group} is in another part in line {where}.",
                    "Keep each group in one part: else what is learnt of it is judged too.",
                )
        codes[at], seen[at], groups[at] = code, line.number, line.group
    grouped = any(groups)
    for at, group in enumerate(groups):
        if codes[at] == BY_RULE and group in of_group:
            codes[at] = of_group[group][0]
        if grouped and not group:
            groups[at] = names[at]  # an image alone is a group of its own
    warnings = _of_unnamed(file, names, codes)
    if (codes == VALIDATION).any() and not np.isin(codes, (TEST, BY_RULE)).any():
        codes[codes == VALIDATION] = TEST  # as in folders
        warnings += (f"{file} names no test images, so its validation images are those that nets are judged on.",)
    return Given(codes, groups if grouped else None, warnings)


def group_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of ``--group-by``; raises UsageError if it is none, or has no group."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group-by {pattern!r} is no regular expression: {error}.", "Mend it.") from error
    if not compiled.groups:
        raise UsageError(
            f"--group-by {pattern!r} has no group.", "Put what names the group into brackets, as in '(p[0-9]+)'."
        )
    return compiled


def groups_by(pattern: str, names: Sequence[str]) -> list[str]:
    """The group of each image: what the first group of the regular expression ``pattern`` finds in its path.

    Raises:
        UsageError: the pattern is no regular expression, or has no group. DataError: a path does not match.
    """
    find = group_pattern(pattern).search
    groups = []
    for name in names:
        found = find(name)
        if found is None or not found[1]:
            raise DataError(
                f"--group-by {pattern} finds no group in {name}.",
                "Write it so that its first bracket matches in every path (relative to the folder of the data).",
            )
        groups.append(found[1])
    return groups


def _read_lines(file: Path, sha256: str | None) -> list[_Line]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"The split file {file} cannot be read: {error.strerror}.", "Give --split-file FILE."
        ) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(
            f"{file} is not the split file that was used before: its content differs.",
            "Say which to use: --split-file FILE with train, evaluate or ingest; or bring the old file back.",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8.", "Save it as UTF-8, a path and a part a line.") from error
    rows = _rows(text)
    if not rows:
        raise DataError(f"{file} names no image.", "Write a path and a part (train, val, test) a line.")
    columns = _header(rows[0][1])
    if columns:
        rows = rows[1:]
        if "path" not in columns or columns.keys() == {"path"}:
            raise DataError(
                f"{file} has a first line without the columns path and part (or group): {', '.join(columns)}.",
                "Name them path, part and, where images belong together, group.",
            )
    columns = columns or {"path": 0, "part": 1, "group": 2}
    return [_line(file, number, cells, columns) for number, cells in rows]


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """The cells of each line that is not empty or a comment, with its number."""
    kept = [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not kept:
        return []
    delimiter = next((mark for mark in "\t,;" if mark in kept[0][1]), None)
    if delimiter is not None:
        return [
            (at, [cell.strip() for cell in next(csv.reader(io.StringIO(line), delimiter=delimiter))])
            for at, line in kept
        ]
    # A path may have spaces in it, the columns after it have none.
    columns = _header(kept[0][1].split())
    behind = len(kept[0][1].split()) - 1 if columns else 1
    return [(at, line.strip().rsplit(None, behind)) for at, line in kept]


def _header(cells: list[str]) -> dict[str, int]:
    """Which column is which, where ``cells`` are names of columns."""
    found: dict[str, int] = {}
    for at, cell in enumerate(cells):
        for column, words in _COLUMNS.items():
            if cell.strip().lower().replace(" ", "_") in words:
                found.setdefault(column, at)
    return found


def _line(file: Path, number: int, cells: list[str], columns: dict[str, int]) -> _Line:
    values = {column: cells[at] if at < len(cells) else "" for column, at in columns.items()}
    line = _Line(number, values.get("path", ""), values.get("part", ""), values.get("group", ""))
    if not line.path or not (line.part or line.group):
        raise DataError(
            f"{file}, line {number} has no {'part' if line.path else 'path'}.", "Write a path and a part a line."
        )
    return line


def _code_of(file: Path, line: _Line) -> int:
    if not line.part:
        return BY_RULE
    part = part_of_name(line.part)
    if part is None:
        raise DataError(
            f"{file}, line {line.number}: there is no part {line.part!r}.", "The parts are train, val and test."
        )
    return CODES[part]


def _relative(path: str, root: Path) -> str:
    plain = path.replace("\\", "/")
    if plain.startswith("/"):
        for base in (root.absolute(), root.resolve()):
            if PurePosixPath(plain).is_relative_to(base.as_posix()):
                plain = str(PurePosixPath(plain).relative_to(base.as_posix()))
                break
    return _normal(str(PurePosixPath(plain)))


def _normal(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _of_unnamed(file: Path, names: Sequence[str], codes: PartCodes) -> tuple[str, ...]:
    left = np.flatnonzero(codes == LEFT_OUT)
    if not len(left):
        return ()
    count = f"{len(left):,} images are" if len(left) > 1 else "One image is"
    more = ", ..." if len(left) > 1 else ""
    return (f"{count} left out, since {file} does not name {'them' if more else 'it'}: {names[left[0]]}{more}.",)
