"""Names -> data. ``digits``, torchvision's sets by name, and ``folder:PATH``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnngraph.console import Progress, warn
from cnngraph.datasets import digits, folder, torchvision_sets
from cnngraph.datasets.images import Images, loader
from cnngraph.datasets.pixels import RawData
from cnngraph.datasets.same_content import ContentWatch
from cnngraph.datasets.split import SMALLEST_CLASS, stratified_parts, stratified_subset
from cnngraph.datasets.survey import require_one_kind
from cnngraph.errors import DataError, NotFoundError, nearest
from cnngraph.origin import Preprocessing
from cnngraph.settings import cache_dir

__all__ = ["PARTS", "Data", "Images", "known_data", "loader", "open_data", "require_known"]

PARTS = ("train", "validation", "test")
_VALIDATION, _TEST = 0.1, 0.2
# Splits never depend on a user's seed: an image that was trained on must not become a test image of a later command.
_SPLIT_SEED = 0

# A new data set is one new file and one line here.
_SOURCES: dict[str, Callable[[Path], RawData]] = {"digits": digits.read, **torchvision_sets.READERS}


@dataclass(frozen=True)
class Data:
    """A data set, ready to be read.

    Attributes:
        name: as typed.
        classes: names in the order of the labels.
        train, validation, test: disjoint; decisions may use the first two only.
        channels: 1 where every image is grey, else 3.
        warnings: sentences for a person about what was done to the data.
    """

    name: str
    classes: list[str]
    train: Images
    validation: Images
    test: Images
    channels: int
    warnings: tuple[str, ...] = ()
    watch: ContentWatch = field(default_factory=lambda: ContentWatch(warn), init=False, repr=False, compare=False)

    def prepared(self, preprocessing: Preprocessing) -> Data:
        """The same data for another input; nothing is kept of what was decoded for the old one."""
        parts = {part: getattr(self, part).prepared(preprocessing) for part in PARTS}
        return replace(self, **parts)

    def preload(self, parts: tuple[str, ...] = PARTS, progress: Progress | None = None) -> None:
        """Decode these parts now, so that a broken image is found here; a part that is decoded already stays.

        Raises:
            DataError: images cannot be decoded; says how many and names the first.
        """
        whole: dict[str, Images] = {part: getattr(self, part) for part in PARTS}
        for part in parts:
            images = whole[part]
            images.when_read = partial(self.watch.compare, whole)
            for remark in images.preload(f"Reading {self.name} ({part})", progress, self.name):
                warn(remark)
            for other in whole.values():
                if images.kind is not None and other.kind is not None:
                    require_one_kind(images.kind, other.kind, images.preprocessing)


def known_data() -> list[str]:
    """Every name that :func:`open_data` knows, ``folder:PATH`` aside."""
    return list(_SOURCES)


def require_known(name: str) -> None:
    """Raise NotFoundError, with the nearest name, unless ``name`` is one that :func:`open_data` knows."""
    if not name.startswith("folder:") and name not in _SOURCES:
        raise NotFoundError(f"There is no data set {name!r}.", nearest(name, [*_SOURCES, "folder:PATH"]))


def open_data(
    name: str,
    *,
    root: str | Path | None = None,
    preprocessing: Preprocessing,
    seed: int = 0,
    images_per_class: int | None = None,
    limit: int | None = None,
    parts: tuple[str, ...] = PARTS,
    progress: Progress | None = None,
) -> Data:
    """Open a data set by name.

    A missing test or validation part is split off train, stratified, always in the same way.

    Args:
        name: one of :func:`known_data`, or ``folder:PATH``.
        root: folder of downloaded data; ``None``: in the cache folder. Of ``folder:PATH``: what PATH is relative to.
        preprocessing: what an image becomes.
        seed: decides which images a subset takes, never how the data is split.
        images_per_class: take so many of each class for train, and at most so many for the other parts.
        limit: take so many in all for train, and at most so many for the other parts.
        parts: the parts that are wanted now; they are decoded at once, so that a broken image is found here.
        progress: told of the decoding.

    Raises:
        NotFoundError: an unknown name, or the data is not there and cannot be fetched.
        DataError: broken images, an empty class, fewer than two classes, fewer images than asked.
    """
    require_known(name)
    where = Path(root).expanduser() if root is not None else None
    if name.startswith("folder:"):
        raw = folder.read((where or Path()) / Path(name.removeprefix("folder:")).expanduser())
    else:
        raw = _SOURCES[name](where or cache_dir() / "data")
    if len(raw.classes) < 2:
        raise DataError(f"{name} has only one class: {', '.join(raw.classes)}.", "A classifier needs two or more.")
    images, warnings = _split(raw, preprocessing)
    if images_per_class is not None or limit is not None:
        _require_enough(name, raw.classes, images["train"].labels, images_per_class, limit)
        images = {
            part: whole.take(stratified_subset(whole.labels, images_per_class=images_per_class, limit=limit, seed=seed))
            for part, whole in images.items()
        }
    data = Data(name=name, classes=raw.classes, channels=raw.train.pixels.channels, warnings=warnings, **images)
    data.preload(parts, progress)
    return data


def _split(raw: RawData, preprocessing: Preprocessing) -> tuple[dict[str, Images], tuple[str, ...]]:
    """Every part as Images; those that the source lacks are split off its train."""
    shares = {"validation": _VALIDATION, "test": _TEST}
    given = {"validation": raw.validation, "test": raw.test}
    missing = [part for part, content in given.items() if content is None]
    rows = stratified_parts(raw.train.labels, tuple(shares[part] for part in missing), _SPLIT_SEED)
    images = {"train": Images(raw.train.pixels, raw.train.labels, preprocessing, rows[0])}
    for part, places in zip(missing, rows[1:], strict=True):
        images[part] = Images(raw.train.pixels, raw.train.labels, preprocessing, places)
    for part, content in given.items():
        if content is not None:
            images[part] = Images(content.pixels, content.labels, preprocessing)
    return images, _small_classes(raw) if missing else ()


def _small_classes(raw: RawData) -> tuple[str, ...]:
    counts = np.bincount(raw.train.labels, minlength=len(raw.classes))
    small = [name for name, count in zip(raw.classes, counts, strict=True) if count < SMALLEST_CLASS]
    if not small:
        return ()
    return (f"Too few images to split, so they are all in train: class {', '.join(small)}.",)


def _require_enough(
    name: str, classes: list[str], labels: NDArray[np.int64], images_per_class: int | None, limit: int | None
) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    if images_per_class is not None and counts.min() < images_per_class:
        least = int(counts.argmin())
        raise DataError(
            f"{name} has only {counts[least]} training images of class {classes[least]}, fewer than the "
            f"{images_per_class} asked for.",
            f"Use --images-per-class {counts[least]} or less.",
        )
    if limit is not None and len(labels) < limit:
        raise DataError(
            f"{name} has only {len(labels)} training images, fewer than the {limit} asked for.",
            f"Use --limit {len(labels)} or less.",
        )
