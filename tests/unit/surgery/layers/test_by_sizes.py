"""Code that goes by the sizes of its maps goes on as it was followed; nothing is left that has no part."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.plan import Plan
from cnngraph.surgery.apply import apply, cut
from cnngraph.surgery.check import removable, removable_blocks
from cnngraph.surgery.layers.bypass import Adapter
from cnngraph.surgery.verify import train_failure, verify
from tests.unit.surgery.nets import batches, images, plan, seeded

SHAPE = (3, 8, 8)


class _TwoConvs(nn.Module):
    """``a`` (3 -> 8, unpadded), what a test does, ``b`` (4 -> 6), what a test does."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 6, 3, padding=1), nn.Linear(6, 2)

    def between(self, x: Tensor) -> Tensor:
        return x[:, :4]

    def behind(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.behind(self.b(self.between(self.a(x)))).mean((2, 3)))


class _Halves(_TwoConvs):
    """Half of 3 channels is 1, of which there are three."""

    def between(self, x: Tensor) -> Tensor:
        one, other = torch.split(x, x.size(1) // 2, 1)
        return torch.max(one, other)


class _Asserted(_TwoConvs):
    def behind(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 6
        return x


class _BySize(_TwoConvs):
    """6 x 6 places pass; 8 x 8, which there would be without ``a``, would be pooled."""

    def between(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2)[:, :4] if x.size(2) > 6 else x[:, :4]


@pytest.mark.parametrize(("made", "layer"), [(_Halves, "a"), (_Asserted, "b"), (_BySize, "a")])
def test_what_the_code_goes_by_stays(made: Callable[[], nn.Module], layer: str) -> None:
    model = seeded(made)
    slim = cut(model, plan(layer), input_shape=SHAPE)
    assert slim(images(2, *SHAPE)).shape == (2, 2)
    assert not train_failure(model, slim, SHAPE)


def test_parts_a_width_and_a_size_that_are_asked_for_are_kept_by_what_stands_in_the_gap() -> None:
    halves = cut(seeded(_Halves), plan("a"), input_shape=SHAPE).get_submodule("a")
    adapter = next(part for part in halves.modules() if isinstance(part, Adapter))
    assert (adapter.in_channels, adapter.out_channels) == (3, 8)
    asserted = cut(seeded(_Asserted), plan("b"), input_shape=SHAPE).get_submodule("b")
    assert (asserted.in_channels, asserted.out_channels) == (4, 6)
    cropped = cut(seeded(_BySize), plan("a"), input_shape=SHAPE).get_submodule("a")
    assert cropped(images(1, *SHAPE)).shape[2:] == (6, 6)


class _Checked(_TwoConvs):
    """Its code looks at a module itself, which following cannot see."""

    def behind(self, x: Tensor) -> Tensor:
        if self.b.out_channels != 6:
            raise ValueError("six")
        return x


def test_what_fails_while_it_is_fitted_is_said_in_a_line() -> None:
    model = seeded(_Checked)
    with pytest.raises(PlanError, match=r"test_by_sizes.py:\d+: 'Copy' object has no attribute 'out_ch") as caught:
        apply(model, plan("b", init="least-squares"), loader=batches(SHAPE), input_shape=SHAPE)
    assert "\n" not in caught.value.message


class _Recurrent(nn.Module):
    """One conv that reads what it gave: left out, what it read would be for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.again = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        state = x
        for norm in self.norms:
            state = norm(x + self.again(state)).relu()
        return self.fc(state.mean((2, 3)))


class _Attention(nn.Module):
    """Positions attend to each other; ``out`` is the last conv of the branch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.value, self.out = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        value = self.value(x).flatten(2)
        value = value @ (value.transpose(1, 2) @ value).softmax(-1)
        return self.fc((x + self.out(value.view(x.size(0), -1, *x.shape[2:]))).mean((2, 3)))


class _DenseBranch(nn.Module):
    """``out`` is the one conv of its branch; a dense layer over the channels comes before it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.mix, self.out = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4), nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.fc((x + self.out(self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))).mean((2, 3)))


def test_no_layer_stays_that_the_output_no_longer_depends_on() -> None:
    refused = removable_blocks(follow(seeded(_DenseBranch), SHAPE))["add"]
    assert refused == "add cannot go: mix would stay and have no part in what the net gives."


class _OwnNorm(nn.BatchNorm2d):
    """As timm's: followed into, since its forward is its own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (as in torch)
        x = F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, self.training)
        return F.relu(x)


class _ScaledBlock(nn.Module):
    """As ConvNeXt's: the block itself holds the scale of its branch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), _OwnNorm(4)
        self.scale = nn.Parameter(torch.full((4, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.norm(self.conv(x))


class _Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(_ScaledBlock(), _ScaledBlock())
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


@pytest.mark.parametrize(
    "what", [plan("blocks.0.conv"), plan(blocks=["blocks.0"]), plan(blocks=["blocks.0", "blocks.1"])]
)
def test_parameters_that_a_module_reads_itself_go_with_it(what: Plan) -> None:
    model = seeded(_Scaled)
    graph = follow(model, SHAPE)
    assert not any([*removable(graph).values(), *removable_blocks(graph).values()])
    slim = cut(model, what, input_shape=SHAPE)
    assert "blocks.0.scale" not in slim.state_dict()
    proof = verify(model, slim, what, input_shape=SHAPE)
    assert [failure for failure in proof.failures if not failure.startswith("save and load")] == []


def test_a_norm_before_a_branch_that_is_left_out_goes_too() -> None:
    slim = cut(seeded(_Recurrent), plan(blocks=["add_1"]), input_shape=SHAPE)
    assert [type(norm) for norm in slim.get_submodule("norms").children()] == [nn.Identity, nn.BatchNorm2d]


@pytest.mark.parametrize("made", [_Recurrent, _Attention])
def test_what_can_go_leaves_a_net_that_trains(made: Callable[[], nn.Module]) -> None:
    model = seeded(made)
    graph = follow(model, SHAPE)
    plans = [plan(layer) for layer, why in removable(graph).items() if why is None and "#" not in layer]
    plans += [plan(blocks=[block]) for block, why in removable_blocks(graph).items() if why is None]
    assert len(plans) >= 2
    for removal in plans:
        assert not train_failure(model, cut(model, removal, input_shape=SHAPE), SHAPE), removal.removed


class _Pair(nn.Module):
    """A cell that reads two values, as of architecture search."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.one(x) + self.other(y)


class _Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.cell, self.fc = nn.Conv2d(3, 4, 3, padding=1), _Pair(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.fc(self.cell(x, x).mean((2, 3)))


def test_a_block_that_reads_one_value_twice_cannot_be_one_map_that_passes() -> None:
    reasons = removable_blocks(follow(seeded(_Cells), SHAPE))
    assert reasons == {"cell": "The block cell cannot go: its module cell is called with other arguments than one map."}


class _Shared(nn.Module):
    """A block that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.block = nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.fc(self.block(x + self.block(x)).mean((2, 3)))


def test_a_block_that_is_called_twice_says_so() -> None:
    with pytest.raises(PlanError, match="its module block is called more than once"):
        cut(seeded(_Shared), plan(blocks=["block"]), input_shape=SHAPE)
