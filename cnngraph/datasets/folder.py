"""``folder:PATH``: a folder with one subfolder a class, or with train / val / test folders of that kind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from cnngraph.datasets.pixels import FilePixels, Part, RawData
from cnngraph.datasets.volumes import volumes_error
from cnngraph.errors import DataError, NotFoundError

__all__ = ["read"]

_SUFFIXES = {".bmp", ".dcm", ".dicom", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_PARTS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def read(path: Path) -> RawData:
    """List the images; none is opened.

    A folder with a ``train`` subfolder and a ``val`` or ``test`` beside it is taken as split already.

    Raises:
        NotFoundError: there is no such folder.
        DataError: it is no folder, has no class folders, an empty class, or a part with a class that train lacks.
    """
    if not path.exists():
        raise NotFoundError(f"There is no data folder {path}.", "Give folder:PATH with one subfolder a class.")
    if not path.is_dir():
        raise DataError(f"{path} is a file, not a data folder.", "Give folder:PATH with one subfolder a class.")
    own = _own_parts(path)
    if "train" not in own or len(own) == 1:
        classes = _classes(path)
        return RawData(classes=classes, train=_list_images(path, classes))
    classes = _classes(own["train"])
    parts = {part: _list_images(folder, classes) for part, folder in own.items()}
    return RawData(classes=classes, **parts)


def _own_parts(path: Path) -> dict[str, Path]:
    folders = {entry.name.lower(): entry for entry in path.iterdir() if entry.is_dir()}
    found = {part: next((folders[name] for name in names if name in folders), None) for part, names in _PARTS.items()}
    return {part: folder for part, folder in found.items() if folder is not None}


def _classes(path: Path) -> list[str]:
    classes = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise DataError(f"{path} holds no class folders.", "Put the images of each class into a subfolder of its name.")
    return classes


def _list_images(path: Path, classes: list[str]) -> Part:
    """The images of each class, sorted by path; only train decides which classes there are."""
    unknown = sorted(set(_classes(path)) - set(classes))
    if unknown:
        raise DataError(f"{path} has a class that train lacks: {unknown[0]}.", "Give every part the same classes.")
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        folder = path / name
        if not folder.is_dir():
            continue
        found = _files(folder)
        if not found:
            raise volumes_error(folder) or DataError(
                f"The class folder {folder} holds no images.", "Fill it or delete it."
            )
        files += found
        labels += [label] * len(found)
    return Part(FilePixels(files), np.array(labels, dtype=np.int64))


def _files(folder: Path) -> list[Path]:
    return sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
    )
