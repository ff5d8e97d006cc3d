"""The most alike columns of a wide matrix: for each map the ten that correlate most with it, without all pairs at once.

The correlations of M maps over n images are the products of M unit vectors. For 135,000 maps they are 9 billion: too
many to keep, and a sort of them would take many times longer than the products. So they are made tile by tile (each
pair once, in float32), and a tile is only looked into where its largest value, over 64 columns or 32 rows at once, is
above what the map's tenth best value is known to be at least. The few pairs that are left are weighed in float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["most_alike"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_TILE = (1024, 4096)  # rows and columns: a tile of float32 stays in the processor's cache
_ACROSS, _DOWN = 64, 32  # columns, and rows, whose maximum is looked at before they are
_SAMPLE = 8192  # maps that every map is compared with first: its tenth best there is a floor of its tenth best
_CLOSER = 5e-7  # what float32 cannot tell apart; ties beyond the tenth are not followed
_WAITING = 4_000_000  # candidates that are sorted together
_PAIRS_AT_ONCE = 200_000  # whose correlation is computed in float64 together


def most_alike(unit: Floats, group: Integers, best: int) -> tuple[Integers, Integers, Floats]:
    """For each column the ``best`` columns of other groups with the largest absolute product, and that product.

    Args:
        unit: (n, M), columns of length 1 or 0; those of length 0 are like none.
        group: (M,), ascending: the group of each column. best: how many are kept of each column.

    Returns:
        rows, columns, products: each (P,), every pair once or in both orders; products in float64. Which of two
        columns is kept is open where their products differ by less than 1e-6.
    """
    alive = np.flatnonzero(np.einsum("im,im->m", unit, unit) > 0.5)
    if len(alive) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    columns = torch.from_numpy(unit[:, alive].astype(np.float32))
    groups = torch.from_numpy(group[alive])
    found = _Best(len(alive), best, padding=sum(_TILE))
    for candidates in _of_a_sample(columns, groups, best):
        found.add(*candidates)
    found.settle()
    columns = functional.pad(columns, (0, sum(_TILE)))
    groups = functional.pad(groups, (0, sum(_TILE)), value=int(groups[-1]) + 1)
    tile = torch.empty(_TILE)
    for start in range(0, len(alive), _TILE[0]):
        for candidates in _above(columns, groups, start, found, tile):
            found.add(*candidates)
    found.settle()
    first, second = (alive[part] for part in found.pairs())
    return first, second, _products(unit, first, second)


def _of_a_sample(columns: Tensor, groups: Tensor, best: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The best of each column among a fixed choice of columns."""
    count = columns.shape[1]
    chosen = torch.from_numpy(np.sort(np.random.default_rng(0).permutation(count)[:_SAMPLE]))
    sample, theirs = columns[:, chosen], groups[chosen]
    for start in range(0, count, _TILE[0]):
        rows = torch.arange(start, min(start + _TILE[0], count))
        values = (columns[:, rows].T @ sample).abs_()
        values.masked_fill_(groups[rows, None] == theirs, -1.0)
        top, places = torch.topk(values, min(best, len(chosen)), dim=1)
        row, place = torch.nonzero(top >= 0, as_tuple=True)
        yield rows[row], chosen[places[row, place]], top[row, place]


def _above(
    columns: Tensor, groups: Tensor, start: int, found: _Best, tile: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pairs of the rows from ``start`` with all columns after them whose value is above what either knows already.

    ``columns`` and ``groups`` are padded so that every tile is full; ``tile`` is memory that is used again and again.
    """
    height, width = tile.shape
    rows = slice(start, start + height)
    left = columns[:, rows].T.contiguous()
    for begin in range(start, found.rows, width):
        torch.mm(left, columns[:, begin : begin + width], out=tile).abs_()
        if groups[begin] <= groups[rows.stop - 1]:  # some pairs are of one group, or were met the other way round
            same = groups[rows, None] == groups[None, begin : begin + width]
            earlier = torch.arange(begin, begin + width) <= torch.arange(start, rows.stop)[:, None]
            tile.masked_fill_(same | earlier, -2.0)
        row, column = _hits(tile, found.floor[rows], found.floor[begin : begin + width])
        values = tile[row, column]
        yield row + start, column + begin, values
        yield column + begin, row + start, values


def _hits(tile: Tensor, of_rows: Tensor, of_columns: Tensor) -> tuple[Tensor, Tensor]:
    """Places of ``tile`` above the floor of their row or of their column."""
    height, width = tile.shape
    wide, tall = tile.view(height, -1, _ACROSS), tile.view(-1, _DOWN, width)
    row, part = torch.nonzero(wide.amax(2) > of_rows[:, None], as_tuple=True)
    hit, place = torch.nonzero(wide[row, part] > of_rows[row, None], as_tuple=True)
    by_row = row[hit] * width + part[hit] * _ACROSS + place
    part, column = torch.nonzero(tall.amax(1) > of_columns, as_tuple=True)
    hit, place = torch.nonzero(tall[part, :, column] > of_columns[column, None], as_tuple=True)
    by_column = (part[hit] * _DOWN + place) * width + column[hit]
    either = torch.unique(torch.cat([by_row, by_column]))
    return either // width, either % width


class _Best:
    """The best candidates of every row so far, and the floor that a new one must be above."""

    def __init__(self, rows: int, best: int, padding: int) -> None:
        self.rows = rows
        self._best = best
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._count = 0
        self._rows, self._others = np.empty(0, np.int64), np.empty(0, np.int64)
        self._values = np.empty(0, np.float32)
        self.floor = functional.pad(torch.full((rows,), -1.0), (0, padding), value=2.0)  # nothing is above 2

    def add(self, rows: Tensor, others: Tensor, values: Tensor) -> None:
        """Take candidates; what is above no floor is left out."""
        new = (values > self.floor[rows]) & (others < self.rows)
        self._waiting.append((rows[new], others[new], values[new]))
        self._count += int(new.sum())
        if self._count > _WAITING:
            self.settle()

    def settle(self) -> None:
        """Keep the best of each row, and raise the floors."""
        parts = [[part[i].numpy() for part in self._waiting] for i in range(3)]
        rows = np.concatenate([self._rows, *parts[0]])
        others = np.concatenate([self._others, *parts[1]])
        values = np.concatenate([self._values, *parts[2]])
        self._waiting, self._count = [], 0
        order = np.lexsort((others, -values, rows))
        rows, others, values = rows[order], others[order], values[order]
        # A pair that was met in the sample comes again with the same value but for rounding: it stands next to itself
        # or nearly so, hence the key rather than the neighbour.
        _, kept = np.unique(rows * self.rows + others, return_index=True)
        kept.sort()
        rows, others, values = rows[kept], others[kept], values[kept]
        starts = np.searchsorted(rows, np.arange(self.rows))
        rank = np.arange(len(rows)) - starts[rows]
        last = rank == self._best - 1
        self.floor[torch.from_numpy(rows[last])] = torch.from_numpy(values[last]) + _CLOSER
        top = rank < self._best
        self._rows, self._others, self._values = rows[top], others[top], values[top]

    def pairs(self) -> tuple[Integers, Integers]:
        """The rows and what is best for them, settled."""
        return self._rows, self._others


def _products(unit: Floats, first: Integers, second: Integers) -> Floats:
    found = np.empty(len(first))
    by_column = np.ascontiguousarray(unit.T)
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        found[part] = np.einsum("pi,pi->p", by_column[first[part]], by_column[second[part]])
    return found
