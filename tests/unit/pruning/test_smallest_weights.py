"""Which weights are the smallest: the golden numbers of the rule, ties, what went before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cnngraph.pruning.smallest_weights import count_share, keep_all_but, keep_largest

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


@pytest.mark.parametrize(
    ("rate", "alive", "going"),
    [(0.2, 135_877_494, 27_175_498), (0.29, 100_000_000, 29_000_000), (0.29, 100, 29), (0.3, 3, 0), (1.0, 7, 7)],
)
def test_the_floor_is_exact(rate: float, alive: int, going: int) -> None:
    assert count_share(rate, alive) == going


def test_a_number_of_weights_goes_and_their_equals() -> None:
    assert keep_all_but([np.arange(1.0, 11.0)], 3)[0].sum() == 7
    assert keep_all_but([np.repeat([0.0, 1.0], 5)], 1)[0].sum() == 5
    assert keep_all_but([FIRST], 0)[0].all()


@given(weights=arrays.arrays(np.float32, st.integers(1, 40), elements=st.integers(-9, 9)), rate=st.floats(0, 1))
def test_what_goes_is_no_larger_than_what_stays(
    weights: np.ndarray[tuple[int], np.dtype[np.float32]], rate: float
) -> None:
    (kept,) = keep_largest([weights], rate)
    sizes = np.abs(weights)
    assert (~kept).sum() >= count_share(rate, len(weights))  # ties go as well
    if kept.any() and (~kept).any():
        assert sizes[kept].min() > sizes[~kept].max()


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_none_and_all(rate: float) -> None:
    assert keep_largest([FIRST], rate)[0].all() == (rate == 0.0)
