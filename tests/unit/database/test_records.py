"""Evaluations into the properties of a node and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cnngraph.database.records import Ancestor, Evaluation, Lineage
from cnngraph.datasets.images_from import ImagesFrom
from cnngraph.errors import SpecError

JUDGED = {"part": "test", "images": 12, "taken_from": "val", "trained_on": "possibly"}
AGREEMENT: dict[str, Any] = {
    "images": 20,
    "same_class": 0.9,
    "kl": 0.1,
    "correlation": None,
    "chance": 0.5,
    "unrelated": False,
    "images_from": {"part": "validation", "images": 20, "taken_from": "split", "trained_on": "no"},
}
FIGURES = {"accuracy": 0.9, "epoch_seconds": None, "images": 12, "images_from": JUDGED, "near_chance": False}
# As cnngraph 0.1 wrote it (node properties), before there were records: such nodes are in people's graphs.
STORED = {
    "accuracy": 0.9,
    "images": 12,
    "takenFrom": "val",
    "trainedOn": "possibly",
    "nearChance": False,
    "split": "test",
    "control": False,
    "seed": 0,
    "device": "cpu",
    "run": "r",
    "child": "ada/c",
    "data": "digits",
    "agreementImages": 20,
    "agreementSameClass": 0.9,
    "agreementKl": 0.1,
    "agreementChance": 0.5,
    "agreementUnrelated": False,
    "agreementPart": "validation",
    "agreementTakenFrom": "split",
    "agreementTrainedOn": "no",
    "verified": '{"export": true}',
}


def made() -> Evaluation:
    own: dict[str, Any] = {"seed": 0, "device": "cpu", "run": "r", "child": "ada/c", "data": "digits"}
    return Evaluation.of(FIGURES, **own, verified={"export": True}, agreement=AGREEMENT)


def test_what_is_written_is_what_was_written_before_there_were_records() -> None:
    assert made().properties() == STORED
    assert made().identity() == ["test", 0, "cpu", False, "r", "ada/c", "digits", None, None]


def test_what_was_written_is_read_back() -> None:
    found = Evaluation.read(STORED)
    assert found.images_from == ImagesFrom("test", 12, "val", "possibly")
    assert found.agreement == AGREEMENT
    assert found.proof == {"export": True}
    assert (found.split, found.run, found.child, found.figures["accuracy"]) == ("test", "r", "ada/c", 0.9)
    assert found.properties() == STORED


def test_the_json_is_flat_and_says_the_images() -> None:
    told = Evaluation.read(STORED | {"createdAt": "2026-01-01", "key": "k"}).as_json()
    assert told["images_from"] == JUDGED
    assert (told["agreement_same_class"], told["taken_from"], told["created_at"]) == (0.9, "val", "2026-01-01")
    assert told["verified"] == '{"export": true}'
    assert "epoch_seconds" not in told
    assert json.dumps(told)


def test_what_was_stored_before_images_and_agreement_were_known() -> None:
    found = Evaluation.read({"split": "test", "accuracy": 0.5, "images": 12})
    assert (found.images_from, found.agreement, found.proof) == (None, None, {})
    assert found.as_json()["images_from"] is None


@pytest.mark.parametrize("damage", [{"trainedOn": "perhaps"}, {"images": "many"}, {"takenFrom": None}])
def test_damaged_images_are_not_known(damage: dict[str, Any]) -> None:
    assert Evaluation.read(STORED | damage).images_from is None


def test_a_damaged_proof_names_the_node() -> None:
    with pytest.raises(SpecError, match="The property verified of the Evaluation node k is no JSON object"):
        _ = Evaluation.read(STORED | {"key": "k", "verified": "{"}).proof


def test_a_lineage_is_one_json_object() -> None:
    parent = Ancestor("ada/p", 1, "PRUNED_FROM", "r", "manual", ["conv1"], [], {"conv2": [0, 3]}, became="ada/c")
    told = Lineage("ada/c", (parent,), (), (), (), (Evaluation(),)).as_json()
    assert told["ancestors"][0]["removed"] == ["conv1"]
    assert told["ancestors"][0]["filters"] == {"conv2": [0, 3]}
    assert set(told) == {
        "model",
        "ancestors",
        "descendants",
        "measure_runs",
        "pruning_runs",
        "evaluations",
        "edits",
        "steps",
        "masks",
    }
