"""The search for the most alike rows against all pairs, with ties, dead rows, and groups of every size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.network import most_alike as module
from cnngraph.network.most_alike import most_alike

BEST = 3


def unit_rows(rows: int, parts: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, parts))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def compare(unit: np.ndarray, group: np.ndarray) -> None:
    """What is kept of each row is as alike as the best of all pairs, and is told exactly."""
    first, second, products = most_alike(unit, group, BEST)
    exact = unit @ unit.T
    assert products == pytest.approx(exact[first, second], abs=1e-12)
    alive = np.linalg.norm(unit, axis=1) > 0.5
    allowed = (group[:, None] != group) & alive[:, None] & alive
    for row in range(len(unit)):
        expected = np.sort(np.abs(exact[row][allowed[row]]))[::-1][:BEST]
        kept = second[first == row]
        assert len(set(kept.tolist())) == len(kept) == len(expected)
        assert allowed[row][kept].all()
        assert np.sort(np.abs(exact[row, kept]))[::-1] == pytest.approx(expected, abs=1e-6)


@pytest.fixture(autouse=True, params=["bytes", "floats"])
def _small_tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bytes_are_faster", lambda size: request.param == "bytes")
    monkeypatch.setattr(module, "_TILE", (32, 64))
    monkeypatch.setattr(module, "_SAMPLE", 20)
    monkeypatch.setattr(module, "_WAITING", 200)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(2, 150), parts=st.integers(2, 40), groups=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_best_of_other_groups_are_found(rows: int, parts: int, groups: int, seed: int) -> None:
    group = np.sort(np.random.default_rng(seed).integers(0, groups, rows))
    compare(unit_rows(rows, parts, seed), group)


def test_rows_without_length_are_like_none() -> None:
    unit = unit_rows(100, 7, 1)
    unit[::3] = 0
    compare(unit, np.repeat(np.arange(10), 10))


def test_one_row_or_one_group_has_no_pairs() -> None:
    for rows, group in ((1, [0]), (5, [0] * 5)):
        first, second, products = most_alike(unit_rows(rows, 4, 0), np.array(group), BEST)
        assert len(first) == len(second) == len(products) == 0


@pytest.mark.parametrize("signs", [1, -1])
def test_groups_of_equal_rows_among_others_are_kept_once_each(signs: int) -> None:
    """Ties of 1, of -1 and, of the others with them, below."""
    unit = unit_rows(200, 12, 5)
    unit[40:120] = unit[40]
    unit[40:120:2] *= signs
    compare(unit, np.repeat(np.arange(20), 10))


def test_vectors_along_an_axis_and_spread_ones_are_rounded_within_the_bound() -> None:
    unit = np.concatenate([np.eye(33), unit_rows(167, 33, 2)])
    compare(unit, np.repeat(np.arange(20), 10))


def test_rows_that_are_all_the_same_are_no_flood() -> None:
    """A thousand maps that answer one image alone: half a million pairs, of which three a map are kept."""
    unit = np.repeat(unit_rows(1, 7, 3), 1000, axis=0)
    first, _, products = most_alike(unit, np.repeat(np.arange(20), 50), BEST)
    assert np.bincount(first).tolist() == [BEST] * 1000
    assert products == pytest.approx(1.0)
