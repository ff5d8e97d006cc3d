"""How many layers an allowed drop lets go: trials are counted, resumed and explained."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cnngraph.console import Quiet
from cnngraph.errors import PlanError, UsageError
from cnngraph.measures.measure import LayerTheta, MeasureResult
from cnngraph.plan import Plan
from cnngraph.pruning.accuracy_drop import most_trials, within_drop
from cnngraph.pruning.multilayer import decide


def ranked(count: int) -> Plan:
    """conv1 has the highest theta, the last conv the lowest."""
    rows = tuple(LayerTheta(f"conv{i}", 0.1 * (count - i), 0.1 * (count - i)) for i in range(1, count + 1))
    return decide(MeasureResult("run", "degree", 1.0, rows, model="me/net"))


class Net:
    """Loses ``loss`` accuracy with each layer; counts its trials."""

    def __init__(self, loss: float) -> None:
        self.loss = loss
        self.trials: list[tuple[str, ...]] = []

    def __call__(self, removed: tuple[str, ...]) -> float:
        self.trials.append(removed)
        return 0.9 - self.loss * len(removed)


class Notes(Quiet):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(("points", "count"), [(0.0, 0), (1.0, 1), (5.5, 5), (50.0, 12)])
def test_as_many_go_as_keep_the_accuracy(points: float, count: int) -> None:
    net = Net(0.01)
    plan = within_drop(ranked(13), points + 1e-9, baseline=0.9, accuracy_after=net)
    assert plan.removed == [f"conv{i}" for i in range(14 - count, 14)]
    assert len(net.trials) <= most_trials(12) == 4
    assert plan.threshold is None
    assert plan.schedule == ranked(13).schedule


def test_the_expected_time_is_said_before_the_first_trial() -> None:
    notes = Notes()

    def trial(removed: tuple[str, ...]) -> float:
        assert "At most 4 trials" in notes.said[0]
        assert "about 30 s: about 2.0 minutes" in notes.said[0]
        return 0.0

    within_drop(ranked(13), 1, baseline=0.9, accuracy_after=trial, seconds_a_trial=30, progress=notes)
    assert len(notes.said) > 1


def test_a_removal_gives_the_accuracy_that_its_trial_found() -> None:
    plan = within_drop(ranked(3), 1.5, baseline=0.9, accuracy_after=Net(0.01))
    assert plan.removed == ["conv3"]
    assert "accuracy 0.8900, 0.9000 before" in plan.removes[0].reason
    assert plan.removes[0].threshold == 0.05
    assert "within a drop of 1.5 points: 1 of 3 (2 trials)" in plan.notes[-1]


def test_nothing_goes_where_every_trial_loses_too_much() -> None:
    plan = within_drop(ranked(5), 1, baseline=0.9, accuracy_after=lambda removed: None)
    assert plan.removes == ()
    assert "No layer goes" in plan.notes[-1]


def test_layers_that_cannot_go_are_passed_over() -> None:
    plan = within_drop(ranked(4), 100, baseline=0.9, accuracy_after=Net(0.01), keep={"conv4": "glued"})
    assert plan.removed == ["conv1", "conv2", "conv3"]
    with pytest.raises(PlanError, match="No convolution"):
        within_drop(ranked(1), 1, baseline=0.9, accuracy_after=Net(0.01))


def test_an_interrupted_search_goes_on_with_its_trials(tmp_path: Path) -> None:
    class Interrupted(Net):
        def __call__(self, removed: tuple[str, ...]) -> float:
            if len(self.trials) == 2:
                raise KeyboardInterrupt
            return super().__call__(removed)

    state, first, second = tmp_path / "trials.json", Interrupted(0.01), Net(0.01)
    with pytest.raises(KeyboardInterrupt):
        within_drop(ranked(13), 5.5, baseline=0.9, accuracy_after=first, state=state, identity={"seed": 0})
    plan = within_drop(ranked(13), 5.5, baseline=0.9, accuracy_after=second, state=state, identity={"seed": 0})
    assert len(plan.removed) == 5
    assert not set(first.trials) & set(second.trials)
    assert len(first.trials) + len(second.trials) <= 4
    assert [path.name for path in tmp_path.iterdir()] == ["trials.json"]


@pytest.mark.parametrize("content", ["", "{", '{"version": 99}'])
def test_trials_of_other_inputs_or_a_broken_file_are_made_again(tmp_path: Path, content: str) -> None:
    state = tmp_path / "trials.json"
    within_drop(ranked(5), 1, baseline=0.9, accuracy_after=Net(0.01), state=state, identity={"seed": 0})
    again = Net(0.01)
    within_drop(ranked(5), 1, baseline=0.9, accuracy_after=again, state=state, identity={"seed": 1})
    assert again.trials
    state.write_text(content)
    once_more = Net(0.01)
    within_drop(ranked(5), 1, baseline=0.9, accuracy_after=once_more, state=state, identity={"seed": 1})
    assert once_more.trials == again.trials


@pytest.mark.parametrize("points", [math.nan, -0.1, 101, math.inf])
def test_a_drop_out_of_range_is_wrong_usage(points: float) -> None:
    with pytest.raises(UsageError, match="accuracy drop"):
        within_drop(ranked(3), points, baseline=0.9, accuracy_after=Net(0.01))
