"""From the mean map of one conv layer to the weights of its positions: the aggregation over a patch and all channels.

Amelio et al. 2022 (doi 10.1007/s12559-022-10084-6), section "Class network construction"; the choice of aggregations is
that of the reference code. A patch is cut at the map's border: what counts is the places that exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LINEAR", "PATCHES", "Patches", "aggregate"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# These need the mean over channels of a place only; the others need the whole map.
LINEAR = ("mean", "sum")


@dataclass(frozen=True)
class Patches:
    """The patches around the nodes of one layer: the product of row windows and column windows.

    Attributes:
        rows, columns: (n, 2) arrays of first and one-past-last row (column) of each window, cut at the border.
    """

    rows: Integers
    columns: Integers

    @classmethod
    def around(
        cls,
        xs: npt.NDArray[np.integer[Any]],
        ys: npt.NDArray[np.integer[Any]],
        kernel: tuple[int, int],
        size: tuple[int, int],
        output: tuple[int, int] | None = None,
    ) -> Patches:
        """The patches of ``kernel`` places around rows ``xs`` and columns ``ys`` of a map of ``size``.

        Where the map observed is not the layer's output (the input of a strided conv), ``output`` is the output's size
        and a position is carried over in proportion, x -> floor(x * size / output): our choice, the centre of the
        receptive field for the usual padding.
        """
        output = output or size
        return cls(
            _windows(xs.astype(np.int64) * size[0] // output[0], kernel[0], size[0]),
            _windows(ys.astype(np.int64) * size[1] // output[1], kernel[1], size[1]),
        )

    @property
    def places(self) -> Integers:
        """(rows, columns): how many places each patch has."""
        sizes: Integers = np.outer(self.rows[:, 1] - self.rows[:, 0], self.columns[:, 1] - self.columns[:, 0])
        return sizes

    def sums(self, maps: Floats) -> Floats:
        """(..., H, W) -> (..., rows, columns): the sum over each patch."""
        height, width = maps.shape[-2:]
        total: Floats = _indicator(self.rows, height) @ maps @ _indicator(self.columns, width).T
        return total

    def largest(self, maps: Floats) -> Floats:
        """(..., H, W) -> (..., rows, columns): the maximum over each patch."""
        return _largest(_largest(maps, self.rows, -2), self.columns, -1)


def _windows(centres: Integers, kernel: int, size: int) -> Integers:
    first = centres - (kernel - 1) // 2
    windows = np.stack([np.clip(first, 0, size - 1), np.clip(first + kernel, 1, size)], axis=1)
    return windows.astype(np.int64)


def _indicator(windows: Integers, size: int) -> Floats:
    places = np.arange(size)
    return ((places >= windows[:, :1]) & (places < windows[:, 1:])).astype(np.float64)


def _largest(maps: Floats, windows: Integers, axis: int) -> Floats:
    first, last = windows[:, 0], windows[:, 1] - 1
    best = np.take(maps, first, axis=axis)
    for step in range(1, int((last - first).max(initial=0)) + 1):
        # Past its end a window repeats its last place, which changes no maximum.
        np.maximum(best, np.take(maps, np.minimum(first + step, last), axis=axis), out=best)
    return best


def _mean(maps: Floats, patches: Patches) -> Floats:
    return patches.sums(maps.mean(axis=-3)) / patches.places


def _sum(maps: Floats, patches: Patches) -> Floats:
    return patches.sums(maps.sum(axis=-3))


def _max(maps: Floats, patches: Patches) -> Floats:
    return patches.largest(maps.max(axis=-3))


def _max_filter(maps: Floats, patches: Patches) -> Floats:
    best: Floats = patches.sums(maps).max(axis=-3)
    return best


def _mean_filter(maps: Floats, patches: Patches) -> Floats:
    mean: Floats = patches.sums(maps.mean(axis=-3))
    return mean


def _entropies(maps: Floats, patches: Patches) -> Floats:
    """-p log2 p of each channel's share p of the patch; 0 for a share that is not positive, and where the sum is 0."""
    sums = patches.sums(maps)
    whole = sums.sum(axis=-3, keepdims=True)
    shares = np.divide(sums, whole, out=np.zeros_like(sums), where=whole != 0)
    terms: Floats = -shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return terms


def _max_entropy(maps: Floats, patches: Patches) -> Floats:
    best: Floats = _entropies(maps, patches).max(axis=-3)
    return best


def _min_entropy(maps: Floats, patches: Patches) -> Floats:
    least: Floats = _entropies(maps, patches).min(axis=-3)
    return least


def _sum_entropy(maps: Floats, patches: Patches) -> Floats:
    total: Floats = _entropies(maps, patches).sum(axis=-3)
    return total


def _mean_entropy(maps: Floats, patches: Patches) -> Floats:
    mean: Floats = _entropies(maps, patches).mean(axis=-3)
    return mean


PATCHES: dict[str, Callable[[Floats, Patches], Floats]] = {
    "mean": _mean,
    "max": _max,
    "sum": _sum,
    "max_filter": _max_filter,
    "mean_filter": _mean_filter,
    "max_entropy": _max_entropy,
    "min_entropy": _min_entropy,
    "sum_entropy": _sum_entropy,
    "mean_entropy": _mean_entropy,
}


def aggregate(name: str, maps: Floats, patches: Patches) -> Floats:
    """Weights of the positions, (..., rows, columns), from mean maps (..., channels, height, width).

    ``name`` is a key of :data:`PATCHES`; with f_c the sum of channel c over the patch and p_c = f_c / sum f:

    - ``mean``, ``max``, ``sum``: over all places and channels of the patch;
    - ``max_filter``, ``mean_filter``: of f_c;
    - ``max_entropy``, ``min_entropy``, ``sum_entropy``, ``mean_entropy``: of -p_c log2 p_c.

    >>> maps = np.arange(18.0).reshape(3, 3, 2).transpose(2, 0, 1)
    >>> whole = Patches.around(np.array([1]), np.array([1]), (3, 3), (3, 3))
    >>> [round(float(aggregate(name, maps, whole)[0, 0]), 6) for name in ("mean", "max_filter", "sum_entropy")]
    [8.5, 81.0, 0.997503]
    """
    return PATCHES[name](maps, patches)
