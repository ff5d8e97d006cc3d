"""Numbers of channels that the code reckons with, and steps that keep channels apart: what may go, and what may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filters import slice_channels
from cnngraph.surgery.channels.masked import masked
from cnngraph.surgery.output_diff import output_diff
from tests.unit.surgery.nets import images, seeded

from .coupled_nets import SHAPE, Net, conv


def net(run: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> nn.Module:
    """Conv ``a`` to 4 channels, a function of its maps, conv ``b`` from 4 to 3."""
    return seeded(lambda: Net(lambda n, x: n.b(run(n, n.a(x))), 3, a=conv(1, 4), b=conv(4, 3), **layers))


def free(net: nn.Module, layer: str = "a") -> int:
    """How many filters of a layer may go; what is said to may is proven to, one group after the other."""
    coupling = coupled(net, SHAPE)
    mine = [group for group in coupling.groups if not group.fixed and layer in dict(group.filters)]
    batch = [images(8, *SHAPE)]
    for group in mine:
        gone = {layer: [channel for name, channel in group.filters if name == layer]}
        if len(gone[layer]) < coupling.layers[layer]:
            slim = slice_channels(net, coupling, gone)
            assert output_diff(slim, masked(net, coupling, gone), batch, batch).relative < 1e-12
    return sum(name == layer for group in mine for name, _ in group.filters)


def attention(net: Any, x: Tensor) -> Tensor:
    """Attention of places, whose result takes the shape of what came in."""
    images, channels, rows, columns = x.shape
    query = net.q(x).flatten(2)
    weights = torch.softmax(query.transpose(1, 2) @ query, -1)
    return net.o((query @ weights).view(images, channels, rows, columns)) + x


def renamed(net: Any, x: Tensor) -> Tensor:
    """The result of another conv in the shape of ``x``."""
    return net.q(x).reshape(x.shape)


def context(net: Any, x: Tensor) -> Tensor:
    """One vector for the whole image, by weights of its places."""
    images, channels, rows, columns = x.shape
    weights = torch.softmax(net.w(x).view(images, 1, rows * columns), -1)
    return x + torch.matmul(x.view(images, channels, rows * columns), weights.transpose(1, 2)).view(
        images, channels, 1, 1
    )


def test_a_size_that_another_value_takes_stays_true() -> None:
    assert free(net(renamed, q=conv(4, 4))) == 4  # q goes along
    coupling = coupled(net(renamed, q=conv(4, 4)), SHAPE)
    assert dict(coupling.groups[0].filters) == {"a": 0, "q": 0}
    assert free(net(lambda _, x: F.softmax(x, 1).view(x.shape[0], x.shape[1], 6, 6))) == 0
    # A tensor of one value that is made as wide as the map follows it.
    assert free(net(lambda _, x: x + torch.ones(2, 1, 1, 1).sum() * torch.zeros(1, x.shape[1], 1, 1))) == 4


def test_channels_that_are_counted_stay() -> None:
    assert free(net(lambda _, x: x * (x[0].numel() / 100))) == 0
    assert free(net(lambda _, x: x * (x.shape[2] / 100))) == 4


def test_every_way_to_reckon_with_a_count_holds_the_channels() -> None:
    assert free(net(lambda _, x: x * (64 // x.size(1)))) == 0
    assert free(net(lambda _, x: x * (65 % x.size(1)))) == 0
    assert free(net(lambda _, x: x * 2 ** x.size(1))) == 0
    assert free(net(lambda _, x: x * -x.size(1))) == 0


def test_channels_that_say_where_others_are_read_stay() -> None:
    def warp(net: Any, x: Tensor) -> Tensor:
        return F.grid_sample(x, net.off(x).tanh().permute(0, 2, 3, 1), align_corners=False)

    moved = net(warp, off=conv(4, 2))
    assert free(moved) == 4
    assert free(moved, "off") == 0


def test_a_layer_may_be_called_by_keyword() -> None:
    assert free(seeded(lambda: Net(lambda n, x: n.b(input=n.a(input=x)), 3, a=conv(1, 4), b=conv(4, 3)))) == 4


def test_a_decision_by_the_number_of_channels_holds_them() -> None:
    assert free(net(lambda _, x: x * 2 if x.shape[1] >= 4 else x)) == 0
    assert free(net(lambda _, x: x * 2 if x.shape[1] % 2 == 0 else x)) == 0
    assert free(net(lambda _, x: x * 2 if x.shape[-1] >= 4 else x)) == 4


def test_of_two_stored_numbers_one_may_change() -> None:
    def run(net: Any, x: Tensor) -> Tensor:
        left, right = torch.split(x, [net.part, net.width - net.part], 1)
        return torch.cat([torch.relu(left), right], 1)

    made = net(run)
    made.width, made.part = 4, 1
    assert free(made) == 3


def test_attention_over_places() -> None:
    assert free(net(context, w=conv(4, 1))) == 4
    assert free(net(context, w=conv(4, 1)), "w") == 0
    assert free(net(attention, q=conv(4, 4), o=conv(4, 4)), "q") == 0  # it sums over them


class HandedOn(nn.GroupNorm):
    """A norm with a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_norm_whose_forward_calls_the_function(groups: int) -> None:
    assert free(net(lambda n, x: n.norm(x), norm=HandedOn(groups, 4))) == 4


@pytest.mark.parametrize(
    "step",
    [
        lambda _, x: x.flatten(2).view_as(x),
        lambda n, x: F.prelu(x, n.slope),
        lambda _, x: x / (x.norm(p=2, dim=(2, 3), keepdim=True) + 1),
        lambda _, x: x - torch.var_mean(x, dim=(2, 3), keepdim=True)[1],
        lambda _, x: torch.cat([x.narrow(2, 0, 3), x.narrow(2, 3, 3)], 2),
    ],
)
def test_steps_that_keep_channels_apart(step: Callable[[Any, Tensor], Tensor]) -> None:
    made = net(step)
    made.slope = nn.Parameter(torch.linspace(0.1, 0.4, 4))
    assert free(made) == 4


def test_a_part_by_number_stays() -> None:
    made = net(lambda _, x: torch.cat([x.narrow(1, 0, 2), x.narrow(1, 2, 2)], 1))
    assert free(made) == 0
