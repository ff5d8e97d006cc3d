"""The images of all sources of a data set, shared out to train, validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cnngraph.datasets.images import Images
from cnngraph.datasets.picture import Picture
from cnngraph.datasets.pixels import Part, Pixels, RawData
from cnngraph.datasets.split import (
    RULE,
    SMALLEST_CLASS,
    TEST,
    TRAIN,
    VALIDATION,
    Keys,
    PartCodes,
    Shares,
    part_by_share,
    path_keys,
    shares,
    split_classes,
    split_groups,
)
from cnngraph.datasets.split_file import BY_RULE, LEFT_OUT
from cnngraph.datasets.split_record import CODES, Change, SplitRecord
from cnngraph.errors import DataError
from cnngraph.origin import Preprocessing

__all__ = ["Pool", "Shared"]

Rows = NDArray[np.int64]


class _JoinedPixels:
    """Several sources of pictures one after the other."""

    def __init__(self, sources: Sequence[Pixels]) -> None:
        self._sources = list(sources)
        self._ends = np.cumsum([len(source) for source in sources])

    @property
    def channels(self) -> int:
        return max(source.channels for source in self._sources)

    @property
    def in_files(self) -> bool:
        return any(source.in_files for source in self._sources)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def name(self, place: int) -> str:
        source, own = self._find(place)
        return source.name(own)

    def picture(self, place: int) -> Picture:
        source, own = self._find(place)
        return source.picture(own)

    def _find(self, place: int) -> tuple[Pixels, int]:
        """The source of a picture, and its place there."""
        number = int(np.searchsorted(self._ends, place, side="right"))
        source = self._sources[number]
        return source, place - int(self._ends[number]) + len(source)


@dataclass(frozen=True)
class Shared:
    """What came of sharing out.

    Attributes:
        codes: TRAIN, VALIDATION or TEST for each image of the pool.
        taken_from: of each part, the folder that it is, ``own``, ``split`` or ``split file``.
        record: who is where, to be kept with a net. change: against the record that was restored.
        warnings, notes: sentences; the second are of no consequence for most people.
    """

    codes: PartCodes
    taken_from: dict[str, str]
    record: SplitRecord
    change: Change | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pool:
    """The images of a data set, those of its own parts after those of train.

    Attributes:
        raw: what the source gave. data: its name, as typed.
        given: the part of each image that a split file names, BY_RULE or LEFT_OUT.
        groups: for each image the name of its group, ``None`` where nothing is grouped.
    """

    raw: RawData
    data: str
    given: PartCodes | None = None
    groups: Sequence[str] | None = None

    @cached_property
    def sources(self) -> list[tuple[str, Part]]:
        """The parts that the source has, train first."""
        parts = ((part, getattr(self.raw, part)) for part in CODES)
        return [(part, content) for part, content in parts if content is not None]

    @cached_property
    def names(self) -> list[str]:
        """By which the split knows the images: paths, or indices where there are no files."""
        return [name for part, content in self.sources for name in content.names_as(part)]

    @cached_property
    def keys(self) -> Keys:
        """The hash of each name."""
        return path_keys(self.names)

    @cached_property
    def labels(self) -> Rows:
        """Of all images."""
        return np.concatenate([content.labels for _, content in self.sources])

    @cached_property
    def own(self) -> set[str]:
        """The parts that are given, by folders, by the set or by a split file."""
        if self.given is not None:
            return {part for part, code in CODES.items() if (self.given == code).any()}
        return {part for part, _ in self.sources}

    @cached_property
    def u(self) -> Shares:
        """The share of each image: of its group where it has one."""
        if self.groups is None:
            return shares(self.keys)
        names, numbers = np.unique(np.array(self.groups), return_inverse=True)
        return shares(path_keys(names.tolist()))[numbers]

    def share_out(self, former: SplitRecord | None) -> Shared:
        """Decide for each image, by its own part, a split file, the rule, and ``former``: a file stays where it was.

        Raises:
            DataError: a split file leaves no image for training.
        """
        codes, warnings, notes = self._by_rule()
        taken_from = self._taken_from()
        if former is None or not former.is_of(self.data) or not former.keys:
            return Shared(codes, taken_from, self._record(codes, RULE), None, (*warnings, *self._of_torn(codes)), notes)
        known = former.parts_of(self.keys)
        restored = np.where(codes == LEFT_OUT, codes, np.where(known >= 0, known, self._natural(codes)))
        if self.groups is not None:
            restored = self._with_their_groups(restored, known)
        restored = restored.astype(np.int8)
        for part, code in CODES.items():
            if ((restored == code) != (codes == code)).any():
                taken_from[part] = "split"  # not what the folder of that name holds
        record = self._record(restored, former.rule)
        merged = record.with_files_of(former).model_copy(update={"proven": former.proven})
        warnings = (*self._of_overruled(restored), *self._of_torn(restored))
        return Shared(restored, taken_from, merged, former.change_to(record.keys), warnings, ())

    def images(self, codes: PartCodes, preprocessing: Preprocessing) -> dict[str, tuple[Images, Keys]]:
        """The images of each part, with the hashes of their names."""
        starts = np.cumsum([0, *(len(content.labels) for _, content in self.sources)])
        found = {}
        for part, code in CODES.items():
            rows = np.flatnonzero(codes == code)
            within = np.unique(np.searchsorted(starts, rows, side="right") - 1)
            if len(within) <= 1:
                at = int(within[0]) if len(within) else 0
                source = self.sources[at][1]
                images = Images(source.pixels, source.labels, preprocessing, rows - starts[at])
            else:
                joined = _JoinedPixels([content.pixels for _, content in self.sources])
                images = Images(joined, self.labels, preprocessing, rows)
            found[part] = (images, self.keys[rows])
        return found

    def _by_rule(self) -> tuple[PartCodes, tuple[str, ...], tuple[str, ...]]:
        """Own parts as they are; what is missing is split off train. And what is to be said of it."""
        codes = self._own_codes()
        if self.given is not None:
            codes = np.where(self.given == BY_RULE, part_by_share(self.u, with_test=True), self.given).astype(np.int8)
            if self.own and not (codes == TRAIN).any():
                raise DataError("The split file names no image for train.", "Write train behind those to learn from.")
            unlearnt = self._without_training(codes)
            if self.own and len(unlearnt):
                raise DataError(
                    f"The split file leaves no image for train of class {self._classes(unlearnt)}.",
                    "Write train behind those to learn from, or take the folder of the class out of the data.",
                )
        missing = {"validation", "test"} - self.own
        candidates = np.flatnonzero(codes == TRAIN) if self.own else np.flatnonzero(codes != LEFT_OUT)
        if not missing or (self.given is not None and self.own and (self.given == BY_RULE).any()):
            return codes, (), ()
        u, labels, with_test = self.u[candidates], self.labels[candidates], "test" in missing
        if self.groups is None:
            parts, moved, small = split_classes(u, labels, with_test=with_test)
        else:
            _, numbers = np.unique(np.array(self.groups)[candidates], return_inverse=True)
            parts, moved, small = split_groups(u, labels, numbers.astype(np.int64), with_test=with_test)
        codes[candidates] = np.where(parts == VALIDATION, TRAIN, parts) if "validation" not in missing else parts
        return codes, (*self._of_small(small), *self._of_unlearnt(codes)), self._of_moved(moved)

    def _own_codes(self) -> PartCodes:
        """The part that the source has each image in."""
        return np.concatenate([np.full(len(content.labels), CODES[part], np.int8) for part, content in self.sources])

    def _taken_from(self) -> dict[str, str]:
        """Of each part, where it comes from."""
        if self.given is not None:
            return {part: "split file" if part in self.own else "split" for part in CODES}
        whole = {"validation", "test"} <= self.own
        named = {part: self.raw.taken_from.get(part, "own") for part in self.own if part != "train" or whole}
        return {part: named.get(part, "split") for part in CODES}

    def _natural(self, codes: PartCodes) -> PartCodes:
        """Where new images go beside known ones: by their own share alone, since no class needs help any more."""
        missing = {"validation", "test"} - self.own
        if not missing or self.given is not None:
            return codes
        natural = codes.copy()
        count = len(self.raw.train.labels)
        natural[:count] = part_by_share(self.u[:count], with_test="test" in missing)
        if "validation" not in missing:
            natural[natural == VALIDATION] = TRAIN
        sizes = np.bincount(self.raw.train.labels, minlength=len(self.raw.classes))
        natural[:count][sizes[self.raw.train.labels] < SMALLEST_CLASS] = TRAIN
        return natural

    def _of_overruled(self, restored: PartCodes) -> tuple[str, ...]:
        """Images that a split file or their own folder puts into another part than that in which the net knows them."""
        if self.given is not None:
            asked, by_whom = self.given, "the split file"
        else:
            asked, by_whom = self._own_codes(), "their folder"
        # What a person calls train may be split further, into parts that nobody has named.
        split_off = (asked == TRAIN) & ~np.isin(restored, [CODES[part] for part in self.own])
        rows = np.flatnonzero((asked >= 0) & (restored != asked) & ~split_off)
        if not len(rows):
            return ()
        words = {code: part for part, code in CODES.items()}
        one, count = int(rows[0]), f"{len(rows):,} images stay" if len(rows) > 1 else "One image stays"
        such_as = f"{self.names[one]} ({words[int(restored[one])]}, not {words[int(asked[one])]})"
        return (f"{count} in the part that the net was trained with, not in that of {by_whom}: {such_as}.",)

    def _with_their_groups(self, codes: PartCodes, known: PartCodes) -> PartCodes:
        """New images of a group that is known go where it is."""
        assert self.groups is not None
        at: dict[str, int] = {}
        for group, code in zip(self.groups, known.tolist(), strict=True):
            if code >= 0:
                at[group] = min(at.get(group, TEST), code)  # what was trained on is the lowest
        together = [at.get(group, code) for group, code in zip(self.groups, codes.tolist(), strict=True)]
        fixed = (known >= 0) | (codes == LEFT_OUT)
        return np.where(fixed, codes, np.array(together, dtype=np.int8)).astype(np.int8)

    def _of_torn(self, codes: PartCodes) -> tuple[str, ...]:
        """Groups that are in several parts all the same: folders, or a net's own split, have torn them."""
        if self.groups is None:
            return ()
        held: dict[str, set[int]] = {}
        for group, code in zip(self.groups, codes.tolist(), strict=True):
            if code in CODES.values():
                held.setdefault(group, set()).add(code)
        torn = sorted(group for group, parts in held.items() if len(parts) > 1)
        if not torn:
            return ()
        where = " and ".join(part for part, code in CODES.items() if code in held[torn[0]])
        count = f"{len(torn):,} groups have" if len(torn) > 1 else "One group has"
        return (f"{count} images in several parts, so what is learnt of them is judged too: {torn[0]} ({where}).",)

    def _record(self, codes: PartCodes, rule: int) -> SplitRecord:
        return SplitRecord.of(
            {part: self.keys[codes == code] for part, code in CODES.items()}, rule=rule, data=self.data
        )

    def _of_small(self, small: Rows) -> tuple[str, ...]:
        if not len(small):
            return ()
        if self.groups is not None:
            return (f"Too few groups to split, so they are where their group is: class {self._classes(small)}.",)
        return (f"Too few images to split, so they are all in train: class {self._classes(small)}.",)

    def _without_training(self, codes: PartCodes) -> Rows:
        """The classes that have no image in train."""
        return np.setdiff1d(np.arange(len(self.raw.classes)), self.labels[codes == TRAIN])

    def _of_unlearnt(self, codes: PartCodes) -> tuple[str, ...]:
        """Classes whose groups are all held out: a net that is trained so never sees them."""
        unlearnt = self._without_training(codes)
        if self.groups is None or not len(unlearnt):
            return ()
        return (f"No group is left for train, so a net cannot learn it: class {self._classes(unlearnt)}.",)

    def _of_moved(self, moved: Rows) -> tuple[str, ...]:
        if not len(moved):
            return ()
        what = "group" if self.groups is not None else "image"
        said = f"The rule of the split left a part without images, so it was given the {what} of lowest hash: class "
        return (f"{said}{self._classes(moved)}.",)

    def _classes(self, labels: Rows) -> str:
        names = [self.raw.classes[label] for label in labels]
        return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
