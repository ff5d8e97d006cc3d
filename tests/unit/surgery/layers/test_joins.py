"""Each kind of join on nets whose outputs can be worked out by hand: sums, concatenations, norms, calls, heads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.surgery.apply import Report, apply_with_report, cut
from cnngraph.surgery.check import removable, removable_blocks
from cnngraph.surgery.cost import Costs
from cnngraph.surgery.layers.bypass import Adapter, Nothing
from tests.unit.surgery.nets import plan

from .joint_nets import Auxiliary, Composite, Dense, DenseHead, Joined, Pooled, Squeeze, Sum, Twice, conv, image

SHAPE = (1, 2, 2)
X = image([1.0, 2.0], [3.0, 4.0])  # mean 2.5; a stride of 2 sees its 1, a pool of 2 its mean


def without(model: nn.Module, *layers: str, blocks: tuple[str, ...] = ()) -> tuple[nn.Module, Report]:
    """``model`` after a cut; its parameters are those that the costs were reckoned at."""
    made = plan(*layers, blocks=blocks)
    slim, report = apply_with_report(model.eval(), made, input_shape=SHAPE)
    reckoned = Costs(follow(model, SHAPE)).without(made.removes)
    if not isinstance(model, Auxiliary):  # whose head the costs do not see
        assert reckoned.parameters == sum(parameter.numel() for parameter in slim.parameters())
    return slim, report


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(X)  # type: ignore[no-any-return]


def test_an_adapter_gives_a_sum_its_width() -> None:
    assert logits(Sum()) == torch.tensor([[48.0]])
    slim, report = without(Sum(), "stem")
    assert type(slim.stem) is Adapter
    assert slim.stem.weight.flatten().tolist() == [1.0, 0.0]  # the image, and a channel of zeros
    # (x, 0) + branch -> (2x, 0); narrow 2, wide (2, 4, 6); shortcut (2, 0, 2)
    assert logits(slim) == torch.tensor([[16.0]])
    assert report.adapters == {"stem": (1, 2)}
    assert [(join.layer, join.target) for join in report.joins] == [("stem", "stem")]


def test_an_adapter_is_fitted_to_what_was_there() -> None:
    loader = [(torch.randn(32, 1, 4, 4, generator=torch.Generator().manual_seed(i)), torch.zeros(32)) for i in range(4)]
    slim, report = apply_with_report(Sum().eval(), plan("stem", init="least-squares"), loader=loader)
    assert 0 < report.errors["stem"] < 0.01  # the ridge alone
    torch.testing.assert_close(slim.stem.weight.flatten(), torch.tensor([1.0, 2.0]), rtol=0.01, atol=0)
    torch.testing.assert_close(logits(slim), torch.tensor([[48.0]]), rtol=0.01, atol=0)


def test_a_projection_is_left_out_of_its_sum() -> None:
    slim, report = without(Sum(), "shortcut")
    assert isinstance(slim.shortcut, Nothing)
    assert logits(slim) == torch.tensor([[36.0]])  # wide's (6, 12, 18) alone
    assert report.left_out == ("shortcut",)
    assert report.notes == ("What shortcut gave is left out of the sum add_1.",)
    assert report.bypasses == {"shortcut": "AvgPool2d(kernel_size=(2, 2), stride=(2, 2), padding=0)"}
    again = cut(slim, plan("branch"), input_shape=SHAPE)  # what stands for nothing can be followed
    assert logits(again) == torch.tensor([[36.0]])


def test_both_ways_of_a_sum_cannot_go() -> None:
    slim, report = without(Sum(), "narrow", "wide", "shortcut")
    assert report.left_out == ()  # or nothing would be left: one adapter stands for the three
    assert len(report.adapters) <= 1
    assert logits(slim).shape == (1, 1)


def test_a_branch_without_a_module_is_left_out_of_its_sum() -> None:
    assert removable_blocks(follow(Sum(), SHAPE)) == {"add": None, "add_1": None}
    slim, report = without(Sum(), blocks=("add",))
    assert report.removed == ("branch",)
    # (x, 2x): narrow 3, wide (3, 6, 9), shortcut (1, 2, 3)
    assert logits(slim) == torch.tensor([[24.0]])


def test_the_readers_of_a_concatenation_keep_the_weights_of_each_part() -> None:
    assert logits(Joined()) == torch.tensor([[135802.5]])
    slim, report = without(Joined(), "left")
    assert slim.head.weight.flatten().tolist() == [1.0, 100.0, 1000.0, 10000.0]
    assert logits(slim) == torch.tensor([[135752.5]])
    assert report.adapters == {}


def test_an_adapter_gives_a_shared_norm_its_width() -> None:
    assert logits(Dense()) == torch.tensor([[651 * 2.5 + 422]])
    slim, report = without(Dense(), "stem")
    assert report.adapters == {"stem": (1, 2)}
    assert logits(slim) == torch.tensor([[949.5]])  # 211 x + 422
    slim, report = without(Dense(), "grow2")
    assert report.adapters == {"grow2": (2, 1)}  # norm3 reads it beside the stream
    # norm2 (x + 1, 5x + 1), of which the first goes on: (x + 2) + 10 (5x + 2) + 100 (x + 3)
    assert logits(slim) == torch.tensor([[151 * 2.5 + 322]])


def test_norms_follow_where_an_adapter_would_be_what_was_there() -> None:
    slim, report = without(Dense(), "transition")
    assert report.adapters == {}
    assert slim.norm2.bias.tolist() == [1.0, 1.0, 0.0]  # the third channel starts fresh
    assert slim.norm3.bias.tolist() == [2.0, 2.0, 0.0, 2.0]
    assert slim.norm3.num_features == 4
    assert slim.head.weight.flatten()[[0, 1, 3]].tolist() == [1.0, 10.0, 100.0]
    assert report.notes == ("The norms behind transition take the width that comes in.",)


def test_a_module_that_is_called_twice_goes_with_both_calls() -> None:
    assert logits(Twice()) == torch.tensor([[75.5]])
    slim, report = without(Twice(), "again")
    assert logits(slim) == torch.tensor([[7.5]])
    assert isinstance(slim.norm, nn.Identity)  # both of its calls belong to the conv
    assert report.removed == ("again",)


def test_a_module_that_is_called_twice_gets_the_width_that_it_had() -> None:
    slim, report = without(Twice(), "stem")
    assert report.adapters == {"stem": (1, 2)}
    assert logits(slim) == torch.tensor([[30.5]])  # 9x + 4 and 4


def test_an_auxiliary_head_is_cut_along() -> None:
    slim, report = without(Auxiliary(), "second")
    assert report.resized == {"aux": (2, 1), "head": (2, 1)}
    assert [output.item() for output in slim.train()(X)] == [7.5, 7.5]
    assert logits(slim) == torch.tensor([[7.5]])


def test_a_norm_with_an_activation_inside_goes_as_a_whole() -> None:
    assert logits(Composite()) == torch.tensor([[5.0]])
    slim, report = without(Composite(), "first")
    assert isinstance(slim.norm, nn.Identity)
    assert logits(slim) == torch.tensor([[5.0]])
    slim, report = without(Composite(), "second")
    assert logits(slim) == torch.tensor([[2.5]])
    assert [(join.layer, join.target) for join in report.joins] == [("second", "norm2")]


def test_a_dense_layer_with_a_forward_of_its_own_is_resized() -> None:
    assert logits(DenseHead()) == torch.tensor([[8.5]])
    slim, report = without(DenseHead(), "last")
    assert report.resized == {"fc": (1, 1)}
    assert [join.layer for join in report.joins] == ["fc"]
    assert logits(slim) == torch.tensor([[3.5]])


def test_a_fire_module_goes_as_a_block() -> None:
    assert logits(Squeeze()) == torch.tensor([[22.5]])
    assert removable_blocks(follow(Squeeze(), SHAPE)) == {"fire": None}
    slim, report = without(Squeeze(), blocks=("fire",))
    assert type(slim.fire) is Adapter
    assert report.regions == ("fire",)
    assert report.removed == ("fire.squeeze", "fire.left", "fire.right")
    assert [(join.layer, join.target) for join in report.joins] == [("fire", "fire")]
    assert logits(slim) == torch.tensor([[7.5]])  # (x, 2x, 0)
    slim, report = without(Squeeze(), "fire.right")
    assert report.adapters == {"fire.right": (1, 2)}
    assert logits(slim) == torch.tensor([[15.0]])  # 3x, 3x, 0


def test_what_gives_the_output_stays() -> None:
    assert removable(follow(Sum(), SHAPE))["head"] == "head cannot go: it gives the net's output."
    with pytest.raises(PlanError, match="The classifier stays") as caught:
        cut(Joined(), plan("head"), input_shape=SHAPE)
    assert caught.value.hint == "The classifier stays."


class _Clamped(nn.Module):
    """``act(x + conv(x))``."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.act = conv([[1.0]]), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.conv(x))  # type: ignore[no-any-return]


