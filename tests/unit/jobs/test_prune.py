"""From a plan to a stored model without a database: what an interruption costs, and which figures compare."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from cnngraph.errors import ConflictError, PlanError, VerificationError
from cnngraph.jobs import execute
from cnngraph.jobs.prune import Pruned, Retraining, inputs_of, prune
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder, hash_inputs
from cnngraph.plan import Plan, Removal
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.surgery.verify import Verification
from cnngraph.training.evaluate import evaluate
from cnngraph.training.fit import Recipe
from cnngraph.training.own_trainer import OwnTrainer

PLAN = Plan(model="me/net", removes=(Removal(layer="features.8"),))
RETRAINING = Retraining(Recipe(epochs=2, batch_size=20), device="cpu")


@pytest.fixture(scope="module")
def subject() -> LoadedModel:
    choice = ModelChoice(name="cnngraph:vgg11", width=0.125)
    opened = open_model(choice, DataChoice(name="digits", images_per_class=6))
    return replace(opened, training={"epochs": 9, "epoch_seconds": 77.0})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timing decides how a net is trained, and the proof, which has tests of its own, is taken for given."""
    monkeypatch.setattr("cnngraph.training.execution._step_seconds", lambda _net, _images, ways, **_: [1.0] * len(ways))
    sound = Verification(None, True, True, True, (), (), 0.0)
    monkeypatch.setattr("cnngraph.surgery.verify.verify", lambda *_, **__: sound)


def weights(pruned: Pruned) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in pruned.subject.model.state_dict().items()}


def test_a_prune_killed_at_every_stage_does_nothing_twice(
    subject: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prune(subject, PLAN, RETRAINING, folder=tmp_path / "whole")
    done: Counter[str] = Counter()
    killed: set[str] = set()

    def deadly(target: str) -> None:
        """The first call of ``target`` works, and what it leaves is kept or lost as by a kill right after it."""
        home, _, name = target.rpartition(".")
        real = getattr(__import__(home, fromlist=[name]), name)

        def call(*arguments: Any, **options: Any) -> Any:
            done[name] += 1
            found = real(*arguments, **options)
            if done[name] not in {1, 4}:
                return found
            killed.add(f"{name} {done[name]}")
            raise KeyboardInterrupt

        monkeypatch.setattr(target, call)

    # Epochs: the first is done before the kill, the fourth is the last of the control.
    deadly("cnngraph.training.fit.write_checkpoint")
    deadly("cnngraph.surgery.apply.apply_with_report")
    deadly("cnngraph.training.latency.latency_ms")
    runs = 0
    while True:
        runs += 1
        try:
            again = prune(subject, PLAN, RETRAINING, folder=tmp_path / "killed")
        except KeyboardInterrupt:
            continue
        break
    assert killed == {"apply_with_report 1", "write_checkpoint 1", "write_checkpoint 4", "latency_ms 1"}
    assert runs == 5
    assert done == {"apply_with_report": 2, "write_checkpoint": 4, "latency_ms": 2}  # no epoch was done twice
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(again)[name]), name
    for which in ("before", "after", "control"):
        for figure in ("accuracy", "precision", "recall", "kappa", "parameters", "macs"):
            assert whole.result[which][figure] == again.result[which][figure]


def test_the_old_nets_epoch_is_the_controls(subject: LoadedModel, tmp_path: Path) -> None:
    pruned = prune(subject, PLAN, RETRAINING, folder=tmp_path / "work")
    before, control = pruned.result["before"], pruned.result["control"]
    assert before["epoch_seconds"] == control["epoch_seconds"] != 77.0
    assert before["latency_ms"] == control["latency_ms"]
    assert pruned.subject.training["epoch_seconds"] == pruned.result["after"]["epoch_seconds"]


