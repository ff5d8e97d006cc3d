"""What goes together: depthwise pairs, inverted bottlenecks, gates."""

from __future__ import annotations

import pytest
import torch

from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.surgery.apply import cut
from cnngraph.surgery.check import removable, removable_blocks, units
from cnngraph.surgery.layers.bypass import Copy, Open
from tests.unit.surgery.nets import plan

from .joint_nets import Gated, Mobile
from .test_joins import SHAPE, logits, without


def test_units() -> None:
    assert units(follow(Mobile(), SHAPE)) == {
        "stem": (),
        "blocks.0.expand": ("blocks.0.depthwise",),
        "blocks.0.depthwise": (),
        "blocks.0.project": ("blocks.0.expand", "blocks.0.depthwise"),
        "blocks.1.expand": ("blocks.1.depthwise",),
        "blocks.1.depthwise": (),
        "blocks.1.project": ("blocks.1.expand", "blocks.1.depthwise"),
        "blocks.2.expand": ("blocks.2.depthwise",),
        "blocks.2.depthwise": (),
        "blocks.2.project": ("blocks.2.expand", "blocks.2.depthwise"),
    }


def test_a_depthwise_conv_goes_with_the_one_that_expands_for_it() -> None:
    assert logits(Mobile()) == torch.tensor([[4212.0]])
    slim, report = without(Mobile(), "blocks.0.expand")
    assert report.removed == ("blocks.0.expand", "blocks.0.depthwise")
    assert report.resized == {"blocks.0.project": (2, 2)}
    assert report.notes == ("blocks.0.expand goes with the depthwise conv blocks.0.depthwise that reads it.",)
    assert logits(slim) == torch.tensor([[1404.0]])  # 3x each, and the skip: (4x, 5x)
    slim, report = without(Mobile(), "blocks.1.expand")
    assert logits(slim) == torch.tensor([[2632.5]])  # pooled (32.5, 35): 67.5 each


def test_a_depthwise_conv_alone_leaves_no_gap() -> None:
    slim, report = without(Mobile(), "blocks.0.depthwise")
    assert report.removed == ("blocks.0.depthwise",)
    assert logits(slim) == torch.tensor([[4212.0]])


def test_the_branch_goes_with_its_projection() -> None:
    slim, report = without(Mobile(), "blocks.0.project")
    assert report.blocks == ("blocks.0",)
    assert logits(slim) == torch.tensor([[468.0]])
    slim, report = without(Mobile(), "blocks.1.project")  # no shortcut, another width: one adapter for the three
    assert report.blocks == ()
    assert report.adapters == {"blocks.1.project": (2, 3)}
    assert logits(slim) == torch.tensor([[877.5]])  # (32.5, 35, 0)


def test_a_gate_goes_with_any_of_its_convs() -> None:
    for layer in ("blocks.0.gate.reduce", "blocks.0.gate.grow"):
        slim, report = without(Mobile(gate=True), layer)
        assert report.gates == ("blocks.0.gate",)
        assert report.removed == ("blocks.0.gate.reduce", "blocks.0.gate.grow")
        assert report.notes == (f"The whole gate blocks.0.gate goes with {layer}.",)
        assert next(slim.blocks[0].gate.parameters(), None) is None
        assert logits(slim) == torch.tensor([[1134.0]])
    slim, report = without(Mobile(gate=True), blocks=("blocks.0.gate",))
    assert logits(slim) == torch.tensor([[1134.0]])


def test_a_gate_goes_with_the_depthwise_conv_that_it_scales() -> None:
    slim, report = without(Mobile(gate=True), "blocks.0.expand")
    assert report.gates == ("blocks.0.gate",)
    assert "blocks.0.depthwise goes with the gate blocks.0.gate." in report.notes
    assert logits(slim) == torch.tensor([[378.0]])


def test_a_gate_without_a_module_is_opened() -> None:
    assert logits(Gated()) == torch.tensor([[3.75]])
    for layer in ("reduce", "grow"):
        slim, report = without(Gated(), layer)
        assert report.removed == ("reduce", "grow")
        assert report.gates == ("mul",)
        assert isinstance(slim.grow, Open)
        assert isinstance(slim.reduce, Copy)  # a functional ReLU reads it
        assert logits(slim) == torch.tensor([[7.5]])


def test_a_gate_of_another_function_cannot_be_opened() -> None:
    with pytest.raises(PlanError, match="grow cannot go: the gate mul does not end in a conv and a sigmoid"):
        cut(Gated("tanh"), plan("grow"), input_shape=SHAPE)


def test_every_conv_and_block_can_go() -> None:
    for model in (Mobile(), Mobile(gate=True), Gated()):
        graph = follow(model, SHAPE)
        assert {layer for layer, reason in removable(graph).items() if reason} == {"head"}
        assert set(removable_blocks(graph).values()) <= {None}
