"""Which weights are the smallest: the golden numbers of the rule, ties, what went before."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cnngraph.pruning.smallest_weights import keep_largest

FIRST = np.array([-1.0, 5, -7, 2, -3, 1, 0, 0, 0])
SECOND = np.array([2.0, -3, 4, -5, -1, 7, 2, -4, 3, -2, 8])


def test_golden_numbers() -> None:
    first, second = keep_largest([FIRST, SECOND], 0.3)
    assert first.tolist() == [bool(one) for one in (0, 1, 1, 1, 1, 0, 0, 0, 0)]
    assert second.tolist() == [bool(one) for one in (1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1)]


def test_rounds_are_shares_of_what_is_left_and_nested() -> None:
    weights, alive = [np.arange(1.0, 101.0)], None
    for count in (80, 64, 52, 42):  # 0.8 of what is left, rounded up
        kept = keep_largest(weights, 0.2, alive)
        assert alive is None or not (kept[0] & ~alive[0]).any()
        assert int(kept[0].sum()) == count
        alive = kept


def test_less_than_one_weight_is_none_and_a_whole_number_is_not_lost() -> None:
    assert keep_largest([np.array([1.0, 2.0, 3.0])], 0.3)[0].all()
    assert keep_largest([np.arange(1.0, 101.0)], 0.29)[0].sum() == 71
    assert keep_largest([], 0.5) == ()


@given(weights=arrays.arrays(np.float32, st.integers(1, 40), elements=st.integers(-9, 9)), rate=st.floats(0, 1))
def test_what_goes_is_no_larger_than_what_stays(
    weights: np.ndarray[tuple[int], np.dtype[np.float32]], rate: float
) -> None:
    (kept,) = keep_largest([weights], rate)
    sizes = np.abs(weights)
    assert (~kept).sum() >= min(math.floor(rate * len(weights)), len(weights))  # ties go as well
    if kept.any() and (~kept).any():
        assert sizes[kept].min() > sizes[~kept].max()


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_none_and_all(rate: float) -> None:
    assert keep_largest([FIRST], rate)[0].all() == (rate == 0.0)
