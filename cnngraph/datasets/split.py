"""Stratified splits and subsets of labels: pure functions of labels and seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SMALLEST_CLASS", "stratified_parts", "stratified_subset"]

SMALLEST_CLASS = 3  # images that a class needs to be in train, validation and test

Rows = NDArray[np.int64]


def stratified_parts(labels: Rows, shares: tuple[float, ...], seed: int = 0) -> list[Rows]:
    """Split rows so that each class is shared out alike: first what is left (train), then one part a share.

    A class with fewer than three images stays in the first part as a whole; any other has at least one image in each.

    >>> train, test = stratified_parts(np.repeat([0, 1], 5), (0.2,))
    >>> len(train), np.bincount(np.repeat([0, 1], 5)[test]).tolist()
    (8, [1, 1])
    """
    parts: list[list[Rows]] = [[] for _ in range(1 + len(shares))]
    for rows in _shuffled_classes(labels, seed):
        sizes = [max(1, round(share * len(rows))) for share in shares] if len(rows) >= SMALLEST_CLASS else []
        start = 0
        for part, size in zip(parts[1:], sizes, strict=False):
            part.append(rows[start : start + size])
            start += size
        parts[0].append(rows[start:])
    return [np.sort(np.concatenate(part)) if part else np.empty(0, dtype=np.int64) for part in parts]


def stratified_subset(
    labels: Rows, *, images_per_class: int | None = None, limit: int | None = None, seed: int = 0
) -> Rows:
    """Rows of at most ``images_per_class`` images a class and at most ``limit`` in all, shared out as the classes are.

    A larger subset contains a smaller one that was taken with the same seed. Sorted.

    >>> stratified_subset(np.repeat([0, 1], [30, 10]), limit=4).size
    4
    """
    classes = [rows[:images_per_class] for rows in _shuffled_classes(labels, seed)]
    if not classes:
        return np.empty(0, dtype=np.int64)
    # The k-th image of a class of n stands at (k + 1/2) / n, its first one before all others: any beginning of that
    # order shares out the classes in proportion (Webster's method) and has one of each where it is long enough.
    order = np.concatenate([(np.arange(len(rows)) + 0.5) / len(rows) - (np.arange(len(rows)) == 0) for rows in classes])
    return np.sort(np.concatenate(classes)[np.argsort(order, kind="stable")[:limit]])


def _shuffled_classes(labels: Rows, seed: int) -> list[Rows]:
    """For each class its rows in random order; a class's order depends on nothing but seed and its own rows."""
    return [
        np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        for label in np.unique(labels)
    ]
