"""The decision: hand-made rankings, ties, and what holds of every ranking."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from cnngraph.errors import PlanError, UsageError
from cnngraph.measures.measure import LayerTheta
from cnngraph.pruning.decision import (
    THRESHOLDS,
    below,
    check_threshold,
    first_threshold,
    lowest,
    removed_at,
    schedule,
    spearman,
)

quick = settings(deadline=None, derandomize=True, max_examples=60)
thetas = st.lists(st.floats(-1, 10, allow_nan=False), min_size=1, max_size=12)


def ranking(values: list[float]) -> list[LayerTheta]:
    return [LayerTheta(f"conv{i}", value, value) for i, value in enumerate(values, 1)]


def test_the_grid_is_exact() -> None:
    assert len(THRESHOLDS) == 160
    assert (THRESHOLDS[0], THRESHOLDS[2], THRESHOLDS[-1]) == (0.05, 0.15, 8.0)
    assert list(THRESHOLDS) == [float(Fraction(i, 20)) for i in range(1, 161)]


def test_the_toy_goes_at_2_05_and_4_55() -> None:
    steps = schedule([LayerTheta("A", 9.0, 4.5), LayerTheta("B", 4.0, 2.0)])
    assert [(step.threshold, step.removed) for step in steps] == [(2.05, ("B",)), (4.55, ("A", "B"))]


@pytest.mark.parametrize("theta", [0.05, 0.15, 0.3, 0.7, 1.0, 4.5, 8.0])
def test_a_theta_that_equals_the_threshold_keeps_its_layer(theta: float) -> None:
    for near in (theta, math.nextafter(theta, 0), math.nextafter(theta, 9)):
        assert not below(near, theta)
    assert not below(0.1 + 0.2, 0.3)
    assert not below(0.3 - 1e-16, 0.3)
    assert below(theta - 1e-9, theta)


@quick
@given(thetas)
def test_the_removed_set_only_grows_and_the_schedule_lists_each_change_once(values: list[float]) -> None:
    layers = ranking(values)
    steps = schedule(layers)
    by_threshold = {step.threshold: step.removed for step in steps}
    before: tuple[str, ...] = ()
    for threshold in THRESHOLDS:
        now = removed_at(layers, threshold)
        assert set(before) <= set(now)
        assert (now != before) == (threshold in by_threshold)
        assert by_threshold.get(threshold, now) == now
        before = now


@quick
@given(thetas)
def test_each_layer_goes_first_at_its_first_threshold(values: list[float]) -> None:
    for row in ranking(values):
        first = first_threshold(row.theta)
        gone = [threshold for threshold in THRESHOLDS if row.layer in removed_at([row], threshold)]
        assert first == (gone[0] if gone else None)


@quick
@given(thetas, st.data())
def test_the_lowest_are_no_higher_than_what_stays(values: list[float], data: st.DataObject) -> None:
    layers = ranking(values)
    if len(layers) < 2:
        return
    count = data.draw(st.integers(1, len(layers) - 1))
    gone = lowest(layers, count)
    assert len(gone) == count
    assert list(gone) == [row.layer for row in layers if row.layer in gone]
    highest = max(row.theta for row in layers if row.layer in gone)
    assert all(row.theta >= highest for row in layers if row.layer not in gone)


def test_among_equals_the_deepest_stays() -> None:
    assert lowest(ranking([1.0, 1.0, 1.0]), 2) == ("conv1", "conv2")


def test_layers_that_must_stay_are_passed_over() -> None:
    layers = ranking([0.1, 0.2, 0.3])
    assert lowest(layers, 1, {"conv1": "it is glued"}) == ("conv2",)
    with pytest.raises(PlanError, match="Only 1 of the model's 3") as refused:
        lowest(layers, 2, {"conv1": "it is glued", "conv3": "so is it"})
    assert "conv1: it is glued; conv3: so is it" in refused.value.hint


@pytest.mark.parametrize("count", [-1, 0, 3, 4])
def test_a_count_out_of_range_is_wrong_usage(count: int) -> None:
    with pytest.raises(UsageError):
        lowest(ranking([0.1, 0.2, 0.3]), count)


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf, -0.1])
def test_a_threshold_out_of_range_is_wrong_usage(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        check_threshold(threshold)


@quick
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=12))
def test_spearman_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    found = spearman(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)


def test_spearman_of_too_little_does_not_exist() -> None:
    assert spearman([], []) is None
    assert spearman([1.0], [2.0]) is None
    with pytest.raises(ValueError, match="paired"):
        spearman([1.0], [])
