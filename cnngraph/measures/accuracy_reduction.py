"""CAR: how much accuracy a net loses without some of its filters, in all and for each class.

Abbasi-Asl, Yu, "Structural Compression of Convolutional Neural Networks with Applications in Interpretability",
Frontiers in Big Data 4:704182, 2021, section "Classification accuracy reduction". Pure: who knows which images are
right with and without the filters hands that in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ENDS", "AccuracyReduction", "Served", "find_served", "measure_reduction"]

ENDS = 3  # so many classes that a filter serves most, and as many that it serves least; our choice


@dataclass(frozen=True)
class AccuracyReduction:
    """What the accuracy loses; negative where it gains.

    Attributes:
        overall: CAR, the accuracy with the filters less that without, in shares of 1.
        by_class: CAR^c, the same of the images of each class; ``None`` where a class has no image.
    """

    overall: float
    by_class: tuple[float | None, ...]


@dataclass(frozen=True)
class Served:
    """A class that some filters serve: its number, its CAR^c, and its rank, from 1; equals have one rank."""

    index: int
    reduction: float
    rank: int


def measure_reduction(
    labels: npt.NDArray[np.int64], before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_], classes: int
) -> AccuracyReduction:
    """CAR and CAR^c of some filters; CAR is the mean of CAR^c, weighted by the images of the classes.

    Args:
        labels: (images,), the class of each. before, after: bool (images,), whether the net is right with the filters
            and without. classes: how many there are.

    Raises:
        ValueError: there are no images.

    >>> labels = np.array([0, 0, 1])
    >>> measure_reduction(labels, np.array([True, True, True]), np.array([True, False, True]), 2).by_class
    (0.5, 0.0)
    """
    if not len(labels):
        raise ValueError("there are no images")
    images = np.bincount(labels, minlength=classes)
    lost = np.bincount(labels, weights=before.astype(float) - after.astype(float), minlength=classes)
    return AccuracyReduction(
        overall=float(lost.sum() / len(labels)),
        by_class=tuple(float(one / count) if count else None for one, count in zip(lost, images, strict=True)),
    )


def find_served(by_class: Sequence[float | None], ends: int = ENDS) -> tuple[Served, ...]:
    """The classes of the largest CAR^c and those of the smallest, at most ``ends`` of either, largest first.

    Their largest and smallest CAR^c say what filters are for (the paper's reading). Equals have one rank, and count all
    or not at all (our choice): nothing tells which of them a filter serves more. So there is none where all are equal.

    >>> [(one.index, one.rank) for one in find_served((0.0, 0.5, None, 0.0, 0.0, -0.1), ends=2)]
    [(1, 1), (5, 5)]
    """
    known = [(index, value) for index, value in enumerate(by_class) if value is not None]
    larger = {value: sum(other > value for _, other in known) for _, value in known}
    smaller = {value: sum(other < value for _, other in known) for _, value in known}
    equal = Counter(value for _, value in known)
    at_an_end = {value for value in equal if min(larger[value], smaller[value]) + equal[value] <= ends}
    found = [Served(index, value, larger[value] + 1) for index, value in known if value in at_an_end and len(equal) > 1]
    return tuple(sorted(found, key=lambda one: (one.rank, one.index)))
