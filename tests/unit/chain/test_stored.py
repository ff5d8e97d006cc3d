"""What the graph says of a model, as it was written and after somebody changed it."""

from __future__ import annotations

import json

import pytest

from cnngraph.chain.stored import Stored
from cnngraph.errors import CnngraphError, ModelError, SpecError

RECIPE = {"architecture": "cnngraph:vgg16", "options": {"classes": 3}, "plans": [{"removes": [{"layer": "a"}]}]}


def model(recipe: str | None) -> Stored:
    properties = {"architecture": "cnngraph:vgg16", "inputShape": [3, 32, 32], "key": "ada/m"}
    return Stored("ada/m", properties | ({} if recipe is None else {"recipe": recipe}))


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
