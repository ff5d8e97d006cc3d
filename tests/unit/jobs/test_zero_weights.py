"""Zeros for the smallest weights of layers that lost filters: counted, exact, and refused where they would be none."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from cnngraph.errors import OptionError, PlanError
from cnngraph.jobs.prune_job import TrainingWords
from cnngraph.jobs.zero_weights import edits_of_zeros, require_zeroable, zero_smallest
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut

PLAN = Plan(removes=(Removal(layer="0", kind="filters", filters=(0, 1)),), init="inherit")


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_the_smallest_weights_of_the_pruned_layers_are_zero() -> None:
    old = net()
    slim = cut(old, PLAN, input_shape=(3, 8, 8))
    thin, rows = zero_smallest(old, slim, PLAN, 0.5)
    assert rows == [{"layer": "0", "before": 108, "weights": 54, "left": 27, "shrink": 4.0}]
    before, after = (model.get_submodule("0").get_parameter("weight") for model in (slim, thin))
    gone = after == 0
    assert int(gone.sum()) == 27
    assert torch.equal(before[~gone], after[~gone])
    assert before[gone].abs().max() < before[~gone].abs().min()
    assert int((before == 0).sum()) == 0  # the net that came in stays as it is
    others = [name for name, value in slim.state_dict().items() if not torch.equal(value, thin.state_dict()[name])]
    assert others == ["0.weight"]
    (edit,) = edits_of_zeros(rows)
    assert (edit["module"], edit["kind"], edit["removed"]) == ("0", "zeros", ["0"])
    assert edit["reason"] == "27 of its 54 weights, the smallest, are zero"


def test_the_same_weights_go_in_bfloat16() -> None:
    old = net().bfloat16()
    slim = cut(old, PLAN, input_shape=(3, 8, 8))
    (row,) = zero_smallest(old, slim, PLAN, 0.5)[1]
    assert (row["weights"], row["left"] <= 27) == (54, True)  # more are equal


def test_what_would_not_hold_zeros_is_refused() -> None:
    with pytest.raises(PlanError, match="removes no filters"):
        require_zeroable(net(), Plan(removes=(Removal(layer="0"),)))
    for compute in (weight_norm, nn.utils.spectral_norm):  # the second is a hook: the type stays
        made = net()
        compute(made[0])  # type: ignore[index]
        with pytest.raises(PlanError, match="that computes its weights: zeros in its weights may be none"):
            require_zeroable(made, PLAN)
    require_zeroable(net(), PLAN)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_is_between_0_and_1(rate: float) -> None:
    with pytest.raises(OptionError, match="is not a share"):
        TrainingWords(prune_weights=rate).choose()
