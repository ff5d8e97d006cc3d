"""Code that asks the size of its maps is followed for the size of the images; code that asks for values is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnngraph.errors import TraceError
from cnngraph.network.graph import follow


class _Sized(nn.Module):
    """A conv that pads odd maps, then what a test does with the map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 2:
            x = F.pad(x, (0, 1, 0, 1))
        return self.rest(self.conv(x))

    def rest(self, x: Tensor) -> Tensor:
        return x


class _Iterated(_Sized):
    def rest(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], 2, 2, *x.shape[2:]).amax(1).view(-1, 2, *x.shape[2:]) if len(x.shape) == 4 else x


class _Parts(_Sized):
    def rest(self, x: Tensor) -> Tensor:
        return torch.cat([part.relu() for part in x.chunk(2, 1)], 1)


class _Numbers(_Sized):
    """Sizes made whole numbers, a range over them, and a tensor of their size: 4 channels, 3 x 3 places."""

    def rest(self, x: Tensor) -> Tensor:
        low, high = torch.split(x, int(x.size(1) / 2), 1)
        x = (low * high / float(x.size(2))).expand(-1, -1, *x.shape[2:])
        rows = [x[:, :, row] for row in range(x.size(2))]
        blank = torch.zeros(x.size(0), 1, x.size(2), round(x.size(3) / 1.1))
        return torch.cat([torch.stack(rows, 2), blank], 1)


class _MadeInForward(_Sized):
    """Layers without weights that are made at every call, and a part of a chain."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
        self.scales = nn.Parameter(torch.ones(2))

    def rest(self, x: Tensor) -> Tensor:
        x = nn.ReLU()(self.chain[:3](nn.MaxPool2d(3)(x)))
        return self.chain[3:](sum(scale * x for scale in self.scales.softmax(0)))


class _Unkept(_Sized):
    def __init__(self) -> None:
        super().__init__()
        self.others = [nn.Conv2d(4, 4, 1)]

    def rest(self, x: Tensor) -> Tensor:
        return self.others[0](x)


class _Grown(_Sized):
    def rest(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class _Read(_Sized):
    def rest(self, x: Tensor) -> Tensor:
        return x * int(x.max())


class _Halved(_Sized):
    def rest(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, int(x.shape[-1] / 2))


@pytest.mark.parametrize(("side", "steps"), [(5, ["input", "pad", "conv"]), (6, ["input", "conv"])])
def test_a_branch_by_size_is_followed_for_the_images(side: int, steps: list[str]) -> None:
    assert [layer.layer for layer in follow(_Sized(), (1, side, side)).layers] == steps


def test_sizes_and_parts_of_a_map_can_be_gone_through() -> None:
    assert follow(_Iterated(), (1, 6, 6)).layers[-1].out_height == 3
    assert [layer.kind for layer in follow(_Parts(), (1, 6, 6)).layers].count("Activation") == 2
    assert follow(_Halved(), (1, 8, 8)).layers[-1].out_height == 2


@pytest.mark.parametrize("net", [_Grown, _Read])
def test_what_reads_values_is_refused_with_its_line(net: type[nn.Module]) -> None:
    with pytest.raises(TraceError, match=r"test_known_sizes.py:\d+: what it does depends on the values of the image"):
        follow(net(), (1, 6, 6))


def test_numbers_that_are_made_of_sizes_are_those_of_the_images() -> None:
    steps = follow(_Numbers(), (1, 6, 6)).graph_module.graph.find_nodes(op="call_function", target=torch.cat)
    assert [step.meta["shape"][1:] for step in steps] == [(3, 3, 3)]


def test_modules_that_the_code_makes_are_what_their_forward_does() -> None:
    graph = follow(_MadeInForward(), (1, 6, 6))
    assert [layer.layer for layer in graph.convs] == ["conv", "chain.0", "chain.3"]
    assert [layer.kind for layer in graph.layers].count("Activation") == 2


def test_a_layer_that_the_net_does_not_keep_is_refused_with_its_line() -> None:
    with pytest.raises(TraceError, match=r"test_known_sizes.py:\d+: the Conv2d that is called is no part of the net"):
        follow(_Unkept(), (1, 6, 6))
