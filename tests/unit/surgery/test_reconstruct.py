"""Reconstruction: what the readers of removed filters come to, on nets where the answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut
from cnngraph.surgery.reconstruct import reconstruct
from cnngraph.surgery.verify import state_hash, verify

SHAPE = (3, 8, 8)


class Redundant(nn.Module):
    """Two convs, a flattened dense layer; filter 3 of ``a`` is twice filter 0, and filter 1 of ``b`` is filter 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 9, 5)
        with torch.no_grad():
            self.a.weight[3], self.a.bias[3] = 2 * self.a.weight[0], 2 * self.a.bias[0]
            self.b.weight[1], self.b.bias[1] = self.b.weight[0], self.b.bias[0]

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(F.relu(self.a(x)))
        return self.head(F.max_pool2d(F.relu(self.norm(x)), 2).flatten(1))


def plan(**filters: tuple[int, ...]) -> Plan:
    return Plan(removes=tuple(Removal(layer=layer, kind="filters", filters=gone) for layer, gone in filters.items()))


def batches(images: int = 256) -> list[tuple[Tensor, Tensor]]:
    found = torch.randn(images, *SHAPE, generator=torch.Generator().manual_seed(1))
    return [(batch, torch.zeros(len(batch))) for batch in found.split(64)]


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Redundant().double().eval()


def test_filters_that_others_can_stand_in_for_cost_nothing(net: nn.Module) -> None:
    removal = plan(a=(3,), b=(1,))
    slim = cut(net, removal, input_shape=SHAPE)
    assert verify(net, slim, removal, input_shape=SHAPE).ok
    x = batches()[0][0].double()
    assert not torch.allclose(slim(x), net(x), atol=2e-3)
    before = state_hash(net)
    done = reconstruct(net, slim, removal, loader=batches())
    assert [found.join.layer for found in done] == ["b", "head"]
    assert all(found.relative_error is not None and found.relative_error < 0.01 for found in done)
    assert torch.allclose(slim(x), net(x), atol=2e-3)
    # The input that went is made up for by the one that it was twice of.
    assert torch.allclose(slim.b.weight[0, 0], net.b.weight[0, 0] + 2 * net.b.weight[0, 3], atol=2e-3)
    assert slim.b.weight.shape == (3, 3, 3, 3)
    assert state_hash(net) == before


def test_a_depthwise_conv_reads_what_it_read_and_a_grouped_one_keeps_its_weights() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 1, groups=2),
        nn.Conv2d(8, 4, 1),
        nn.Flatten(),
        nn.Linear(4 * 36, 5),
    ).eval()
    removal = plan(**{"0": (1, 5), "2": (0, 4)})
    slim = cut(net, removal, input_shape=SHAPE)
    assert (slim[2].in_channels, slim[2].groups) == (6, 2)
    kept = {name: tensor.clone() for name, tensor in slim.state_dict().items()}
    reasons = {found.join.layer: found.reason for found in reconstruct(net, slim, removal, loader=batches())}
    assert reasons == {"2": "it is a grouped conv", "3": ""}
    changed = {name for name, tensor in slim.state_dict().items() if not torch.equal(tensor, kept[name])}
    assert changed == {"3.weight", "3.bias"}


def test_with_layers_in_the_same_plan_the_layer_at_their_gap_is_left_alone() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Flatten(),
        nn.Linear(4 * 64, 5),
    ).eval()
    filters = plan(**{"0": (1, 2), "4": (0,)})
    mixed = filters.model_copy(update={"removes": (*filters.removes, Removal(layer="2"))})
    slim = cut(net, mixed, input_shape=SHAPE)
    done = reconstruct(net, slim, mixed, loader=batches())
    # "4" reads what is left of "0" now, in the place of "2": it is a join of another width.
    assert [found.join.layer for found in done] == ["6"]


def test_a_plan_without_filters_leaves_everything(net: nn.Module) -> None:
    removal = Plan(removes=(Removal(layer="b"),))
    assert reconstruct(net, cut(net, removal, input_shape=SHAPE), removal, loader=batches()) == ()
