"""What is told of the usual steps is what fake tensors say of them, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnngraph.errors import TraceError
from cnngraph.models.registry import build
from cnngraph.network import known_shapes, symbolic
from cnngraph.network.symbolic import follow_symbolically

NETS = {
    "torchvision:resnet18": 64,
    "torchvision:mobilenet_v3_small": 64,
    "torchvision:shufflenet_v2_x0_5": 64,
    "torchvision:googlenet": 64,
    "torchvision:squeezenet1_1": 64,
    "torchvision:mnasnet0_5": 64,
    "torchvision:efficientnet_b0": 64,
}


def outlines(model: nn.Module, shape: tuple[int, int, int], training: bool) -> list[tuple[Any, ...]]:
    """What following notes of each step."""
    module = follow_symbolically(model, shape, training=training, unread=True)
    names = ("shape", "dtype", "device", "macs")
    return [(node.name, *(node.meta.get(name) for name in names)) for node in module.graph.nodes]


def compare(model: nn.Module, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch, training: bool) -> None:
    """Both ways give the same, and the told way tells something."""
    told = outlines(model, shape, training)
    with monkeypatch.context() as patch:
        patch.setattr(symbolic, "work_out", lambda *_: None)
        ran = outlines(model, shape, training)
    assert told == ran


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_known_architectures(name: str, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(build(name, classes=7, size=NETS[name]), (3, NETS[name], NETS[name]), monkeypatch, training)


class Odd(nn.Module):
    """Steps that the table takes beside steps that it must leave to torch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=(1, 0), dilation=2)
        self.same = nn.Conv2d(8, 8, 3, padding="same", groups=4, bias=False)
        self.mirror = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.mean = nn.AvgPool2d(2, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.slope = nn.PReLU()
        self.dense = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.pool(self.slope(self.norm(self.mirror(self.same(self.first(x))))))
        y = 2 * self.mean(x) + 1.5
        y += torch.sigmoid(y.mean((2, 3), keepdim=True))
        halves = torch.cat(y.chunk(2, dim=1)[::-1], dim=-3)
        places = halves.flatten(2).transpose(1, 2)
        return {"logits": self.dense(places).mean(1), "maps": torch.maximum(y, halves)}


@pytest.mark.parametrize("training", [False, True])
def test_odd_steps(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(Odd(), (3, 33, 30), monkeypatch, training)


def test_channels_last_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 3)).to(memory_format=torch.channels_last)
    compare(model, (3, 12, 12), monkeypatch, training=False)
    assert (
        known_shapes.work_out(model[0], (known_shapes.Outline((2, 3, 12, 12), torch.float32, torch.device("cpu")),), {})
        is None
    )


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 8, 3), nn.Conv2d(3, 8, 13), nn.BatchNorm2d(4), nn.Conv2d(3, 8, 3).double(), nn.MaxPool2d(30)],
    ids=str,
)
def test_what_does_not_fit_is_refused_as_ever(layer: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(layer, nn.Conv2d(8, 4, 1))
    said = []
    for way in (known_shapes.work_out, lambda *_: None):
        monkeypatch.setattr(symbolic, "work_out", way)
        with pytest.raises(TraceError) as refused:
            follow_symbolically(model, (3, 12, 12))
        said.append(str(refused.value))
    assert said[0] == said[1]
