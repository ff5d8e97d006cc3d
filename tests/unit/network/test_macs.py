"""Multiply-accumulates of whatever a net multiplies by: by hand, and against torch's own counter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model
from torchvision.ops import DeformConv2d

from cnngraph.network.graph import follow
from cnngraph.surgery.apply import cut
from cnngraph.surgery.cost import Costs
from tests.unit.surgery.nets import plan, seeded

SHAPE = (3, 10, 10)
STEM = 5 * 5 * 3 * 8 * 9  # a conv to 8 channels of 5 x 5


class Counted(nn.Module):
    """A conv to 8 x 5 x 5 in front of whatever ``step`` does with ``module``."""

    def __init__(self, module: nn.Module, step: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.stem, self.module, self.step = nn.Conv2d(3, 8, 3, 2, 1), module, step

    def forward(self, x: Tensor) -> Any:
        return self.step(self.module, self.stem(x))


class Weights(nn.Module):
    """Matrices of the net's own."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(*shape))


def _called(module: nn.Module, x: Tensor) -> Tensor:
    return module(x)  # type: ignore[no-any-return]


def _rows(x: Tensor) -> Tensor:
    """The places of each image: (N, 25, 8)."""
    return x.flatten(2).transpose(1, 2)


def _attend(module: nn.Module, x: Tensor) -> Tensor:
    return module(_rows(x), _rows(x), _rows(x))[0]  # type: ignore[no-any-return]


def _recur(module: nn.Module, x: Tensor) -> Tensor:
    return module(_rows(x))[0]  # type: ignore[no-any-return]


def _dot_product(_: nn.Module, x: Tensor) -> Tensor:
    rows = _rows(x).unflatten(2, (2, 4)).transpose(1, 2)
    return F.scaled_dot_product_attention(rows, rows, rows)


KNOWN: dict[str, tuple[nn.Module, Callable[[Any, Tensor], Any], int]] = {
    "transposed": (nn.ConvTranspose2d(8, 4, 2, stride=2), _called, 3_200),
    "transposed, rest": (nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1), _called, 25 * 8 * 4 * 9),
    "transposed, groups": (nn.ConvTranspose2d(8, 4, 2, stride=2, groups=4), _called, 25 * 8 * 1 * 4),
    "transposed, 1-d": (nn.ConvTranspose1d(8, 6, 3), lambda m, x: m(x.flatten(2)), 25 * 8 * 6 * 3),
    "transposed, 3-d": (nn.ConvTranspose3d(8, 2, 2), lambda m, x: m(x.unsqueeze(2)), 25 * 8 * 2 * 8),
    "1-d": (nn.Conv1d(8, 6, 3, padding=1, groups=2), lambda m, x: m(x.flatten(2)), 25 * 6 * 4 * 3),
    "3-d": (nn.Conv3d(8, 2, (1, 3, 3)), lambda m, x: m(x.unsqueeze(2)), 9 * 8 * 2 * 9),
    "by function": (Weights(6, 8, 3, 3), lambda m, x: F.conv2d(x, m.w, padding=1), 25 * 6 * 8 * 9),
    "transposed by function": (Weights(8, 4, 2, 2), lambda m, x: F.conv_transpose2d(x, m.w, stride=2), 3_200),
    "1-d by function": (Weights(6, 8, 3), lambda m, x: F.conv1d(x.flatten(2), m.w, padding=1), 25 * 6 * 8 * 3),
    "dense by function": (Weights(6, 8), lambda m, x: F.linear(x.mean((2, 3)), m.w), 48),
    "dense": (nn.Linear(200, 7), lambda m, x: m(x.flatten(1)), 1_400),
    "dense at each place": (nn.Linear(8, 6), lambda m, x: m(_rows(x)), 25 * 48),
    "dense at each place of a map": (nn.Linear(8, 6), lambda m, x: m(x.permute(0, 2, 3, 1)), 25 * 48),
    "bilinear": (nn.Bilinear(8, 5, 3), lambda m, x: m(x.mean((2, 3)), x[:, 0].mean(1)), 8 * 5 * 3),
    "twice": (nn.Conv2d(8, 8, 1), lambda m, x: m(m(x)), 2 * 25 * 64),
    "attention": (nn.MultiheadAttention(8, 2, batch_first=True), _attend, 4 * 25 * 64 + 2 * 25 * 25 * 8),
    "dot product": (nn.Identity(), _dot_product, 2 * 25 * 25 * 8),
    "bmm": (nn.Identity(), lambda _, x: torch.bmm(_rows(x), x.flatten(2)), 25 * 25 * 8),
    "@": (Weights(8, 6), lambda m, x: _rows(x) @ m.w, 25 * 48),
    "@ a vector": (Weights(8), lambda m, x: _rows(x) @ m.w, 25 * 8),
    "einsum": (Weights(8, 6), lambda m, x: torch.einsum("nchw,ck->nkhw", x, m.w), 25 * 48),
    "baddbmm": (nn.Identity(), lambda _, x: torch.baddbmm(x.new_zeros(1), _rows(x), x.flatten(2)), 25 * 25 * 8),
    "addmm": (Weights(8, 6), lambda m, x: torch.addmm(m.w[0], x.mean((2, 3)), m.w), 48),
    "lstm": (nn.LSTM(8, 6, batch_first=True), _recur, 25 * 4 * 6 * (8 + 6)),
    "gru, both ways": (nn.GRU(8, 6, batch_first=True, bidirectional=True), _recur, 2 * 25 * 3 * 6 * (8 + 6)),
    "rnn, two layers": (nn.RNN(8, 6, 2, batch_first=True), _recur, 25 * 6 * (8 + 6 + 6 + 6)),
    "deformable": (
        DeformConv2d(8, 6, 3, padding=1),
        lambda m, x: m(x, torch.zeros(x.size(0), 18, 5, 5)),
        25 * 8 * 6 * 9,
    ),
    "embedding": (nn.Embedding(4, 6), lambda m, x: m((x[:, 0, 0] > 0).long()), 0),
    "no weights": (nn.Identity(), lambda _, x: F.interpolate(F.avg_pool2d(x, 2), scale_factor=2), 0),
}
_BLIND = {"@ a vector", "lstm", "bilinear", "deformable"}  # torch's counter has no formula for these


