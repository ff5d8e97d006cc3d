"""Filters that the accuracy misses least: bounds and limits, what is said of it, interruptions, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnngraph import save
from cnngraph.console import Progress
from cnngraph.datasets.registry import open_data
from cnngraph.errors import NotFoundError, OptionError, PlanError
from cnngraph.jobs.plan import plan_saved
from cnngraph.jobs.session import Session
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.plan import Plan
from cnngraph.pruning import greedy_path
from cnngraph.pruning.choice import choose
from cnngraph.pruning.greedy import GreedyStep
from cnngraph.settings import Settings
from cnngraph.sources.saved import SavedSource, open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.apply import cut
from cnngraph.surgery.saved import load
from cnngraph.training.evaluate import evaluate
from cnngraph.training.fit import fit

FIRST, SECOND = "features.0", "features.3"  # of lenet5: 6 and 16 filters
DATA = OtherData("digits")
PIXELS = Preprocessing(size=(32, 32), channels=3)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SavedSource:
    folder = tmp_path_factory.mktemp("car") / "net"
    net = build("cnngraph:lenet5", classes=10, size=32, seed=0)
    data = open_data("digits", preprocessing=PIXELS)
    fit(net, data.train, None, epochs=2, seed=0, device="cpu")
    save(net, folder, preprocessing=PIXELS, classes=data.classes, dataset="digits")
    return open_source(str(folder))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def planned(source: SavedSource, home: Path, **said: Any) -> Plan:
    session = Session(Settings(None, "neo4j", None, None, "ada", home, home))
    return plan_saved(session, source, choose({"method": "car"} | said), DATA)


def accuracy_without(source: SavedSource, made: Plan) -> float:
    """On the validation images, of the net that the plan gives, its weights as they are."""
    net = load(source.folder)
    slim = cut(net, made.model_copy(update={"init": "inherit"}))
    return evaluate(slim, open_data("digits", preprocessing=PIXELS).validation, device="cpu").accuracy


def test_each_layer_loses_its_share_and_the_accuracy_is_that_of_the_cut_net(source: SavedSource, home: Path) -> None:
    made = planned(source, home, layer=[SECOND, FIRST], ratio=0.4)
    assert {layer: len(filters) for layer, filters in made.filters.items()} == {FIRST: 2, SECOND: 6}
    steps = made.settings["steps"]
    assert [step["layer"] for step in steps] == [FIRST] * 2 + [SECOND] * 6
    assert steps[-1]["accuracy"] == accuracy_without(source, made)
    assert steps[0]["car"] == pytest.approx(made.settings["baseline"] - steps[0]["accuracy"])
    assert made.settings["judged_on"].startswith("181 validation images")


def test_so_many_filters_and_all_layers(source: SavedSource, home: Path) -> None:
    made = planned(source, home, layer="all", filters=3)
    assert {layer: len(filters) for layer, filters in made.filters.items()} == {FIRST: 3, SECOND: 3}
    assert planned(source, home, layer="all", filters=3, keep=[FIRST]).filters.keys() == {SECOND}


def test_an_accuracy_limit_is_kept_by_the_judge_itself(source: SavedSource, home: Path) -> None:
    made = planned(source, home, layer="all", max_accuracy_drop=5)
    told = made.settings["max_accuracy_drop"]
    assert told["accuracy"] == accuracy_without(source, made)
    assert told["baseline"] - told["accuracy"] <= 0.05
    further = planned(source, home, layer="all", max_accuracy_drop=50)
    assert len(further.settings["steps"]) > len(made.settings["steps"])
    assert further.settings["steps"][: len(made.settings["steps"])] == made.settings["steps"]


def test_a_target_takes_from_one_pool(source: SavedSource, home: Path) -> None:
    made = planned(source, home, layer="all", target_macs=0.6)
    assert made.settings["target"]["landed"]
    assert made.filters.keys() == {FIRST, SECOND}


def test_an_interrupted_search_goes_on_where_it_was(
    source: SavedSource, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = planned(source, tmp_path / "other", layer=SECOND, ratio=0.5)
    write, written = greedy_path.KeptSteps.write, 0

    def interrupted(kept: greedy_path.KeptSteps, steps: list[GreedyStep]) -> None:
        nonlocal written
        write(kept, steps)
        written += 1
        if written == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(greedy_path.KeptSteps, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        planned(source, home, layer=SECOND, ratio=0.5)
    (state,) = (home / "work").glob("car-*.json")
    assert len(json.loads(state.read_text())["steps"]) == 3
    chosen = 0

    def count(*_: Any, **__: Any) -> Any:
        nonlocal chosen
        chosen += 1
        return choose_group(*_, **__)

    from cnngraph.surgery.channels.ablation import Ablation

    choose_group = Ablation.choose
    monkeypatch.setattr(Ablation, "choose", count)
    assert planned(source, home, layer=SECOND, ratio=0.5) == whole
    assert chosen == len(whole.settings["steps"]) - 3
    state.write_text('{"steps": [{"group"', encoding="utf-8")
    assert planned(source, home, layer=SECOND, ratio=0.5) == whole


@pytest.mark.parametrize("killed_after", [3, 4, 5])
def test_rounds_of_several_filters_go_on_where_they_were(
    killed_after: int, source: SavedSource, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last round of a layer may be shorter than the others: three filters of the first go in rounds of two."""
    said: dict[str, Any] = {"layer": [FIRST, SECOND], "filters": 3, "per_step": 2}
    whole = planned(source, tmp_path / "other", **said)
    write = greedy_path.KeptSteps.write

    def interrupted(kept: greedy_path.KeptSteps, steps: list[GreedyStep]) -> None:
        write(kept, steps)
        if len(steps) == killed_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(greedy_path.KeptSteps, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        planned(source, home, **said)
    monkeypatch.setattr(greedy_path.KeptSteps, "write", write)
    assert planned(source, home, **said) == whole


def test_minutes_end_it_well(source: SavedSource, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnngraph.pruning.limits.time_budget import TimeBudget

    asked = iter([True, True, False])
    monkeypatch.setattr(TimeBudget, "allows", lambda *_: next(asked))
    made = planned(source, home, layer=SECOND, ratio=0.5, minutes=1)
    assert len(made.settings["steps"]) == 2
    assert made.notes[-1] == "The 1 minutes are over after 2 steps: more may go."
    asked = iter([False])
    with pytest.raises(PlanError, match="before the first"):
        planned(source, home, layer=FIRST, ratio=0.5, minutes=1)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"ratio": 0.5}, OptionError, "needs {layer}|needs layer"),
        ({"layer": "conv9", "ratio": 0.5}, NotFoundError, "no layer 'conv9' with filters"),
        ({"layer": "classifier.0", "ratio": 0.5}, NotFoundError, "no layer 'classifier.0' with filters"),
        ({"layer": FIRST, "filters": 6}, PlanError, "6 filters of features.0 cannot go: it has 6, 5"),
        ({"layer": "all", "filters": 16}, PlanError, "No layer has 16 filters to lose: the most are 15 of features.3"),
        ({"layer": FIRST, "filters": 0}, OptionError, "filters=0"),
        ({"layer": FIRST, "ratio": 1.0}, OptionError, "ratio=1"),
        ({"layer": FIRST, "ratio": float("nan")}, OptionError, "ratio=nan"),
        ({"layer": FIRST, "per_step": 0, "ratio": 0.5}, OptionError, "per_step=0"),
        ({"layer": FIRST, "judged_on": "test", "ratio": 0.5}, OptionError, "no judged on 'test'"),
        ({"layer": FIRST}, OptionError, "One of these is needed"),
        ({"layer": FIRST, "threshold": 0.5}, OptionError, "belongs to the methods multilayer and similarity"),
        (
            {"layer": FIRST, "keep": [FIRST], "ratio": 0.5},
            PlanError,
            "No filter of features.0 can go: it is to be kept",
        ),
        ({"layer": FIRST, "target_macs": 0.01}, PlanError, "out of reach: the most is"),
        ({"layer": FIRST, "ratio": 0.1}, PlanError, "the share of no layer is as much"),
        (
            {"layer": FIRST, "max_accuracy_drop": 1, "judged_on": "train"},
            OptionError,
            "judged_on=train and max_accuracy_drop",
        ),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    source: SavedSource, home: Path, said: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        planned(source, home, **said)


def test_the_time_and_a_coarse_judge_are_said(source: SavedSource, home: Path) -> None:
    class Told(Progress):
        notes: list[str]

        def __init__(self) -> None:
            self.notes = []

        def note(self, message: str) -> None:
            self.notes.append(message)

        def start(self, what: str, total: int | None = None) -> None: ...

        def advance(self, count: int = 1) -> None: ...

    told = Told()
    session = Session(Settings(None, "neo4j", None, None, "ada", home, home), progress=told)
    plan_saved(session, source, choose({"method": "car", "layer": FIRST, "ratio": 0.5}), DATA)
    assert any(note.startswith("At most 15 times without a filter on 181 validation images") for note in told.notes)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
