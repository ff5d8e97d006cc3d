"""Reaching a target: what is chosen, how the prediction is corrected, and when it is said to be out of reach."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from cnngraph.errors import PlanError, UsageError
from cnngraph.plan import Removal
from cnngraph.pruning.limits.target import Pick, Target, lowest_first, search_target, smallest_ratio

COSTS = {"a": 0.05, "b": 0.30, "c": 0.10, "d": 0.20, "e": 0.25}  # and 0.1 that no layer takes
ORDER = [Removal(layer=layer) for layer in COSTS]


def left(removals: tuple[Removal, ...]) -> float:
    return 1 - sum(COSTS[removal.layer] for removal in removals)


def names(choice: Pick[tuple[Removal, ...]]) -> str:
    return "".join(removal.layer for removal in choice.what)


@pytest.mark.parametrize(
    ("aim", "gone"),
    [
        (0.95, "a"),
        (0.65, "ab"),
        (0.55, "abc"),
        (0.85, "ac"),  # b alone would overshoot and is passed over
        (0.10, "abcde"),
        (0.69, "acd"),  # none of b, d, e fits after a and c: d comes nearest
    ],
)
def test_the_lowest_go_first_and_what_overshoots_is_passed_over(aim: float, gone: str) -> None:
    choice = lowest_first(ORDER, left, aim)
    assert sorted(names(choice)) == sorted(gone)
    assert choice.share == pytest.approx(left(choice.what))
    assert not choice.exhausted


def test_more_than_all_is_exhausted() -> None:
    choice = lowest_first(ORDER, left, 0.02)
    assert (names(choice), choice.exhausted) == ("abcde", True)
    assert choice.share == pytest.approx(0.1)


def test_what_cannot_go_with_the_others_or_saves_nothing_is_passed_over() -> None:
    def predict(removals: tuple[Removal, ...]) -> float | None:
        found = {removal.layer for removal in removals}
        if {"a", "c"} <= found:
            return None
        return left(tuple(removal for removal in removals if removal.layer != "b"))

    assert names(lowest_first(ORDER, predict, 0.75)) == "ad"


def test_the_ratio_is_bisected() -> None:
    asked: list[float] = []

    def what_at(ratio: float) -> int:
        asked.append(ratio)
        return round(100 * ratio)

    choice = smallest_ratio(what_at, lambda percent: (1 - percent / 100) ** 2, 0.5)
    assert (choice.what, choice.share) == (29, pytest.approx(0.71**2))
    assert len(asked) <= 9
    assert not choice.exhausted


def test_ratios_that_cannot_be_built_end_the_search_below_them() -> None:
    def what_at(ratio: float) -> float:
        if ratio > 0.4:
            raise PlanError("no filter would be left")
        return ratio

    choice = smallest_ratio(what_at, lambda ratio: 1 - ratio, 0.3)
    assert (choice.what, choice.exhausted) == (0.4, True)
    with pytest.raises(PlanError, match="No filters"):
        smallest_ratio(what_at, lambda ratio: None, 0.5)


def counted(measure: Callable[[float], float]) -> tuple[Callable[[float], float], list[float]]:
    built: list[float] = []

    def counting(what: float) -> float:
        built.append(what)
        return measure(what)

    return counting, built


def anything(aim: float) -> Pick[float]:
    """A net for every prediction."""
    return Pick(round(aim, 3), aim)


def test_a_prediction_that_is_right_is_measured_twice() -> None:
    measure, built = counted(lambda what: what)
    found = search_target(0.5, anything, measure)
    assert built == [0.5, 0.5]
    assert (found.what, found.share, found.on_target, found.measured) == (0.5, 0.5, True, (0.5, 0.5))


def test_counts_are_taken_once() -> None:
    measure, built = counted(lambda what: what)
    assert search_target(0.5, anything, measure, least=1).on_target
    assert built == [0.5]


def test_a_prediction_that_is_wrong_is_corrected() -> None:
    measure, built = counted(lambda what: 0.3 + 0.7 * what)  # a third of the time is no layer's
    found = search_target(0.5, anything, measure)
    assert found.on_target
    assert found.what == pytest.approx((0.5 - 0.3) / 0.7, abs=0.12)
    assert 2 <= len(built) <= 6
    assert found.measured == tuple(0.3 + 0.7 * what for what in built)


def test_measurements_that_scatter_are_taken_again() -> None:
    shares = iter([0.5, 0.9, 0.52, 0.48])  # the machine was busy during the second
    found = search_target(0.5, lambda aim: Pick("the net", aim), lambda what: next(shares))
    assert len(found.measured) == 2
    assert found.share == pytest.approx(0.7)
    assert not found.on_target


def test_the_search_goes_on_while_a_net_could_come_nearer() -> None:
    measure, built = counted(lambda what: 1.1 * what)
    found = search_target(0.5, anything, measure)
    assert built == [0.5, 0.455, 0.455]
    assert found.share == pytest.approx(0.5, rel=0.01)


def test_the_nearest_net_is_measured_twice() -> None:
    def steps(aim: float) -> Pick[str]:
        return Pick("fast", 0.45) if aim < 0.5 else Pick("near", 0.5)

    asked: list[str] = []

    def measure(what: str) -> float:
        asked.append(what)
        return {"near": 0.54, "fast": 0.43}[what]

    assert search_target(0.5, steps, measure).what == "near"
    assert asked.count("near") == 2


def test_steps_too_coarse_for_the_target_end_in_the_nearer_net() -> None:
    def coarse(aim: float) -> Pick[str]:
        return Pick("small", 0.3) if aim < 0.5 else Pick("large", 0.8)

    found = search_target(0.5, coarse, lambda what: {"small": 0.3, "large": 0.8}[what])
    assert (found.what, found.on_target) == ("large", False)
    assert 2 <= len(found.measured) <= 4


def test_a_correction_that_leads_back_is_made_again() -> None:
    """The first half of what goes saves nothing that could be measured, and comes in steps that are coarse."""

    def steps(aim: float) -> Pick[float]:
        predicted = round(aim * 5) / 5
        return Pick(predicted, predicted)

    measure, built = counted(lambda what: min(1.0, what + 0.4))
    found = search_target(0.8, steps, measure)
    assert (found.what, found.on_target) == (0.4, True)
    assert len(built) <= 6


def test_a_net_of_which_nothing_helps_ends() -> None:
    asked: list[float] = []

    def same(aim: float) -> Pick[str]:
        asked.append(aim)
        return Pick("the only one", 0.9)

    found = search_target(0.5, same, lambda what: 0.95)
    assert (found.on_target, found.measured) == (False, (0.95, 0.95))
    assert len(asked) <= 12


def test_what_is_out_of_reach_is_exhausted() -> None:
    found = search_target(0.1, lambda aim: Pick("all", 0.4, exhausted=True), lambda what: 0.45)
    assert (found.exhausted, found.on_target, found.share) == (True, False, 0.45)


def test_targets_in_their_own_words() -> None:
    assert Target("speedup", 2.0).share(0) == 0.5
    assert Target("macs", 0.6).share(1000) == 0.6
    assert Target("parameters", 250).share(1000) == 0.25
    assert Target("speedup", 4.0).shown(0.5) == "a speed-up of 2.00"
    assert Target("parameters", 250).shown(0.25) == "25.0% of the parameters"
    with pytest.raises(PlanError, match="has 1,000 MACs already"):
        Target("macs", 1000).share(1000)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("speedup", value) for value in (1.0, 0.5, -2.0, math.nan, math.inf)),
        *(("macs", value) for value in (0.0, -2.0, 1.0, math.nan)),
        ("parameters", 1.0),
    ],
)
def test_a_target_that_asks_for_nothing_is_wrong_usage(kind: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"target_{kind}="):
        Target(kind, value)  # type: ignore[arg-type]
