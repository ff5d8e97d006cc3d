"""What a trial counts, and whether the net that is kept holds what the search was allowed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cnngraph.console import Quiet
from cnngraph.jobs.drop import drop_found, within_accuracy_drop
from cnngraph.jobs.session import Session
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.choice import choose
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.pruning.path import LayerPath
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model


@pytest.fixture(scope="module")
def subject() -> LoadedModel:
    return open_model(ModelChoice(name="cnngraph:lenet5"), DataChoice(name="digits", images_per_class=6))


def judged(monkeypatch: pytest.MonkeyPatch, *accuracies: float) -> list[Any]:
    """The nets come out of ``evaluate`` with these accuracies, one after the other; the images that it was given."""
    given: list[Any] = []
    left = iter(accuracies)

    def evaluate(_: Any, images: Any, **options: Any) -> Any:
        given.append(images)
        return SimpleNamespace(accuracy=next(left))

    monkeypatch.setattr("cnngraph.training.evaluate.evaluate", evaluate)
    return given


@pytest.mark.parametrize(
    ("after", "held"), [(288 / 360, True), (252 / 360, True), (251 / 360, False), (300 / 360, True)]
)
def test_a_drop_that_is_not_kept_is_said_with_both_figures(
    subject: LoadedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], after: float, held: bool
) -> None:
    given = judged(monkeypatch, 288 / 360, after)
    plan = Plan(settings={"max_accuracy_drop": {"points": 10}})
    found = drop_found(subject, subject.model, plan, "cpu", Quiet())
    assert given == [subject.data.validation] * 2
    judged_on = subject.images_from("validation").as_json()
    figures = {"allowed": 10, "found": pytest.approx(80 - 100 * after), "held": held}
    assert found == figures | {"images_from": judged_on}
    said = capsys.readouterr().err
    if held:
        assert said == ""
    else:
        assert "warning: the allowed drop of 10 points is not kept" in said
        assert "the validation accuracy is 69.72%, it was 80.00% before" in said


@pytest.mark.parametrize("settings", [{}, {"max_accuracy_drop": {}}, {"max_accuracy_drop": "much"}, {"ratio": 0.3}])
def test_a_plan_that_promises_nothing_is_not_judged(subject: LoadedModel, settings: dict[str, Any]) -> None:
    assert drop_found(subject, subject.model, Plan(settings=settings), "cpu", Quiet()) is None


@pytest.mark.parametrize(("tuned", "goes"), [(True, ["features.3"]), (False, [])])
def test_without_training_the_joined_net_counts_alone(
    subject: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned: bool, goes: list[str]
) -> None:
    trained: list[int] = []
    monkeypatch.setattr("cnngraph.training.fit.fit", lambda *_, **options: trained.append(options["epochs"]))
    judged(monkeypatch, 0.9, 0.5, 0.9)  # whole, joined, tuned
    said = {"max_accuracy_drop": 1, "steps": 1 if tuned else 3, "device": "cpu"}
    settings = Settings(None, "neo4j", None, None, "ada", tmp_path, tmp_path)
    path = LayerPath(Plan(), (Removal(layer="features.3"),))
    plan = within_accuracy_drop(subject, path, replace(choose(said), tuned=tuned), Session(settings), TimeBudget())
    assert plan.removed == goes
    assert trained == [1] * tuned
