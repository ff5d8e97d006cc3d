"""Blocks of torchvision's nets, by name, and of nets whose blocks are written as functions and no class knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from cnngraph.network.blocks import Block, find_blocks
from cnngraph.network.graph import follow
from cnngraph.network.tables import BLOCK_KINDS
from tests.toynets import BasicBlock, toy, toy_shape


def blocks_of(model: nn.Module, *shape: int) -> tuple[Block, ...]:
    channels, height, width = shape
    return find_blocks(follow(model.eval(), (channels, height, width)))


@contextmanager
def skipped_initialisation() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("kaiming_normal_", "kaiming_uniform_", "uniform_", "normal_", "trunc_normal_"):
            patch.setattr(nn.init, name, lambda tensor, *_, **__: nn.init.zeros_(tensor))
        yield


def of_torchvision(name: str, size: int = 64) -> tuple[Block, ...]:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with skipped_initialisation():  # no number is looked at, and random ones take seconds
        model = torchvision.models.get_model(name, weights=None, **options)
    return blocks_of(model, 3, size, size)


def named(blocks: tuple[Block, ...], *kinds: str) -> list[str]:
    return [block.name for block in blocks if block.kind in (kinds or BLOCK_KINDS)]


# Nets of torchvision


def test_resnet18_has_eight_residual_blocks() -> None:
    blocks = of_torchvision("resnet18")
    assert named(blocks) == [f"layer{stage}.{number}" for stage in (1, 2, 3, 4) for number in (0, 1)]
    assert {block.kind for block in blocks} == {"residual"}
    assert blocks[2] == Block(
        name="layer2.0",
        kind="residual",
        entry="layer1.1.relu#2",
        exit="add_2",
        layers=(
            "layer2.0.conv1",
            "layer2.0.bn1",
            "layer2.0.relu",
            "layer2.0.conv2",
            "layer2.0.bn2",
            "layer2.0.downsample.0",
            "layer2.0.downsample.1",
            "add_2",
            "layer2.0.relu#2",
        ),
        module="layer2.0",
    )


def test_densenet121_has_four_dense_blocks() -> None:
    blocks = of_torchvision("densenet121")
    assert named(blocks) == [f"features.denseblock{number}" for number in (1, 2, 3, 4)]
    assert [len(block.layers) for block in blocks] == [43, 85, 169, 113]
    assert {block.kind for block in blocks} == {"concat"}


def test_googlenet_has_nine_inception_modules() -> None:
    assert named(of_torchvision("googlenet")) == [
        f"inception{which}" for which in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    ]


def test_inception_v3_has_eleven_modules_and_the_forks_inside_two_of_them() -> None:
    blocks = of_torchvision("inception_v3", 75)
    outer = [block.name for block in blocks if block.parent is None]
    assert outer == [f"Mixed_{which}" for which in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]
    assert Counter(block.parent for block in blocks if block.parent) == {"Mixed_7b": 2, "Mixed_7c": 2}
    assert {block.module for block in blocks if block.parent} == {None}


def test_squeezenet_has_eight_fire_modules_with_their_squeeze() -> None:
    blocks = of_torchvision("squeezenet1_1")
    assert named(blocks) == [f"features.{number}" for number in (3, 4, 6, 7, 9, 10, 11, 12)]
    assert blocks[0].layers[0] == "features.3.squeeze" and blocks[0].entry == "features.3.squeeze_activation"


def test_mobilenet_v2_has_seventeen_inverted_residuals() -> None:
    blocks = of_torchvision("mobilenet_v2")
    assert named(blocks) == [f"features.{number}" for number in range(1, 18)]
    assert named(blocks, "chain") == [f"features.{number}" for number in (1, 2, 4, 7, 11, 14, 17)]
    assert blocks[0].entry == "features.0.2" and blocks[0].exit == "features.1.conv.2"


def test_efficientnet_b0_has_a_gate_inside_each_of_its_sixteen_blocks() -> None:
    blocks = of_torchvision("efficientnet_b0")
    around = [
        f"features.{s}.{n}" for s, count in zip(range(1, 8), (1, 2, 2, 3, 3, 4, 1), strict=True) for n in range(count)
    ]
    assert named(blocks, "residual", "chain") == around and len(around) == 16
    assert [block.parent for block in blocks if block.kind == "gate"] == around
    assert named(blocks, "gate")[:2] == ["features.1.0.block.1", "features.2.0.block.2"]


def test_shufflenet_has_sixteen_units() -> None:
    blocks = of_torchvision("shufflenet_v2_x0_5")
    units = [f"stage{stage}.{n}" for stage, count in ((2, 4), (3, 8), (4, 4)) for n in range(count)]
    assert named(blocks, "concat") == named(blocks) == units
    assert blocks[1].entry == blocks[1].layers[0] == "chunk"  # the split is its own, and so is the shuffle
    assert blocks[1].layers[-1].startswith("view")


def test_convnext_has_eighteen_blocks() -> None:
    blocks = of_torchvision("convnext_tiny")
    stages = [f"features.{s}.{n}" for s, count in ((1, 3), (3, 3), (5, 9), (7, 3)) for n in range(count)]
    assert named(blocks, "residual") == named(blocks) == stages


def test_regnet_names_its_blocks_and_not_the_stages_around_a_single_one() -> None:
    blocks = of_torchvision("regnet_y_400mf")
    counts = Counter(block.kind for block in blocks)
    assert counts == {"residual": 16, "gate": 16}
    assert named(blocks)[:2] == ["trunk_output.block1.block1-0", "trunk_output.block1.block1-0.f.se"]


def test_a_chain_has_stages_without_its_pools() -> None:
    blocks = of_torchvision("vgg11")
    assert named(blocks, "stage") == [f"stage{number}" for number in range(1, 6)]
    assert blocks[2] == Block(
        "stage3", "stage", "features.5", "features.9", tuple(f"features.{n}" for n in (6, 7, 8, 9)), None
    )
    assert [block.layers for block in of_torchvision("alexnet")][2] == tuple(f"features.{n}" for n in range(6, 12))


def test_what_changes_the_size_begins_a_stage_and_dropout_belongs_to_one_between_its_convs() -> None:
    def conv(inputs: int, outputs: int, stride: int = 1, padding: int = 1) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, stride, padding)

    net = nn.Sequential(
        *(conv(1, 2), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout2d(), conv(2, 2), nn.Dropout()),
        *(conv(2, 4, stride=2), nn.ReLU(), conv(4, 4, padding=0), nn.Flatten()),
    )
    assert [block.layers for block in blocks_of(net, 1, 8, 8)] == [tuple("01234"), tuple("67"), ("8",)]


def test_a_stage_that_is_a_module_has_its_name_and_no_name_is_given_twice() -> None:
    first = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
    parts = {"body": first, "pool": nn.MaxPool2d(2), "stage2": nn.Conv2d(2, 2, 3, padding=1), "end": nn.Flatten()}
    net = nn.Sequential()
    for name, part in parts.items():
        net.add_module(name, part)
    found = [(block.name, block.module) for block in blocks_of(net, 1, 8, 8)]
    assert found == [("body", "body"), ("stage2_", None)]


# Blocks that are written as functions


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", [("stage1", "stage", "input", ("a", "relu", "b"))]),
        ("cross", []),  # two pools side by side: nothing to remove
        # x + x and x * x fork nothing
        ("twice", [("stage1", "stage", "input", ("conv", "relu", "conv#2", "relu#2"))]),
        (
            "bottleneck",
            [("add", "residual", "relu", ("conv1", "bn1", "relu_1", "conv2", "bn2", "relu_2", "conv3", "bn3", "add"))],
        ),
        ("concat", [("cat", "concat", "relu", ("row", "column", "cat"))]),
        ("gate", [("mul", "gate", "silu", ("adaptive_avg_pool2d", "squeeze", "relu", "excite", "sigmoid", "mul"))]),
    ],
)
def test_blocks_in_the_forward_of_the_net_go_by_their_exit(name: str, expected: list[tuple[object, ...]]) -> None:
    blocks = blocks_of(toy(name), *toy_shape(name))
    assert [(block.name, block.kind, block.entry, block.layers) for block in blocks] == expected
    assert {(block.module, block.parent) for block in blocks} <= {(None, None)}


class GatedResidual(nn.Module):
    """The fork of the gate is the fork of the sum too; an activation that multiplies stands behind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return self.fc((x * torch.sigmoid(x)).mean((2, 3)))