class _Clamps(Pooled):
    """A clamp to -2..2, then a block that ends in the clamp ``act``."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.stem, self.wide, self.block = conv([[1.0]]), nn.Hardtanh(-2, 2), _Clamped(act)
        self.head = conv([[1.0]])

    def body(self, x: Tensor) -> Tensor:
        return self.block(self.wide(self.stem(x)))  # type: ignore[no-any-return]


def test_a_clamp_stays_unless_the_same_one_was_before_it() -> None:
    slim, _ = without(_Clamps(nn.Hardtanh(-0.5, 0.5)), blocks=("block",))
    assert logits(slim) == torch.tensor([[0.5]])
    slim, _ = without(_Clamps(nn.Hardtanh(-2, 2)), blocks=("block",))
    assert isinstance(slim.block, nn.Identity)
    assert logits(slim) == torch.tensor([[1.75]])


class _Weighted(Pooled):
    """A sum one side of which counts half."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.head = conv([[1.0]]), conv([[4.0]]), conv([[1.0]])

    def body(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.add(self.conv(x), x, alpha=0.5)


def test_a_sum_with_a_factor_is_no_sum_that_a_branch_can_leave() -> None:
    assert logits(_Weighted()) == torch.tensor([[11.25]])
    assert None not in removable_blocks(follow(_Weighted(), SHAPE)).values()
    slim, _ = without(_Weighted(), "conv")
    assert logits(slim) == torch.tensor([[3.75]])  # x + x / 2
