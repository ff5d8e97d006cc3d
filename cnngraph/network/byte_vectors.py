"""Products of many unit vectors from vectors rounded to bytes, with a bound on what the rounding changes.

Processors with instructions for neural nets multiply bytes several times faster than floats. Here that finds the few
pairs whose product may be large; whoever asks weighs those exactly.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

__all__ = ["ByteVectors", "bytes_are_faster"]

_LARGEST = 127
_SLACK = 1e-5  # for the float32 in which the bound is reckoned
_NOTHING_IS_ABOVE = 2**30


class ByteVectors:
    """Unit vectors as bytes, after a rotation that spreads each of them evenly over its parts.

    With x = s q + d (q: the bytes, s: the step, d: what is lost) the product of x and y is
    s^2 (q . q') + d . y + s q . d', so that it differs from the first term by |d| + (1 + |d|) |d'| at most
    (Cauchy and Schwarz).

    Attributes:
        rows: (M, parts) of int8.
    """

    def __init__(self, vectors: Tensor) -> None:
        """``vectors``: (M, n) of float32, each of length 1."""
        size = vectors.shape[1]
        width = -(-size // 16) * 16
        random = torch.randn(width, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        turned = vectors @ torch.linalg.qr(random).Q.T.float().contiguous()
        self._step = float(turned.abs().max()) / _LARGEST
        self.rows = (turned / self._step).round_().to(torch.int8)
        self._lost = torch.linalg.vector_norm(turned.sub_(self.rows, alpha=self._step), dim=1)
        self._most_lost = float(self._lost.max())

    @staticmethod
    def products(rows: Tensor, others: Tensor) -> Tensor:
        """(rows, others): the absolute value of each product of bytes, as whole numbers."""
        return _multiply(rows, others).abs_()

    def reorder(self, order: Tensor) -> None:
        """Give the vectors other numbers: ``order[i]`` becomes i."""
        self.rows, self._lost = self.rows[order], self._lost[order]

    def thresholds(self, floors: Tensor) -> Tensor:
        """(M,): what a product of bytes is above wherever the true product with that vector is above its floor."""
        bound = self._lost + (1 + self._lost) * self._most_lost + _SLACK
        least: Tensor = (floors - bound) / self._step**2
        return least.clamp_(-1, _NOTHING_IS_ABOVE).floor_().to(torch.int32)


def _multiply(rows: Tensor, others: Tensor) -> Tensor:
    # torch has no public name for this product; should it go, bytes_are_faster says no.
    found: Tensor = torch._int_mm(rows, others.T)
    return found


@cache
def bytes_are_faster(size: int) -> bool:
    """Whether this machine multiplies bytes rightly, and faster than floats, for vectors of ``size`` parts.

    No time is taken: the same machine must always give the same tables.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    rows = torch.randint(-127, 128, (8, size), generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    rows[0], rows[1] = 127, -127  # sums that a processor gets wrong which adds in 16 bits
    exact = rows.double()
    try:
        return torch.equal(_multiply(rows, rows).double(), exact @ exact.T)
    except (AttributeError, RuntimeError):
        return False
