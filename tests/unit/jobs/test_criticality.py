"""How critical a block is: what a trial does, that a kill changes nothing, what trials come to, what is refused."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cnngraph import save
from cnngraph.console import Quiet
from cnngraph.datasets.registry import Subset, loader, open_data
from cnngraph.errors import ModelError, NotFoundError, OptionError, PlanError, VerificationError
from cnngraph.jobs import criticality_trial
from cnngraph.jobs.criticality_blocks import choose_blocks, options_of_prune, plan_without
from cnngraph.jobs.criticality_choice import EPOCHS, choose_criticality
from cnngraph.jobs.criticality_result import TrialResult, describe
from cnngraph.jobs.criticality_trial import Setup, Trial, run_trial
from cnngraph.jobs.schemes import PRESETS, SCHEMES
from cnngraph.jobs.workspace import JobFolder
from cnngraph.models.registry import build
from cnngraph.network.blocks import Block
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.trace import weights_sha256
from cnngraph.origin import Preprocessing
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.surgery.apply import apply
from cnngraph.surgery.freezing import hash_tensors, named_tensors
from cnngraph.training import fit as fit_module
from cnngraph.training.evaluate import evaluate
from cnngraph.training.execution import Execution
from cnngraph.training.fit import Recipe, fit
from cnngraph.vocabulary import REMOVING_SCHEMES
from cnngraph.vocabulary import SCHEMES as NAMES
from tests.toynets import Gate, toy_shape

PIXELS = Preprocessing(size=(32, 32), channels=3)
DATA = DataChoice(name="digits", images_per_class=8)
PARENT = {"accuracy": 0.8, "kappa": 0.7, "parameters": 1000, "macs": 5000}


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A small net of nine residual blocks, trained a little, with its data."""
    folder = tmp_path_factory.mktemp("nets") / "residual"
    net = build("cnngraph:resnet20", classes=10, size=32, width=0.25, seed=0)
    data = open_data("digits", preprocessing=PIXELS, subset=Subset(images_per_class=8))
    fit(net, data.train, None, epochs=1, seed=0, device="cpu", channels_last=False)
    save(net, folder, preprocessing=PIXELS, classes=data.classes, dataset="digits")
    return open_model(ModelChoice(name=str(folder)), DATA, required="sound")


def setup(subject: LoadedModel, folder: Path, epochs: int = 2) -> Setup:
    folder.mkdir(exist_ok=True)
    recipe, execution = Recipe(epochs=epochs, batch_size=20), Execution("cpu", "fp32", channels_last=False)
    return Setup(subject, recipe, execution, JobFolder(folder), Quiet())


def trial(subject: LoadedModel, scheme: str, block: str = "layer2.1", seed: int = 0) -> Trial:
    (found,) = (one for one in subject.followed.blocks if one.name == block)
    return Trial(found, SCHEMES[scheme], seed, 4.0, 0.9)


def timeless(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "seconds"}


def test_every_scheme_has_a_name_that_can_be_typed() -> None:
    assert tuple(SCHEMES) == NAMES
    assert {name for name, scheme in SCHEMES.items() if not scheme.replaces} == set(REMOVING_SCHEMES)
    assert all(name in SCHEMES for names in PRESETS.values() for name in names)


def test_a_joined_net_is_judged_as_it_is(residual: LoadedModel, tmp_path: Path) -> None:
    how = setup(residual, tmp_path / "work")
    found = run_trial(how, trial(residual, "join"))
    net = apply(
        residual.model,
        plan_without(trial(residual, "join").block, SCHEMES["join"], residual.followed),
        loader=loader(residual.data.train, shuffle=True, seed=0),
        input_shape=residual.input_shape,
    )
    judged = evaluate(net, residual.data.validation, device="cpu")
    assert (found["curve"], found["accuracy"], found["kappa"]) == ([judged.accuracy], judged.accuracy, judged.kappa)
    assert found["parameters"] == sum(one.numel() for one in net.parameters())
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["trials"]  # no net is left behind


