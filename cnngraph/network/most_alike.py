"""The most alike rows of a tall matrix: for each map the ten that correlate most with it, without all pairs at once.

The correlations of M maps over n images are the products of M unit vectors. For 135,000 maps they are 9 billion: too
many to keep, and a sort of them would take many times longer than the products. So they are made tile by tile, each
pair once, and a tile is only looked into where its largest value, over 64 columns or 32 rows at once, may be above what
the map's tenth best value is known to be at least. Where the machine multiplies bytes faster, a tile is made of bytes
first (:mod:`cnngraph.network.byte_vectors`), which misses no pair, and the few that it finds are weighed in float32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.network.byte_vectors import ByteVectors, bytes_are_faster

__all__ = ["most_alike"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Pairs = tuple[Tensor, Tensor, Tensor]  # row, other row, their absolute product

_TILE = (512, 1024)  # rows and columns: a tile stays in the processor's cache
_ACROSS, _DOWN = 64, 32  # columns, and rows, whose maximum is looked at before they are
_SAMPLE = 8192  # rows that every row is compared with first: its tenth best there is a floor of its tenth best
_CLOSER = 5e-7  # what float32 cannot tell apart; ties beyond the tenth are not followed
_WAITING = 1_000_000  # candidates that are sorted together
_PAIRS_AT_ONCE = 50_000  # whose product is computed together
_MANY = 0.02  # share of a tile whose pairs are weighed one by one; of more the whole tile is weighed


def most_alike(unit: Floats, group: Integers, best: int) -> tuple[Integers, Integers, Floats]:
    """For each row the ``best`` rows of other groups with the largest absolute product, and that product.

    Args:
        unit: (M, n), rows of length 1 or 0; those of length 0 are like none.
        group: (M,), ascending: the group of each row. best: how many are kept of each row.

    Returns:
        rows, others, products: each (P,), every pair once or in both orders; products in float64. Which of two rows is
        kept is open where their products differ by less than 1e-6.
    """
    alive = np.flatnonzero(np.einsum("mi,mi->m", unit, unit) > 0.5)
    if len(alive) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    search = _Search(torch.from_numpy(unit[alive].astype(np.float32)), torch.from_numpy(group[alive]), best)
    search.compare_with_a_sample()
    search.compare_all()
    first, second = (alive[part] for part in search.best.pairs())
    return first, second, _products(unit, first, second)


class _Search:
    """The comparison of all ``vectors``, tile by tile."""

    def __init__(self, vectors: Tensor, groups: Tensor, best: int) -> None:
        self._vectors, self._groups = vectors, groups
        self._bytes = ByteVectors(vectors) if bytes_are_faster(vectors.shape[1]) else None
        self.best = _Best(len(vectors), best)

    def compare_with_a_sample(self) -> None:
        """Compare each row with a fixed choice of rows, and keep the best of every 64 of them: the first floors."""
        chosen = torch.from_numpy(np.sort(np.random.default_rng(0).permutation(len(self._vectors))[:_SAMPLE]))
        chosen = torch.cat([chosen, chosen[-1:].expand(-len(chosen) % _ACROSS)])
        parts = chosen.view(-1, _ACROSS)
        for start in range(0, len(self._vectors), _TILE[0]):
            rows = slice(start, min(start + _TILE[0], len(self._vectors)))
            values = self._tile(rows, chosen)
            values.masked_fill_(self._groups[rows, None] == self._groups[chosen], -1)
            values = values.view(len(values), -1, _ACROSS)
            top, place = torch.topk(values.amax(2), min(self.best.size, len(parts)), dim=1)
            row, rank = torch.nonzero(top >= 0, as_tuple=True)
            part = place[row, rank]
            other = parts[part, values[row, part].argmax(1)]
            self.best.add(row + start, other, self._weigh(row + start, other))
        self.best.settle()

    def compare_all(self) -> None:
        """Compare every pair once."""
        count = len(self._vectors)
        for start in range(0, count, _TILE[0]):
            rows = slice(start, min(start + _TILE[0], count))
            for begin in range(start, count, _TILE[1]):
                one, other, values = self._candidates(rows, slice(begin, min(begin + _TILE[1], count)))
                new = (self._groups[one] != self._groups[other]) & (one < other)
                one, other, values = one[new], other[new], values[new]
                self.best.add(torch.cat([one, other]), torch.cat([other, one]), torch.cat([values, values]))
        self.best.settle()

    def _candidates(self, rows: slice, columns: slice) -> Pairs:
        """The pairs of one tile that may be better than what one of the two has."""
        floors = self.best.floor[rows], self.best.floor[columns]
        one_group = bool(self._groups[columns.start] <= self._groups[rows.stop - 1])
        same = self._groups[rows, None] == self._groups[columns] if one_group else None
        if self._bytes is not None:
            tile = self._tile(rows, columns)
            if same is not None:  # many, and alike: they would all be looked at
                tile.masked_fill_(same, -1)
            bounds = (self._bytes.thresholds(floor, part) for floor, part in zip(floors, (rows, columns), strict=True))
            row, column = _hits(tile, *bounds)
            if len(row) <= _MANY * tile.numel():
                one, other = row + rows.start, column + columns.start
                return one, other, self._weigh(one, other)
        tile = torch.mm(self._vectors[rows], self._vectors[columns].T).abs_()
        if same is not None:
            tile.masked_fill_(same, -1)
        row, column = _hits(tile, *floors)
        return row + rows.start, column + columns.start, tile[row, column]

    def _tile(self, rows: slice, others: slice | Tensor) -> Tensor:
        """(rows, others): absolute products, of bytes where these are faster."""
        if self._bytes is not None:
            return self._bytes.products(self._bytes.rows[rows], self._bytes.rows[others])
        return torch.mm(self._vectors[rows], self._vectors[others].T).abs_()

    def _weigh(self, one: Tensor, other: Tensor) -> Tensor:
        """The absolute product of each pair."""
        values = torch.empty(len(one))
        for start in range(0, len(one), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            torch.linalg.vecdot(self._vectors[one[part]], self._vectors[other[part]], out=values[part])
        return values.abs_()


def _hits(tile: Tensor, of_rows: Tensor, of_columns: Tensor) -> tuple[Tensor, Tensor]:
    """Places of ``tile`` above what stands for their row or for their column."""
    height, width = tile.shape
    if height % _DOWN or width % _ACROSS:
        row, column = torch.nonzero((tile > of_rows[:, None]) | (tile > of_columns), as_tuple=True)
        return row, column
    wide, tall = tile.view(height, -1, _ACROSS), tile.view(-1, _DOWN, width)
    row, part = torch.nonzero(wide.amax(2) > of_rows[:, None], as_tuple=True)
    hit, place = torch.nonzero(wide[row, part] > of_rows[row, None], as_tuple=True)
    rows, columns = [row[hit]], [part[hit] * _ACROSS + place]
    part, column = torch.nonzero(tall.amax(1) > of_columns, as_tuple=True)
    values = tall[part, :, column]
    only = (values > of_columns[column, None]) & (values <= of_rows.view(-1, _DOWN)[part])  # the rest is known by now
    hit, place = torch.nonzero(only, as_tuple=True)
    return torch.cat([*rows, part[hit] * _DOWN + place]), torch.cat([*columns, column[hit]])


class _Best:
    """The best of every row so far, and the floor that a new value must be above.

    Attributes:
        floor: (rows,): a little more than the least of the best; 2 where no value can be better by more than 1e-6.
    """

    def __init__(self, rows: int, size: int) -> None:
        self.size = size
        self.floor = torch.full((rows,), -1.0)
        self._others = torch.full((rows, size), -1)
        self._values = torch.full((rows, size), -1.0)
        self._waiting: list[Pairs] = []
        self._count = 0

    def add(self, rows: Tensor, others: Tensor, values: Tensor) -> None:
        """Take candidates; what is above no floor, or was met in the sample, is left out."""
        above = values > self.floor[rows]
        rows, others, values = rows[above], others[above], values[above]
        new = ~(self._others[rows] == others[:, None]).any(1)
        self._waiting.append((rows[new], others[new], values[new]))
        self._count += len(self._waiting[-1][0])
        if self._count > _WAITING:
            self.settle()

    def settle(self) -> None:
        """Keep the best of each row, and raise the floors."""
        if not self._count:
            return
        rows, others, values = (torch.cat([part[i] for part in self._waiting]) for i in range(3))
        self._waiting, self._count = [], 0
        touched = torch.unique(rows)
        rows = torch.cat([touched.repeat_interleave(self.size), rows])
        others = torch.cat([self._others[touched].flatten(), others])
        values = torch.cat([self._values[touched].flatten(), values])
        # Floats that are not negative sort as the whole numbers of the same bits do: one key, by row, largest first.
        order = torch.argsort((rows << 32) - values.view(torch.int32), stable=True)
        rows, others, values = rows[order], others[order], values[order]
        kept = torch.arange(len(rows)) - torch.searchsorted(rows, rows) < self.size
        self._others[touched] = others[kept].view(-1, self.size)
        self._values[touched] = values[kept].view(-1, self.size)
        least = self._values[touched, -1]
        self.floor[touched] = torch.where(least >= 1 - 2 * _CLOSER, 2.0, torch.where(least < 0, -1.0, least + _CLOSER))

    def pairs(self) -> tuple[Integers, Integers]:
        """Each row with each of its best."""
        row, place = torch.nonzero(self._values >= 0, as_tuple=True)
        return row.numpy(), self._others[row, place].numpy()


def _products(unit: Floats, first: Integers, second: Integers) -> Floats:
    found = np.empty(len(first))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        found[part] = np.einsum("pi,pi->p", unit[first[part]], unit[second[part]])
    return found
