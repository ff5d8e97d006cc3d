"""The most alike rows of a tall matrix: for each map the ten that correlate most with it, without all pairs at once.

The correlations of M maps over n images are the products of M unit vectors. For 135,000 maps they are 9 billion: too
many to keep, and a sort of them would take many times longer than the products. So they are made tile by tile, each
pair once, and a tile is only looked into where its largest value, over 32 columns at once, may be above what the
tenth best value of a map is known to be at least. Where the machine multiplies bytes faster, a tile is made of bytes
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
_ACROSS = 32  # columns whose maximum is looked at before they are
_SAMPLE = 8192  # rows that every row is compared with first: its tenth best there is a floor of its tenth best
_CLOSER = 5e-7  # what float32 cannot tell apart; ties beyond the tenth are not followed
_WEIGHED = 100_000  # pairs that are weighed together
_WAITING = 400_000  # candidates that are sorted together
_VALUES_AT_ONCE = 100_000  # of either side of the pairs whose products are computed together: they stay in the cache
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
    first, second = (alive[part] for part in search.run())
    return first, second, _products(unit, first, second)


class _Search:
    """The comparison of all ``vectors``, tile by tile."""

    def __init__(self, vectors: Tensor, groups: Tensor, best: int) -> None:
        self._vectors, self._groups = vectors, groups
        self._bytes = ByteVectors(vectors) if bytes_are_faster(vectors.shape[1]) else None
        self._best = _Best(len(vectors), best)
        self._found: list[tuple[Tensor, Tensor]] = []  # pairs that are not weighed yet
        self._waiting = 0

    def run(self) -> tuple[Integers, Integers]:
        """Each row with each of its best."""
        self._compare_with_a_sample()
        order = torch.from_numpy(np.lexsort((self._best.floor.numpy(), self._groups.numpy())))
        self._reorder(order)
        self._compare_all()
        first, second = self._best.pairs()
        return order[first].numpy(), order[second].numpy()

    def _compare_with_a_sample(self) -> None:
        """Compare each row with a fixed choice of rows: the best of every few of them make the first floors."""
        chosen = torch.from_numpy(np.sort(np.random.default_rng(0).permutation(len(self._vectors))[:_SAMPLE]))
        chosen = torch.cat([chosen, chosen[-1:].expand(-len(chosen) % _ACROSS)])
        parts, groups = chosen.view(-1, _ACROSS), self._groups[chosen]
        sources = self._bytes.rows[chosen] if self._bytes is not None else self._vectors[chosen]
        for start in range(0, len(self._vectors), _TILE[0]):
            rows = slice(start, min(start + _TILE[0], len(self._vectors)))
            values = self._tile(rows, sources)
            self._hide_own_group(values, rows, groups)
            values = values.view(len(values), -1, _ACROSS)
            top, place = torch.topk(values.amax(2), min(self._best.size, len(parts)), dim=1)
            row, rank = torch.nonzero(top >= 0, as_tuple=True)
            part = place[row, rank]
            other = parts[part, values[row, part].argmax(1)]
            self._best.add(row + start, other, self._weigh(row + start, other))
        self._best.settle()
        self._best.forget()

    def _reorder(self, order: Tensor) -> None:
        """Let maps of one group with like floors lie side by side, so that one look at 32 of them says more."""
        self._vectors, self._groups = self._vectors[order], self._groups[order]
        if self._bytes is not None:
            self._bytes.reorder(order)
        self._best.reorder(order)

    def _compare_all(self) -> None:
        """Compare every pair once."""
        count = len(self._vectors)
        self._set_thresholds()
        for start in range(0, count, _TILE[0]):
            rows = slice(start, min(start + _TILE[0], count))
            for begin in range(start, count, _TILE[1]):
                self._look_into(rows, slice(begin, min(begin + _TILE[1], count)))
                if self._waiting >= _WEIGHED:
                    self._add_found()
        self._add_found()
        self._best.settle()

    def _set_thresholds(self) -> None:
        """What a value of a tile is above wherever it may be better than what a row has: of rows, of 64 rows."""
        floors = self._best.floor
        self._thresholds = floors if self._bytes is None else self._bytes.thresholds(floors)

    def _look_into(self, rows: slice, columns: slice) -> None:
        """Note the pairs of one tile that may be better than what one of the two has."""
        sources = self._vectors if self._bytes is None else self._bytes.rows
        tile = self._tile(rows, sources[columns])
        self._hide_own_group(tile, rows, self._groups[columns])
        row, column = self._hits(tile, self._thresholds, rows, columns)
        if self._bytes is not None and len(row) > _MANY * tile.numel():
            tile = torch.mm(self._vectors[rows], self._vectors[columns].T).abs_()
            self._hide_own_group(tile, rows, self._groups[columns])
            row, column = self._hits(tile, self._best.floor, rows, columns)
        if len(row):
            self._found.append((row + rows.start, column + columns.start))
            self._waiting += len(row)

    def _hits(self, tile: Tensor, thresholds: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Places of ``tile`` above what stands for their row or for their column."""
        of_rows, of_columns = thresholds[rows], thresholds[columns]
        width = tile.shape[1]
        if width % _ACROSS or columns.start % _ACROSS:
            row, column = torch.nonzero(tile > torch.minimum(of_rows[:, None], of_columns), as_tuple=True)
            return row, column
        parts, of_parts = tile.view(-1, _ACROSS), of_columns.view(-1, _ACROSS)
        least = torch.minimum(of_rows[:, None], of_parts.amin(1))
        found = torch.nonzero((parts.amax(1).view_as(least) > least).view(-1)).squeeze(1)
        row = found // len(of_parts)
        bound = torch.minimum(of_rows[row, None], of_parts.index_select(0, found - row * len(of_parts)))
        place = torch.nonzero((parts.index_select(0, found) > bound).view(-1)).squeeze(1)
        hit = place // _ACROSS
        row = row[hit]
        return row, (found[hit] - row * len(of_parts)) * _ACROSS + place - hit * _ACROSS

    def _add_found(self) -> None:
        """Weigh the pairs that were noted, and keep those that are better than what one of the two has."""
        if not self._found:
            return
        one, other = (torch.cat([pair[i] for pair in self._found]) for i in range(2))
        self._found, self._waiting = [], 0
        new = one < other
        one, other = one[new], other[new]
        values = self._weigh(one, other)
        self._best.add(one, other, values)
        self._best.add(other, one, values)
        if self._best.waiting >= _WAITING:
            self._best.settle()
            self._set_thresholds()

    def _hide_own_group(self, tile: Tensor, rows: slice, others: Tensor) -> None:
        """Set products within a group to -1: they are many, and alike, so that all would be looked at."""
        if int(others[0]) > int(self._groups[rows.stop - 1]) or int(others[-1]) < int(self._groups[rows.start]):
            return
        groups, counts = torch.unique_consecutive(self._groups[rows], return_counts=True)
        ends = torch.cumsum(counts, 0)
        first, last = torch.searchsorted(others, groups), torch.searchsorted(others, groups, right=True)
        for begin, end, left, right in zip(*(x.tolist() for x in (ends - counts, ends, first, last)), strict=True):
            tile[begin:end, left:right] = -1

    def _tile(self, rows: slice, others: Tensor) -> Tensor:
        """(rows, others): absolute products, of bytes where these are faster."""
        if self._bytes is not None:
            return self._bytes.products(self._bytes.rows[rows], others)
        return torch.mm(self._vectors[rows], others.T).abs_()

    def _weigh(self, one: Tensor, other: Tensor) -> Tensor:
        """The absolute product of each pair."""
        vectors, values = self._vectors, torch.empty(len(one))
        at_once = max(1, _VALUES_AT_ONCE // vectors.shape[1])
        for start in range(0, len(one), at_once):
            part = slice(start, start + at_once)
            left, right = (vectors.index_select(0, end[part]) for end in (one, other))
            torch.linalg.vecdot(left, right, out=values[part])
        return values.abs_()


class _Best:
    """The best of every row so far, and the floor that a new value must be above.

    Attributes:
        floor: (rows,): a little more than the least of the best; 2 where no value can be better by more than 1e-6.
        waiting: how many candidates were added since the best were last settled.
    """

    def __init__(self, rows: int, size: int) -> None:
        self.size = size
        self.floor = torch.full((rows,), -1.0)
        self._others = torch.full((rows, size), -1, dtype=torch.int32)
        self._values = torch.full((rows, size), -1.0)
        self._added: list[Pairs] = []
        self.waiting = 0

    def add(self, rows: Tensor, others: Tensor, values: Tensor) -> None:
        """Take candidates; what is above no floor is left out. The same pair must not be added twice."""
        above = torch.nonzero(values > self.floor[rows]).squeeze(1)
        if len(above):
            self._added.append((rows[above], others[above].int(), values[above]))
            self.waiting += len(above)

    def settle(self) -> None:
        """Keep the best of each row, and raise the floors."""
        if not self.waiting:
            return
        rows, others, values = (torch.cat([part[i] for part in self._added]) for i in range(3))
        self._added, self.waiting = [], 0
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
        floor = torch.where(least >= 1 - 2 * _CLOSER, 2.0, torch.where(least < 0, -1.0, least + _CLOSER))
        self.floor[touched] = torch.maximum(self.floor[touched], floor)

    def forget(self) -> None:
        """Forget all but the floors, a little lower, above which the same values are found again; full rows stay."""
        again = self.floor < 2
        self._others[again], self._values[again] = -1, -1.0
        self.floor = torch.where(again & (self.floor > 0), self.floor - 3 * _CLOSER, self.floor)

    def reorder(self, order: Tensor) -> None:
        """Give the rows other numbers: ``order[i]`` becomes i."""
        number = torch.empty(len(order), dtype=torch.int32)
        number[order] = torch.arange(len(order), dtype=torch.int32)
        self.floor, self._values, others = self.floor[order], self._values[order], self._others[order]
        self._others = torch.where(others >= 0, number[others.clamp(min=0)], -1)

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Each row with each of its best."""
        row, place = torch.nonzero(self._values >= 0, as_tuple=True)
        return row, self._others[row, place].long()


def _products(unit: Floats, first: Integers, second: Integers) -> Floats:
    found = np.empty(len(first))
    at_once = max(1, _VALUES_AT_ONCE // unit.shape[1])
    for start in range(0, len(first), at_once):
        part = slice(start, start + at_once)
        np.einsum("pi,pi->p", unit[first[part]], unit[second[part]], out=found[part])
    return found