def test_without_retraining_no_epoch_time_is_inherited(subject: LoadedModel, tmp_path: Path) -> None:
    pruned = prune(subject, PLAN, Retraining(None, device="cpu"), folder=tmp_path / "work")
    assert pruned.result["before"]["epoch_seconds"] == 77.0
    assert pruned.result["after"]["epoch_seconds"] is None
    assert pruned.result["control"] is None
    assert pruned.subject.training == {"epochs": 9}


def test_readers_of_removed_filters_are_refitted_after_the_proof(subject: LoadedModel, tmp_path: Path) -> None:
    removes = tuple(Removal(layer=f"features.{at}", kind="filters", filters=(0, 1)) for at in (3, 6))
    plan = Plan(model="me/net", removes=removes)
    plain = prune(subject, plan, Retraining(None, device="cpu"), folder=tmp_path / "plain")
    fitted = prune(subject, plan, Retraining(None, device="cpu", reconstruct=True), folder=tmp_path / "fitted")
    assert (plain.joins, list(fitted.joins)) == ({}, ["features.6", "features.8"])
    old, new = weights(plain), weights(fitted)
    changed = {name.rpartition(".")[0] for name, tensor in old.items() if not torch.equal(tensor, new[name])}
    assert changed == {"features.6", "features.8"}
    with pytest.raises(PlanError, match="nothing to reconstruct"):
        prune(subject, PLAN, Retraining(None, reconstruct=True), folder=tmp_path / "none")


