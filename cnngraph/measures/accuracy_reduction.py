"""CAR: how much accuracy a net loses without some of its filters, in all and for each class.

Abbasi-Asl, Yu, "Structural Compression of Convolutional Neural Networks with Applications in Interpretability",
Frontiers in Big Data 4:704182, 2021, section "Classification accuracy reduction". Pure: who knows which images are
right with and without the filters hands that in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["AccuracyReduction", "Served", "find_served", "measure_reduction"]

_ENDS = 3  # so many classes that a filter serves most, and as many that it serves least; our choice


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
    """A class that some filters serve: its number, its CAR^c, and its rank among all classes that have one, from 1."""

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


def find_served(by_class: Sequence[float | None], ends: int = _ENDS) -> tuple[Served, ...]:
    """The ``ends`` classes of the largest CAR^c and the ``ends`` of the smallest, largest first; of equals the first.

    Their largest and smallest CAR^c say what filters are for (the paper's reading). Rank 1 is the class served most.

    >>> [(one.index, one.rank) for one in find_served((0.0, 0.5, None, -0.1), ends=1)]
    [(1, 1), (3, 3)]
    """
    known = [(index, value) for index, value in enumerate(by_class) if value is not None]
    known.sort(key=lambda one: -one[1])
    ranked = [Served(index, value, rank) for rank, (index, value) in enumerate(known, 1)]
    return tuple(one for one in ranked if one.rank <= ends or one.rank > len(ranked) - ends)
