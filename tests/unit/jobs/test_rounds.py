"""The method imp: what goes in which round, where a training begins, what comes out after a kill, its proof."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnngraph import save
from cnngraph.console import Quiet
from cnngraph.datasets.registry import Subset, open_data
from cnngraph.errors import ModelError, OptionError, PlanError, UsageError
from cnngraph.jobs import pruned_bundle
from cnngraph.jobs.ingest import from_bundle
from cnngraph.jobs.plan import choose_plan, steps_saved
from cnngraph.jobs.proof import prove_saved
from cnngraph.jobs.prune_in_steps import prune_in_steps
from cnngraph.jobs.prune_job import TrainingWords, choose_prune, prune_to_bundle
from cnngraph.jobs.pruned import Pruned, Retraining
from cnngraph.jobs.session import Session
from cnngraph.models.initial import get_initial, initial_of, set_initial
from cnngraph.models.masks import get_masks, masks_of, moved_zeros, set_masks
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing, get_origin
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.choice import choose
from cnngraph.pruning.methods.imp import Options
from cnngraph.pruning.rounds import Rounds, going_by_round
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.saved import open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.apply import apply
from cnngraph.surgery.saved import read_saved
from cnngraph.surgery.verify import Verification
from cnngraph.training.fit import Recipe, fit
from cnngraph.training.own_trainer import OwnTrainer

from .killing import Killer, repeat_until_done

PIXELS = Preprocessing(size=(28, 28), channels=1)
DATA = DataChoice(name="digits", images_per_class=8)
RETRAINING = Retraining(Recipe(epochs=2, batch_size=20), device="cpu")
WIDTH = 0.5
PRUNABLE = 3 * 25 + 8 * 3 * 25 + 60 * 128 + 42 * 60  # of lenet5_avg at that width, without the last layer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timing decides how a net is trained; files are not exported; the proof has tests of its own."""
    monkeypatch.setattr("cnngraph.training.execution._step_seconds", lambda _net, _images, ways, **_: [1.0] * len(ways))
    monkeypatch.setattr("cnngraph.jobs.sparsity._onnx_size", lambda *_: None)


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Verification(None, True, True, True, (), (), 0.0)
    monkeypatch.setattr("cnngraph.surgery.verify.verify", lambda *_, **__: sound)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved net, trained a little, with the weights that it began with."""
    path = tmp_path_factory.mktemp("nets") / "net"
    net = build("cnngraph:lenet5_avg", classes=10, in_channels=1, size=28, width=WIDTH, seed=0)
    data = open_data("digits", preprocessing=PIXELS, subset=Subset(images_per_class=8))
    set_initial(net, initial_of(net))
    fit(net, data.train, None, epochs=1, seed=0, device="cpu", channels_last=False)
    return save(net, path, preprocessing=PIXELS, classes=data.classes, dataset="digits")


def session(home: Path) -> Session:
    return Session(Settings(None, "neo4j", None, None, "ada", home, home))


def rounds(folder: Path, home: Path, **said: Any) -> Rounds:
    given = {"method": "imp", "rounds": 2, "rate": 0.5, "device": "cpu", "data": "digits"} | said
    found = steps_saved(session(home), open_source(str(folder)), choose(given, reads_data=True), OtherData("digits"))
    assert isinstance(found, Rounds)
    return found


def opened(folder: Path) -> LoadedModel:
    return open_model(ModelChoice(name=str(folder)), DATA, required="sound")


def pruned(folder: Path, home: Path, work: str = "work", how: Retraining = RETRAINING, **said: Any) -> Pruned:
    return prune_in_steps(opened(folder), rounds(folder, home, **said), how, folder=home / work)


def masks_in(home: Path, number: int) -> Any:
    found = get_masks(read_saved(home / f"step-{number}" / "model").model)
    assert found is not None
    return found


def test_rounds_are_nested_counted_and_proven(folder: Path, tmp_path: Path) -> None:
    made = pruned(folder, tmp_path)
    alive = [PRUNABLE - PRUNABLE // 2]
    alive.append(alive[0] - alive[0] // 2)
    assert [(step.number, step.layer, step.filters, step.weights, step.alive) for step in made.steps] == [
        (1, "", 0, PRUNABLE // 2, alive[0]),
        (2, "", 0, alive[0] // 2, alive[1]),
    ]
    first, second = masks_in(tmp_path / "work", 1), masks_in(tmp_path / "work", 2)
    assert (first.total, second.total) == ((alive[0], PRUNABLE), (alive[1], PRUNABLE))
    assert second.within(first) == ""
    assert set(second.layers) == {"conv1", "conv2", "dense1", "dense2"}  # not the logits
    net = made.subject.model
    assert moved_zeros(net) == {}
    assert get_masks(net).sha256 == second.sha256  # type: ignore[union-attr]
    # What goes are the smallest of all that are left, whatever their layer.
    old = opened(folder).model
    sizes = {name: np.abs(old.get_parameter(name).detach().numpy()) for name in first.alive}
    gone = np.concatenate([sizes[name][~flags] for name, flags in first.alive.items()])
    left = np.concatenate([sizes[name][flags] for name, flags in first.alive.items()])
    assert gone.max() <= left.min()
    # The plan says it all, round by round, and so does the origin.
    plan, origin = made.plan, get_origin(net)
    assert [one["round"] for one in plan.settings["masks"]] == [1, 2]
    assert {layer: one.mask for layer, one in plan.weights.items()} == {
        one: second.sha256_of(one) for one in second.layers
    }
    assert [sum(one.alive or 0 for one in step.removes) for step in origin.last_steps] == alive  # type: ignore[union-attr]
    assert all(made.result["verified"][what] for what in ("train_forward", "save_load", "export"))
    assert made.result["sparsity"]["alive"] == alive[1]
    sizes_of = made.result["sizes"]
    assert sizes_of["after"]["safetensors"]["bytes"] == sizes_of["before"]["safetensors"]["bytes"]
    assert sizes_of["after"]["safetensors"]["gzip"] < 0.5 * sizes_of["before"]["safetensors"]["gzip"]
    # The control trained for as many epochs.
    state = json.loads((tmp_path / "work" / "control" / "done.json").read_text())
    assert state["epoch_seconds"] > 0
    slim = save(net, tmp_path / "slim", preprocessing=PIXELS, classes=made.subject.data.classes, dataset="digits")
    found = prove_saved(slim, parent=folder, data=OtherData("digits"), seed=0, progress=Quiet())
    assert (found["ok"], found["steps"], found["failures"]) == (True, 2, [])
    assert found["pruned_weights"] == {one: second.count(one) for one in second.layers}


@pytest.mark.usefixtures("proven")
def test_a_prune_killed_at_every_stage_comes_out_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pruned(folder, tmp_path, "whole", rewind="weights")
    killer = Killer(monkeypatch)
    killer.kill_after("cnngraph.training.fit.write_checkpoint", 1, 3)
    killer.kill_after("cnngraph.surgery.freezing.count_parameters_of", 1, 4)
    killer.kill_after("cnngraph.pruning.rounds.keep_all_but", 2, 6)
    again, runs = repeat_until_done(lambda: pruned(folder, tmp_path, "killed", rewind="weights"))
    assert runs > 4
    assert again.plan == whole.plan
    other = again.subject.model.state_dict()
    assert all(torch.equal(one, other[name]) for name, one in whole.subject.model.state_dict().items())


@pytest.mark.usefixtures("proven")
def test_where_a_training_begins(folder: Path, tmp_path: Path) -> None:
    old = opened(folder).model
    began = get_initial(old)
    assert began is not None
    for rewind in ("weights", "lr"):
        steps = rounds(folder, tmp_path, rewind=rewind)
        plan = steps.plan(old, "round 1", ())
        slim = steps.cut(old, plan, (1, 28, 28))
        masks = get_masks(slim)
        assert masks is not None
        wanted = began.tensors if rewind == "weights" else old.state_dict()
        for name, tensor in slim.state_dict().items():
            flags = torch.from_numpy(masks.alive[name].copy()) if name in masks.alive else torch.tensor(True)
            assert torch.equal(tensor, torch.where(flags, wanted[name], torch.zeros(()))), (rewind, name)


@pytest.mark.usefixtures("proven")
def test_one_shot_random_masks_and_biases(folder: Path, tmp_path: Path) -> None:
    old = opened(folder).model
    twice = rounds(folder, tmp_path)
    at_once = rounds(folder, tmp_path, one_shot=True)
    assert at_once.targets == ("round 1",)
    assert at_once.going == (sum(twice.going),)
    chance = [rounds(folder, tmp_path, mask="random", seed=seed) for seed in (0, 0, 1)]
    plans = [one.plan(old, "round 1", ()) for one in chance]
    assert plans[0].removes == plans[1].removes != plans[2].removes
    assert sum(one.alive or 0 for one in plans[0].removes) == PRUNABLE - PRUNABLE // 2
    with_biases = rounds(folder, tmp_path, prune_biases=True)
    assert "conv1.bias" in with_biases.names
    assert "logits.bias" not in with_biases.names
    kept = rounds(folder, tmp_path, keep=["conv1"])
    assert kept.names == ("conv2.weight", "dense1.weight", "dense2.weight")


@pytest.fixture
def weak(folder: Path, tmp_path: Path) -> Path:
    """The net with three filters of the smallest weights."""
    saved = read_saved(folder)
    with torch.no_grad():
        saved.model.get_parameter("conv2.weight")[2:5] *= 1e-6
    return save(saved.model, tmp_path / "weak", preprocessing=PIXELS, classes=saved.classes, dataset="digits")


@pytest.mark.usefixtures("proven")
def test_at_last_filters_go_whose_weights_are_all_gone(weak: Path, tmp_path: Path) -> None:
    net = read_saved(weak).model
    steps = rounds(weak, tmp_path, rounds=1, structured=True)
    masked = steps.cut(net, plan := steps.plan(net, "round 1", ()), (1, 28, 28))
    last = steps.plan(masked, steps.targets[-1], (plan,))
    assert last.filters == {"conv2": (2, 3, 4)}
    slim = steps.cut(masked, last, (1, 28, 28))
    assert slim.get_parameter("conv2.weight").shape[0] == 5
    masks = get_masks(slim)
    assert masks is not None
    assert masks.alive["conv2.weight"].shape == (5, 3, 5, 5)
    assert moved_zeros(slim) == {}
    together = steps.together((plan, last))
    assert [(one.kind, one.layer) for one in together][:2] == [("filters", "conv2"), ("weights", "conv1")]
    assert [one.mask for one in together[1:]] == [one.mask for one in plan.removes]


def test_structured_is_proven_as_a_whole(weak: Path, tmp_path: Path) -> None:
    made = pruned(weak, tmp_path, rounds=1, structured=True)
    assert [(step.weights is None, step.filters) for step in made.steps] == [(False, 0), (True, 3)]
    assert made.plan.filters == {"conv2": (2, 3, 4)}
    assert made.result["verified"]["max_abs_diff"] < 1e-9


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"rate": 0.0}, "rate=0 is not a share between 0 and 1"),
        ({"rate": 1.0}, "rate=1 is not a share between 0 and 1"),
        ({"rate": float("nan")}, "rate=nan is not a share"),
        ({"rounds": 0}, "rounds=0 is less than 1"),
        ({"rewind": "weight"}, "There is no rewind 'weight'"),
        ({"mask": "small"}, "There is no mask 'small'"),
        ({"ratio": 0.5}, "ratio belongs to the methods"),
        ({"init": "reset"}, "init=reset says nothing with method=imp"),
    ],
)
def test_what_is_said_wrong(said: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose({"method": "imp"} | said)
    assert message in refused.value.message.replace("{", "").replace("}", "")
    assert refused.value.exit_code == 2


def test_what_only_a_prune_can_do() -> None:
    with pytest.raises(OptionError, match="decides while it trains"):
        choose_plan({"method": "imp"})
    for words in (TrainingWords(retrain=False), TrainingWords(prune_weights=0.5)):
        with pytest.raises(OptionError, match="exclude each other"):
            choose_prune("net", {"method": "imp"}, words)


def test_rounds_that_leave_nothing_are_refused_with_how_many_are_possible(folder: Path, tmp_path: Path) -> None:
    assert going_by_round(10, 3, 0.5) == (5, 2, 1)
    with pytest.raises(PlanError, match=r"leaves nothing to prune in round 5: 4 rounds are possible"):
        going_by_round(10, 5, 0.5)
    with pytest.raises(PlanError, match=r"0 rounds are possible"):
        going_by_round(3, 1, 0.2)
    with pytest.raises(PlanError, match=r"leaves nothing to prune in round \d+: \d+ rounds are possible") as refused:
        rounds(folder, tmp_path, rounds=100)
    assert refused.value.exit_code == 1


@pytest.mark.parametrize(("rate", "count"), [(0.2, 10), (0.5, 6), (0.1, 20)])
def test_the_alive_fraction_is_a_power_within_the_floor(rate: float, count: int) -> None:
    left = 1_000_000
    for number, going in enumerate(going_by_round(left, count, rate), 1):
        left -= going
        assert abs(left / 1_000_000 - (1 - rate) ** number) <= number / 1_000_000


def thousand(zeros: int) -> tuple[nn.Module, Rounds]:
    """A net of a thousand weights before its last layer, so many of them zero without a mask; three rounds of it."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(100, 10, bias=False), nn.ReLU(), nn.Linear(10, 2)).eval()
    with torch.no_grad():
        weights = torch.arange(1.0, 1001.0)
        weights[:zeros] = 0.0
        net[1].weight.copy_(weights.reshape(10, 100))
    options, targets = Options(rounds=3, rate=0.2), ("round 1", "round 2", "round 3")
    going = going_by_round(1000, 3, 0.2)
    context: Any = SimpleNamespace(seed=0)
    outline = Plan(method="imp")
    return net, Rounds(outline, targets, context=context, options=options, names=("1.weight",), going=going)