def test_a_failed_proof_keeps_nothing(subject: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Verification(None, False, True, True, ("train: broken",), (), 0.0)
    monkeypatch.setattr("cnngraph.surgery.verify.verify", lambda *_, **__: failed)
    with pytest.raises(VerificationError, match="train: broken"):
        prune(subject, PLAN, RETRAINING, folder=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_work_folder_belongs_to_one_prune(subject: LoadedModel, tmp_path: Path) -> None:
    def name(plan: Plan = PLAN, retraining: Retraining = RETRAINING, **changes: Any) -> str:
        return hash_inputs(inputs_of(replace(subject, **changes), plan, retraining))

    assert name() == name()
    others = [
        name(PLAN.model_copy(update={"model": "me/other"})),
        name(PLAN.model_copy(update={"init": "scratch"})),
        name(Plan(model="me/net", removes=(Removal(layer="features.8", kind="filters", filters=(1, 3)),))),
        name(Plan(model="me/net", removes=(Removal(layer="features.8", kind="filters", filters=(1, 4)),))),
        name(retraining=replace(RETRAINING, recipe=Recipe(epochs=3, batch_size=20))),
        name(retraining=replace(RETRAINING, control=False)),
        name(retraining=replace(RETRAINING, trainer=OwnTrainer("own:fit", print, "1"))),
        name(retraining=replace(RETRAINING, trainer=OwnTrainer("own:fit", print, "2"))),
        name(choice=DataChoice(name="digits", images_per_class=7)),
        name(preprocessing=subject.preprocessing.model_copy(update={"value_range": (0.0, 100.0)})),
        name(split=None),
    ]
    assert len({name(), *others}) == 12


def test_a_typed_name_is_free_or_that_of_this_very_prune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"me/taken": {"status": "complete"}, "me/begun": {"status": "loading"}}
    monkeypatch.setattr("cnngraph.database.catalogue.properties", lambda _, key: there.get(key, {}))
    home = Settings(None, "neo4j", None, None, "me", tmp_path, tmp_path)
    session = Session(home, connected=cast(Any, SimpleNamespace(owner="me")))
    (tmp_path / "work" / "mine").mkdir(parents=True)
    (tmp_path / "work" / "mine" / "name.txt").write_text("begun", encoding="utf-8")
    mine, another = (JobFolder(tmp_path / "work" / name) for name in ("mine", "another"))
    for name, folder in ((None, mine), ("free", mine), ("begun", None), ("begun", mine)):
        execute.require_free(session, name, None, folder)
    for name, folder in (("taken", None), ("taken", mine), ("begun", another)):
        with pytest.raises(ConflictError, match=f"There is a model {name} already"):
            execute.require_free(session, name, None, folder)


def test_what_a_plan_promises_is_looked_at(subject: LoadedModel, tmp_path: Path) -> None:
    plain = prune(subject, PLAN, Retraining(None, device="cpu"), folder=tmp_path / "plain")
    assert plain.result["drop"] is None
    assert plain.gone == ("features.8",)
    promised = PLAN.model_copy(update={"settings": {"max_accuracy_drop": {"points": 100}}})
    found = prune(subject, promised, Retraining(None, device="cpu"), folder=tmp_path / "promised").result["drop"]
    assert (found["allowed"], found["held"]) == (100, True)


def test_ones_own_trainer_trains_both_nets(subject: LoadedModel, tmp_path: Path) -> None:
    seen: list[int] = []

    def fit(model: nn.Module, train_loader: Any, validation_loader: Any, *, epochs: int) -> None:
        seen.append(sum(parameter.numel() for parameter in model.parameters()))
        for parameter in model.parameters():
            parameter.data.mul_(1 + 0.01 * epochs)

    trainer = OwnTrainer("own:fit", fit, "1")
    pruned = prune(subject, PLAN, replace(RETRAINING, trainer=trainer), folder=tmp_path / "work")
    assert seen == [pruned.result["after"]["parameters"], pruned.result["control"]["parameters"]]
    told = {
        name: pruned.subject.training[name] for name in ("trainer", "trainer_sha256", "epochs", "batch_size", "seed")
    }
    assert told == {"trainer": "own:fit", "trainer_sha256": "1", "epochs": 2, "batch_size": 20, "seed": 0}
    untrained = prune(subject, PLAN, Retraining(None, device="cpu"), folder=tmp_path / "untrained")
    for name, tensor in weights(untrained).items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(weights(pruned)[name], tensor * 1.02), name


def test_what_a_rehearsal_finds_is_said_where_the_net_cannot_be_rebuilt(
    subject: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PlanError("features.8 cannot go: in eval mode the net then fails.", "Remove other layers.")

    monkeypatch.setattr("cnngraph.surgery.check_runs.check_runs", refused)

    def failed(*_: object, **__: object) -> None:
        raise PlanError("Something in the net fails.")

    monkeypatch.setattr("cnngraph.surgery.apply.apply_with_report", failed)
    with pytest.raises(PlanError, match="in eval mode"):
        prune(subject, PLAN, RETRAINING, folder=tmp_path / "work")
    with pytest.raises(PlanError, match="in eval mode"):
        execute.preview(subject, PLAN, cast(Any, None), "me/new")


def test_zeros_are_evaluated_and_stay_in_the_net(subject: LoadedModel, tmp_path: Path) -> None:
    plan = Plan(model="me/net", removes=(Removal(layer="features.3", kind="filters", filters=(0, 1)),))
    pruned = prune(subject, plan, Retraining(None, device="cpu", prune_weights=0.75), folder=tmp_path / "work")
    (row,) = pruned.result["weights"]
    weight = pruned.subject.model.get_submodule("features.3").get_parameter("weight")
    assert row["left"] == int(torch.count_nonzero(weight)) == weight.numel() - int(0.75 * weight.numel())
    assert row["shrink"] == pytest.approx(row["before"] / row["left"])
    found = evaluate(pruned.subject.model, subject.data.test, device="cpu")
    assert found.accuracy == pruned.result["after"]["accuracy"]
    assert pruned.edits[-1]["kind"] == "zeros"
    plain = prune(subject, plan, Retraining(None, device="cpu"), folder=tmp_path / "plain")
    assert "weights" not in plain.result
    other, one = (inputs_of(subject, plan, Retraining(None, prune_weights=share)) for share in (None, 0.75))
    assert other != one and "prune_weights" not in other
    with pytest.raises(PlanError, match="no layer to prune weights of"):
        prune(subject, PLAN, Retraining(None, prune_weights=0.5), folder=tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
