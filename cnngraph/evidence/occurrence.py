"""Where the images of each class excite a filter: P(activation > 0 | class, position), from counts alone.

Osaku et al., "Convolutional neural network simplification with progressive retraining", 2021, show such maps to the
person who judges a filter. What is kept is a count a class and place; where a net has so many places and classes that
the counts would not fit, neighbouring places are counted together (our choice).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["COUNTS_AT_MOST", "Occurrence", "block_sizes", "places_of"]

COUNTS_AT_MOST = 256 * 2**20  # bytes of all counts

_COUNT = 4  # bytes of one
_VALUES_AT_ONCE = 4_000_000  # compared together: the floats stay near the processor

Integers = npt.NDArray[np.int64]


def block_sizes(shapes: Mapping[str, tuple[int, int, int]], classes: int, most: int = COUNTS_AT_MOST) -> dict[str, int]:
    """How many rows and columns of each layer are counted together, so that all counts fit into ``most`` bytes.

    Args: ``shapes``: layer -> (channels, height, width).

    >>> block_sizes({"a": (8, 16, 16), "b": (8, 4, 4)}, classes=2, most=12000)
    {'a': 2, 'b': 1}
    """
    blocks = dict.fromkeys(shapes, 1)

    def size(layer: str) -> int:
        channels, height, width = shapes[layer]
        return _COUNT * classes * channels * -(-height // blocks[layer]) * -(-width // blocks[layer])

    while sum(map(size, shapes)) > most:
        largest = max(shapes, key=size)
        if blocks[largest] >= max(shapes[largest][1:]):
            break
        blocks[largest] *= 2
    return blocks


class Occurrence:
    """Counts of one layer: how often a response was above 0, by class, filter and block of places."""

    def __init__(self, shape: tuple[int, int, int], classes: int, block: int = 1) -> None:
        self._shape, self._block = shape, block
        channels, height, width = shape
        self._rows, self._columns = -(-height // block), -(-width // block)
        self._counts = torch.zeros(classes, channels * self._rows * self._columns, dtype=torch.int32)
        self._scratch = torch.empty(0)

    def see(self, flat: Tensor, where: Integers) -> None:
        """Take the responses (images, channels, places) of images of the classes ``where``."""
        classes, member = np.unique(where, return_inverse=True)
        members = torch.zeros(len(classes), len(where), device=flat.device)
        members[torch.from_numpy(member), torch.arange(len(where))] = 1.0
        if self._counts.device != flat.device:
            self._counts = self._counts.to(flat.device)
        at_once = max(1, _VALUES_AT_ONCE // max(1, flat[0].numel()))
        added = torch.zeros(len(classes), flat[0].numel(), device=flat.device)
        for start in range(0, len(flat), at_once):
            part = flat[start : start + at_once]
            added.addmm_(members[:, start : start + at_once], self._above_zero(part))
        self._counts[torch.from_numpy(classes).to(flat.device)] += self._by_block(added).to(torch.int32)

    def _above_zero(self, part: Tensor) -> Tensor:
        """(images, values): 1.0 where a response is above 0; comparing into floats is many times faster."""
        if self._scratch.numel() < part.numel() or self._scratch.device != part.device:
            self._scratch = torch.empty(part.numel(), device=part.device)
        return torch.gt(part, 0, out=self._scratch[: part.numel()].view(part.shape)).flatten(1)

    def _by_block(self, counted: Tensor) -> Tensor:
        """Counts of single places, (classes, values), summed over blocks."""
        if self._block == 1:
            return counted
        spread = (0, self._columns * self._block - self._shape[2], 0, self._rows * self._block - self._shape[1])
        maps = functional.pad(counted.view(-1, *self._shape), spread)
        return functional.avg_pool2d(maps, self._block, divisor_override=1).flatten(1)

    def counts(self) -> npt.NDArray[np.integer]:
        """(channels, classes, rows, columns), in the smallest type that holds them."""
        channels = self._shape[0]
        whole = self._counts.cpu().numpy().reshape(-1, channels, self._rows, self._columns)
        kept = np.min_scalar_type(int(whole.max(initial=0)))
        return np.ascontiguousarray(whole.transpose(1, 0, 2, 3).astype(kept))


def places_of(shape: tuple[int, int, int], block: int) -> npt.NDArray[np.int64]:
    """(rows, columns): how many places each block has; fewer at the edges.

    >>> places_of((1, 3, 2), 2).tolist()
    [[4], [2]]
    """
    rows, columns = (np.diff([*range(0, size, block), size]) for size in shape[1:])
    return np.outer(rows, columns)