@pytest.mark.parametrize("name", KNOWN)
def test_by_hand_and_by_torchs_counter(name: str) -> None:
    module, step, expected = KNOWN[name]
    net = Counted(module, step).eval()
    graph = follow(net, SHAPE)
    assert graph.by_name["stem"].macs == STEM
    assert sum(layer.macs for layer in graph.layers) == STEM + expected
    if name not in _BLIND:
        assert _flops(net, SHAPE) == 2 * (STEM + expected)


def _flops(net: nn.Module, shape: tuple[int, int, int]) -> int:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation, of which torch's counter knows nothing
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, *shape))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 64), ("mobilenet_v3_small", 64), ("googlenet", 64), ("convnext_tiny", 64), ("swin_t", 64)],
)
def test_nets_of_torchvision(name: str, size: int) -> None:
    options = {"init_weights": False} if name == "googlenet" else {}
    net = get_model(name, **options).eval()
    layers = follow(net, (3, size, size)).layers
    assert 2 * sum(layer.macs for layer in layers if layer.kind != "Norm") == _flops(net, (3, size, size))


def test_the_counter_leaves_attention_as_it_found_it() -> None:
    assert torch.backends.mha.get_fastpath_enabled()
    follow(Counted(*KNOWN["attention"][:2]), SHAPE)
    assert torch.backends.mha.get_fastpath_enabled()


class Decoder(nn.Module):
    """A strided conv, and what enlarges the map again: modules and functions, whose costs follow what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.down, self.c = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 2, 2), nn.Conv2d(6, 6, 3, padding=1)
        self.up, self.head = nn.ConvTranspose2d(6, 4, 2, stride=2), nn.Conv2d(4, 2, 1)
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.up(torch.relu(self.c(torch.relu(self.down(torch.relu(self.a(x))))))))
        rows = _rows(x)
        return rows + self.attention(rows, rows, rows, need_weights=False)[0]


class Unpadded(nn.Module):
    """Without ``a`` all that follows reads larger maps."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 4, 3, padding=1)
        self.up, self.head = nn.ConvTranspose2d(4, 4, 2, stride=2), nn.Conv2d(4, 2, 1)
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows = _rows(self.head(self.up(torch.relu(self.b(torch.relu(self.a(x)))))))
        return (rows + self.attention(rows, rows, rows, need_weights=False)[0]).mean(1)


@pytest.mark.parametrize(
    ("made", "layers"), [(Decoder, ["a"]), (Decoder, ["c"]), (Decoder, ["down"]), (Unpadded, ["a"]), (Unpadded, ["b"])]
)
def test_costs_without_layers_are_those_of_the_net_that_is_built(
    made: Callable[[], nn.Module], layers: list[str]
) -> None:
    net = seeded(made)
    slim = cut(net, plan(*layers), input_shape=SHAPE)
    found = Costs(follow(net, SHAPE)).without(layers)
    assert found.macs == sum(layer.macs for layer in follow(slim, SHAPE).layers)
    assert 2 * found.macs == _flops(slim, SHAPE)
