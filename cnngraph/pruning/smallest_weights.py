"""Which weights are the smallest: the rule of magnitude pruning, pure.

Iterative magnitude pruning (Ansuini, Medvet, Pellegrino, Zullich, ICPRAM 2020; Frankle & Carbin, ICLR 2019) takes a
share of the weights that are left; ours applies it once to the layers that lost filters, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["count_share", "keep_all_but", "keep_largest"]

Flags = npt.NDArray[np.bool_]


def count_share(rate: float, alive: int) -> int:
    """floor(rate x alive), of the rate as it is written: 0.29 x 100 is 29, though not in floating point.

    >>> count_share(0.29, 100), count_share(0.2, 135_877_494)
    (29, 27175498)
    """
    return math.floor(Fraction(repr(float(rate))) * alive)


def keep_largest(
    weights: Sequence[npt.NDArray[Any]], rate: float, alive: Sequence[Flags] | None = None
) -> tuple[Flags, ...]:
    """Which weights stay when ``rate`` of all that are alive go: :func:`keep_all_but` with :func:`count_share` of them.

    >>> keep_largest([np.array([3.0, -1.0, 1.0, 2.0])], 0.25)[0].tolist()
    [True, False, False, True]
    """
    known = _known(weights, alive)
    return keep_all_but(weights, count_share(rate, sum(int(np.count_nonzero(one)) for one in known)), known)


def keep_all_but(
    weights: Sequence[npt.NDArray[Any]], going: int, alive: Sequence[Flags] | None = None
) -> tuple[Flags, ...]:
    """Which weights stay when ``going`` of all that are alive go, smallest first.

    The cutoff is the value at index ``going - 1`` of their sorted magnitudes; what is larger stays, so that equals of
    the cutoff go too. Where that would be less than one weight, none goes.

    Args:
        weights: arrays, ranked together. going: how many, no more than are alive. alive: those that went before are no
            part of it; ``None``: all are alive.

    Returns:
        bool of the shape of each array; within ``alive``.
    """
    known = _known(weights, alive)
    if going < 1:
        return tuple(known)
    sizes = np.concatenate([np.abs(one[mask]).ravel() for one, mask in zip(weights, known, strict=True)])
    cutoff = np.partition(sizes, going - 1)[going - 1]
    return tuple(mask & (np.abs(one) > cutoff) for one, mask in zip(weights, known, strict=True))


def _known(weights: Sequence[npt.NDArray[Any]], alive: Sequence[Flags] | None) -> list[Flags]:
    return [np.ones(one.shape, dtype=bool) for one in weights] if alive is None else list(alive)