def test_a_killed_trial_goes_on_and_comes_out_the_same(
    residual: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_trial(setup(residual, tmp_path / "whole"), trial(residual, "tuned"))
    assert len(whole["curve"]) == 3
    assert whole["accuracy"] == max(whole["curve"])
    how, mine = setup(residual, tmp_path / "killed"), trial(residual, "tuned")
    write, judge = fit_module.write_checkpoint, Setup.evaluate  # type: ignore[attr-defined]

    def kill_after_writing(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    def kill(*_: Any) -> None:
        raise KeyboardInterrupt

    for killer in (kill, kill_after_writing, kill_after_writing):  # before any training, after each of its epochs
        monkeypatch.setattr(Setup, "evaluate", kill if killer is kill else judge)
        monkeypatch.setattr(fit_module, "write_checkpoint", write if killer is kill else killer)
        with pytest.raises(KeyboardInterrupt):
            run_trial(how, mine)
    monkeypatch.setattr(fit_module, "write_checkpoint", write)
    assert timeless(run_trial(how, mine)) == timeless(whole)
    monkeypatch.setattr(criticality_trial, "_carry_out", lambda *_: pytest.fail("it was done"))
    assert timeless(run_trial(how, mine)) == timeless(whole)


def test_seeds_are_trials_of_their_own(residual: LoadedModel, tmp_path: Path) -> None:
    how = setup(residual, tmp_path / "work", epochs=1)
    first, second = (run_trial(how, trial(residual, "tuned", seed=seed)) for seed in (0, 1))
    assert (first["seed"], second["seed"]) == (0, 1)
    assert first["curve"] != second["curve"]


def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the next training is given, and the net before and after it."""
    seen: dict[str, Any] = {}
    learn = fit_module.fit

    def fit_and_tell(net: nn.Module, *data: Any, **how: Any) -> Any:
        seen.update(how, before=hash_tensors(net, named_tensors(net)))
        done = learn(net, *data, **how)
        seen["after"] = hash_tensors(net, named_tensors(net))
        return done

    monkeypatch.setattr(fit_module, "fit", fit_and_tell)
    return seen


@pytest.mark.parametrize("scheme", ["random-local", "parent-local", "parent-global"])
def test_local_schemes_train_the_new_layer_alone(
    residual: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    seen = trained(monkeypatch)
    found = run_trial(setup(residual, tmp_path / "work", epochs=1), trial(residual, scheme))
    assert len(found["curve"]) == 2
    parent = hash_tensors(residual.model, named_tensors(residual.model))
    new = ("layer2.1.conv1.", "layer2.1.bn2.")
    others = [name for name in seen["before"] if not name.startswith(new)]
    assert others
    assert all(seen["before"][name] == parent[name] for name in others)  # bit for bit at the start
    changed = {name for name in seen["before"] if seen["after"][name] != seen["before"][name]}
    assert any(name.startswith(new) for name in changed)
    assert (changed & set(others) == set()) is scheme.endswith("-local")


def test_the_new_layer_counts_as_what_is_left(residual: LoadedModel, tmp_path: Path) -> None:
    how = setup(residual, tmp_path / "work", epochs=1)
    found = run_trial(how, trial(residual, "fitted"))
    whole = sum(one.numel() for one in residual.model.parameters())
    assert whole - found["parameters"] == 8 * 8 * 9 + 2 * 8  # one of two convs of 8 channels, with its norm
    kept = trial(residual, "fitted").pictures(how.folder).read()
    assert (kept["layer"], kept["filters"], len(kept["pictures"])) == ("layer2.1.conv1", 8, 8)
    assert b64decode(kept["pictures"][0]).startswith(b"\x89PNG")


def test_distilling_learns_from_the_whole_net(
    residual: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = trained(monkeypatch)
    mine = trial(residual, "distill")
    run_trial(setup(residual, tmp_path / "work", epochs=1), mine)
    learn = seen["distillation"]
    assert (learn.temperature, learn.alpha) == (4.0, 0.9)
    assert weights_sha256(learn.teacher) == residual.sha256
    assert learn.teacher is not residual.model  # a trainer may lay its weights out anew
    assert mine.name != replace(mine, alpha=0.5).name
    assert trial(residual, "tuned").name == replace(trial(residual, "tuned"), alpha=0.5).name


def test_what_was_to_stay_and_did_not_is_an_error(
    residual: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = fit_module.fit

    def thaw(net: nn.Module, *data: Any, **how: Any) -> Any:
        done = learn(net, *data, **how)
        with torch.no_grad():
            net.get_parameter("fc.bias").add_(1)
        return done

    monkeypatch.setattr(fit_module, "fit", thaw)
    how = setup(residual, tmp_path / "work", epochs=1)
    with pytest.raises(VerificationError, match=r"fc\.bias was to stay"):
        run_trial(how, trial(residual, "parent-local"))
    assert not trial(residual, "parent-local").stage(how.folder).is_done


def test_a_training_that_fails_is_kept_with_the_reason(
    residual: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise ModelError("The training loss became NaN.")

    monkeypatch.setattr(fit_module, "fit", diverge)
    mine = trial(residual, "tuned")
    found = run_trial(setup(residual, tmp_path / "work"), mine)
    assert (found["failed"], len(found["curve"])) == ("The training loss became NaN.", 1)
    assert TrialResult(mine, PARENT, found).record({}, "work").failed == "The training loss became NaN."


def test_blocks_are_chosen_with_the_reason_why_others_are_not() -> None:
    chain = FollowedNet(build("cnngraph:vgg16", classes=10, size=32, width=0.125, seed=0), (3, 32, 32))
    chosen, reasons = choose_blocks(chain, "ada/vgg", [], [SCHEMES["join"], SCHEMES["fitted"]])
    assert [block.name for block in chosen] == ["stage1", "stage2", "stage3", "stage4", "stage5"]
    assert all(found == {} for found in reasons.values())
    plan = plan_without(chosen[1], SCHEMES["join"], chain)
    assert [(removal.kind, removal.layer) for removal in plan.removes] == [
        ("layer", "features.5"),
        ("layer", "features.7"),
    ]
    assert plan_without(chosen[1], SCHEMES["fitted"], chain).replaced == ["stage2"]
    assert options_of_prune(chosen[1], SCHEMES["tuned"], chain) == "--remove-layer features.5 --remove-layer features.7"
    ways = [options_of_prune(chosen[1], SCHEMES[name], chain) for name in ("fitted", "parent-local", "distill")]
    assert ways[:1] == ["--method triage --replace-block stage2"]
    assert ways[1:] == ["--method triage --replace-block stage2 --init parent --train local", None]
    gated = FollowedNet(Gate().eval(), toy_shape("gate"))
    names = [block.name for block in gated.blocks]
    with pytest.raises(PlanError, match=r"cannot be tried: .* gate"):
        choose_blocks(gated, "ada/gated", names, [SCHEMES["fitted"]])
    with pytest.raises(NotFoundError, match="ada/vgg has no block 'stage9'"):
        choose_blocks(chain, "ada/vgg", ["stage9"], [SCHEMES["fitted"]])


def result(block: Block, scheme: str, seed: int, *curve: float, failed: str | None = None) -> TrialResult:
    found = {"curve": list(curve), "accuracy": max(curve, default=None), "kappa": 0.5, "failed": failed}
    return TrialResult(
        Trial(block, SCHEMES[scheme], seed), PARENT, found | {"parameters": 900, "macs": 4000, "seconds": 2.0}
    )


def test_a_block_is_as_critical_as_the_best_scheme_leaves_it() -> None:
    first, second, third = (Block(name, "residual", "in", name, (name,), name) for name in "abc")
    results = [
        result(first, "join", 0, 0.5),
        result(first, "join", 1, 0.7),
        result(first, "tuned", 0, 0.5, 0.6, 0.78),
        result(first, "tuned", 1, 0.7, 0.79, 0.7),
        result(second, "join", 0, 0.82),
        result(second, "tuned", 0, failed="it cannot go"),
        result(second, "fitted", 0, 0.85, failed="the loss became NaN"),
    ]
    reasons = {"a": {}, "b": {}, "c": {"join": "it gives the output"}}
    net = FollowedNet(nn.Identity(), (3, 8, 8))  # only stages are looked up in it
    found = describe("ada/net", PARENT, [first, second, third], reasons, results, net)
    a, b, c = found["blocks"]
    assert (a["best_scheme"], a["criticality"]) == ("tuned", pytest.approx(0.8 - (0.78 + 0.79) / 2))
    assert a["epochs_to_95"] == 2  # 0.76: the one after two epochs, the other after one
    assert [one["epochs_to_95"] for one in a["schemes"]] == [None, None, 2, 1]
    assert (a["parameters_saved"], a["macs_saved"], a["skipped"]) == (100, 1000, {})
    assert (b["best_scheme"], b["epochs_to_95"]) == ("join", 0)  # what failed does not count
    assert (a["carry_out"], b["carry_out"]) == ("--remove-block a", "--remove-block b --no-retrain")
    assert b["criticality"] == pytest.approx(-0.02)  # better without it
    assert b["schemes"][1]["failed"] == "it cannot go"
    assert (c["criticality"], c["best_scheme"], c["skipped"]) == (None, None, {"join": "it gives the output"})
    assert found["trainings"] == 4
    assert found["seconds"] == 14.0


def test_what_is_not_said_is_the_preset() -> None:
    chosen = choose_criticality({"blocks": None, "epochs": None, "schemes": None})
    assert [scheme.name for scheme in chosen.schemes] == ["join", "tuned"]
    assert (chosen.blocks, chosen.recipe, chosen.seeds) == ((), {"epochs": EPOCHS}, 1)
    chosen = choose_criticality({"blocks": ["auto"], "schemes": ["tuned", "join", "tuned"]})
    assert (chosen.blocks, [scheme.name for scheme in chosen.schemes]) == ((), ["join", "tuned"])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"schemes": ["tunde"]}, "Did you mean tuned"),
        ({"epochs": 0}, "epochs=0 is out of range"),
        ({"epochs": -1}, "epochs=-1 is out of range"),
        ({"seeds": 0}, "seeds=0 is out of range"),
        ({"learning_rate": float("nan")}, "learning_rate=nan is out of range"),
        ({"minutes": 0}, "minutes=0 is out of range"),
        ({"temperature": 0.0}, "temperature=0.0 is not a finite number above 0"),
        ({"temperature": float("inf")}, "temperature=inf is not"),
        ({"alpha": -0.1}, "alpha=-0.1 is not a share"),
        ({"alpha": float("nan")}, "alpha=nan is not a share"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"precision": "bf16"}, "no precision 'bf16' here"),
        ({"blocks": ["auto", "layer1.0"]}, "all blocks already"),
    ],
)
def test_what_is_refused_before_any_look_up(said: dict[str, Any], why: str) -> None:
    with pytest.raises(OptionError) as refused:
        choose_criticality(said)
    assert why in str(refused.value)


def test_a_record_says_what_tells_trials_apart() -> None:
    block = Block("a", "residual", "in", "a", ("a",), "a")
    one = result(block, "tuned", 0, 0.5, 0.78).record({"epochs": 1}, "criticality-1")
    assert one.value == pytest.approx(0.02)
    assert (one.accuracy, one.epochs_to_95) == (0.78, 1)
    assert one.digest == replace(one, accuracy=0.1, seconds=9.0, work="criticality-2").digest
    assert one.digest != result(block, "tuned", 0, 0.5).record({"epochs": 2}, "criticality-1").digest
    assert one.digest != result(block, "tuned", 1, 0.5).record({"epochs": 1}, "criticality-1").digest
