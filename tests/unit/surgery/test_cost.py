"""Costs reckoned without building equal those of the net that is built."""

from __future__ import annotations

import pytest
from torch import nn

from cnngraph.errors import PlanError
from cnngraph.models.registry import build
from cnngraph.network.graph import follow
from cnngraph.plan import Plan, Removal, Step
from cnngraph.surgery.apply import cut
from cnngraph.surgery.cost import Cost, Costs
from tests.toynets import toy, toy_shape

from .nets import LeNet, plan, seeded


def cost(model: nn.Module, shape: tuple[int, int, int], removes: list[str | Removal]) -> Cost:
    return Costs(follow(model, shape)).without(removes)


def test_by_hand() -> None:
    # a: 1 -> 2, b: 2 -> 3, 3x3 on 4 x 4; fc 3 -> 2. Without a, b reads 1 channel: 27 + 3 weights, 16 * 27 MACs.
    found = cost(toy("plain"), (1, 4, 4), ["a"])
    assert (found.parameters, found.macs, found.latency_ms) == (30 + 8, 16 * 27 + 6, None)


@pytest.mark.parametrize(
    ("name", "layers", "blocks"),
    [
        ("pooled", ["features.0"], []),
        ("residual", ["layer1.0.conv2", "layer2.0.conv1"], []),
        ("residual", ["layer1.0.conv1"], ["layer2.0"]),
        ("residual", [], ["layer1.0", "layer1.1", "layer2.0"]),
        ("bottleneck", ["conv3"], []),
        ("bottleneck", ["conv2", "conv3"], []),
        ("concat", ["row"], []),
    ],
)
def test_equal_to_the_cut_net(name: str, layers: list[str], blocks: list[str]) -> None:
    model, shape = toy(name), toy_shape(name)
    slim = cut(model, plan(*layers, blocks=blocks), input_shape=shape)
    found = cost(model, shape, [*layers, *(Removal(layer=block, kind="block") for block in blocks)])
    assert found.parameters == sum(parameter.numel() for parameter in slim.parameters())
    assert found.macs == sum(layer.macs for layer in follow(slim, shape).layers)


def test_larger_maps_cost_more() -> None:
    model = seeded(LeNet)
    slim = cut(model, plan("conv1"), input_shape=(1, 28, 28))
    found = cost(model, (1, 28, 28), ["conv1"])
    assert found.macs == sum(layer.macs for layer in follow(slim, (1, 28, 28)).layers)
    assert found.parameters == sum(parameter.numel() for parameter in slim.parameters())


def test_latencies_add_up() -> None:
    model = build("cnngraph:vgg11", classes=3, width=0.125)
    graph = follow(model, (3, 32, 32))
    table = {layer.layer: 1.0 for layer in graph.layers if layer.kind != "Input"}
    costs = Costs(graph, table)
    whole = costs.without([])
    assert whole.latency_ms == len(table)
    one = costs.without(["features.0"])
    assert one.latency_ms is not None
    assert one.latency_ms < len(table) - 2  # the conv and its ReLU are gone, and the next conv reads fewer channels
    with pytest.raises(PlanError):
        costs.without(["features.99"])


def test_the_steps_of_a_schedule_that_can_be_built_say_their_costs() -> None:
    steps = (Step(threshold=1.0, removed=("a",)), Step(threshold=2.0, removed=("a", "b")))
    first, second = Costs(follow(toy("plain"), (1, 4, 4))).annotate(Plan(schedule=steps)).schedule
    assert (first.threshold, first.parameters, first.macs, first.latency_ms) == (1.0, 38, 438, None)
    assert second == steps[1]
