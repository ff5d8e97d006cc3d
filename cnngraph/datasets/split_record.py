"""The split that a net was trained by, kept with it: what it was trained on must never become a test image.

Of each file eight bytes are kept, the hash of its path (:func:`cnngraph.datasets.split.path_keys`), by part. When the
data are opened again a file that is known stays in its part, whatever came or went; a new one follows the rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cnngraph.datasets.split import TEST, TRAIN, VALIDATION, Keys, PartCodes

__all__ = ["CODES", "Change", "SplitRecord"]

CODES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class Change:
    """What came and what went since a split was recorded, in images: ``new`` and ``gone`` by part."""

    new: Mapping[str, int]
    gone: Mapping[str, int]

    @property
    def may_be_renamed(self) -> bool:
        """Whether a test image may be one that was trained on: a file that was renamed is gone, and another is new."""
        return self.new["test"] > 0 and self.gone["train"] > 0

    @property
    def words(self) -> str:
        """
        >>> Change({"train": 2, "validation": 0, "test": 1}, {"train": 0, "validation": 0, "test": 0}).words
        '3 new (2 train, 1 test), none gone'
        """
        return f"{_count(self.new)} new{_by_part(self.new)}, {_count(self.gone)} gone{_by_part(self.gone)}"


class SplitRecord(BaseModel):
    """Which files a net was trained, chosen and judged on.

    Attributes:
        rule: version of the rule that decided (:data:`cnngraph.datasets.split.RULE`).
        data: the data set, as typed.
        counts: images by part. sha256: of the sorted list of the files' hashes.
        proven: whether it is known that the net has seen no image but those of its train part; not so of weights
            that come from elsewhere.
        keys: hashes of the files by part, sorted; empty where only the summary above is known. Not in the JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    rule: int
    data: str
    counts: dict[str, int]
    sha256: str
    proven: bool = True
    keys: dict[str, NDArray[np.uint64]] = Field(default_factory=dict, exclude=True, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SplitRecord) and self.model_dump() == other.model_dump()  # sha256 is of the keys

    def __hash__(self) -> int:
        return hash((self.rule, self.data, self.sha256, self.proven))

    @classmethod
    def of(cls, keys: Mapping[str, Keys], *, rule: int, data: str, proven: bool = True) -> Self:
        """The record of these files."""
        ordered = {part: np.unique(keys[part]) for part in CODES}
        listed = np.sort(np.concatenate(list(ordered.values()))).astype("<u8")
        return cls(
            rule=rule,
            data=data,
            counts={part: len(found) for part, found in ordered.items()},
            sha256=hashlib.sha256(listed.tobytes()).hexdigest(),
            proven=proven,
            keys=ordered,
        )

    def is_of(self, data: str) -> bool:
        """Whether the files of ``data`` can be those of this record: both are folders, or both are that set."""
        return self.data == data or (self.data.startswith("folder:") and data.startswith("folder:"))

    def parts_of(self, keys: Keys) -> PartCodes:
        """The part that each file had, -1 for one that is new."""
        found = np.full(len(keys), -1, dtype=np.int8)
        for part in ("test", "validation", "train"):  # what was trained on wins
            found[_are_in(keys, self.keys.get(part))] = CODES[part]
        return found

    def change_to(self, keys: Mapping[str, Keys]) -> Change:
        """What is new and what is gone in the parts ``keys``."""
        now = np.concatenate([keys[part] for part in CODES])
        known = np.concatenate([self.keys.get(part, keys["train"][:0]) for part in CODES])
        return Change(
            {part: int((~_are_in(keys[part], np.sort(known))).sum()) for part in CODES},
            {part: int((~_are_in(self.keys[part], np.sort(now))).sum()) if part in self.keys else 0 for part in CODES},
        )

    def keeps_apart(self, other: SplitRecord) -> bool:
        """Whether a net of the split ``other`` has surely not been trained on what is held out here."""
        held_out = np.concatenate([self.keys[part] for part in ("validation", "test")])
        return other.proven and other.is_of(self.data) and bool((other.parts_of(held_out) > TRAIN).all())

    def with_files_of(self, other: SplitRecord) -> SplitRecord:
        """This record, and the files of ``other`` that are not in it: gone today, they may come back tomorrow."""
        mine = np.sort(np.concatenate([self.keys[part] for part in CODES]))
        more = {part: found[~_are_in(found, mine)] for part, found in other.keys.items()}
        keys = {part: np.concatenate([self.keys[part], more.get(part, mine[:0])]) for part in CODES}
        return SplitRecord.of(keys, rule=self.rule, data=self.data, proven=self.proven)


def _are_in(keys: Keys, ordered: Keys | None) -> NDArray[np.bool_]:
    if ordered is None or not len(ordered):
        return np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[places] == keys
    return found


def _count(counts: Mapping[str, int]) -> str:
    return f"{sum(counts.values()):,}" if any(counts.values()) else "none"


def _by_part(counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{count:,} {part}" for part, count in counts.items() if count)
    return f" ({said})" if said else ""
