"""The layer that gives the net's output never goes, whatever stands behind it; the others do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.check import check, removable, units
from tests.unit.surgery.nets import images, plan, seeded

SHAPE = (3, 16, 16)
CLASSES = 6


class Headed(nn.Module):
    """Three convs and a 1x1 conv ``head``; ``ending`` makes the output of the net's maps and of what it says."""

    def __init__(self, ending: Callable[[Any, Tensor], Any], widths: tuple[int, int] = (8, 12)) -> None:
        super().__init__()
        narrow, wide = widths
        self.a, self.b = nn.Conv2d(3, narrow, 3, 2, 1), nn.Conv2d(narrow, narrow, 3, 1, 1)
        self.c = nn.Conv2d(narrow, wide, 3, 1, 1)
        self.head = nn.Conv2d(wide, CLASSES, 1)
        self.classes, self.ending = CLASSES, ending

    def forward(self, x: Tensor) -> Any:
        f = torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x))))))
        return self.ending(self, f)


def _pooled(net: Any, f: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(net.head(f), 1)


def _sized_by_features(net: Any, f: Tensor) -> Tensor:
    n, _, h, w = f.shape
    return net.head(f).permute(0, 2, 3, 1).reshape(n, h * w, -1)


def _enlarged_by_features(net: Any, f: Tensor) -> Tensor:
    h, w = f.shape[2:]
    return F.interpolate(net.head(f), size=(h * 2, w * 2), mode="bilinear", align_corners=False)


ENDINGS: dict[str, Callable[[Any, Tensor], Any]] = {
    "stored number": lambda net, f: _pooled(net, f).view(f.size(0), net.classes),
    "written number": lambda net, f: _pooled(net, f).view(-1, 6),
    "read number": lambda net, f: _pooled(net, f).reshape(f.shape[0], -1),
    "number of its own channels": lambda net, f: _pooled(net, f).view(-1, net.head.out_channels),
    "flatten": lambda net, f: _pooled(net, f).flatten(1),
    "squeeze": lambda net, f: _pooled(net, f).squeeze(-1).squeeze(-1),
    "index": lambda net, f: _pooled(net, f)[:, :, 0, 0],
    "mean": lambda net, f: net.head(f).mean((2, 3)),
    "einsum": lambda net, f: torch.einsum("nchw->nc", net.head(f)),
    "maps": lambda net, f: net.head(f),
    "softmax, dropout and a temperature": lambda net, f: F.log_softmax(
        F.dropout(_pooled(net, f).flatten(1), 0.1, net.training) / 2.5, dim=1
    ),
    "places in a matrix": lambda net, f: net.head(f).view(f.size(0), net.classes, -1).mean(-1),
    "boxes by the size of the features": _sized_by_features,
    "maps enlarged by the size of the features": _enlarged_by_features,
    "maps enlarged to the size of the images": lambda net, f: F.interpolate(net.head(f), size=(16, 16)),
    "a list": lambda net, f: [net.head(f), net.head(F.max_pool2d(f, 2))],
    "a dict": lambda net, f: {"out": net.head(f), "mean": net.head(f).mean((2, 3))},
    "gated by the largest": lambda net, f: net.head(f).amax((2, 3)) * net.head(f).mean((2, 3)).sigmoid(),
}


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return list(output.values() if isinstance(output, dict) else output)


def _work_without_each(net: nn.Module, convs: list[str], heads: list[str]) -> None:
    """Each of ``convs`` goes, alone, by ``apply``: what is left gives what the net gave, with its own heads."""
    x = images(4, *SHAPE)
    before = _tensors(net.eval()(x))
    for conv in convs:
        slim = apply(net, plan(conv), input_shape=SHAPE)
        after = _tensors(slim.eval()(x))
        assert [out.shape for out in after] == [out.shape for out in before], conv
        for head in heads:
            old, new = net.get_submodule(head).weight, slim.get_submodule(head).weight
            assert old.shape != new.shape or torch.equal(old, new), (conv, head)
            assert old.shape[0] == new.shape[0]
        sum(out.square().sum() for out in _tensors(slim.train()(x))).backward()
        assert all(weight.grad is not None for weight in slim.parameters()), conv


@pytest.mark.parametrize("widths", [(8, 12), (8, 8), (CLASSES, CLASSES)], ids=str)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_conv_head_stays_and_every_other_conv_goes(ending: str, widths: tuple[int, int]) -> None:
    net = seeded(lambda: Headed(ENDINGS[ending], widths))
    graph = follow(net, SHAPE)
    found = {name: reason for name, reason in removable(graph).items() if "#" not in name}
    assert found == {"a": None, "b": None, "c": None, "head": "head cannot go: it gives the net's output."}
    assert units(graph) == {"a": (), "b": (), "c": ()}
    with pytest.raises(PlanError, match="head gives the net's output"):
        check(graph, plan("b", "head"))
    with pytest.raises(PlanError, match="it gives the net's output"):
        apply(net, plan("head"), input_shape=SHAPE)
    _work_without_each(net, ["a", "b", "c"], ["head"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_conv_head_keeps_its_filters_and_the_others_lose_some(ending: str) -> None:
    net = seeded(lambda: Headed(ENDINGS[ending]))
    filters = coupled(net, SHAPE)
    for conv in ("a", "b", "c"):
        assert filters.closure({conv: [1]}) == {conv: (1,)}
    with pytest.raises(PlanError, match="of head cannot go"):
        filters.closure({"head": [1]})
    slim = apply(net, Plan(removes=(Removal(layer="c", kind="filters", filters=(0, 3)),)), input_shape=SHAPE)
    x = images(4, *SHAPE)
    assert [out.shape for out in _tensors(slim(x))] == [out.shape for out in _tensors(net(x))]