def test_a_round_takes_its_share_of_what_is_left_also_where_equals_took_more() -> None:
    net, steps = thousand(zeros=500)
    done: list[Plan] = []
    for target in steps.targets:
        done.append(steps.plan(net, target, done))
        net = steps.cut(net, done[-1], (1, 10, 10))
    assert [(one.settings["gone"], one.settings["alive"]) for one in done] == [(500, 500), (100, 400), (80, 320)]


def test_a_round_in_which_all_are_equal_is_refused() -> None:
    net, steps = thousand(zeros=1000)
    with pytest.raises(PlanError, match="Round 1 leaves no weight: too many are equal") as refused:
        steps.plan(net, "round 1", ())
    assert refused.value.hint == "Prune another net, or change rate."
    net, steps = thousand(zeros=997)
    first = steps.plan(net, "round 1", ())
    with pytest.raises(PlanError, match="Round 2 finds nothing to prune") as refused:
        steps.plan(steps.cut(net, first, (1, 10, 10)), "round 2", (first,))
    assert refused.value.hint == "Use rounds=1 at most, or change rate."


def test_weights_that_were_not_kept_cannot_come_back(tmp_path: Path) -> None:
    net = build("cnngraph:lenet5_avg", classes=10, in_channels=1, size=28, width=WIDTH)
    plain = save(net, tmp_path / "plain", preprocessing=PIXELS, classes=tuple("0123456789"), dataset="digits")
    with pytest.raises(PlanError, match="were not kept") as refused:
        rounds(plain, tmp_path, rewind="weights")
    assert "--keep-initial" in refused.value.hint
    assert refused.value.exit_code == 1


