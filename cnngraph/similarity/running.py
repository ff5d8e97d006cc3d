"""Second moments that grow batch by batch, so that any number of images fits: float64 sums about a first mean.

A point z of a layer, less the layer's mean over the first batch, is written as the row (z, |z|^2, 1). The sum over
points of one layer's rows times another's then holds all that moments about the true means need, and the products of
different batches simply add up.

The null of a pair is the same with the images in another order: each image of the first layer beside the image *before*
it in the second, the first one beside the last, places kept. No image meets itself, and it costs one more product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.similarity.moments import LayerMoments, PairMoments

__all__ = ["Rows", "RunningLayer", "RunningPair"]

Floats = npt.NDArray[np.float64]


class Rows:
    """The rows of one layer for some images: ``values`` (images, places, channels + 2), float64."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @property
    def images(self) -> int:
        """For how many images."""
        return len(self.values)

    @classmethod
    def of(cls, points: Tensor, shift: Tensor) -> Rows:
        """The rows of ``points`` (images, places, channels) about ``shift`` (channels,)."""
        channels = points.shape[2]
        values = points.new_empty((*points.shape[:2], channels + 2), dtype=torch.float64)
        centred = values[..., :channels]
        centred.copy_(points)
        centred -= shift
        return cls(_completed(values))

    def pooled(self) -> Rows:
        """The rows of each image's mean over its places."""
        if self.values.shape[1] == 1:
            return self
        return Rows(_completed(self.values.mean(1, keepdim=True)))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Those of several batches, one after the other."""
        return parts[0] if len(parts) == 1 else cls(torch.cat([part.values for part in parts]))


class RunningLayer:
    """The moments of one layer so far."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    def add(self, rows: Rows) -> None:
        """Count more images."""
        self._sums = _add_product(self._sums, rows.values, rows.values)

    def finish(self) -> LayerMoments:
        """The moments about the mean of all points."""
        assert self._sums is not None
        sums = self._sums.cpu().numpy()
        second, fourth = _about_the_means(sums)
        return LayerMoments(round(float(sums[-1, -1])), (second + second.T) / 2, fourth)


class RunningPair:
    """The moments of two layers together so far, and those of their null; images come in the same order for both."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._null: Tensor | None = None
        self._first: Tensor | None = None  # of the first layer, the first image
        self._last: Tensor | None = None  # of the second layer, the last image so far

    def add(self, first: Rows, second: Rows) -> None:
        """Count more images, the same ones in both."""
        x, y = first.values, second.values
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
        found = PairMoments(first, second, *_about_the_means(self._sums.cpu().numpy()))
        if self._null is None:
            return found, None
        whole = _add_product(self._null.clone(), self._first, self._last)
        return found, PairMoments(first, second, *_about_the_means(whole.cpu().numpy()))


def _completed(values: Tensor) -> Tensor:
    """``values``, whose last two columns become the rows' squared lengths and 1."""
    values[..., -2] = torch.linalg.vector_norm(values[..., :-2], dim=-1).square_()
    values[..., -1] = 1
    return values


def _add_product(sums: Tensor | None, x: Tensor, y: Tensor) -> Tensor:
    """``sums`` with x'y over all images and places added, in place."""
    x, y = x.flatten(0, 1), y.flatten(0, 1)
    return x.T @ y if sums is None else sums.addmm_(x.T, y)


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


def pieces(total: int, size: int) -> Iterator[slice]:
    """``total`` images in parts of at most ``size``."""
    return (slice(start, min(start + size, total)) for start in range(0, total, size))
