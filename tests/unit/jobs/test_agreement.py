"""Every prune says what its cut left of the old answers, before any training, and loudly where that is nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cnngraph.console import Quiet
from cnngraph.database.records import Evaluation
from cnngraph.jobs.agreement import tell_agreement
from cnngraph.jobs.prune import Retraining, prune
from cnngraph.plan import Plan, Removal
from cnngraph.reporting.page import answers_in_words
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.surgery.verify import Verification
from cnngraph.training import agreement as measured
from cnngraph.training.fit import fit

GENTLE = Plan(model="me/net", removes=(Removal(layer="features.3", kind="filters", filters=(0,)),))
# What is left of the layers before the last conv is a random projection: nothing of the old answers comes through.
HARSH = Plan(model="me/net", removes=(Removal(layer="features.8"), Removal(layer="features.11")), init="reset")
PLAIN = Retraining(None, device="cpu")
FOUND: dict[str, Any] = {
    "images": 180,
    "same_class": 0.1,
    "kl": 1.5,
    "correlation": 0.03,
    "chance": 0.12,
    "unrelated": True,
    "images_from": {"part": "validation", "images": 180, "taken_from": "split", "trained_on": "no"},
}


@pytest.fixture(scope="module")
def subject() -> LoadedModel:
    """A trained net: an untrained one has no answers to agree with."""
    opened = open_model(ModelChoice(name="cnngraph:vgg11", width=0.125), DataChoice(name="digits"))
    how: dict[str, Any] = {"device": "cpu", "channels_last": False, "precision": "fp32"}
    fit(opened.model, opened.data.train, None, epochs=2, batch_size=32, learning_rate=3e-3, **how)
    return replace(opened, trained=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof has tests of its own."""
    sound = Verification(None, True, True, True, (), (), 0.0)
    monkeypatch.setattr("cnngraph.surgery.verify.verify", lambda *_, **__: sound)


class Heard(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_gentle_cut_agrees_and_says_on_what(
    subject: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    found = prune(subject, GENTLE, PLAIN, folder=tmp_path / "work", progress=heard).result["agreement"]
    assert found["images"] == len(subject.data.validation)
    assert found["images_from"] == subject.images_from("validation").as_json()
    assert found["same_class"] > 0.8
    assert found["correlation"] > 0.9
    assert found["kl"] >= 0
    assert not found["unrelated"]
    assert any("Old and new net before any training" in note for note in heard.notes)
    assert "hardly anything" not in capsys.readouterr().err


def test_the_figures_are_those_of_the_cut_net_before_it_is_trained(subject: LoadedModel, tmp_path: Path) -> None:
    from cnngraph.surgery.saved import read_saved

    pruned = prune(subject, HARSH, PLAIN, folder=tmp_path / "work")
    slim = read_saved(tmp_path / "work" / "slim").model
    images, _ = subject.data.validation[range(len(subject.data.validation))]
    with torch.no_grad():
        wanted = measured.compare([(subject.model(images), slim(images))])
    found = pruned.result["agreement"]
    for name in ("same_class", "kl", "correlation", "chance"):
        assert found[name] == pytest.approx(getattr(wanted, name), rel=1e-4), name


def test_nothing_left_is_said_loudly_unless_it_was_asked_for(
    subject: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    found = prune(subject, HARSH, PLAIN, folder=tmp_path / "reset", progress=heard).result["agreement"]
    assert found["unrelated"]
    assert any("That is expected: --init reset" in note for note in heard.notes)
    assert "hardly anything" not in capsys.readouterr().err
    inherit = HARSH.model_copy(update={"init": "inherit", "removes": (*HARSH.removes, Removal(layer="features.13"))})
    found = prune(subject, inherit, PLAIN, folder=tmp_path / "inherit").result["agreement"]
    assert ("hardly anything to do with the old net" in capsys.readouterr().err) == found["unrelated"] is True


def test_errors_of_joins_stand_in_the_warning_the_worst_first(capsys: pytest.CaptureFixture[str]) -> None:
    heard = Heard()
    tell_agreement(FOUND, {"a": 0.2, "b": 0.98, "c": 0.5}, GENTLE, heard)
    said = capsys.readouterr().err
    assert said.startswith("warning: ")
    assert "b 0.98, c 0.50, a 0.20" in said
    assert "the same class for 10.0 % of them (12.0 % by chance)" in said
    assert "180 validation images (split off)" in said
    assert heard.notes == []


@pytest.mark.parametrize(
    ("init", "removes", "expected"),
    [
        ("scratch", GENTLE.removes, True),
        ("scratch", HARSH.removes, True),
        ("reset", HARSH.removes, True),
        ("reset", GENTLE.removes, False),  # no layer goes, so none is reset
        ("inherit", HARSH.removes, False),
        ("least-squares", HARSH.removes, False),
    ],
)
def test_what_is_expected(
    init: str, removes: tuple[Removal, ...], expected: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    tell_agreement(FOUND, {}, Plan(model="me/net", removes=removes, init=init), heard)
    assert bool(heard.notes) == expected
    assert ("warning" in capsys.readouterr().err) != expected


def test_an_interrupted_prune_compares_once_and_says_it_again(
    subject: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cnngraph.jobs.pruned.figures", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prune(subject, GENTLE, PLAIN, folder=tmp_path / "work")
    kept = json.loads((tmp_path / "work" / "slim.json").read_text())["agreement"]
    monkeypatch.setattr("cnngraph.training.agreement.agreement", None)
    heard = Heard()
    assert prune(subject, GENTLE, PLAIN, folder=tmp_path / "work", progress=heard).result["agreement"] == kept
    assert any("Old and new net before any training" in note for note in heard.notes)


def test_a_prune_that_an_earlier_version_left_is_compared_now(subject: LoadedModel, tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = prune(subject, GENTLE, PLAIN, folder=work).result["agreement"]
    known = json.loads((work / "slim.json").read_text())
    del known["agreement"]
    (work / "slim.json").write_text(json.dumps(known))
    again = prune(subject, GENTLE, PLAIN, folder=work).result["agreement"]
    assert again.pop("images_from") == first.pop("images_from")
    assert again == pytest.approx(first)


def test_without_validation_images_it_is_null(subject: LoadedModel, tmp_path: Path) -> None:
    data = replace(subject.data, validation=subject.data.validation.take([]))
    heard = Heard()
    result = prune(replace(subject, data=data), GENTLE, PLAIN, folder=tmp_path / "work", progress=heard).result
    assert result["agreement"] is None
    assert any("there are no validation images" in note for note in heard.notes)


def test_what_was_stored_before_there_was_agreement() -> None:
    assert Evaluation.read({"accuracy": 0.5}).agreement is None
    assert answers_in_words(None).startswith("Old and new net were not compared")