@pytest.mark.usefixtures("proven")
def test_a_trainer_that_moves_zeros_is_refused(folder: Path, tmp_path: Path) -> None:
    def dense(model: nn.Module, train: Any, validation: Any) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01)

    def careful(model: nn.Module, train: Any, validation: Any) -> None:
        from cnngraph import keep_zeros

        dense(model, train, validation)
        keep_zeros(model)

    how = Retraining(RETRAINING.recipe, device="cpu", control=False, trainer=OwnTrainer("mine:dense", dense, ""))
    with pytest.raises(ModelError, match=r"The trainer mine:dense moved .* pruned weights") as refused:
        pruned(folder, tmp_path, how=how)
    assert "keep_zeros" in refused.value.hint
    how = Retraining(RETRAINING.recipe, device="cpu", control=False, trainer=OwnTrainer("mine:careful", careful, ""))
    assert moved_zeros(pruned(folder, tmp_path, "careful", how=how).subject.model) == {}


def test_weights_in_bfloat16_are_ranked_and_not_trained(folder: Path, tmp_path: Path) -> None:
    saved = read_saved(folder)
    coarse = save(
        saved.model.bfloat16(), tmp_path / "coarse", preprocessing=PIXELS, classes=saved.classes, dataset="digits"
    )
    steps = rounds(coarse, tmp_path)
    plan = steps.plan(read_saved(coarse).model, "round 1", ())
    assert PRUNABLE // 2 <= plan.settings["gone"] < 0.51 * PRUNABLE  # more are equal
    with pytest.raises(ModelError, match="The weights are bfloat16, too coarse to be trained"):
        prune_in_steps(opened(coarse), steps, RETRAINING, folder=tmp_path / "work")


