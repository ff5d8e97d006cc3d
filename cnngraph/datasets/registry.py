"""Names -> data. ``digits``, torchvision's sets by name, and ``folder:PATH``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cnngraph.console import Progress, warn
from cnngraph.datasets import digits, folder, torchvision_sets
from cnngraph.datasets.former_split import record_of_folder, record_of_set
from cnngraph.datasets.images import Images, loader
from cnngraph.datasets.parts import Pool
from cnngraph.datasets.pixels import RawData
from cnngraph.datasets.same_content import ContentWatch
from cnngraph.datasets.split import stratified_subset
from cnngraph.datasets.split_file import groups_by, read_split_file
from cnngraph.datasets.split_record import Change, SplitRecord
from cnngraph.datasets.survey import require_one_kind
from cnngraph.errors import DataError, NotFoundError, UsageError, nearest
from cnngraph.origin import Preprocessing
from cnngraph.settings import cache_dir

__all__ = [
    "PARTS",
    "Data",
    "Images",
    "SplitOptions",
    "Subset",
    "known_data",
    "loader",
    "open_data",
    "require_known",
]

PARTS = ("train", "validation", "test")

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
        warnings: sentences for a person about what was done to the data. notes: less important ones.
        details: what was passed over as a matter of course.
        taken_from: of each part, where it comes from: the folder that it is, ``own`` (of a set that has it), ``split``
            (off train), ``split file``.
        record: which files are in which part, to be kept with a net that is trained on them.
        change: what came and went since the net was trained, where its record was restored.
    """

    name: str
    classes: list[str]
    train: Images
    validation: Images
    test: Images
    channels: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    taken_from: Mapping[str, str] = field(default_factory=dict)
    record: SplitRecord | None = None
    change: Change | None = None
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


@dataclass(frozen=True)
class Subset:
    """How many images are used, and which.

    Attributes:
        images_per_class: take so many of each class for train, and at most so many for the other parts.
        limit: take so many in all for train, and at most so many for the other parts.
        seed: decides which images a subset takes, never how the data is split.
    """

    images_per_class: int | None = None
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class SplitOptions:
    """What a person says of how ``folder:PATH`` is shared out to train, validation and test.

    Attributes:
        layout: ``classes`` or ``parts``: what the folders are, where their names could mean both.
        file: names the part of each image (:mod:`cnngraph.datasets.split_file`). sha256: what its content must have,
            where it is known.
        group_by: a regular expression whose first group, in an image's path, names what must not be torn apart.
    """

    layout: str | None = None
    file: str | Path | None = None
    sha256: str | None = None
    group_by: str | None = None


def open_data(
    name: str,
    *,
    preprocessing: Preprocessing,
    root: str | Path | None = None,
    subset: Subset | None = None,
    split_by: SplitOptions | None = None,
    split: SplitRecord | Literal["former"] | None = None,
    parts: tuple[str, ...] = PARTS,
    progress: Progress | None = None,
) -> Data:
    """Open a data set by name.

    A missing test or validation part is split off train by the hash of each path (:mod:`~cnngraph.datasets.split`).

    Args:
        name: one of :func:`known_data`, or ``folder:PATH``.
        preprocessing: what an image becomes.
        root: folder of downloaded data; ``None``: in the cache folder. Of ``folder:PATH``: what PATH is relative to.
        subset: take only so many images; ``None``: all.
        split_by: what a person says of the parts; ``None``: the rule decides.
        split: of the net that the data are opened for: files stay in the part that they had. ``former``: it was saved
            before a split was kept with a net.
        parts: the parts that are wanted now; they are decoded at once, so that a broken image is found here.
        progress: told of the decoding.

    Raises:
        NotFoundError: an unknown name, or the data is not there and cannot be fetched.
        DataError: broken images, an empty class, fewer than two classes, fewer images than asked.
    """
    require_known(name)
    subset, split_by = subset or Subset(), split_by or SplitOptions()
    where = Path(root).expanduser() if root is not None else None
    raw, folder_path = _read(name, where, split_by.layout)
    if len(raw.classes) < 2:
        raise DataError(f"{name} has only one class: {', '.join(raw.classes)}.", "A classifier needs two or more.")
    pool = _pool(raw, name, folder_path, split_by)
    former: SplitRecord | None
    if split == "former":
        former = record_of_set(raw, name) if folder_path is None else record_of_folder(folder_path, name)
    else:
        former = split
    shared = pool.share_out(former)
    found = pool.images(shared.codes, preprocessing)
    images = {part: whole for part, (whole, _) in found.items()}
    if subset.images_per_class is not None or subset.limit is not None:
        _require_enough(name, raw.classes, images["train"].labels, subset)
        images = {
            part: whole.take(stratified_subset(whole.labels, keys, **asdict(subset)))
            for part, (whole, keys) in found.items()
        }
    data = Data(
        name=name,
        classes=raw.classes,
        channels=raw.train.pixels.channels,
        warnings=(*pool.raw.warnings, *shared.warnings),
        notes=shared.notes,
        details=raw.details,
        taken_from=shared.taken_from,
        record=shared.record,
        change=shared.change,
        **images,
    )
    data.preload(parts, progress)
    return data


def _read(name: str, where: Path | None, layout: str | None) -> tuple[RawData, Path | None]:
    """What the source gives, and the folder that it is of ``folder:PATH``."""
    if name.startswith("folder:"):
        path = (where or Path()) / Path(name.removeprefix("folder:")).expanduser()
        return folder.read(path, layout), path
    if layout is not None:
        raise UsageError(f"{name} is no folder, so it has no --layout.", "Leave it out, or name folder:PATH.")
    return _SOURCES[name](where or cache_dir() / "data"), None


def _pool(raw: RawData, name: str, folder_path: Path | None, split_by: SplitOptions) -> Pool:
    """The images with what a person says of their split."""
    pool, file = Pool(raw, name), split_by.file
    if file is None and split_by.group_by is None:
        return pool
    if folder_path is None:
        option = "--split-file" if file is not None else "--group-by"
        raise UsageError(f"{name} is no folder, so it has no {option}.", "Leave it out, or name folder:PATH.")
    groups = None if split_by.group_by is None else groups_by(split_by.group_by, pool.names)
    if file is None:
        return replace(pool, groups=groups)
    split_file = read_split_file(Path(file), pool.names, folder_path, sha256=split_by.sha256)
    if split_file.groups is not None and groups is not None:
        raise UsageError(f"{file} names groups, and so does --group-by.", "Leave one of them out.")
    raw = replace(raw, warnings=(*raw.warnings, *split_file.warnings))
    return Pool(raw, name, split_file.codes, split_file.groups or groups)


def _require_enough(name: str, classes: list[str], labels: NDArray[np.int64], subset: Subset) -> None:
    images_per_class, limit = subset.images_per_class, subset.limit
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
