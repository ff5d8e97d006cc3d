"""The groups of the graph are those of the surgeon: what a cut of one filter takes along, and what cannot go."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnngraph import trace
from cnngraph.console import Quiet
from cnngraph.errors import PlanError
from cnngraph.jobs.coupling_groups import with_coupling_groups
from cnngraph.network.spec import check
from cnngraph.network.tables import Network
from cnngraph.surgery.channels.coupling import coupled
from tests.toynets import TOYS, toy, toy_shape


def mapped(net: nn.Module, shape: tuple[int, int, int], view: str = "channels") -> Network:
    images = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    network = trace(net, [(images, torch.tensor([0, 1] * 2))], view=view, connections="none", correlations=False)
    return check(with_coupling_groups(network, net, Quiet()))


@pytest.mark.parametrize("name", TOYS)
def test_what_goes_along_is_what_the_surgeon_takes(name: str) -> None:
    net = toy(name)
    network = mapped(net, toy_shape(name))
    coupling = coupled(net, toy_shape(name))
    shared = dict(zip(*(network.layers[column].to_pylist() for column in ("layer", "shared_with")), strict=True))
    group_of = {
        (layer, channel): row
        for row in network.coupling_groups.to_pylist()
        for layer, channel in zip(row["layers"], row["channels"], strict=True)
    }
    for row in network.feature_maps.to_pylist():
        layer, channel = row["layer"], row["channel"]
        module = shared[layer] or layer
        if module not in coupling.layers:
            continue
        group = group_of.get((layer, channel), {"layers": [layer], "channels": [channel], "fixed": None})
        try:
            expected = coupling.closure({module: [channel]})
        except PlanError as error:
            assert group["fixed"] is None or group["fixed"] in error.message or "all" in error.message
            assert group["fixed"] is not None or "all" in error.message
            continue
        assert group["fixed"] is None
        found = {(shared[one] or one, number) for one, number in zip(group["layers"], group["channels"], strict=True)}
        filters = {(one, number) for one, numbers in expected.items() for number in numbers}
        assert {pair for pair in found if pair[0] in coupling.layers} == filters


def test_each_call_of_a_module_has_its_map_in_the_group() -> None:
    network = mapped(toy("twice"), toy_shape("twice"))
    assert any({"conv", "conv#2"} <= set(row["layers"]) for row in network.coupling_groups.to_pylist())


def test_a_network_without_maps_has_no_groups() -> None:
    assert mapped(toy("residual"), toy_shape("residual"), view="positions").coupling_groups.num_rows == 0
