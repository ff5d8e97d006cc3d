"""Counts of responses above 0: exact, and by blocks where there are too many places."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.evidence.occurrence import Occurrence, places_of


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 4]))
def test_counts_are_those_of_numpy(seed: int, height: int, width: int, block: int) -> None:
    random = torch.Generator().manual_seed(seed)
    responses = torch.randn(7, 3, height * width, generator=random)
    where = np.array([0, 2, 2, 0, 3, 3, 3])
    counted = Occurrence((3, height, width), 4, block)
    counted.see(responses[:4], where[:4])
    counted.see(responses[4:], where[4:])
    above = (responses.numpy() > 0).reshape(7, 3, height, width)
    for place in np.ndindex(3, 4, -(-height // block), -(-width // block)):
        channel, label, row, column = place
        rows, columns = slice(row * block, (row + 1) * block), slice(column * block, (column + 1) * block)
        assert counted.counts()[place] == above[where == label, channel, rows, columns].sum()


def test_places_of_blocks_add_up_to_the_map() -> None:
    assert places_of((8, 5, 7), 2).sum() == 35
    assert places_of((8, 4, 4), 1).tolist() == [[1] * 4] * 4
