"""The proof of a saved model, made again: what it was cut from is here or not, and what somebody changed is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cnngraph as cg
from cnngraph.console import Quiet
from cnngraph.errors import ModelError, PlanError
from cnngraph.jobs.proof import prove_saved
from cnngraph.models.registry import build
from cnngraph.origin import get_origin, set_origin
from cnngraph.plan import Plan, Removal
from cnngraph.sources.stored import OtherData
from cnngraph.surgery import saved
from cnngraph.surgery.apply import cut

FILTERS = Removal(layer="features.0", kind="filters", filters=(0, 3))
LAYER = Removal(layer="features.8")


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = build("cnngraph:vgg11", classes=10, width=0.125, size=32, seed=3)
    return cg.save(model, tmp_path_factory.mktemp("proof") / "parent", input_shape=(3, 32, 32))


def pruned(parent: Path, *removes: Removal, change: Callable[[nn.Module], object] = lambda _: None) -> Path:
    """The saved model without these, after what ``change`` does to its weights."""
    slim = saved.load(parent)
    for removal in removes:
        slim = cut(slim, Plan(removes=(removal,), init="inherit"), input_shape=(3, 32, 32))
    change(slim)
    return cg.save(slim, parent.with_name("slim"), input_shape=(3, 32, 32))


def proven(path: Path, parent: Path | None = None, data: str | None = None) -> dict[str, Any]:
    return prove_saved(path, parent=parent, data=OtherData(data), seed=0, progress=Quiet())


def test_filters_are_proven_on_the_net_itself_as_long_as_its_weights_are_the_parents(parent: Path) -> None:
    found = proven(pruned(parent, FILTERS), parent, "digits")
    assert found["ok"]
    assert found["weights_kept"]
    assert found["relative_diff"] <= 1e-9
    assert found["filters"] == {"features.0": (0, 3)}
    assert found["notes"] == []


def test_a_trained_net_is_proven_by_the_plan_carried_out_anew(parent: Path) -> None:
    def train(net: nn.Module) -> None:
        with torch.no_grad():
            next(net.parameters()).add_(0.1)

    found = proven(pruned(parent, FILTERS, change=train), parent)
    assert found["ok"]
    assert not found["weights_kept"]
    assert found["relative_diff"] <= 1e-9
    assert "carried out anew" in found["notes"][0]


def test_without_the_parent_its_architecture_stands_for_it(parent: Path) -> None:
    found = proven(pruned(parent, LAYER, FILTERS))
    assert found["ok"]
    assert found["parent"] is None
    assert "with new weights" in found["notes"][0]
    assert found["removed"] == []  # the last plan is proven


def test_another_structure_than_the_plan_gives_is_seen(parent: Path) -> None:
    """A recipe that somebody changed: another filter of the same number."""
    path = pruned(parent, FILTERS)
    slim = saved.load(path)
    origin = get_origin(slim)
    assert origin is not None
    other = Plan(removes=(FILTERS.model_copy(update={"filters": (1, 2)}),))
    set_origin(slim, origin.model_copy(update={"plans": (other,)}))
    changed = cg.save(slim, parent.with_name("changed"), input_shape=(3, 32, 32))
    # The weights are not what the changed plan leaves, so they count as trained: the structure still holds.
    assert not proven(changed, parent)["weights_kept"]


def test_a_plain_model_has_nothing_to_prove(parent: Path) -> None:
    with pytest.raises(PlanError, match="was not pruned"):
        proven(parent)


def test_a_parent_of_another_structure_is_refused(parent: Path) -> None:
    other = cg.save(
        build("cnngraph:vgg11", classes=10, width=0.25, size=32, seed=3),
        parent.with_name("other"),
        input_shape=(3, 32, 32),
    )
    with pytest.raises(ModelError, match="was not cut from"):
        proven(pruned(parent, LAYER), other)
