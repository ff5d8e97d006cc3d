"""A prune that decides while it trains: how many trainings, what comes out after a kill, its proof, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cnngraph import save
from cnngraph.console import Quiet
from cnngraph.datasets.registry import Subset, open_data
from cnngraph.errors import NotFoundError, OptionError, PlanError, UsageError, VerificationError
from cnngraph.jobs import pruned_bundle
from cnngraph.jobs.ingest import from_bundle
from cnngraph.jobs.plan import choose_plan, steps_saved
from cnngraph.jobs.proof import prove_saved
from cnngraph.jobs.prune_in_steps import prune_in_steps
from cnngraph.jobs.prune_job import TrainingWords, choose_prune, prune_to_bundle
from cnngraph.jobs.pruned import Pruned, Retraining
from cnngraph.jobs.session import Session
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing, get_origin
from cnngraph.plan import Plan
from cnngraph.pruning.choice import choose
from cnngraph.pruning.stepwise import Allowed, Stepwise
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.saved import open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.apply import cut
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.masked import masked
from cnngraph.surgery.freezing_proof import prove_freezing
from cnngraph.surgery.saved import read_saved
from cnngraph.surgery.verify import Verification, state_hash
from cnngraph.training.fit import Recipe, fit
from cnngraph.training.own_trainer import OwnTrainer

from .killing import Killer, repeat_until_done

PIXELS = Preprocessing(size=(32, 32), channels=3)
DATA = DataChoice(name="digits", images_per_class=8)
RETRAINING = Retraining(Recipe(epochs=2, batch_size=20), device="cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timing decides how a net is trained."""
    monkeypatch.setattr("cnngraph.training.execution._step_seconds", lambda _net, _images, ways, **_: [1.0] * len(ways))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saved nets, trained a little, by name."""
    home = tmp_path_factory.mktemp("nets")

    def folder(name: str, width: float) -> Path:
        path = home / name
        if not path.exists():
            net = build(f"cnngraph:{name}", classes=10, size=32, width=width, seed=0)
            data = open_data("digits", preprocessing=PIXELS, subset=Subset(images_per_class=8))
            fit(net, data.train, None, epochs=1, seed=0, device="cpu", channels_last=False)
            save(net, path, preprocessing=PIXELS, classes=data.classes, dataset="digits")
        return path

    return folder


@pytest.fixture
def lenet(folders: Callable[..., Path]) -> Path:
    return folders("lenet5", 1.0)


def session(home: Path) -> Session:
    return Session(Settings(None, "neo4j", None, None, "ada", home, home))


def steps(folder: Path, home: Path, **said: Any) -> Stepwise:
    choice = choose({"method": "progressive", "device": "cpu", "data": "digits"} | said, reads_data=True)
    return steps_saved(session(home), open_source(str(folder)), choice, OtherData("digits"))


def opened(folder: Path) -> LoadedModel:
    return open_model(ModelChoice(name=str(folder)), DATA, required="sound")


def pruned(folder: Path, home: Path, work: str = "work", **said: Any) -> Pruned:
    return prune_in_steps(opened(folder), steps(folder, home, **said), RETRAINING, folder=home / work)


def bits(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def sequence(made: Pruned) -> tuple[Plan, ...]:
    origin = get_origin(made.subject.model)
    assert origin is not None
    return origin.last_steps


def without_seconds(made: Pruned) -> list[dict[str, Any]]:
    return [{name: value for name, value in step.items() if name != "seconds"} for step in made.result["steps"]]


def test_a_training_a_layer_and_the_control_for_as_long(lenet: Path, tmp_path: Path) -> None:
    made = pruned(lenet, tmp_path, ratio=0.5)
    assert [(step.number, step.layer, step.filters, step.epochs) for step in made.steps] == [
        (1, "features.0", 3, 2),
        (2, "features.3", 8, 2),
    ]
    # conv1 (3 of 6 filters left) and conv2, which reads 3 of 6; then conv2 with 8 of 16 filters and the first dense.
    assert [step.trained_parameters for step in made.steps] == [
        3 * 76 + 16 * (3 * 25 + 1),
        3 * 76 + 8 * (3 * 25 + 1) + 120 * (8 * 25 + 1),
    ]
    assert {layer: len(filters) for layer, filters in made.plan.filters.items()} == {"features.0": 3, "features.3": 8}
    assert [set(removal.steps) for removal in made.plan.removes] == [{1}, {2}]
    assert all(made.result["verified"][what] for what in ("train_forward", "save_load", "export"))
    trainings = [json.loads((tmp_path / "work" / f"step-{i}" / "done.json").read_text()) for i in (1, 2)]
    assert [one["step"]["epochs"] for one in trainings] == [2, 2]
    assert not (tmp_path / "work" / "retrain").exists()
    control = read_saved(tmp_path / "work" / "control" / "model")
    assert control.training == {}  # a stage of the prune, nothing more
    assert "Epoch" not in str(made.result["control"])
    assert made.result["control"]["parameters"] == made.result["before"]["parameters"]


def test_each_step_sees_the_images_in_an_order_of_its_own(lenet: Path, tmp_path: Path) -> None:
    orders: list[list[int]] = []

    def watch(model: nn.Module, train_loader: Any, validation_loader: Any) -> None:
        orders.append([label for _, labels in train_loader for label in labels.tolist()])

    how = replace(RETRAINING, trainer=OwnTrainer("mine:watch", watch, ""))
    prune_in_steps(opened(lenet), steps(lenet, tmp_path, ratio=0.5), how, folder=tmp_path / "work")
    first, second, control = orders
    assert first != second
    assert sorted(first) == sorted(second)
    assert control == first


def test_the_plans_together_are_the_masked_net_before_training(lenet: Path, tmp_path: Path) -> None:
    made = pruned(lenet, tmp_path, ratio=0.4)
    old = opened(lenet).model
    net = old
    for plan in sequence(made):
        net = cut(net, plan.unguarded, input_shape=(3, 32, 32))
    whole = cut(old, made.plan.unguarded, input_shape=(3, 32, 32))
    coupling = coupled(old, (3, 32, 32))
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = masked(old, coupling, made.plan.filters).double()(images.double())
        assert torch.allclose(net.double()(images.double()), wanted, rtol=1e-9, atol=1e-9)
        assert torch.allclose(whole.double()(images.double()), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "width", "layer"),
    [
        ("vgg11_bn", 0.125, ["features.0", "features.8", "features.25"]),
        ("resnet20", 0.25, ["conv1", "layer2.0.conv1", "layer2.0.conv2"]),
        ("mobilenet_v2", 0.25, ["features.0.0", "features.3.conv.0.0"]),
    ],
)
def test_what_is_frozen_is_proven_step_by_step(
    name: str,
    width: float,
    layer: list[str],
    folders: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = Verification(None, True, True, True, (), (), 0.0)
    monkeypatch.setattr("cnngraph.surgery.verify.verify", lambda *_, **__: sound)  # it has tests of its own
    folder = folders(name, width)
    made = pruned(folder, tmp_path, ratio=0.5, criterion="l1", layer=layer)
    assert [step.layer for step in made.steps] == layer
    before = opened(folder).model
    for number, plan in enumerate(sequence(made), 1):
        net = cut(before, plan.unguarded, input_shape=(3, 32, 32))
        after = read_saved(tmp_path / "work" / f"step-{number}" / "model").model
        frozen = set(plan.settings["frozen"])
        assert frozen
        for name, tensor in net.state_dict().items():
            assert name not in frozen or torch.equal(tensor, after.state_dict()[name]), name
        assert any(not torch.equal(tensor, after.state_dict()[name]) for name, tensor in net.state_dict().items())
        before = after
    parent, slim = opened(folder).model, tmp_path / "slim"
    save(made.subject.model, slim, preprocessing=PIXELS, classes=made.subject.data.classes, dataset="digits")
    assert prove_freezing(parent, read_saved(slim), sequence(made)) == []
    assert prove_freezing(None, read_saved(slim), sequence(made)) == []
    # One frozen number in its last bit, and it is said.
    spoilt = read_saved(slim)
    kept = sorted(sequence(made)[-1].settings["frozen"])
    last = [name for name in kept if name.endswith(("weight", "running_mean"))][-1]
    tensor = spoilt.model.state_dict()[last]
    tensor.view(-1)[0] = torch.nextafter(tensor.view(-1)[0], torch.tensor(9.0))
    failures = prove_freezing(parent, spoilt, sequence(made))
    assert failures == [f"{last} was to stay in the last step, and is another since"]
    # A plan that says otherwise: another hash, one too few, one too many.
    first, *rest = sequence(made)
    known = first.settings["frozen"]
    name = sorted(known)[-1]
    for changed, words in (
        (known | {name: "0" * 64}, f"step 1: {name} was to stay, and is another since"),
        ({key: value for key, value in known.items() if key != name}, f"step 1: there is no sha256 of {name}"),
        (known | {f"{layer[0]}.weight": "0" * 64}, f"step 1: {layer[0]}.weight is said to be frozen, and was trained"),
    ):
        told = first.model_copy(update={"settings": first.settings | {"frozen": changed}})
        assert any(words in one for one in prove_freezing(parent, read_saved(slim), [told, *rest]))


def test_the_command_verify_proves_steps_and_freeze(folders: Callable[..., Path], tmp_path: Path) -> None:
    folder = folders("resnet20", 0.25)
    made = pruned(folder, tmp_path, ratio=0.5, criterion="l1", layer=["conv1", "layer2.0.conv1"])
    slim = tmp_path / "slim"
    save(made.subject.model, slim, preprocessing=PIXELS, classes=made.subject.data.classes, dataset="digits")
    found = prove_saved(slim, parent=folder, data=OtherData("digits"), seed=0, progress=Quiet())
    assert (found["ok"], found["steps"], found["failures"]) == (True, 2, [])
    assert found["relative_diff"] <= 1e-9
    assert found["filters"] == made.plan.filters
    # Weights that were trained elsewhere, in the same structure: nothing of them had to stay.
    tuned, elsewhere = read_saved(slim).model, tmp_path / "tuned"
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.mul_(1.01)
    facts: dict[str, Any] = {"preprocessing": PIXELS, "classes": made.subject.data.classes, "dataset": "digits"}
    save(tuned, elsewhere, **facts)
    found = prove_saved(elsewhere, parent=folder, data=OtherData("digits"), seed=0, progress=Quiet())
    assert not found["ok"]
    assert all("was to stay in the last step" in failure for failure in found["failures"])
    adopted = {"adopted": {"file": "tuned.pt", "sha256": "0" * 64}}
    save(tuned, elsewhere, **facts, training=adopted)
    found = prove_saved(elsewhere, parent=folder, data=OtherData("digits"), seed=0, progress=Quiet())
    assert (found["ok"], found["failures"]) == (True, [])
    assert any("adopted" in note for note in found["notes"])


def test_a_prune_killed_at_every_stage_comes_out_the_same(
    lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pruned(lenet, tmp_path, "whole", ratio=0.5)
    killer = Killer(monkeypatch)
    # In the middle of both steps and of the control; after a choice, after a training, after the proof.
    killer.kill_after("cnngraph.training.fit.write_checkpoint", 1, 3, 6)
    killer.kill_after("cnngraph.surgery.freezing.count_parameters_of", 1, 4)
    killer.kill_after("cnngraph.surgery.verify.verify", 1)
    killer.kill_after("cnngraph.training.latency.latency_ms", 1)
    again, runs = repeat_until_done(lambda: pruned(lenet, tmp_path, "killed", ratio=0.5))
    assert runs == 8
    assert killer.calls["write_checkpoint"] == 2 + 2 + 4  # no epoch was done twice
    assert again.plan == whole.plan
    assert without_seconds(again) == without_seconds(whole)
    assert sequence(again) == sequence(whole)
    other = bits(whole.subject.model)
    assert all(torch.equal(tensor, other[name]) for name, tensor in bits(again.subject.model).items())
    for which in ("before", "after", "control"):
        for figure in ("accuracy", "precision", "recall", "kappa", "parameters", "macs"):
            assert whole.result[which][figure] == again.result[which][figure]


def test_nothing_to_go_trains_nothing_and_leaves_the_net(
    lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnngraph.training.fit.fit", lambda *_, **__: pytest.fail("trained"))
    subject, found = opened(lenet), steps(lenet, tmp_path, ratio=0.01)
    before = state_hash(subject.model)
    assert found.outline.removes == ()
    assert found.targets == ("features.0", "features.3")
    for target in found.targets:
        plan = found.plan(subject.model, target, ())
        assert plan.removes == ()
        left, whole = bits(cut(subject.model, plan)), bits(subject.model)
        assert all(torch.equal(tensor, left[name]) for name, tensor in whole.items())
    with pytest.raises(PlanError, match="No filter goes: no layer has as much to lose") as refused:
        prune_in_steps(subject, found, RETRAINING, folder=tmp_path / "work")
    assert refused.value.hint == "Nothing was stored. Ask for more of each layer."
    assert state_hash(subject.model) == before


def test_a_step_that_loses_too_much_is_not_taken(lenet: Path, tmp_path: Path) -> None:
    whole = pruned(lenet, tmp_path, "whole", ratio=0.5)
    first, second = whole.steps
    baseline = whole.plan.settings["before"]
    for figure, limit, scale in (("accuracy", "max_accuracy_drop", 100), ("kappa", "max_kappa_drop", 1)):
        drops = [scale * (baseline[figure] - getattr(step, figure)) for step in (first, second)]
        assert drops[0] != drops[1]
        found = steps(lenet, tmp_path, ratio=0.5)
        if drops[1] > max(drops[0], 0):
            found.allowed = Allowed(**{f"{figure}_drop": max(drops[0], 0.0)})
            made = prune_in_steps(opened(lenet), found, RETRAINING, folder=tmp_path / figure)
            assert [step.layer for step in made.steps] == ["features.0"]
            assert any("features.3 was not simplified" in note for note in made.plan.notes)
            assert made.plan.filters.keys() == {"features.0"}
        elif drops[0] > 0:
            found.allowed = Allowed(**{f"{figure}_drop": 0.0})
            with pytest.raises(PlanError, match=r"No filter goes: features.0 was not simplified") as refused:
                prune_in_steps(opened(lenet), found, RETRAINING, folder=tmp_path / figure)
            assert "Allow a larger drop" in refused.value.hint
        said = steps(lenet, tmp_path, ratio=0.5, **{limit: 1.5})
        assert said.allowed in (Allowed(accuracy_drop=1.5), Allowed(kappa_drop=1.5))


def test_the_time_ends_it_well(lenet: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"the 0 minutes are over before features.0"):
        pruned(lenet, tmp_path, ratio=0.5, minutes=0)
    found = steps(lenet, tmp_path, ratio=0.5, minutes=10)
    now = iter([0.0, 0.0, 601.0])
    found.budget = type(found.budget)(10, clock=lambda: next(now))
    made = prune_in_steps(opened(lenet), found, RETRAINING, folder=tmp_path / "other")
    assert [step.layer for step in made.steps] == ["features.0"]
    assert "The 10 minutes are over before features.3." in made.plan.notes


def test_a_trainer_that_thaws_what_is_frozen_is_found_out(
    lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thawing.py").write_text(
        "import torch\n"
        "def fit(net, train, validation, *, epochs):\n"
        "    for parameter in net.parameters():\n"
        "        parameter.data.add_(0.01)\n"
        "def gentle(net, train, validation, *, epochs):\n"
        "    net.train()\n"
        "    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.01, momentum=0.9)\n"
        "    for images, labels in train:\n"
        "        optimizer.zero_grad()\n"
        "        torch.nn.functional.cross_entropy(net(images), labels).backward()\n"
        "        optimizer.step()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from cnngraph.training.own_trainer import find_trainer

    subject, found = opened(lenet), steps(lenet, tmp_path, ratio=0.5)
    rough = replace(RETRAINING, trainer=find_trainer("thawing:fit"))
    with pytest.raises(VerificationError, match="was to stay as it is in this step, and the training changed it"):
        prune_in_steps(subject, found, rough, folder=tmp_path / "rough")
    own = replace(RETRAINING, trainer=find_trainer("thawing:gentle"))
    made = prune_in_steps(subject, found, own, folder=tmp_path / "own")
    assert len(made.steps) == 2


def bundle(folder: Path, home: Path, to: Path, *, dry_run: bool = False, **said: Any) -> dict[str, Any]:
    job = choose_prune(
        str(folder),
        {"method": "progressive", "device": "cpu"} | said,
        TrainingWords(recipe={"epochs": 1}, control=False),
        dry_run=dry_run,
    )
    return prune_to_bundle(job, session(home), to)[1]


def test_without_a_database_a_dry_run_says_how_many_and_a_bundle_tells_the_steps(lenet: Path, tmp_path: Path) -> None:
    dry = bundle(lenet, tmp_path, tmp_path / "to", ratio=0.5, dry_run=True)
    assert (dry["trainings"], dry["epochs"]) == (2, 1)
    assert dry["steps"] == [
        {"number": 1, "layer": "features.0", "filters": 3},
        {"number": 2, "layer": "features.3", "filters": 8},
    ]
    assert dry["filter_counts"] == {"features.0": 3, "features.3": 8}
    assert "filters" not in dry
    result = bundle(lenet, tmp_path, tmp_path / "to", ratio=0.5)
    assert {layer: len(filters) for layer, filters in result["filters"].items()} == dry["filter_counts"]
    card = pruned_bundle.read_card(tmp_path / "to", from_bundle(str(tmp_path / "to")))
    assert card.version == 4
    assert [step.layer for step in card.steps] == ["features.0", "features.3"]
    assert len(read_saved(tmp_path / "to" / "model").origin.last_steps) == 2


def test_with_ten_validation_images_the_step_is_said(lenet: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Told(Quiet):
        def note(self, text: str) -> None:
            said.append(text)

    subject = opened(lenet)
    few = replace(subject, data=replace(subject.data, validation=subject.data.validation.take(range(10))))
    with pytest.raises(PlanError):  # by then it is said
        prune_in_steps(few, steps(lenet, tmp_path, ratio=0.01), RETRAINING, folder=tmp_path / "work", progress=Told())
    assert "There are 10 validation images: accuracy goes in steps of 10 points." in said


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"max_accuracy_drop": 1.0}, "The method progressive needs {ratio} or {filters}"),
        ({"ratio": 0.0}, "{ratio=0} is out of range"),
        ({"ratio": 1.0}, "{ratio=1} is out of range"),
        ({"ratio": 1.5}, "{ratio=1.5} is out of range"),
        ({"ratio": float("nan")}, "{ratio=nan} is out of range"),
        ({"ratio": 0.5, "max_kappa_drop": 3.0}, "{max_kappa_drop=3} is out of range"),
        ({"ratio": 0.5, "criterion": "acuracy"}, "There is no criterion 'acuracy'"),
        ({"ratio": 0.5, "init": "reset"}, "{init=reset} says nothing with {method=progressive}"),
        ({"ratio": 0.5, "max_accuracy_drop": 1.0, "steps": 3}, "{steps=3} says nothing with {method=progressive}"),
        ({"ratio": 0.5, "target_macs": 0.5}, "target_macs} belongs to the methods"),
        ({}, "One of these is needed"),
    ],
)
def test_what_is_said_wrong(said: dict[str, Any], message: str, lenet: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        steps(lenet, tmp_path, **said)
    assert message.replace("{", "").replace("}", "") in refused.value.message.replace("{", "").replace("}", "")


def test_what_only_a_prune_can_do(lenet: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="decides while it trains, so that there is no plan before") as refused:
        choose_plan({"method": "progressive", "ratio": 0.5})
    assert "prune" in refused.value.hint
    for words, message in (
        (TrainingWords(retrain=False), "retrain=False"),
        (TrainingWords(reconstruct=True), "reconstruct"),
        (TrainingWords(prune_weights=0.5), "prune_weights.*what a step froze is to stay"),
    ):
        with pytest.raises(OptionError, match=message):
            choose_prune("net", {"method": "progressive", "ratio": 0.5}, words)
    with pytest.raises(NotFoundError, match=r"There is no layer 'features.1' with filters"):
        steps(lenet, tmp_path, ratio=0.5, layer="features.1")
    with pytest.raises(PlanError, match=r"6 filters of features.0 cannot go: it has 6, 5 of which can"):
        steps(lenet, tmp_path, filters=6, layer="features.0")


def test_a_layer_whose_filters_go_with_the_output_or_are_kept(
    folders: Callable[..., Path], lenet: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="it is to be kept"):
        steps(folders("resnet20", 0.25), tmp_path, ratio=0.5, layer="layer1.0.conv2", keep=["conv1"])
    assert steps(lenet, tmp_path, ratio=0.5, keep=["features.0"]).targets == ("features.3",)
    # Without keeping, what is named first owns the group: all that is coupled goes with it, in one step.
    found = steps(folders("resnet20", 0.25), tmp_path, ratio=0.5, layer=["layer1.1.conv2", "layer1.0.conv2"])
    assert found.targets == ("layer1.0.conv2",)
    assert set(found.outline.filters) == {"conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2"}
