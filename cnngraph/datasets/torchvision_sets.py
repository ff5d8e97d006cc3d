"""Sets that torchvision loads: MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100, SVHN, Caltech-101."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnngraph.datasets.pixels import ArrayPixels, FilePixels, Part, RawData
from cnngraph.errors import DataError, NotFoundError, explain
from cnngraph.late_compiler import import_without_compiler

__all__ = ["READERS"]


def _open(name: str, root: Path, load: Callable[..., Any]) -> Any:
    """``load(download=...)``: first what is there, then a download."""
    try:
        return load(download=False)
    except RuntimeError as error:
        if "download=True" not in str(error):  # torchvision's advice where files are not there, or not whole
            raise _unreadable(name, root, error) from error
    except (OSError, EOFError, ValueError) as error:
        raise _unreadable(name, root, error) from error
    try:
        # torchvision prints remarks on stdout, which belongs to results.
        with contextlib.redirect_stdout(sys.stderr):
            root.mkdir(parents=True, exist_ok=True)
            return load(download=True)
    except PermissionError as error:
        raise DataError(
            f"{root} cannot be written to, and {name} must be unpacked there.", "Copy it elsewhere."
        ) from error
    except (OSError, RuntimeError, ImportError) as error:
        reason = explain(error)
        raise NotFoundError(
            f"{name} is not in {root}, or not whole, and could not be fetched: {reason}.",
            "Name the folder that holds it: --data-root DIR.",
        ) from error
    except (EOFError, ValueError) as error:
        raise _unreadable(name, root, error) from error


def _unreadable(name: str, root: Path, error: Exception) -> DataError:
    reason = explain(error)
    return DataError(f"{name} in {root} cannot be read: {reason}.", "Delete its files there and fetch them again.")


def _part(images: Any, labels: Any) -> Part:
    return Part(ArrayPixels(np.asarray(images, dtype=np.uint8)), np.asarray(labels, dtype=np.int64))


def _set(kind: str) -> Any:
    """The class ``kind`` of ``torchvision.datasets``, which is imported here."""
    return getattr(import_without_compiler("torchvision.datasets"), kind)


def _by_train_flag(name: str, class_name: str) -> Callable[[Path], RawData]:
    """MNIST and CIFAR: a class with ``(root, train=, download=)``, ``data``, ``targets`` and ``classes``."""

    def read(root: Path) -> RawData:
        kind = _set(class_name)
        sets = [_open(name, root, partial(kind, root, train=train)) for train in (True, False)]
        train, test = (_part(each.data, each.targets) for each in sets)
        return RawData(classes=[str(label) for label in sets[0].classes], train=train, test=test)

    return read


def _svhn(root: Path) -> RawData:
    sets = [_open("svhn", root, partial(_set("SVHN"), root, split=split)) for split in ("train", "test")]
    train, test = (_part(each.data.transpose(0, 2, 3, 1), each.labels) for each in sets)
    return RawData(classes=[str(digit) for digit in range(10)], train=train, test=test)


def _caltech101(root: Path) -> RawData:
    """The 101 object categories; the background class is left out, as torchvision does."""
    whole = _open("caltech101", root, partial(_set("Caltech101"), root))
    folder = Path(whole.root) / "101_ObjectCategories"
    names = [
        f"{whole.categories[label]}/image_{number:04d}.jpg" for label, number in zip(whole.y, whole.index, strict=True)
    ]
    pixels = FilePixels([folder / name for name in names])
    return RawData(classes=list(whole.categories), train=Part(pixels, np.array(whole.y, dtype=np.int64), names))


READERS: dict[str, Callable[[Path], RawData]] = {
    "mnist": _by_train_flag("mnist", "MNIST"),
    "fashion-mnist": _by_train_flag("fashion-mnist", "FashionMNIST"),
    "cifar10": _by_train_flag("cifar10", "CIFAR10"),
    "cifar100": _by_train_flag("cifar100", "CIFAR100"),
    "svhn": _svhn,
    "caltech101": _caltech101,
}
