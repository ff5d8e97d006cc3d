"""Which weights are the smallest: the rule of magnitude pruning, pure.

Iterative magnitude pruning (Ansuini, Medvet, Pellegrino, Zullich, ICPRAM 2020; Frankle & Carbin, ICLR 2019) takes a
share of the weights that are left; ours applies it once to the layers that lost filters, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["keep_largest"]

Flags = npt.NDArray[np.bool_]
_EXACT = 1e-9  # 0.29 * 100 is 28.999...: a share that is a whole number must not lose one


def keep_largest(
    weights: Sequence[npt.NDArray[Any]], rate: float, alive: Sequence[Flags] | None = None
) -> tuple[Flags, ...]:
    """Which weights stay when ``rate`` of all that are alive go, smallest first.

    The cutoff is the value at index ``floor(rate x alive) - 1`` of their sorted magnitudes; what is larger stays, so
    that equals of the cutoff go too. Where that would be less than one weight, none goes.

    Args:
        weights: arrays, ranked together. rate: a share, 0 to 1. alive: those that went before are no part of it;
            ``None``: all are alive.

    Returns:
        bool of the shape of each array; within ``alive``.

    >>> keep_largest([np.array([3.0, -1.0, 1.0, 2.0])], 0.25)[0].tolist()
    [True, False, False, True]
    """
    known = [np.ones(one.shape, dtype=bool) for one in weights] if alive is None else list(alive)
    sizes = np.concatenate(
        [np.abs(one[mask]).ravel() for one, mask in zip(weights, known, strict=True)] or [np.zeros(0)]
    )
    going = math.floor(rate * len(sizes) + _EXACT)
    if going < 1:
        return tuple(known)
    cutoff = np.partition(sizes, going - 1)[going - 1]
    return tuple(mask & (np.abs(one) > cutoff) for one, mask in zip(weights, known, strict=True))
