"""How much an allowed drop lets go: trials are counted, resumed and explained."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from cnngraph.console import Quiet
from cnngraph.errors import PlanError, UsageError
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.limits.accuracy_drop import (
    STATE_VERSION,
    Judge,
    Trials,
    most_trials,
    within_drop,
)
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.pruning.path import LayerPath, PruningPath, RatioPath


def path(count: int) -> LayerPath:
    """conv1 goes last, the last conv first."""
    order = [Removal(layer=f"conv{i}", score=0.1 * (count + 1 - i)) for i in range(count, 0, -1)]
    return LayerPath(Plan(model="me/net", measure="degree", notes=("a ranking",)), tuple(order))


def filters(ratio: float) -> Plan:
    """Of twenty filters."""
    if ratio > 0.8:
        raise PlanError("a layer would be empty")
    gone = tuple(range(round(20 * ratio)))
    return Plan(method="filters", removes=(Removal(layer="conv", kind="filters", filters=gone),))


class Net:
    """Loses ``loss`` accuracy with each layer or filter; keeps what its trials removed, step by step."""

    def __init__(self, loss: float) -> None:
        self.loss = loss
        self.trials: list[list[int]] = []

    def __call__(self, plans: tuple[Plan, ...]) -> float | None:
        sizes = [len(plan.removed) + sum(map(len, plan.filters.values())) for plan in plans]
        self.trials.append(sizes)
        return 0.9 - self.loss * sizes[-1]


class Notes(Quiet):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(("points", "count"), [(0.0, 0), (1.0, 1), (5.5, 5), (50.0, 13)])
def test_as_many_go_as_keep_the_accuracy(points: float, count: int) -> None:
    net = Net(0.01)
    plan = within_drop(path(13), points + 1e-9, Judge(baseline=0.9, accuracy_after=net))
    assert plan.removed == [f"conv{i}" for i in range(13, 13 - count, -1)]
    assert len(net.trials) <= most_trials(13) == 4
    assert plan.threshold is None
    assert plan.notes[0] == "a ranking"


def test_a_drop_of_exactly_as_many_points_is_allowed() -> None:
    """In floats 252/360 is less than 288/360 - 10/100."""
    plan = within_drop(path(1), 10, Judge(baseline=288 / 360, accuracy_after=lambda _: 252 / 360))
    assert plan.removed == ["conv1"]
    assert within_drop(path(1), 10, Judge(baseline=288 / 360, accuracy_after=lambda _: 251 / 360)).removes == ()


def test_a_search_without_fine_tuning_does_not_speak_of_it() -> None:
    notes = Notes()
    within_drop(path(1), 10, Judge(baseline=0.9, accuracy_after=Net(0.01), tuned=False), progress=notes)
    assert notes.said[0] == "At most 1 trials, each a cut and a refit."


def test_the_ratio_of_filters_is_bisected() -> None:
    net = Net(0.01)
    plan = within_drop(RatioPath(Plan(), filters), 7.5, Judge(baseline=0.9, accuracy_after=net))
    assert plan.filters == {"conv": tuple(range(7))}
    assert len(net.trials) <= most_trials(19) == 5
    assert "goes a ratio of 0.35 of the filters" in plan.notes[-1]
    assert plan.settings["max_accuracy_drop"]["accuracy"] == pytest.approx(0.83)


def test_ratios_that_cannot_be_had_are_too_much() -> None:
    plan = within_drop(RatioPath(Plan(), filters), 100, Judge(baseline=0.9, accuracy_after=Net(0.0)))
    assert plan.filters == {"conv": tuple(range(16))}


@pytest.mark.parametrize(
    ("level", "steps", "sizes"), [(12, 3, [4, 8, 12]), (2, 5, [1, 2]), (7, 1, [7]), (7, 2, [4, 7])]
)
def test_a_trial_climbs_in_steps(level: int, steps: int, sizes: list[int]) -> None:
    assert [len(plan.removed) for plan in path(12).levels_to(level, steps)] == sizes


def test_a_search_in_steps_tunes_on_the_way() -> None:
    net = Net(0.01)
    plan = within_drop(path(13), 5.5, Judge(baseline=0.9, accuracy_after=net, steps=3))
    assert net.trials[0] == [2, 5, 7]
    assert len(plan.removed) == 5
    assert "each in 3 steps with fine-tuning between" in plan.notes[-1]


def test_the_expected_time_is_said_before_the_first_trial() -> None:
    notes = Notes()

    def trial(plans: tuple[Plan, ...]) -> float:
        assert "At most 4 trials, each a cut, a refit and a short fine-tuning, 2 times" in notes.said[0]
        assert "about 60 s a trial, 4.0 minutes in all" in notes.said[0]
        return 0.0

    within_drop(path(13), 1, Judge(baseline=0.9, accuracy_after=trial, steps=2, seconds_a_step=30), progress=notes)
    assert len(notes.said) > 1


def test_the_plan_says_what_its_trial_found() -> None:
    plan = within_drop(path(3), 1.5, Judge(baseline=0.9, accuracy_after=Net(0.01)))
    assert plan.removed == ["conv3"]
    assert plan.removes[0].score == pytest.approx(0.1)
    assert "a drop of 1.5 points goes 1 of 3 layers and blocks (2 trials): validation accuracy 0.8900" in plan.notes[-1]


@pytest.mark.parametrize(
    ("accuracy", "why"),
    [
        (0.5, "every trial lost more than 1 points of the validation accuracy 0.9000"),
        (None, "no net of the trials could be built"),
    ],
)
def test_nothing_goes_where_every_trial_loses_too_much(accuracy: float | None, why: str) -> None:
    plan = within_drop(path(5), 1, Judge(baseline=0.9, accuracy_after=lambda plans: accuracy))
    assert plan.removes == ()
    assert plan.notes[-1] == f"Nothing goes: {why}."


def test_ratios_at_which_no_filter_goes_are_not_tried() -> None:
    """Eight filters, rounded to eight: none goes before all do, which cannot be had."""
    tried: list[tuple[Plan, ...]] = []

    def plan_at(ratio: float) -> Plan:
        return Plan(removes=(Removal(layer="conv", kind="filters", filters=(0,)),) if ratio > 0.8 else ())

    plan = within_drop(
        RatioPath(Plan(), plan_at), 1, Judge(baseline=0.9, accuracy_after=lambda plans: tried.append(plans))
    )
    assert plan.removes == ()
    assert plan.notes[-1].startswith("Nothing goes: a ratio of 0.8 of the filters comes to none")
    assert all(plans[-1].removes for plans in tried)


def test_what_has_no_level_is_refused() -> None:
    with pytest.raises(PlanError, match="Nothing of this model can be removed"):
        within_drop(path(0), 1, Judge(baseline=0.9, accuracy_after=Net(0.01)))


@pytest.mark.parametrize("make", [lambda: path(13), lambda: RatioPath(Plan(), filters)])
def test_an_interrupted_search_goes_on_with_its_trials(tmp_path: Path, make: Callable[[], PruningPath]) -> None:
    class Interrupted(Net):
        def __call__(self, plans: tuple[Plan, ...]) -> float | None:
            if len(self.trials) == 2:
                raise KeyboardInterrupt
            return super().__call__(plans)

    state, first, second = tmp_path / "trials.json", Interrupted(0.01), Net(0.01)
    with pytest.raises(KeyboardInterrupt):
        within_drop(make(), 5.5, Judge(baseline=0.9, accuracy_after=first), state=state, identity={"seed": 0})
    plan = within_drop(make(), 5.5, Judge(baseline=0.9, accuracy_after=second), state=state, identity={"seed": 0})
    assert len(plan.removed) + sum(map(len, plan.filters.values())) == 5
    assert not [trial for trial in second.trials if trial in first.trials]
    assert len(first.trials) + len(second.trials) <= 5
    assert [file.name for file in tmp_path.iterdir()] == ["trials.json"]


@pytest.mark.parametrize("content", ["", "{", '{"version": 99}'])
def test_trials_of_other_inputs_or_a_broken_file_are_made_again(tmp_path: Path, content: str) -> None:
    state = tmp_path / "trials.json"
    within_drop(path(5), 1, Judge(baseline=0.9, accuracy_after=Net(0.01)), state=state, identity={"seed": 0})
    again, once_more, in_steps = Net(0.01), Net(0.01), Net(0.01)
    within_drop(path(5), 1, Judge(baseline=0.9, accuracy_after=again), state=state, identity={"seed": 1})
    assert again.trials
    within_drop(path(5), 1, Judge(baseline=0.9, accuracy_after=in_steps, steps=2), state=state, identity={"seed": 1})
    assert in_steps.trials
    state.write_text(content)
    within_drop(path(5), 1, Judge(baseline=0.9, accuracy_after=once_more), state=state, identity={"seed": 1})
    assert once_more.trials == again.trials


@pytest.mark.parametrize("points", [math.nan, -0.1, 101, math.inf])
def test_a_drop_out_of_range_is_wrong_usage(points: float) -> None:
    with pytest.raises(UsageError, match="max_accuracy_drop"):
        within_drop(path(3), points, Judge(baseline=0.9, accuracy_after=Net(0.01)))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", f'{{"version": {STATE_VERSION}, "identity": {{}}, "accuracies": 5}}']
)
def test_a_damaged_record_of_trials_is_made_again(content: str, tmp_path: Path) -> None:
    path = tmp_path / "drop.json"
    path.write_text(content, encoding="utf-8")
    assert Trials.resume(path, {}).accuracies == {}


def test_a_ratio_is_not_exceeded() -> None:
    path = RatioPath(Plan(), filters, most=0.33)
    assert path.ratios == (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.33)
    assert len(path.whole.filters["conv"]) == 7
    plan = within_drop(path, 100, Judge(baseline=0.9, accuracy_after=Net(0.0)))
    assert len(plan.filters["conv"]) == 7


def test_minutes_end_a_search_with_the_best_so_far() -> None:
    times = iter([0.0, 0.0, 70.0, 200.0])
    budget = TimeBudget(2.0, clock=lambda: next(times))
    plan = within_drop(path(13), 50, Judge(baseline=0.9, accuracy_after=Net(0.01), seconds_a_step=60), budget=budget)
    assert len(plan.removed) == 7  # the first trial alone
    assert plan.notes[-1] == "The 2 minutes are over after 1 trials: more may go."
