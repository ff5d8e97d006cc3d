"""Which part an image is in, decided by a hash of its path alone; and which images a subset takes.

An image's *share* u is the first eight bytes of SHA-256 of a constant and its path, over 2**64: evenly spread over 0..1
and the same on every machine. It is a test image where u < 0.2 and a validation image where u < 0.3, so a file that is
added or deleted moves no other. Only a class of three or more images that would have none in a part gives it one: that
of the lowest share that is left.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RULE",
    "SMALLEST_CLASS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "part_by_share",
    "path_keys",
    "shares",
    "split_classes",
    "split_groups",
    "stratified_subset",
]

RULE = 2  # 1: at random within each class, see cnngraph.datasets.former_split
SMALLEST_CLASS = 3  # images that a class needs to be in train, validation and test
TRAIN, VALIDATION, TEST = 0, 1, 2
_TEST_BELOW, _VALIDATION_BELOW = 0.2, 0.3
_CONSTANT = b"cnngraph split\0"

Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]
Shares = NDArray[np.float64]
PartCodes = NDArray[np.int8]


def path_keys(paths: Iterable[str]) -> Keys:
    """The first eight bytes of the hash of each path, which is relative to the root of the data, with ``/``.

    >>> path_keys(["cat/1.png"]).tolist() == path_keys(["cat/1.png"]).tolist() != path_keys(["cat/2.png"]).tolist()
    True
    """
    start, normal = hashlib.sha256(_CONSTANT), unicodedata.normalize
    digests = bytearray()
    for path in paths:
        digest = start.copy()
        # One name of two spellings: a Mac writes an accent as a character of its own.
        digest.update((path if path.isascii() else normal("NFC", path)).encode("utf-8", "surrogateescape"))
        digests += digest.digest()[:8]
    return np.frombuffer(bytes(digests), dtype=">u8").astype(np.uint64)


def shares(keys: Keys) -> Shares:
    """The keys as numbers of 0..1."""
    return keys.astype(np.float64) / 2.0**64


def part_by_share(u: Shares, *, with_test: bool) -> PartCodes:
    """What the rule says of each image by itself: TRAIN, VALIDATION or TEST.

    Args:
        with_test: ``False`` where the test images come from elsewhere: then these are train or validation.
    """
    below_test = TEST if with_test else TRAIN
    return np.where(u < _TEST_BELOW, below_test, np.where(u < _VALIDATION_BELOW, VALIDATION, TRAIN)).astype(np.int8)


def split_classes(u: Shares, labels: Rows, *, with_test: bool) -> tuple[PartCodes, Rows, Rows]:
    """The part of each image where none belongs to a group.

    Returns:
        the parts; the classes in which an image was moved so that no part is empty; those that are wholly train since
        they have fewer than three images.
    """
    parts = part_by_share(u, with_test=with_test)
    count = int(labels.max()) + 1 if len(labels) else 0
    sizes = np.bincount(labels, minlength=count)
    small = np.flatnonzero((sizes > 0) & (sizes < SMALLEST_CLASS))
    parts[np.isin(labels, small)] = TRAIN
    wanted = (TEST, VALIDATION) if with_test else (VALIDATION,)
    have = {part: np.bincount(labels[parts == part], minlength=count) for part in (TRAIN, *wanted)}
    lacking = np.flatnonzero((sizes >= SMALLEST_CLASS) & np.any([have[part] == 0 for part in have], axis=0))
    for label in lacking:
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(u[rows], kind="stable")]
        if with_test:
            in_test = min(max(int((u[rows] < _TEST_BELOW).sum()), 1), len(rows) - 2)
            held_out = min(max(int((u[rows] < _VALIDATION_BELOW).sum()), in_test + 1), len(rows) - 1)
            parts[rows[:in_test]], parts[rows[in_test:held_out]], parts[rows[held_out:]] = TEST, VALIDATION, TRAIN
        elif have[VALIDATION][label]:
            parts[rows[-1]] = TRAIN
        else:
            parts[rows[0]] = VALIDATION
    return parts, lacking, small


def split_groups(u: Shares, labels: Rows, groups: Rows, *, with_test: bool) -> tuple[PartCodes, Rows, Rows]:
    """The same where images of one group stay together; ``u`` is of the group, ``groups`` numbers it."""
    parts = part_by_share(u, with_test=with_test)
    wanted = (TEST, VALIDATION) if with_test else (VALIDATION,)
    moved: list[int] = []
    short: list[int] = []
    for label in np.unique(labels):
        mine = labels == label
        members = np.unique(groups[mine])
        if len(members) < SMALLEST_CLASS:
            short.append(int(label))
            continue
        for part in (*wanted, TRAIN):
            if (parts[mine] == part).any():
                continue
            group = _group_to_give(parts, u, labels, groups, int(label), part)
            if group is None:
                short.append(int(label))
            else:
                parts[groups == group] = part
                moved.append(int(label))
    return parts, np.unique(np.array(moved, dtype=np.int64)), np.unique(np.array(short, dtype=np.int64))


def _group_to_give(parts: PartCodes, u: Shares, labels: Rows, groups: Rows, label: int, part: int) -> int | None:
    """The group of a class that another part can spare: no class loses its last group there; None where none can."""
    mine = np.flatnonzero(labels == label)
    order = mine[np.argsort(u[mine], kind="stable")]
    for group in dict.fromkeys(groups[order if part != TRAIN else order[::-1]].tolist()):
        source = parts[groups == group][0]
        rest = (parts == source) & (groups != group)
        if np.isin(np.unique(labels[groups == group]), labels[rest]).all():
            return int(group)
    return None


def stratified_subset(
    labels: Rows, keys: Keys, *, images_per_class: int | None = None, limit: int | None = None, seed: int = 0
) -> Rows:
    """Rows of at most ``images_per_class`` images a class and at most ``limit`` in all, shared out as the classes are.

    Of each class those of the lowest share are taken; another ``seed`` than 0 takes others. A larger subset contains a
    smaller one of the same seed. Sorted.

    >>> labels = np.repeat([0, 1], [30, 10])
    >>> stratified_subset(labels, path_keys(map(str, range(40))), limit=4).size
    4
    """
    order = np.lexsort((_mixed(keys, seed), labels))
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    classes = [rows[:images_per_class] for rows in np.split(order, starts[1:])]
    # The k-th image of a class of n stands at (k + 1/2) / n, its first one before all others: any beginning of that
    # order shares out the classes in proportion (Webster's method) and has one of each where it is long enough.
    places = [(np.arange(len(rows)) + 0.5) / len(rows) - (np.arange(len(rows)) == 0) for rows in classes if len(rows)]
    if not places:
        return np.empty(0, dtype=np.int64)
    return np.sort(np.concatenate(classes)[np.argsort(np.concatenate(places), kind="stable")[:limit]])


def _mixed(keys: Keys, seed: int) -> Keys:
    """The keys themselves for seed 0, else keys that have nothing to do with them (the finaliser of SplitMix64)."""
    if not seed:
        return keys
    mixed = keys ^ np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed
