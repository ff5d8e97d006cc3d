"""Splits and subsets are disjoint, complete, stratified and repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.datasets.split import stratified_parts, stratified_subset

labels_of_sizes = st.lists(st.integers(0, 40), min_size=1, max_size=6).map(
    lambda sizes: np.random.default_rng(len(sizes)).permutation(np.repeat(np.arange(len(sizes)), sizes))
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(labels=labels_of_sizes, seed=st.integers(0, 3))
def test_parts_share_out_every_class(labels: np.ndarray, seed: int) -> None:
    parts = stratified_parts(labels, (0.1, 0.2), seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for label in np.unique(labels):
        total = int((labels == label).sum())
        train, validation, test = (int((labels[part] == label).sum()) for part in parts)
        if total < 3:
            assert (train, validation, test) == (total, 0, 0)
        else:
            assert (validation, test) == (max(1, round(0.1 * total)), max(1, round(0.2 * total)))
            assert train >= 1


@settings(deadline=None, derandomize=True, max_examples=60)
@given(labels=labels_of_sizes, limit=st.integers(0, 60), seed=st.integers(0, 3))
def test_a_limit_is_met_in_proportion(labels: np.ndarray, limit: int, seed: int) -> None:
    rows = stratified_subset(labels, limit=limit, seed=seed)
    assert len(rows) == len(set(rows.tolist())) == min(limit, len(labels))
    sizes = np.bincount(labels, minlength=1)
    taken = np.bincount(labels[rows], minlength=len(sizes))
    if np.count_nonzero(sizes) <= limit < len(labels):
        exact = sizes * limit / len(labels)
        assert (taken[sizes > 0] >= 1).all()
        assert (np.abs(taken - exact) <= 1 + np.count_nonzero(sizes)).all()


def test_a_literal_subset() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    assert np.bincount(labels[stratified_subset(labels, limit=10)]).tolist() == [6, 3, 1]
    assert np.bincount(labels[stratified_subset(labels, images_per_class=20)]).tolist() == [20, 20, 10]
    assert np.bincount(labels[stratified_subset(labels, images_per_class=20, limit=25)]).tolist() == [10, 10, 5]


@pytest.mark.parametrize("option", ["images_per_class", "limit"])
def test_a_smaller_subset_is_part_of_a_larger(option: str) -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    small, large = (set(stratified_subset(labels, **{option: count}, seed=4).tolist()) for count in (8, 12))
    assert small < large


def test_the_seed_decides() -> None:
    labels = np.repeat([0, 1], 50)
    first, same, other = (stratified_subset(labels, limit=20, seed=seed).tolist() for seed in (0, 0, 1))
    assert first == same != other
