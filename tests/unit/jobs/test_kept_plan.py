"""A prune that was killed goes on with the plan that it had measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from cnngraph.console import Quiet
from cnngraph.database.connection import Database
from cnngraph.errors import ConflictError, PlanError
from cnngraph.jobs import kept_plan
from cnngraph.jobs.bench import Timing
from cnngraph.jobs.decide import Decision
from cnngraph.jobs.stored import OtherData, Stored
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.target import Target
from cnngraph.settings import Settings

FASTER = Decision(method="filters", target=Target("speedup", 1.5))


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
        decision: Decision = FASTER,
        *,
        end: type[BaseException] | None = None,
        dry: bool = False,
        **training: object,
    ) -> str:
        settings = Settings(None, "neo4j", None, None, "ada", self.home, self.home)
        found = ""
        try:
            with kept_plan.decided(
                cast(Database, None),
                settings,
                "m",
                decision,
                data=OtherData(),
                training=training,
                dry_run=dry,
                progress=self.progress,
            ) as plan:
                found = plan.in_words
                if end is not None:
                    raise end("it ended")
        except (KeyboardInterrupt, PlanError, ConflictError):
            pass
        return found

    @property
    def files(self) -> int:
        return len(list(self.home.glob("work/plan-*.json")))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path)
    monkeypatch.setattr(kept_plan, "decide", made.decide)
    monkeypatch.setattr(kept_plan, "stored", lambda db, name: Stored(f"ada/{name}", {"sha256": made.weights}))
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
    for number, changes in enumerate(({"seed": 1}, {"score": "bn"}, {"timing": Timing(batch=8)}), start=2):
        assert desk.prune(Decision(**{"method": "filters", "target": FASTER.target} | changes)) == f"conv{number}"
    desk.weights = "bb"
    assert desk.prune() == "conv5"
    desk.weights = "aa"
    assert desk.prune() == "conv1"


def test_a_prune_that_trains_otherwise_has_a_plan_of_its_own(desk: Desk) -> None:
    assert desk.prune(end=KeyboardInterrupt) == "conv1"
    for number, training in enumerate(({"epochs": 5}, {"epochs": 6}, {"trainer": "own:fit"}), start=2):
        assert desk.prune(end=KeyboardInterrupt, **training) == f"conv{number}"
    assert desk.prune(epochs=6) == "conv3"  # its end takes away no other's
    assert [desk.prune(), desk.prune(epochs=5), desk.prune(trainer="own:fit")] == ["conv1", "conv2", "conv4"]


def test_what_is_not_measured_is_not_kept(desk: Desk) -> None:
    for decision in (Decision(threshold=0.3), Decision(target=Target("macs", 0.5))):
        desk.prune(decision, end=KeyboardInterrupt)
    assert desk.files == 0
    assert desk.prune(Decision(threshold=0.3)) == "conv3"


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
