"""Second moments that grow batch by batch, so that any number of images fits: float64 sums about a first mean.

A point z of a layer, less the layer's mean over the first batch, is written as the row (z, |z|^2, 1). The sum over
points of one layer's rows times another's then holds all that moments about the true means need, and the products of
different batches simply add up.

The null of a pair is the same with the images in another order: each image of the first layer beside the image *before*
it in the second, the first one beside the last, places kept. No image meets itself, and it costs one more product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.similarity.moments import LayerMoments, PairMoments, vary_by_rounding

__all__ = ["Rows", "RunningLayer", "RunningPair"]

Floats = npt.NDArray[np.float64]

_MULTIPLE = 4  # doubles: rows of such a width start where a processor's vectors do
_WORTH_HALVING, _BLOCKS = 128, 4


class Rows:
    """The rows of one layer for some images.

    Attributes:
        values: (images, places, width), float64: the channels, then |z|^2, 1, and zeros up to a width that processors
            multiply quickly.
        channels: how many.
    """

    def __init__(self, values: Tensor, channels: int) -> None:
        self.values, self.channels = values, channels

    @classmethod
    def of(cls, points: Tensor, shift: Tensor) -> Rows:
        """The rows of ``points`` (images, places, channels) about ``shift`` (channels,)."""
        channels = points.shape[2]
        width = -(-(channels + 2) // _MULTIPLE) * _MULTIPLE
        values = points.new_empty((*points.shape[:2], width), dtype=torch.float64)
        centred = values[..., :channels]
        centred.copy_(points)
        centred -= shift
        return cls._completed(values, channels)

    @classmethod
    def _completed(cls, values: Tensor, channels: int) -> Rows:
        """``values``, of which the columns after the channels are set."""
        values[..., channels] = torch.linalg.vector_norm(values[..., :channels], dim=-1).square_()
        values[..., channels + 1] = 1
        values[..., channels + 2 :] = 0
        return cls(values, channels)

    def pooled(self) -> Rows:
        """The rows of each image's mean over its places."""
        if self.values.shape[1] == 1:
            return self
        return self._completed(self.values.mean(1, keepdim=True), self.channels)

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Those of several batches, one after the other."""
        return parts[0] if len(parts) == 1 else cls(torch.cat([part.values for part in parts]), parts[0].channels)


class RunningLayer:
    """The moments of one layer so far."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._channels = 0

    def add(self, rows: Rows) -> None:
        """Count more images: by blocks of columns, of which those under the diagonal are left out."""
        x, self._channels = rows.values.flatten(0, 1), rows.channels
        width = x.shape[1]
        if self._sums is None:
            self._sums = x.new_zeros(width, width)
        block = width if width < _WORTH_HALVING else -(-width // _BLOCKS)
        for start in range(0, width, block):
            own = slice(start, start + block)
            self._sums[own, start:].addmm_(x[:, own].T, x[:, start:])

    def finish(self, shift: Floats, precision: float) -> LayerMoments:
        """The moments about the mean of all points; neurons that vary by rounding alone are made constant.

        Args:
            shift: (channels,), about which the rows are. precision: of the type of number that the values came in.
        """
        assert self._sums is not None
        upper = np.triu(_numbers(self._sums, self._channels, self._channels))
        sums = upper + np.triu(upper, 1).T
        points = round(float(sums[-1, -1]))
        second, fourth = _about_the_means(sums)
        constant = vary_by_rounding(shift + sums[:-2, -1] / points, second.diagonal(), points, precision)
        second[constant], second[:, constant] = 0, 0
        return LayerMoments(points, (second + second.T) / 2, fourth)


class RunningPair:
    """The moments of two layers together so far, and those of their null; images come in the same order for both."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._null: Tensor | None = None
        self._first: Tensor | None = None  # of the first layer, the first image
        self._last: Tensor | None = None  # of the second layer, the last image so far
        self._channels = (0, 0)

    def add(self, first: Rows, second: Rows) -> None:
        """Count more images, the same ones in both."""
        x, y = first.values, second.values
        self._channels = first.channels, second.channels
        self._sums = _add_product(self._sums, x, y)
        if self._last is None:
            self._first = x[:1].clone()
        else:
            self._null = _add_product(self._null, x[:1], self._last)
        if len(x) > 1:
            self._null = _add_product(self._null, x[1:], y[:-1])
        self._last = y[-1:].clone()

    def finish(self, first: LayerMoments, second: LayerMoments) -> tuple[PairMoments, PairMoments | None]:
        """The moments, and those of the null; ``None`` of a single image, which has no other to stand beside.

        Args:
            first, second: of the same points.
        """
        assert self._sums is not None and self._first is not None and self._last is not None
        found = PairMoments(first, second, *_about_the_means(_numbers(self._sums, *self._channels)))
        if self._null is None:
            return found, None
        whole = _add_product(self._null.clone(), self._first, self._last)
        return found, PairMoments(first, second, *_about_the_means(_numbers(whole, *self._channels)))


def _add_product(sums: Tensor | None, x: Tensor, y: Tensor) -> Tensor:
    """``sums`` with x'y over all images and places added, in place."""
    x, y = x.flatten(0, 1), y.flatten(0, 1)
    return x.T @ y if sums is None else sums.addmm_(x.T, y)


def _numbers(sums: Tensor, *channels: int) -> Floats:
    """The sums without the columns of zeros."""
    rows, columns = (count + 2 for count in channels)
    numbers: Floats = sums[:rows, :columns].cpu().numpy()
    return numbers


def _about_the_means(sums: Floats) -> tuple[Floats, float]:
    """From the sums of products of rows (z, a, 1) and (w, b, 1): the cross moments and the sum of |x|^2 |y|^2.

    With the means d of z and e of w, x = z - d and y = w - e, so that |x|^2 = a - 2 d'z + d'd.
    """
    points = sums[-1, -1]
    d, e = sums[:-2, -1] / points, sums[-1, :-2] / points
    products, dd, ee = sums[:-2, :-2], d @ d, e @ e
    fourth = sums[-2, -2] - 2 * sums[-2, :-2] @ e + ee * sums[-2, -1]
    fourth += dd * sums[-1, -2] - 2 * d @ sums[:-2, -2] + 4 * d @ products @ e - 3 * dd * ee * points
    return products - points * np.outer(d, e), float(fourth)
