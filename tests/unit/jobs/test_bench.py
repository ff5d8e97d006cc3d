"""What a bench is asked for, what its points come to, and where they are kept; refused before anything is looked up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnngraph.console import Quiet
from cnngraph.database.records import StepTaken
from cnngraph.errors import OptionError
from cnngraph.jobs.bench_choice import Budget, choose_bench, methods_with_budget
from cnngraph.jobs.bench_decide import PointDecision
from cnngraph.jobs.bench_folder import BenchFolder, collect_points, hash_images
from cnngraph.jobs.bench_point import Point, times_of
from cnngraph.jobs.bench_result import MEANS, tabulate
from cnngraph.jobs.prune import PlannedPrune
from cnngraph.jobs.workspace import JobFolder
from cnngraph.plan import Plan
from cnngraph.pruning.registry import METHODS


def test_every_method_that_can_be_held_to_a_budget_is_the_default() -> None:
    chosen = choose_bench({"budget": "macs=0.5", "methods": None, "epochs": None})
    assert [method.name for method in chosen.methods] == list(methods_with_budget())
    assert set(METHODS) - set(methods_with_budget()) == {"review"}
    assert (chosen.seeds, list(chosen.all_seeds), chosen.recipe) == (1, [0], {})


def test_names_and_budgets_may_stand_with_commas() -> None:
    chosen = choose_bench({"budget": ["macs=0.5, speedup=2", "latency-ms=5"], "methods": "car,random", "seeds": 2})
    assert [method.name for method in chosen.methods] == ["car", "random"]
    assert [budget.text for budget in chosen.budgets] == ["macs=0.5", "speedup=2", "latency_ms=5"]
    assert chosen.budgets[0].limits == {"target_macs": 0.5}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "A budget is needed"),
        ({"budget": "macs"}, "budget=macs is no budget"),
        ({"budget": "flops=0.5"}, "budget=flops=0.5 is no budget"),
        ({"budget": "macs=half"}, "budget=macs=half has no number"),
        ({"budget": "macs=0"}, "budget=macs=0 is out of range"),
        ({"budget": "macs=1"}, "budget=macs=1 is neither a share under 1 nor a count"),
        ({"budget": "speedup=1"}, "budget=speedup=1 is out of range"),
        ({"budget": "macs=nan"}, "budget=macs=nan is out of range"),
        ({"budget": "macs=-1"}, "budget=macs=-1 is out of range"),
        ({"budget": ["macs=0.5", "macs=0.50"]}, "budget names macs=0.5 twice"),
        ({"methods": ["car", "random", "car"]}, "methods names car twice"),
        ({"methods": ["rendom"]}, "Did you mean random"),
        ({"methods": ["review"]}, "The method review cannot be held to a budget: it carries out what people decided"),
        ({"methods": []}, "methods names no method"),
        ({"seeds": 0}, "seeds=0 is no whole number above 0"),
        ({"seeds": 1.5}, "seeds=1.5 is no whole number above 0"),
        ({"epochs": 0}, "epochs=0 is no whole number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan is out of range"),
        ({"minutes": 0}, "minutes=0 is out of range"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"seed": 1.5}, "seed=1.5 is out of range"),
        ({"budget": 0.5}, "budget=0.5 is no budget"),
        ({"seeds": 2**31 + 1}, "seeds=2147483649 is out of range"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"precision": "bf16"}, "no precision 'bf16' here"),
    ],
)
def test_what_is_refused_before_any_look_up(said: dict[str, Any], why: str) -> None:
    with pytest.raises(OptionError) as refused:
        choose_bench({"budget": "macs=0.5"} | said if said else said)
    assert why in str(refused.value)


def point(method: str, seed: int, **figures: Any) -> dict[str, Any]:
    known = {"method": method, "budget": "macs=0.5", "seed": seed, "meets": True, "why": None}
    return known | dict.fromkeys(MEANS) | figures


def test_a_row_is_the_mean_and_the_spread_of_its_seeds() -> None:
    points = [
        point("car", 0, accuracy=0.5, macs=10),
        point("car", 1, accuracy=0.7, macs=10),
        point("car", 7, accuracy=0.0, macs=10),  # of another call
        point("imp", 0, meets=False, why="Zeros take no time."),
        point("imp", 1, meets=False, why="Zeros take no time."),
    ]
    car, imp, none = tabulate([("car", "macs=0.5"), ("imp", "macs=0.5"), ("car", "macs=0.1")], points, range(2))
    assert (car["seeds"], car["nets"], car["meets"], car["why"]) == (2, 2, 2, None)
    assert car["accuracy"] == {"mean": pytest.approx(0.6), "sd": pytest.approx(0.1 * 2**0.5)}
    assert (car["macs"], car["nonzero"]) == ({"mean": 10, "sd": 0}, {"mean": None, "sd": None})
    assert (imp["seeds"], imp["nets"], imp["meets"], imp["why"]) == (2, 0, 0, "Zeros take no time.")
    points += [point("random", seed, why=why) for seed, why in ((0, None), (1, "Too slow."), (2, "Near chance."))]
    (random,) = tabulate([("random", "macs=0.5")], points, range(3))
    assert random["why"] == "seed 1: Too slow. seed 2: Near chance."
    assert (none["seeds"], none["accuracy"]) == (0, {"mean": None, "sd": None})


def test_points_are_read_back_in_one_order(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    made = [Point("random", Budget("macs", 0.5), 0), Point("control", None, 1), Point("car", Budget("macs", 0.5), 2)]
    for one in made:
        one.stage(folder).write(one.identity)
    assert [row["method"] for row in collect_points(folder)] == ["control", "car", "random"]
    place = BenchFolder(folder, {})
    (tmp_path / "point-random-macs0.5-s0").mkdir()  # of a kill right after it was done
    (tmp_path / "point-random-macs0.5-s1").mkdir()  # of one before
    place.open(Quiet())
    assert [path.name for path in tmp_path.glob("point-*")] == ["point-random-macs0.5-s1"]
    assert Point("car", Budget("macs", 1e6), 0).name != Point("car", Budget("macs", 1e-6), 0).name


class Noted(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_points_on_other_images_are_counted_and_not_used(tmp_path: Path) -> None:
    told = Noted()
    for number, model in enumerate(("ada/net", "ada/net", "ada/other")):
        place = BenchFolder(JobFolder(tmp_path / f"bench-{number}"), {"model": model})
        place.open(told)
        Point("control", None, 0).stage(place.folder).write({"budget": None, "method": "control", "seed": 0})
    assert len(told.notes) == 1
    assert told.notes[0].startswith("1 net made earlier for this model and training is not used")


def images(digests: list[int] | None, labels: list[int]) -> Any:
    class Few:
        def __init__(self) -> None:
            self.digests = np.array(digests, dtype=np.uint64) if digests is not None else None
            self.labels = np.array(labels)

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, rows: range) -> None:  # those that are not kept are known once all were read
            self.digests = np.array(rows, dtype=np.uint64)

    return Few()


def test_other_content_or_another_label_is_another_folder() -> None:
    def name(train: list[int] | None, labels: list[int]) -> str:
        parts = {"train": images(train, labels), "validation": images([9], [0]), "test": images([8], [1])}
        return hash_images(SimpleNamespace(data=SimpleNamespace(**parts)))  # type: ignore[arg-type]

    assert name([1, 2], [0, 1]) == name([1, 2], [0, 1])
    assert len({name([1, 2], [0, 1]), name([1, 3], [0, 1]), name([1, 2], [0, 0]), name([1], [0])}) == 4
    assert name(None, [0, 1]) == name([0, 1], [0, 1])


def test_seconds_are_those_of_decision_cut_and_training(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.stage("slim").write({"cut_seconds": 2.0})
    folder.stage("retrain/done").write({"epoch_seconds": 4.0, "epochs": 2, "seconds": 9.0})
    plain = SimpleNamespace(plan=Plan(), steps=(), folder=tmp_path)
    decision = PointDecision(PlannedPrune(Plan()), 5.0)
    assert times_of(decision, plain) == {  # type: ignore[arg-type]
        "epochs": 2,
        "seconds": 16.0,
        "decide_seconds": 5.0,
        "train_seconds": 9.0,
    }
    tried = SimpleNamespace(plan=Plan(settings={"criticality": {"seconds": 3.0}}), steps=(), folder=tmp_path)
    assert times_of(decision, tried)["decide_seconds"] == 8.0  # type: ignore[arg-type]
    for number, seconds, removes in ((1, 1.0, ["one"]), (2, 0.5, []), (3, 1.5, ["another"])):
        folder.stage(f"step-{number}/cut").write({"plan": {"removes": removes}, "seconds": seconds})
    steps = tuple(StepTaken(number, "", 1, 1, 2, 0.5, 0.5, seconds=10.0) for number in (1, 2))
    stepped = SimpleNamespace(plan=Plan(), steps=steps, folder=tmp_path)
    assert times_of(decision, stepped) == {  # type: ignore[arg-type]
        "epochs": 4,
        "seconds": 5.0 + 20.0 + 0.5,
        "decide_seconds": 8.0,
        "train_seconds": 17.5,
    }
