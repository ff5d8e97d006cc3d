"""Every conv and every block of the nets that people prune: it can go, or there is a reason."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from cnngraph.models.registry import build
from cnngraph.network.blocks import find_blocks
from cnngraph.network.graph import LayerGraph, follow
from cnngraph.surgery.apply import cut
from cnngraph.surgery.check import removable, removable_blocks

from .nets import plan

# name: input size, convs that cannot go by themselves, blocks
NETS: dict[str, tuple[int, list[str], int]] = {
    "cnngraph:lenet5": (32, [], 0),
    "cnngraph:alexnet": (32, [], 0),
    "cnngraph:vgg11": (32, [], 0),
    "cnngraph:vgg16": (32, [], 0),
    "cnngraph:vgg16_bn": (32, [], 0),
    "cnngraph:resnet20": (32, [], 9),
    "torchvision:alexnet": (64, [], 0),
    "torchvision:vgg13_bn": (32, [], 0),
    "torchvision:resnet18": (32, [], 8),
    "torchvision:resnet50": (32, [], 16),
}


def _net(name: str) -> tuple[nn.Module, int]:
    family, _, rest = name.partition(":")
    size = NETS[name][0]
    if family == "torchvision":
        with torch.random.fork_rng(devices=[]):
            return _small(getattr(torchvision.models, rest), rest), size
    return build(name, classes=3, size=size, width=0.125), size


def _small(builder: object, name: str) -> nn.Module:
    """Narrow, where the builder has a width: the structure is what is tested."""
    narrow = {"width_per_group": 8} if name == "resnet50" else {}
    return builder(weights=None, num_classes=3, **narrow).eval()  # type: ignore[operator, no-any-return]


def _works(slim: nn.Module, size: int) -> None:
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    logits = slim.train()(x)
    assert logits.shape == (2, 3)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in slim.parameters())


def blocks_but_stages(graph: LayerGraph) -> dict[str, str | None]:
    """Stages of a chain are only replaced."""
    stages = {block.name for block in find_blocks(graph) if block.kind == "stage"}
    return {name: reason for name, reason in removable_blocks(graph).items() if name not in stages}


@pytest.mark.parametrize("name", NETS)
def test_reasons(name: str) -> None:
    model, size = _net(name)
    graph: LayerGraph = follow(model, (3, size, size))
    found = removable(graph)
    assert [layer for layer, reason in found.items() if reason] == NETS[name][1]
    blocks = blocks_but_stages(graph)
    assert len(blocks) == NETS[name][2]
    assert set(blocks.values()) <= {None}


@pytest.mark.parametrize("name", [name for name in NETS if "cnngraph" in name])
def test_every_conv_and_block_trains_without(name: str) -> None:
    model, size = _net(name)
    graph = follow(model, (3, size, size))
    for layer, reason in removable(graph).items():
        if reason is None:
            _works(cut(model, plan(layer), input_shape=(3, size, size)), size)
    for block in blocks_but_stages(graph):
        _works(cut(model, plan(blocks=[block]), input_shape=(3, size, size)), size)


def test_deep_cuts_of_torchvision_resnets_train() -> None:
    for name, layers, blocks in (
        ("torchvision:resnet18", ["layer1.0.conv1", "layer2.0.conv2", "layer3.0.conv1"], ["layer4.0", "layer4.1"]),
        ("torchvision:resnet50", ["conv1", "layer1.0.conv3", "layer2.0.conv2", "layer3.1.conv1"], ["layer4.1"]),
    ):
        model, size = _net(name)
        _works(cut(model, plan(*layers, blocks=blocks), input_shape=(3, size, size)), size)


def test_the_stem_of_a_bottleneck_net_can_go() -> None:
    model, size = _net("torchvision:resnet50")
    slim = cut(model, plan("conv1"), input_shape=(3, size, size))
    assert slim.layer1[0].conv1.in_channels == 3
    assert slim.layer1[0].downsample[0].in_channels == 3
