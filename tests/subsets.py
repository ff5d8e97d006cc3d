"""Small subsets of real image data, laid out as users have them: the root of MNIST, and folders of images."""

from __future__ import annotations

import gzip
import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath

__all__ = ["write_caltech", "write_cifar10", "write_mnist"]

_HEADER = {"images": 16, "labels": 8}  # bytes before the values; the second number of both is how many there are
_VALUES = {"images": 28 * 28, "labels": 1}  # of one image, of one label


def write_mnist(shared: Path, root: Path, *, train: int = 2000, test: int = 500) -> Path:
    """The first images of both parts in the four files of the set; returns what ``--data-root`` takes."""
    for part, count in (("train", train), ("t10k", test)):
        for what, dims in (("images", 3), ("labels", 1)):
            name = f"{part}-{what}-idx{dims}-ubyte"
            with gzip.open(shared / "data" / "MNIST" / "raw" / f"{name}.gz") as packed:
                raw = packed.read(_HEADER[what] + count * _VALUES[what])
            file = root / "MNIST" / "raw" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(raw[:4] + count.to_bytes(4, "big") + raw[8:])
    return root


def write_cifar10(shared: Path, root: Path, *, train: int = 80, test: int = 20) -> Path:
    """So many images of each class as ``cifar10/{train,test}/CLASS/NNNN.jpg``; returns that folder."""
    _unpack(shared / "data" / "cifar10-jpeg.tar.gz", root, {"train": train, "test": test}, level=1)
    return root / "cifar10"


def write_caltech(
    shared: Path, root: Path, classes: tuple[str, ...] = ("airplanes", "bonsai", "watch", "Leopards"), *, each: int = 80
) -> Path:
    """So many images of some classes as ``caltech101-96/CLASS/image_NNNN.jpg``; returns that folder."""
    _unpack(shared / "data" / "caltech101-96.tar", root, dict.fromkeys(classes, each), level=1)
    return root / "caltech101-96"


def _unpack(archive: Path, root: Path, wanted: dict[str, int], *, level: int) -> None:
    """Of each folder the first images: as many as ``wanted`` says for its part of the path at ``level``."""
    taken: Counter[PurePosixPath] = Counter()
    with tarfile.open(archive) as packed:
        for member in packed:
            path = PurePosixPath(member.name)
            if not member.isfile() or path.suffix != ".jpg" or len(path.parts) <= level + 1:
                continue
            if taken[path.parent] < wanted.get(path.parts[level], 0):
                taken[path.parent] += 1
                packed.extract(member, root, filter="data")