def test_a_round_goes_on_from_the_masks_that_are_there(folder: Path, tmp_path: Path) -> None:
    saved = read_saved(folder)
    net = saved.model
    chance = np.random.default_rng(0)
    names = rounds(folder, tmp_path).names
    half = masks_of({name: chance.random(tuple(net.get_parameter(name).shape)) < 0.5 for name in names})
    set_masks(net, half)
    from cnngraph.models.masks import keep_zeros

    keep_zeros(net)
    masked = save(net, tmp_path / "masked", preprocessing=PIXELS, classes=saved.classes, dataset="digits")
    steps = rounds(masked, tmp_path, rounds=1, rate=0.5)
    assert steps.going == (half.total[0] // 2,)
    slim = steps.cut(net, steps.plan(net, "round 1", ()), (1, 28, 28))
    assert get_masks(slim).within(half) == ""  # type: ignore[union-attr]


@pytest.mark.usefixtures("proven")
def test_filters_that_go_later_slice_the_mask_and_it_holds_in_training(folder: Path, tmp_path: Path) -> None:
    net = read_saved(folder).model
    steps = rounds(folder, tmp_path)
    masked = steps.cut(net, steps.plan(net, "round 1", ()), (1, 28, 28))
    old = get_masks(masked)
    plan = Plan(removes=(Removal(layer="conv2", kind="filters", filters=(0, 3)),))
    slim = apply(masked, plan, input_shape=(1, 28, 28))
    new = get_masks(slim)
    assert old is not None
    assert new is not None
    assert (new.alive["conv2.weight"] == np.delete(old.alive["conv2.weight"], (0, 3), axis=0)).all()
    assert new.alive["dense1.weight"].shape == (60, 6 * 16)
    assert new.count("dense2") == old.count("dense2")
    fit(slim, opened(folder).data.train, None, epochs=1, device="cpu", channels_last=False, weight_decay=0.1)
    assert moved_zeros(slim) == {}
    assert get_masks(slim) is new


def test_without_a_database_a_dry_run_says_how_much_and_a_bundle_tells_the_rounds(folder: Path, tmp_path: Path) -> None:
    def bundle(*, dry_run: bool) -> dict[str, Any]:
        job = choose_prune(
            str(folder),
            {"method": "imp", "rounds": 2, "rate": 0.5, "device": "cpu"},
            TrainingWords(recipe={"epochs": 1}, control=False),
            dry_run=dry_run,
        )
        return prune_to_bundle(job, session(tmp_path), tmp_path / "to")[1]

    dry = bundle(dry_run=True)
    assert (dry["trainings"], dry["epochs"]) == (2, 1)
    assert [step["weights"] for step in dry["steps"]] == [PRUNABLE // 2, (PRUNABLE - PRUNABLE // 2) // 2]
    assert sum(one["weights"] for one in dry["weights"].values()) == PRUNABLE
    assert not (tmp_path / "to").exists()
    result = bundle(dry_run=False)
    assert result["steps"][1]["alive"] == dry["steps"][1]["alive"]
    card = pruned_bundle.read_card(tmp_path / "to", from_bundle(str(tmp_path / "to")))
    assert [step.weights for step in card.steps] == [step["weights"] for step in dry["steps"]]
    assert get_masks(read_saved(tmp_path / "to" / "model").model).total[0] == dry["steps"][1]["alive"]  # type: ignore[union-attr]
