"""Sizes: the counts said beforehand are those of the Network that comes of it."""

from __future__ import annotations

import pytest
import torch
import torchvision

from cnngraph import trace
from cnngraph.network.graph import follow
from cnngraph.network.sizes import estimate
from tests.toynets import TOYS, toy, toy_shape

EXACT = ("layers", "feature_maps", "connections", "positions", "arcs", "classes")


@pytest.mark.parametrize("name", TOYS)
def test_counts_beforehand_are_those_afterwards(name: str) -> None:
    graph = follow(toy(name), toy_shape(name))
    data = [(torch.randn(4, *toy_shape(name)), torch.tensor([0, 1, 0, 1]))]
    for options in ({}, {"view": "channels", "connections": "top:1"}, {"view": "positions"}):
        network = trace(toy(name), data, **options)  # type: ignore[arg-type]
        before, after = estimate(graph, classes=2, **options), estimate(network)  # type: ignore[arg-type]
        assert (
            [before[key] for key in EXACT] == [after[key] for key in EXACT] == [network.counts()[key] for key in EXACT]
        )


def test_nodes_and_relationships_add_up() -> None:
    graph = follow(toy("plain"), toy_shape("plain"))
    sizes = estimate(graph, classes=3, correlations=False)
    # input, a, relu, b, mean, fc; maps 1 + 2 + 3 + 2; positions 4 + 16; a model, three classes, one stage.
    assert sizes["nodes"] == 1 + 6 + 8 + 20 + 3 + 1
    # HAS_LAYER 6, FEEDS 5, HAS_FEATURE_MAP 8, HAS_CLASS 3, CONNECTS 2 + 6 + 6, ARC 36, CONTAINS 3.
    assert sizes["relationships"] == 6 + 5 + 8 + 3 + 14 + 36 + 3
    assert 0 < sizes["gigabytes"] < 0.001 and 0 < sizes["minutes"] < 0.01


def test_vgg16_at_224() -> None:
    with torch.device("meta"):
        net = torchvision.models.vgg16(weights=None)
    net = net.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    sizes = estimate(follow(net, (3, 224, 224)))
    assert sizes["positions"] == 134_028 and sizes["arcs"] == 1_178_948
    # 1.6 million between convs; 64 of each unit of the three dense layers.
    assert sizes["connections"] == 1_634_496 + 64 * (4096 + 4096 + 1000)
    assert 0.1 < sizes["gigabytes"] < 1 and 0.5 < sizes["minutes"] < 5


def test_more_classes_take_more_room() -> None:
    graph = follow(toy("plain"), toy_shape("plain"))
    assert estimate(graph, classes=100)["gigabytes"] > estimate(graph, classes=2)["gigabytes"]
