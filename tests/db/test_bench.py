"""docs/bench.md as it stands; killed and gone on with; other images; what is in the graph; what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnngraph import connect
from cnngraph.console import Quiet
from cnngraph.database.lineage import read_pruning_run
from cnngraph.errors import ConflictError, PlanError
from cnngraph.jobs.workspace import JobFolder
from cnngraph.plan import Plan
from tests.forge import Forge
from tests.pages import carry_out
from tests.unit.jobs.killing import Killer, repeat_until_done

pytestmark = pytest.mark.db
Run = Callable[..., Any]

TIMES = {"latency_ms", "parent_latency_ms", "speedup", "seconds", "decide_seconds", "train_seconds", "new_model"}
HOW: dict[str, Any] = {"methods": ["filters", "imp"], "budget": "macs=0.5", "epochs": 2, "device": "cpu"}
_KILLED = "MATCH (m:Model) WHERE m.key STARTS WITH 'tester/bench-killed-' RETURN m.name AS name ORDER BY name"
_DECISION = "MATCH (run:PruningRun)-[:PRODUCED]->(:Model {key: $key}) RETURN run.key AS run"


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out."""
    folder = tmp_path_factory.mktemp("bench")
    carry_out("docs/bench.md", folder, command, forge)
    return folder


@pytest.fixture(scope="module")
def photos(command: Run, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of grey and coloured squares; a small net trained on them is the model ``bench-photos``, another name of
    the same is ``bench-killed``.
    """
    folder = tmp_path_factory.mktemp("photos")
    chance = np.random.default_rng(0)
    for number in range(30):
        for name, tint in (("grey", (120, 120, 120)), ("red", (200, 40, 40))):
            path = folder / "images" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(chance.normal(tint, 30, (32, 32, 3)), 0, 255).astype(np.uint8)).save(path)
    data = f"folder:{folder / 'images'}"
    lines = [("train", "cnngraph:lenet5", "--data", data, "--epochs", 1, "--out", folder / "net")]
    lines += [
        ("ingest", folder / "net", "--data", data, "--view", "channels", "--name", name)
        for name in ("bench-photos", "bench-killed")
    ]
    for line in lines:
        done = command(*line)
        assert done.code == 0, done.err
    return folder / "images"


@pytest.fixture(scope="module")
def found(photos: Path) -> dict[str, Any]:
    with connect() as graph:
        return graph.bench("bench-photos", **HOW)


def by_method(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {point["method"]: point for point in result["points"]}


def by_budget(result: dict[str, Any], budget: str) -> dict[str, dict[str, Any]]:
    return by_method({"points": [point for point in result["points"] if point["budget"] == budget]})


def timeless(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in point.items() if name not in TIMES} for point in result["points"]]


def test_the_page_and_the_table_hold_what_was_asked_for(page: Path) -> None:
    with (page / "held.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    made = {(row["method"], row["budget"]) for row in rows}
    assert {name for name, budget in made if budget == "macs=0.5"} == {"filters", "triage", "imp", "random", "scratch"}
    assert {name for name, budget in made if budget == "parameters=0.5"} == {"filters", "scratch"}
    assert "triage" in (page / "held.html").read_text(encoding="utf-8")


def test_every_net_is_in_the_graph_beside_one_control(command: Run, found: dict[str, Any]) -> None:
    points = by_method(found)
    assert set(points) == {"filters", "imp", "control", "scratch"}
    key = points["filters"]["new_model"]
    assert key == "tester/bench-photos-filters-macs0.5-s0"
    with connect() as graph:
        (after,) = graph.lineage(key)["evaluations"]
        mine = [one for one in graph.lineage("bench-photos")["evaluations"] if one.get("child") == key]
    (control,) = (one for one in mine if one["control"])
    assert (after["accuracy"], after["latency_ms"]) == (points["filters"]["accuracy"], points["filters"]["latency_ms"])
    assert control["accuracy"] == points["control"]["accuracy"]
    (parent,) = command("lineage", key.split("/")[1], "--json").json["ancestors"]
    assert (parent["model"], parent["method"]) == ("tester/bench-photos", "filters")
    assert points["filters"]["macs"] == pytest.approx(0.5 * found["parent"]["macs"], rel=0.15)
    assert points["scratch"]["new_model"] is None
    assert (points["scratch"]["epochs"], points["filters"]["epochs"], points["imp"]["epochs"]) == (3, 2, 2)
    assert points["imp"]["nonzero"] == pytest.approx(0.5 * found["parent"]["parameters"], rel=0.01)
    assert (points["imp"]["meets"], points["imp"]["macs"]) == (False, found["parent"]["macs"])
    assert points["imp"]["why"].startswith("Zeros take no operations away")


@pytest.fixture(scope="module")
def begun(found: dict[str, Any], session_home: Path) -> None:
    """The bench of ``bench-killed`` is begun; its nets are to be trained as those of ``bench-photos`` were: measured
    anew, that may come out otherwise, and round otherwise.
    """
    work = session_home / "work"
    (made,) = (path.parent for path in work.glob("bench-*/about.json") if "tester/bench-photos" in path.read_text())
    with connect() as graph, pytest.raises(PlanError):
        graph.bench("bench-killed", **HOW, minutes=1e-3)
    (mine,) = (path.parent for path in work.glob("bench-*/about.json") if "tester/bench-killed" in path.read_text())
    (mine / "execution.json").write_text((made / "execution.json").read_text())


def test_a_kill_changes_nothing_but_times(
    found: dict[str, Any], begun: None, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = Killer(monkeypatch)
    for target, *ends in (
        ("cnngraph.training.fit.write_checkpoint", 1, 4, 7),
        ("cnngraph.jobs.bench_point.store", 1, 2),
        ("cnngraph.jobs.bench_decide.plan_opened", 1),
        ("cnngraph.jobs.bench.make_point", 2),
    ):
        killer.kill_after(target, *ends)
    with connect() as graph:
        killed, runs = repeat_until_done(lambda: graph.bench("bench-killed", **HOW))
    assert runs == 8
    assert timeless(killed) == timeless(found)
    names = [row["name"] for row in database.read(_KILLED)]
    assert names == ["bench-killed-filters-macs0.5-s0", "bench-killed-imp-macs0.5-s0"]


def test_a_kill_between_steps_changes_nothing_but_times(begun: None, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = HOW | {"methods": ["progressive"]}
    with connect() as graph:
        whole = graph.bench("bench-photos", **steps)
    killer = Killer(monkeypatch)
    for target, *ends in (
        ("cnngraph.training.fit.write_checkpoint", 1),
        ("cnngraph.jobs.prune_in_steps.take_step", 1),
        ("cnngraph.jobs.bench_point.store", 1),
    ):
        killer.kill_after(target, *ends)
    with connect() as graph:
        other, _ = repeat_until_done(lambda: graph.bench("bench-killed", **steps))
    assert {name: count > 0 for name, count in killer.calls.items()} == dict.fromkeys(killer.calls, True)
    mine, theirs = ([one for one in timeless(result) if one["method"] == "progressive"] for result in (whole, other))
    assert mine == theirs
    assert mine[0]["epochs"] == 2


def kept_of(work: Path, model: str) -> dict[str, str]:
    """What the bench of ``model`` has left so far that a later run reads: decisions, times, points."""
    (place,) = (path.parent for path in work.glob("bench-*/about.json") if f"tester/{model}" in path.read_text())
    names = ("layer-times.json", "execution.json", "before.json", "point-*/plan.json", "points/*.json")
    found = {path: path.read_text() for name in names for path in place.glob(name)}
    return {str(path.relative_to(place)): text for path, text in found.items()}


def test_a_kill_at_a_budget_of_time_keeps_what_was_decided(
    page: Path, session_home: Path, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = Killer(monkeypatch)
    killer.kill_after("cnngraph.jobs.bench_decide.plan_opened", 1)  # measured, and not kept: it is decided anew
    killer.kill_after("cnngraph.training.fit.write_checkpoint", Random(0).randint(1, 3))
    killer.kill_after("cnngraph.jobs.bench_point.store", 1)
    how, known = {"methods": ["imp", "filters"], "budget": "speedup=1.2", "epochs": 1}, dict[str, str]()
    with connect() as graph:
        while True:
            try:
                result = graph.bench("held", **how)  # a net whose layers take the time
                break
            except KeyboardInterrupt:
                now = kept_of(session_home / "work", "held")
                assert {name: text for name, text in now.items() if name in known}.items() <= known.items()
                assert all(name.startswith("point-") for name in known.keys() - now)  # of a point that is made
                known |= now
    assert killer.calls["plan_opened"] == 2  # no decision that was kept is made again
    made = kept_of(session_home / "work", "held")
    points = {name for name in known if name.startswith("points/")}
    assert "points/imp-speedup1.2-s0.json" in points
    assert all(made[name] == known[name] for name in points)
    decided = Plan.model_validate(json.loads(known["point-filters-speedup1.2-s0/plan.json"])["plan"])
    (filters, imp) = (by_budget(result, "speedup=1.2")[method] for method in ("filters", "imp"))
    (stored,) = database.read(_DECISION, key=filters["new_model"])
    assert read_pruning_run(database, stored["run"]).filters == decided.filters
    assert imp["why"].endswith("nothing was trained.")


def test_more_seeds_train_only_what_is_new(photos: Path, found: dict[str, Any]) -> None:
    more = HOW | {"methods": ["filters"], "seeds": 2, "budget": ["macs=0.5", "parameters=0.001"]}
    with connect() as graph:
        said = graph.bench("bench-photos", **more, dry_run=True)
        assert (said["trainings"], said["would_write"], said["dry_run"]) == (7, {"models": 3}, True)
        result = graph.bench("bench-photos", **more)
    assert by_method(found)["filters"] in result["points"]
    row, hopeless = result["table"][:2]
    assert (row["seeds"], row["meets"], row["accuracy"]["sd"] is not None) == (2, 2, True)
    assert (hopeless["meets"], hopeless["accuracy"]["mean"]) == (0, None)
    assert "out of reach" in hopeless["why"]


def test_a_dry_run_counts_an_epoch_a_step_and_writes_nothing(photos: Path, session_home: Path) -> None:
    before = set((session_home / "work").iterdir())
    with connect() as graph:
        said = graph.bench("bench-photos", methods=["progressive"], budget="macs=0.5", epochs=1, dry_run=True)
    assert (said["trainings"], said["epochs_in_all"]) == (3, 1 + 2 + 2)  # two layers; scratch: as the net itself, and 1
    assert 0 < said["seconds"] < 600
    assert set((session_home / "work").iterdir()) == before


def test_out_of_time_says_what_is_missing(photos: Path, found: dict[str, Any]) -> None:
    with connect() as graph:
        part = graph.bench("bench-photos", **HOW | {"methods": ["filters", "random"]}, minutes=1e-3)
        assert part["left"] == [{"method": "random", "budget": "macs=0.5", "seed": 0}]
        with pytest.raises(PlanError, match="do not reach for control, seed 5 and 3 nets more: nothing was trained"):
            graph.bench("bench-photos", **HOW | {"seed": 5}, minutes=1e-3)


class Noted(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_points_on_other_images_are_not_mixed_with_new_ones(photos: Path, found: dict[str, Any]) -> None:
    changed = next((photos / "red").iterdir())
    before, told = changed.read_bytes(), Noted()
    Image.new("RGB", (32, 32), "blue").save(changed)
    try:
        with connect() as graph, pytest.raises(PlanError):  # nothing is trained, and nothing is taken over
            graph.bench("bench-photos", **HOW, minutes=1e-3, progress=told)
    finally:
        changed.write_bytes(before)
    assert any("made earlier for this model and training are not used" in note for note in told.notes)


def filters_of(result: dict[str, Any]) -> dict[str, Any]:
    """The first point of the method filters."""
    asked = ("filters", "macs=0.5", 0)
    found: list[dict[str, Any]] = [
        one for one in result["points"] if (one["method"], one["budget"], one["seed"]) == asked
    ]
    return found[0]


def test_a_net_that_was_deleted_is_not_named_and_a_name_that_is_taken_gets_a_number(
    photos: Path, found: dict[str, Any]
) -> None:
    how, key = HOW | {"methods": ["filters"]}, filters_of(found)["new_model"]
    with connect() as graph:
        graph.delete(key)
        gone = filters_of(graph.bench("bench-photos", **how))
        assert gone == filters_of(found) | {"new_model": None}
        assert filters_of(graph.bench("bench-photos", **how | {"epochs": 1}))["new_model"] == key  # the name was free
        assert filters_of(graph.bench("bench-photos", **how))["new_model"] is None  # it is another net
        other = filters_of(graph.bench("bench-photos", **how | {"epochs": 1, "batch_size": 10}))
    assert other["new_model"] == f"{key}-2"


def test_two_at_once_are_refused(session_home: Path, photos: Path, found: dict[str, Any]) -> None:
    cards = (session_home / "work").glob("bench-*/about.json")
    with ExitStack() as held, connect() as graph:
        for card in cards:
            held.enter_context(JobFolder(card.parent).locked())
        with pytest.raises(ConflictError, match="running now"):
            graph.bench("bench-photos", **HOW)


def test_what_is_refused(command: Run, photos: Path) -> None:
    done = command("bench", "absent", "--budget", "macs=0.5")
    assert done.code == 3, done.err
    done = command("bench", "bench-photos")
    assert (done.code, "A budget is needed" in done.err) == (2, True), done.err
