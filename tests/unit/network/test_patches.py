"""Aggregations over patches: golden numbers, and the naive loops on random maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.network.patches import PATCHES, Patches, aggregate

MAPS = np.arange(18.0).reshape(3, 3, 2).transpose(2, 0, 1)  # (channels, rows, columns)
WHOLE = Patches.around(np.array([1]), np.array([1]), (3, 3), (3, 3))

GOLDEN = {
    "mean": 8.5,
    "max": 17,
    "sum": 153,
    "max_filter": 81,
    "mean_filter": 76.5,
    "max_entropy": 0.511747,
    "min_entropy": 0.485755,
    "sum_entropy": 0.997503,
    "mean_entropy": 0.498751,
}


def test_every_aggregation_has_a_golden_number() -> None:
    assert set(GOLDEN) == set(PATCHES)


@pytest.mark.parametrize("patch", PATCHES)
def test_golden(patch: str) -> None:
    assert aggregate(patch, MAPS, WHOLE)[0, 0] == pytest.approx(GOLDEN[patch], abs=5e-7)


def test_a_patch_is_cut_at_the_border() -> None:
    maps = np.arange(16.0).reshape(1, 4, 4)
    corner = Patches.around(np.array([0]), np.array([3]), (3, 3), (4, 4))
    assert aggregate("sum", maps, corner)[0, 0] == 2 + 3 + 6 + 7
    assert aggregate("mean", maps, corner)[0, 0] == 4.5
    assert aggregate("max", maps, corner)[0, 0] == 7


def test_an_even_kernel_looks_one_place_further_down() -> None:
    maps = np.arange(16.0).reshape(1, 4, 4)
    patch = Patches.around(np.array([1]), np.array([1]), (2, 2), (4, 4))
    assert aggregate("sum", maps, patch)[0, 0] == 5 + 6 + 9 + 10


def test_positions_are_carried_over_in_proportion() -> None:
    maps = np.arange(64.0).reshape(1, 8, 8)
    patch = Patches.around(np.array([0, 1, 3]), np.array([2]), (1, 1), (8, 8), output=(4, 4))
    assert aggregate("sum", maps, patch)[:, 0].tolist() == [4.0, 20.0, 52.0]


def test_entropy_of_nothing_is_zero() -> None:
    assert aggregate("max_entropy", np.zeros((2, 3, 3)), WHOLE)[0, 0] == 0.0
    cancelling = np.stack([np.ones((3, 3)), -np.ones((3, 3))])
    assert aggregate("sum_entropy", cancelling, WHOLE)[0, 0] == 0.0


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_windows_equal_naive_loops(height: int, width: int, tall: int, wide: int, seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(2, 3, height, width))
    patches = Patches.around(np.arange(height), np.arange(width), (tall, wide), (height, width))
    for x in range(height):
        for y in range(width):
            top, left = x - (tall - 1) // 2, y - (wide - 1) // 2
            cells = maps[:, :, max(top, 0) : top + tall, max(left, 0) : left + wide]
            assert aggregate("mean", maps, patches)[:, x, y] == pytest.approx(cells.mean(axis=(1, 2, 3)))
            assert aggregate("max", maps, patches)[:, x, y] == pytest.approx(cells.max(axis=(1, 2, 3)))
            assert aggregate("max_filter", maps, patches)[:, x, y] == pytest.approx(cells.sum(axis=(2, 3)).max(axis=1))
