"""The search for the most alike columns against all pairs, with ties, dead columns, and groups of every size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.network import most_alike as module
from cnngraph.network.most_alike import most_alike

BEST = 3


def unit_columns(rows: int, columns: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, columns))
    return values / np.linalg.norm(values, axis=0)


def compare(unit: np.ndarray, group: np.ndarray) -> None:
    """What is kept of each column is as alike as the best of all pairs, and is told exactly."""
    first, second, products = most_alike(unit, group, BEST)
    exact = unit.T @ unit
    assert products == pytest.approx(exact[first, second], abs=1e-12)
    alive = np.linalg.norm(unit, axis=0) > 0.5
    allowed = (group[:, None] != group) & alive[:, None] & alive
    for column in range(unit.shape[1]):
        expected = np.sort(np.abs(exact[column][allowed[column]]))[::-1][:BEST]
        kept = second[first == column]
        assert len(set(kept.tolist())) == len(kept) == len(expected)
        assert allowed[column][kept].all()
        assert np.sort(np.abs(exact[column, kept]))[::-1] == pytest.approx(expected, abs=1e-6)


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TILE", (32, 64))
    monkeypatch.setattr(module, "_SAMPLE", 20)
    monkeypatch.setattr(module, "_WAITING", 200)


@settings(max_examples=25, deadline=None)
@given(columns=st.integers(2, 150), groups=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_best_of_other_groups_are_found(columns: int, groups: int, seed: int) -> None:
    group = np.sort(np.random.default_rng(seed).integers(0, groups, columns))
    compare(unit_columns(7, columns, seed), group)


def test_columns_without_length_are_like_none() -> None:
    unit = unit_columns(7, 100, 1)
    unit[:, ::3] = 0
    compare(unit, np.repeat(np.arange(10), 10))


def test_one_column_or_one_group_has_no_pairs() -> None:
    for columns, group in ((1, [0]), (5, [0] * 5)):
        first, second, products = most_alike(unit_columns(4, columns, 0), np.array(group), BEST)
        assert len(first) == len(second) == len(products) == 0


def test_columns_that_are_all_the_same_are_no_flood() -> None:
    """A thousand maps that answer one image alone: half a million pairs, of which three a map are kept."""
    unit = np.repeat(unit_columns(7, 1, 3), 1000, axis=1)
    first, _, products = most_alike(unit, np.repeat(np.arange(20), 50), BEST)
    assert np.bincount(first).tolist() == [BEST] * 1000
    assert products == pytest.approx(1.0)
