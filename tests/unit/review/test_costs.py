"""What a net saves without one filter."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn

from cnngraph.models.registry import build
from cnngraph.plan import Plan, Removal
from cnngraph.review.costs import FilterCosts
from cnngraph.surgery.apply import apply
from cnngraph.surgery.channels.coupling import coupled


def costs(model: nn.Module, shape: tuple[int, int, int], latencies: dict[str, float] | None = None) -> FilterCosts:
    return FilterCosts(model, coupled(model, shape), latencies)


def test_golden_parameters_of_vgg16_at_224() -> None:
    """Osaku et al. 2021: one kernel of conv1_1 saves 604 parameters, one of conv5_3 205,313."""
    with torch.device("meta"):
        meta = torchvision.models.vgg16()
    model = meta.to_empty(device="cpu")
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    found = costs(model, (3, 224, 224))
    assert found.of("features.0", 5).parameters == 604
    assert found.of("features.28", 511).parameters == 205_313


@pytest.mark.parametrize(("name", "layer"), [("cnngraph:resnet20", "layer2.0.conv2"), ("cnngraph:mobilenet_v2", "")])
def test_as_many_as_the_net_without_it_has_fewer(name: str, layer: str) -> None:
    model = build(name, classes=10, in_channels=1, width=0.25).eval()
    found = costs(model, (1, 32, 32))
    layer = layer if layer in found.coupling.layers else next(iter(found.coupling.layers))
    saved = found.of(layer, 1)
    plan = Plan(removes=(Removal(layer=layer, kind="filters", filters=(1,)),))
    slim = apply(copy.deepcopy(model), plan, input_shape=(1, 32, 32))
    count = [sum(one.numel() for one in net.parameters()) for net in (model, slim)]
    assert saved.parameters == count[0] - count[1]
    assert saved.stays == ""


def test_milliseconds_are_the_share_of_the_layers_that_write_and_read_it() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(2 * 16, 3)).eval()
    found = costs(net, (1, 8, 8), {"0": 4.0, "2": 10.0, "4": 6.0})
    assert found.of("0", 2).milliseconds == pytest.approx(4.0 / 4 + 10.0 / 4)
    assert found.of("2", 0).milliseconds == pytest.approx(10.0 / 2 + 6.0 / 2)
    assert costs(net, (1, 8, 8)).of("0", 2).milliseconds is None


def test_one_that_cannot_go_says_why() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(36, 3)).eval()
    found = costs(net, (1, 8, 8)).of("0", 0)
    assert found.parameters is None
    assert "all that" in found.stays
    assert costs(net, (1, 8, 8)).of("0", 7).stays == "it is no filter that can be cut"
