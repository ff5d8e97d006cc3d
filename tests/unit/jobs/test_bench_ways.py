"""How methods without targets are held to a budget, and how the epochs are shared out to steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnngraph import save
from cnngraph.console import Quiet
from cnngraph.datasets.registry import Subset, open_data
from cnngraph.errors import PlanError
from cnngraph.jobs.one_step import recipe_of_step
from cnngraph.jobs.plan import Opened, context_of_saved, open_meter
from cnngraph.jobs.pruned import Retraining, choose_once, inputs_of_training, judge_old, shared_execution, train_control
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder
from cnngraph.models.registry import build
from cnngraph.network.macs import count_parameters
from cnngraph.origin import Preprocessing
from cnngraph.pruning.budget import Allowance, Way
from cnngraph.pruning.choice import Choice
from cnngraph.pruning.limits.target import Kind, Target
from cnngraph.pruning.limits.target_search import reach
from cnngraph.pruning.method import Method
from cnngraph.pruning.path import PruningPath
from cnngraph.pruning.registry import METHODS
from cnngraph.pruning.rounds import count_alive
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.saved import open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.apply import cut
from cnngraph.training.fit import Recipe

PIXELS = Preprocessing(size=(32, 32), channels=3)
DATA = DataChoice(name="digits", images_per_class=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ways") / "net"
    data = open_data("digits", preprocessing=PIXELS, subset=Subset(images_per_class=6))
    net = build("cnngraph:lenet5", classes=10, size=32, seed=0)
    save(net, path, preprocessing=PIXELS, classes=data.classes, dataset="digits")
    return path


@pytest.fixture(scope="module")
def subject(folder: Path) -> LoadedModel:
    return open_model(ModelChoice(name=str(folder)), DATA)


class Held:
    """One net, asked how a method is held to a target."""

    def __init__(self, folder: Path, subject: LoadedModel) -> None:
        home = folder.parent
        self.session = Session(Settings(None, "neo4j", None, None, "ada", home, home))
        self.source = open_source(str(folder))
        self.opened = Opened(self.source, OtherData("digits"), subject)

    def by(self, method: Method, kind: Kind, value: float, epochs: int = 4) -> Way:
        def find(path: PruningPath) -> Any:
            limits = {f"target_{kind}": value}
            return reach(open_meter(self.opened, Choice(limits=limits), Quiet()), path)

        assert method.fit_to_target is not None
        return method.fit_to_target(
            self.context(method), method.options(), Allowance(Target(kind, value), epochs, find)
        )

    def context(self, method: Method) -> Any:
        choice = Choice(method=method, options=method.options(), device="cpu")
        return context_of_saved(self.session, self.opened, self.source, choice)


@pytest.fixture
def held(folder: Path, subject: LoadedModel) -> Held:
    return Held(folder, subject)


def test_progressive_takes_the_smallest_ratio_that_meets_it(held: Held) -> None:
    progressive = METHODS["progressive"]
    way = held.by(progressive, "macs", 0.5)
    assert (way.why, list(way.options)) == (None, ["ratio"])
    assert progressive.steps is not None
    outline = progressive.steps(held.context(progressive), progressive.options(), way.options).outline
    saved = held.opened.saved
    meter = open_meter(held.opened, Choice(limits={"target_macs": 0.5}), Quiet())
    share = meter.costs_of(cut(saved.model, outline, input_shape=saved.input_shape))[1] / meter.costs_of(saved.model)[1]
    assert share == pytest.approx(0.5, rel=0.15)
    with pytest.raises(PlanError, match="out of reach"):
        held.by(progressive, "parameters", 1e-4)


def test_imp_leaves_the_wanted_share_of_the_parameters(held: Held) -> None:
    whole = count_parameters(held.opened.saved.model)
    alive = count_alive(held.context(METHODS["imp"]), biases=False)
    assert alive < whole
    way = held.by(METHODS["imp"], "parameters", 0.4, epochs=3)
    assert (way.options["rounds"], way.why) == (3, None)
    assert whole - alive + alive * (1 - way.options["rate"]) ** 3 == pytest.approx(0.4 * whole, rel=1e-3)
    assert held.by(METHODS["imp"], "parameters", 0.4, epochs=30).options["rounds"] == 10


def test_imp_says_that_zeros_take_no_operations_and_no_time(held: Held) -> None:
    way = held.by(METHODS["imp"], "macs", 0.4, epochs=3)
    assert way.why == "Zeros take no operations away: 40.0% of its parameters are not zero."
    assert way.options == held.by(METHODS["imp"], "parameters", 0.4, epochs=3).options
    for kind, value in (("speedup", 2.0), ("latency_ms", 1.0), ("mb", 0.01)):
        with pytest.raises(PlanError, match="nothing was trained"):
            held.by(METHODS["imp"], kind, value)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="can be pruned, too few"):
        held.by(METHODS["imp"], "parameters", 1e-4)


@pytest.mark.parametrize(("epochs", "steps", "each"), [(5, 3, [2, 2, 1]), (6, 3, [2, 2, 2]), (2, 4, [1, 1, 1, 1])])
def test_the_epochs_are_those_of_all_steps(epochs: int, steps: int, each: list[int]) -> None:
    shared = Retraining(Recipe(epochs=epochs), epochs_of_all_steps=True)
    assert [recipe_of_step(shared, number, steps).epochs for number in range(1, steps + 1)] == each
    assert len({recipe_of_step(shared, number, steps).seed for number in range(1, steps + 1)}) == steps
    plain = [recipe_of_step(replace(shared, epochs_of_all_steps=False), 1 + number, steps) for number in range(steps)]
    assert plain[0] == shared.recipe
    assert {recipe.epochs for recipe in plain} == {epochs}
    assert len({recipe.seed for recipe in plain}) == steps


def test_what_several_prunes_are_judged_beside_is_made_once(
    subject: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnngraph.training.execution._step_seconds", lambda _net, _images, ways, **_: [1.0] * len(ways))
    shared = Retraining(Recipe(epochs=1, batch_size=20), device="cpu", shared=JobFolder(tmp_path))
    first = train_control(subject, shared, tmp_path / "one", Quiet()), judge_old(subject, shared, Quiet())
    monkeypatch.setattr("cnngraph.jobs.pruned.figures", None)
    monkeypatch.setattr("cnngraph.jobs.pruned.train_net", None)
    assert (train_control(subject, shared, tmp_path / "two", Quiet()), judge_old(subject, shared, Quiet())) == first
    assert shared_execution(subject, shared) is not None
    assert {path.name for path in tmp_path.iterdir()} == {"before.json", "control-s0-e1", "execution.json"}
    assert shared_execution(subject, replace(shared, shared=None)) is None


def test_nets_of_one_bench_are_trained_alike_and_go_on_alike(
    subject: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)

    def with_half(seconds: float) -> None:
        monkeypatch.setattr(
            "cnngraph.training.execution._step_seconds",
            lambda _net, _images, ways, **_: [seconds if way.precision == "bf16" else 1.0 for way in ways],
        )

    folder, single = JobFolder(tmp_path / "auto"), JobFolder(tmp_path / "fp32")
    for each in (folder, single):
        each.path.mkdir()
    shared = Retraining(Recipe(epochs=1, batch_size=20), device="cpu", shared=folder)
    with_half(0.5)
    assert choose_once(subject, shared, folder).precision == "bf16"
    only = replace(shared, precision="fp32", shared=single)
    assert choose_once(subject, only, single).precision == "fp32"
    alone = replace(shared, shared=None)
    assert choose_once(subject, alone, JobFolder(tmp_path)).precision == "fp32"
    with_half(2.0)
    assert choose_once(subject, shared, folder).precision == "bf16"  # as it was begun
    named = inputs_of_training(subject, alone)
    assert inputs_of_training(subject, replace(alone, precision="fp32")) == named | {"precision": "fp32"}


def test_the_times_of_the_layers_are_measured_once(held: Held) -> None:
    choice = Choice(limits={"target_speedup": 2.0})
    table = open_meter(held.opened, choice, Quiet()).table
    assert open_meter(held.opened, choice, Quiet()).table is table