def test_a_gate_inside_a_sum_from_the_same_fork() -> None:
    blocks = blocks_of(GatedResidual(), 1, 6, 6)
    assert [(block.name, block.kind, block.entry, block.parent) for block in blocks] == [
        ("add", "residual", "stem", None),
        ("mul", "gate", "stem", "add"),
    ]


class ThreeWays(nn.Module):
    """A RepVGG-like sum of three, made of two additions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return F.relu(self.a(x) + self.b(x) + x)


def test_a_sum_of_three_is_one_block() -> None:
    blocks = blocks_of(ThreeWays(), 1, 6, 6)
    assert [(block.name, block.entry, block.layers) for block in blocks] == [
        ("add_1", "stem", ("a", "b", "add", "add_1"))
    ]


class Leaky(nn.Module):
    """What lies between a fork and its sum is read from elsewhere, or returned: no block."""

    def __init__(self, returns: bool) -> None:
        super().__init__()
        self.returns = returns
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.stem(x)
        inside = self.a(x)
        total = self.b(inside) + x
        return (total, inside) if self.returns else total


def test_a_value_that_leaves_half_way_makes_it_no_block() -> None:
    assert named(blocks_of(Leaky(returns=False), 1, 6, 6)) == ["add"]
    assert blocks_of(Leaky(returns=True), 1, 6, 6) == ()


class Nested(nn.Module):
    """Two levels of a U: the inner fork and join lie inside the outer one."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = nn.Conv2d(1, 2, 3, padding=1)
        self.inner = nn.Conv2d(2, 2, 3, padding=1)
        self.bottom = nn.Conv2d(2, 2, 3, padding=1)
        self.last = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        outer = self.outer(x)
        inner = self.inner(F.max_pool2d(outer, 2))
        bottom = F.interpolate(self.bottom(F.max_pool2d(inner, 2)), scale_factor=2.0)
        middle = F.interpolate(torch.cat([inner, bottom], 1), scale_factor=2.0)
        return self.last(torch.cat([outer, middle], 1))


def test_the_levels_of_a_u_are_nested() -> None:
    blocks = blocks_of(Nested(), 1, 8, 8)
    assert [(block.name, block.entry, block.parent) for block in blocks] == [
        ("cat_1", "outer", None),
        ("cat", "inner", "cat_1"),
    ]


class Recurrent(nn.Module):
    """One block called twice, and one of the same class, with a deeper trunk around a fork than in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.block = BasicBlock(4, 4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(self.block(self.stem(x))).mean((2, 3)))


def test_a_block_that_is_called_twice_is_two_blocks() -> None:
    blocks = blocks_of(Recurrent(), 1, 6, 6)
    assert [(block.name, block.module, block.layers[0]) for block in blocks] == [
        ("block", "block", "block.conv1"),
        ("block#2", "block", "block.conv1#2"),
    ]


class Trunk(nn.Module):
    """A module with one small fork in a long chain."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
        self.branch = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x + self.branch(x)


def test_a_long_chain_with_one_fork_does_not_lend_it_its_name() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 1), Trunk(), nn.Flatten())
    assert [(block.name, block.module, block.layers) for block in blocks_of(net, 1, 4, 4)] == [
        ("add", None, ("1.branch", "add"))
    ]
