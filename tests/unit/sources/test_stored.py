"""What the graph says of a model, as it was written and after somebody changed it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cnngraph.errors import CnngraphError, ModelError, SpecError
from cnngraph.jobs.rebuild import _how_to_ingest
from cnngraph.sources.stored import OtherData, StoredModel
from cnngraph.validation import read_stage

RECIPE = {"architecture": "cnngraph:vgg16", "options": {"classes": 3}, "plans": [{"removes": [{"layer": "a"}]}]}


def model(recipe: str | None) -> StoredModel:
    properties = {"architecture": "cnngraph:vgg16", "inputShape": [3, 32, 32], "key": "ada/m"}
    return StoredModel("ada/m", properties | ({} if recipe is None else {"recipe": recipe}))


def test_the_recipe_that_was_written_names_the_structure() -> None:
    found = model(json.dumps(RECIPE))
    assert found.origin is not None
    assert found.origin.plans[0].removed == ["a"]
    assert found.recipe == found.origin.digest
    assert (model(None).origin, model(None).recipe) == (None, "")


@pytest.mark.parametrize(
    ("recipe", "kind", "said"),
    [
        (json.dumps(RECIPE | {"later": 1}), ModelError, "ada/m in the graph cannot be read: later:"),
        (json.dumps(RECIPE | {"plans": [{"version": 99}]}), ModelError, "plans.0.version: plan version 99 was written"),
        (json.dumps({"options": {}}), ModelError, "architecture: Field required"),
        ("{", SpecError, "The property recipe of the Model node ada/m is no JSON object"),
        ("[1]", SpecError, "is no JSON object"),
    ],
)
def test_a_recipe_that_was_changed_or_is_newer_is_one_line(recipe: str, kind: type[CnngraphError], said: str) -> None:
    with pytest.raises(kind) as refused:
        _ = model(recipe).recipe
    assert said in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.hint
    assert refused.value.exit_code == 1


def mapped(inputs: str) -> StoredModel:
    return StoredModel("ada/m", {"key": "ada/m", "inputShape": [3, 32, 32], "inputs": inputs})


def test_what_was_written_of_mapping_and_data_is_read_back() -> None:
    found = mapped(json.dumps({"seed": 3, "only_classes": ["a", "b"], "later": 1, "data": {"name": "digits"}}))
    assert (found.mapping.seed, found.mapping.only_classes) == (3, ("a", "b"))
    assert found.data(OtherData()).name == "digits"
    assert found.data(OtherData(root="/there")).root == "/there"
    assert mapped("{}").data(OtherData("mnist")).name == "mnist"


@pytest.mark.parametrize(
    ("inputs", "kind", "said"),
    [
        ("{", SpecError, "The property inputs of the Model node ada/m is no JSON object"),
        ("[]", SpecError, "is no JSON object"),
        ('{"only_classes": 5, "data": 5}', ModelError, "of ada/m in the graph cannot be read: "),
        ('{"seed": "x", "data": {"name": "digits", "later": 1}}', ModelError, "of ada/m in the graph cannot be read: "),
    ],
)
@pytest.mark.parametrize("read", [lambda found: found.mapping, lambda found: found.data(OtherData())])
def test_inputs_that_were_changed_are_one_line(
    read: Callable[[StoredModel], object], inputs: str, kind: type[CnngraphError], said: str
) -> None:
    with pytest.raises(kind) as refused:
        read(mapped(inputs))
    assert said in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("content", ["", "[1]", "{", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")])
def test_a_damaged_file_of_a_stage_says_what_to_delete(content: str, tmp_path: Path) -> None:
    path = tmp_path / "slim.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=r"slim\.json is damaged") as refused:
        read_stage(path)
    assert str(tmp_path) in refused.value.hint


@pytest.mark.parametrize(
    ("inputs", "data"), [('{"data": {"name": "digits"}}', "digits"), ("{}", "DATA"), ("{", "DATA")]
)
def test_how_to_ingest_with_kernels_is_said_whatever_the_graph_says(inputs: str, data: str) -> None:
    assert f"cnngraph ingest MODEL --data {data} --name m --kernels" in _how_to_ingest(mapped(inputs))


@pytest.mark.parametrize("gone", ["architecture", "inputShape"])
def test_a_property_that_was_removed_is_one_line(gone: str) -> None:
    properties = {name: value for name, value in model(None).properties.items() if name != gone}
    with pytest.raises(SpecError, match="The Model node ada/m does not say what it was written with"):
        _ = StoredModel("ada/m", properties).recipe
