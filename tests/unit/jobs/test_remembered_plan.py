"""A prune that was killed goes on with the plan that it had measured."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from cnngraph.console import Quiet
from cnngraph.database.connection import Database
from cnngraph.errors import ConflictError, PlanError
from cnngraph.jobs import execute, prune_job
from cnngraph.jobs.prune_job import PruneJob, TrainingChoice, prune_to_graph
from cnngraph.jobs.pruned import PruneTask
from cnngraph.jobs.session import Session
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.choice import choose
from cnngraph.settings import Settings
from cnngraph.sources.stored import StoredModel

FASTER = {"method": "filters", "target_speedup": 1.5}


class Notes(Quiet):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


class Desk:
    """Decides another plan each time, as a measurement may; ``prune`` is the command, ended as it is told."""

    def __init__(self, home: Path) -> None:
        self.home, self.weights, self.progress = home, "aa", Notes()
        self.count = 0

    def decide(self, *args: Any, **options: Any) -> Plan:
        self.count += 1
        return Plan(removes=(Removal(layer=f"conv{self.count}"),))

    def prune(
        self,
        said: dict[str, Any] = FASTER,
        *,
        end: type[BaseException] | None = None,
        dry: bool = False,
        **training: Any,
    ) -> str:
        self.end, self.found = end, ""
        job = PruneJob("m", choose(said), replace(TrainingChoice(), **training), dry_run=dry)
        settings = Settings(None, "neo4j", None, None, "ada", self.home, self.home)
        with suppress(KeyboardInterrupt, PlanError, ConflictError):
            prune_to_graph(job, Session(settings, self.progress, cast(Database, object())))
        return self.found

    def carry_out(self, session: Session, job: PruneJob, task: PruneTask) -> tuple[Plan, dict[str, Any]]:
        self.found = task.outline.in_words
        if self.end is not None:
            raise self.end("it ended")
        return task.outline, {}

    @property
    def files(self) -> int:
        return len(list(self.home.glob("work/plan-*.json")))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path)
    monkeypatch.setattr(prune_job, "plan_stored", made.decide)
    monkeypatch.setattr(prune_job, "stored", lambda db, name: StoredModel(f"ada/{name}", {"sha256": made.weights}))
    monkeypatch.setattr(execute, "require_free", lambda *_, **__: None)
    monkeypatch.setattr(execute, "carry_out", made.carry_out)
    return made


@pytest.mark.parametrize("end", [KeyboardInterrupt, ConflictError])
def test_an_interrupted_prune_keeps_its_plan_until_it_is_through(desk: Desk, end: type[BaseException]) -> None:
    assert [desk.prune(end=end), desk.prune(end=end), desk.prune()] == ["conv1"] * 3
    assert len(desk.progress.said) == 2
    assert "not measured again" in desk.progress.said[0]
    assert desk.files == 0
    assert desk.prune() == "conv2"


def test_a_plan_that_is_refused_is_decided_anew(desk: Desk) -> None:
    assert desk.prune(end=PlanError) == "conv1"
    assert desk.prune() == "conv2"


def test_other_weights_or_options_decide_anew(desk: Desk) -> None:
    assert desk.prune(end=KeyboardInterrupt) == "conv1"
    for number, changes in enumerate(({"seed": 1}, {"score": "bn"}, {"batch": 8}), start=2):
        assert desk.prune(FASTER | changes) == f"conv{number}"
    desk.weights = "bb"
    assert desk.prune() == "conv5"
    desk.weights = "aa"
    assert desk.prune() == "conv1"


def test_a_prune_that_trains_otherwise_has_a_plan_of_its_own(desk: Desk) -> None:
    assert desk.prune(end=KeyboardInterrupt) == "conv1"
    for number, training in enumerate(
        ({"recipe": {"epochs": 5}}, {"recipe": {"epochs": 6}}, {"control": False}), start=2
    ):
        assert desk.prune(end=KeyboardInterrupt, **training) == f"conv{number}"
    assert desk.prune(recipe={"epochs": 6}) == "conv3"  # its end takes away no other's
    assert [desk.prune(), desk.prune(recipe={"epochs": 5}), desk.prune(control=False)] == ["conv1", "conv2", "conv4"]


def test_what_is_not_measured_is_not_kept(desk: Desk) -> None:
    for said in ({"threshold": 0.3}, {"target_macs": 0.5}):
        desk.prune(said, end=KeyboardInterrupt)
    assert desk.files == 0
    assert desk.prune({"threshold": 0.3}) == "conv3"


def test_a_dry_run_shows_the_plan_that_is_kept_and_writes_none(desk: Desk) -> None:
    assert desk.prune(dry=True) == "conv1"
    assert desk.files == 0
    assert desk.prune(end=KeyboardInterrupt) == "conv2"
    assert desk.prune(dry=True) == desk.prune() == "conv2"


def test_half_a_file_is_decided_again(desk: Desk) -> None:
    desk.prune(end=KeyboardInterrupt)
    (path,) = desk.home.glob("work/plan-*.json")
    path.write_text('{"removes": [')
    assert desk.prune() == "conv2"
