"""The split of nets that were saved before a split was kept with them (rule 1), so that their test images stay theirs.

Files were listed in another way then, and each class was shared out at random over that list: what a file was depended
on all others. It can be found again only as long as none came or went.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnngraph.datasets.pixels import RawData
from cnngraph.datasets.split import SMALLEST_CLASS, path_keys
from cnngraph.datasets.split_record import SplitRecord
from cnngraph.errors import DataError

__all__ = ["RULE", "record_of_folder", "record_of_set", "stratified_parts"]

RULE = 1
_SHARES = {"validation": 0.1, "test": 0.2}
_SUFFIXES = {"bmp", "gif", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp"}
_PARTS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}

Rows = NDArray[np.int64]


def record_of_folder(path: Path, data: str) -> SplitRecord:
    """The parts that the images of a folder had.

    Raises:
        DataError: the folder could not have been used then.
    """
    folders = {entry.name.lower(): entry for entry in path.iterdir() if entry.is_dir()}
    found = {part: next((folders[name] for name in names if name in folders), None) for part, names in _PARTS.items()}
    own = {part: folder for part, folder in found.items() if folder is not None}
    if "train" not in own or len(own) == 1:
        own = {"train": path}
    names, labels = _listed(own["train"])
    rows = _parts_of(labels, tuple(part for part in _SHARES if part not in own))
    parts = {part: [names[row] for row in rows.get(part, [])] for part in ("train", *_SHARES)}
    parts |= {part: _listed(folder)[0] for part, folder in own.items() if part != "train"}
    keys = {part: path_keys(str(name.relative_to(path)) for name in files) for part, files in parts.items()}
    return SplitRecord.of(keys, rule=RULE, data=data, proven=False)


def record_of_set(raw: RawData, data: str) -> SplitRecord:
    """The parts that the images of a set of its own name had; it never changes."""
    rows = _parts_of(raw.train.labels, tuple(part for part in _SHARES if getattr(raw, part) is None))
    names = raw.train.names_as("train")
    keys = {part: path_keys(names[row] for row in found) for part, found in rows.items()}
    for part in _SHARES.keys() - rows.keys():
        keys[part] = path_keys(getattr(raw, part).names_as(part))
    return SplitRecord.of(keys, rule=RULE, data=data)


def stratified_parts(labels: Rows, shares: tuple[float, ...], seed: int = 0) -> list[Rows]:
    """Split rows so that each class is shared out alike: first what is left (train), then one part a share.

    A class with fewer than three images stays in the first part as a whole; any other has at least one image in each.

    >>> train, test = stratified_parts(np.repeat([0, 1], 5), (0.2,))
    >>> len(train), np.bincount(np.repeat([0, 1], 5)[test]).tolist()
    (8, [1, 1])
    """
    parts: list[list[Rows]] = [[] for _ in range(1 + len(shares))]
    for label in np.unique(labels):
        rows = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        sizes = [max(1, round(share * len(rows))) for share in shares] if len(rows) >= SMALLEST_CLASS else []
        start = 0
        for part, size in zip(parts[1:], sizes, strict=False):
            part.append(rows[start : start + size])
            start += size
        parts[0].append(rows[start:])
    return [np.sort(np.concatenate(part)) if part else np.empty(0, dtype=np.int64) for part in parts]


def _parts_of(labels: Rows, missing: tuple[str, ...]) -> dict[str, Rows]:
    """Which rows of train stayed there, and which were split off for the parts that were missing."""
    rows = stratified_parts(labels, tuple(_SHARES[part] for part in missing))
    return dict(zip(("train", *missing), rows, strict=True))


def _listed(folder: Path) -> tuple[list[Path], Rows]:
    """The images of every class folder, as they were listed then: hidden folders too, folders that are links not."""
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise DataError(
            f"{folder} holds no class folders.", "Put the images of each class into a subfolder of its name."
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            Path(parent, image)
            for parent, _, images in os.walk(folder / name)
            for image in images
            if image.rpartition(".")[2].lower() in _SUFFIXES and not image.startswith(".")
        )
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, dtype=np.int64)
