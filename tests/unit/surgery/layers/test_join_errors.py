"""The error of the least-squares join of each single conv."""

from __future__ import annotations

import torch

from cnngraph.surgery.layers.join_errors import join_errors
from cnngraph.surgery.verify import state_hash
from tests.unit.surgery.nets import Pointwise, batches, seeded

from .joint_nets import Gated, Sum


def test_linear_nets_have_joins_without_error() -> None:
    model = Sum().eval()
    before = state_hash(model)
    found = join_errors(model, batches((1, 6, 6)))
    assert list(found) == ["stem", "branch", "narrow", "wide", "shortcut"]  # head gives the output
    assert state_hash(model) == before
    assert found["branch"] < 0.02  # the identity: what is left is the ridge
    assert found["stem"] < 0.02  # an adapter gives (x, 2x) from x
    assert 0.3 < found["narrow"] <= 1.1  # it saw every second place; a pool is what comes now
    assert found == join_errors(model, batches((1, 6, 6)))


def test_a_conv_that_loses_a_dimension_has_an_error() -> None:
    found = join_errors(seeded(Pointwise), batches((1, 2, 2)))
    assert found["b"] < 0.05  # linear in a's two channels
    assert found["a"] < 0.05  # everything is linear in the one channel of the image
    torch.testing.assert_close(found["c"], 0.0, rtol=0, atol=0.05)


def test_a_gate_leaves_an_error_where_its_scale_is_no_constant() -> None:
    model = seeded(Gated)
    with torch.no_grad():
        model.reduce.weight.fill_(2.0)
        model.grow.weight.fill_(2.0)
    found = join_errors(model, batches((1, 4, 4)))
    assert found["reduce"] == found["grow"] > 0.05
