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
from cnngraph.surgery.check import check, removable, removable_blocks, units
from cnngraph.surgery.verify import verify
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


def _unpacked(net: Any, f: Tensor) -> Tensor:
    n, _, *size = f.shape
    return net.head(f).flatten(2).reshape(n, -1, *size)


def _with_grid(net: Any, f: Tensor) -> Tensor:
    """A detector's: boxes relative to their cells."""
    h, w = f.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    boxes = net.head(f)
    return torch.cat([boxes[:, :1] + rows, boxes[:, 1:2] + columns, boxes[:, 2:]], 1).flatten(2).transpose(1, 2)


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
    "maps of the size of the features, from the end": lambda net, f: F.interpolate(net.head(f), size=f.shape[-2:]),
    "an enlarged size, reckoned": lambda net, f: F.interpolate(net.head(f), size=[2 * f.size(-2), f.size(-1) + 3]),
    "places reckoned": lambda net, f: net.head(f).reshape(f.size(0), net.classes, f.size(-1) * f.size(-2)),
    "places by the number of values": lambda net, f: net.head(f).reshape(
        f.size(0), -1, f.numel() // (f.size(0) * f.shape[1])
    ),
    "places unpacked": _unpacked,
    "maps as large as others": lambda net, f: (
        F.interpolate(net.head(f), f.shape[2:]) + net.head(f).view_as(net.head(f))
    ),
    "a grid of the size of the features": _with_grid,
    "the number of images": lambda net, f: net.head(f).mean((2, 3)).view(f.size(0), -1),
    "maps enlarged to the size of the images": lambda net, f: F.interpolate(net.head(f), size=(16, 16)),
    "a list": lambda net, f: [net.head(f), net.head(F.max_pool2d(f, 2))],
    "a dict": lambda net, f: {"out": net.head(f), "mean": net.head(f).mean((2, 3))},
    "gated by the largest": lambda net, f: net.head(f).amax((2, 3)) * net.head(f).mean((2, 3)).sigmoid(),
}


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [tensor for part in (output.values() if isinstance(output, dict) else output) for tensor in _tensors(part)]


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
        assert all(weight.grad is not None for weight in slim.parameters() if weight.requires_grad), conv


@pytest.mark.parametrize("widths", [(8, 12), (CLASSES, CLASSES)], ids=str)
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
    reckoned = ending == "places by the number of values"  # which counts the channels of c
    for conv in ("a", "b") if reckoned else ("a", "b", "c"):
        assert filters.closure({conv: [1]}) == {conv: (1,)}
    with pytest.raises(PlanError, match="of head cannot go"):
        filters.closure({"head": [1]})
    slim = apply(net, Plan(removes=(Removal(layer="b", kind="filters", filters=(0, 3)),)), input_shape=SHAPE)
    x = images(4, *SHAPE)
    assert [out.shape for out in _tensors(slim(x))] == [out.shape for out in _tensors(net(x))]


class _Ended(nn.Module):
    """Three convs, and whatever a test hangs behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)

    def maps(self, x: Tensor) -> Tensor:
        return torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x))))))


class InSequential(_Ended):
    """SqueezeNet's, with a batch norm and an activation behind the conv."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Dropout(0.1), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x)).view(-1, 8)  # type: ignore[no-any-return]


class ByFunction(_Ended):
    """The head is a function with a weight of the net's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.maps(x), self.weight).mean((2, 3)).view(-1, 5)


class ByProduct(_Ended):
    """The head is a product with a matrix, as prototypes and cosine classifiers have it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.maps(x).mean((2, 3)), dim=1) @ F.normalize(self.weight, dim=0)


class ByEinsum(ByProduct):
    """The same product, written as a sum over letters, at each place."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,ck->nkhw", self.maps(x), self.weight)


class TwoHeads(_Ended):
    """The logits are the sum of two heads on different maps."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        f = torch.relu(self.a(x))
        g = torch.relu(self.c(torch.relu(self.b(f))))
        return (self.one(g) + self.two(f)).mean((2, 3)).view(x.size(0), 8)


class Concatenated(TwoHeads):
    """Boxes and classes of two scales in one tensor, as a detector gives them."""

    def forward(self, x: Tensor) -> Tensor:
        f = self.maps(x)
        g = F.max_pool2d(f, 2)
        rows = [head(m).flatten(2) for m in (f, g) for head in (self.one, self.two)]
        return torch.cat([torch.cat(rows[:2], 1), torch.cat(rows[2:], 1)], 2).transpose(1, 2)


class Comparison(TwoHeads):
    """A detector's outputs by scale, in a dict of lists."""

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        f = self.maps(x)
        return {"boxes": [self.one(f), self.one(F.max_pool2d(f, 2))], "classes": [self.two(f)]}


class Enlarged(_Ended):
    """FCN: a head, enlarged by learned steps that keep its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 8, 1)
        self.twice = nn.ConvTranspose2d(8, 8, 4, 2, 1, bias=False)
        self.smooth = nn.Conv2d(8, 8, 3, 1, 1, groups=8)

    def forward(self, x: Tensor) -> Tensor:
        return self.smooth(self.twice(self.head(self.maps(x))))  # type: ignore[no-any-return]


class Expected(_Ended):
    """The last conv has fixed weights: it takes the mean of a distribution that the head gives (YOLO's boxes)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 16, 1)
        self.mean = nn.Conv2d(4, 1, 1, bias=False).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        bins = self.head(self.maps(x)).flatten(2).view(x.size(0), 4, 4, -1).transpose(1, 2).softmax(1)
        return self.mean(bins).squeeze(1)  # type: ignore[no-any-return]


class Joined(_Ended):
    """A fixed matrix, which is a buffer, joins the classes of the head to fewer."""

    joins: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 5, 1)
        self.register_buffer("joins", torch.eye(5)[:, :3] + torch.eye(5).flip(1)[:, :3])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x)).mean((2, 3)) @ self.joins  # type: ignore[no-any-return]


class JoinedByFunction(Joined):
    """The same by a dense layer's function."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.head(self.maps(x)).mean((2, 3)), self.joins.T)


class JoinedByConstant(Joined):
    """The same by a matrix that forward makes."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(self.head(self.maps(x)).mean((2, 3)), torch.eye(5)[:, :3])


class PlacesWeighed(_Ended):
    """A dense layer weighs the places of each class: it is no classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.places = nn.Conv2d(8, 5, 1), nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.places(self.head(self.maps(x)).flatten(2)).view(x.size(0), 5)  # type: ignore[no-any-return]


class _Step(nn.Module):
    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(torch.relu(self.one(x)))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Nothing but blocks: the output is a sum of the first conv and of the last convs of all blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.last = nn.Conv2d(3, 8, 3, 2, 1), _Step(), _Step()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(self.stem(x))).mean((2, 3))  # type: ignore[no-any-return]


class ClassesFirst(_Ended):
    """Where the head is followed by a dense layer over its own channels, that is the classifier and the conv may go."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.fc = nn.Conv2d(8, 5, 1), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.head(self.maps(x)).flatten(2).permute(0, 2, 1)).mean(1)  # type: ignore[no-any-return]


MADE: dict[type[nn.Module], tuple[list[str], list[str]]] = {  # what goes, and what stays
    InSequential: (["a", "b", "c"], ["head.1"]),
    ByFunction: (["a", "b", "c"], []),
    ByProduct: (["a", "b", "c"], []),
    ByEinsum: (["a", "b", "c"], []),
    TwoHeads: (["a", "b", "c"], ["one", "two"]),
    Concatenated: (["a", "b", "c"], ["one", "two"]),
    Comparison: (["a", "b", "c"], ["one", "two"]),
    Enlarged: (["a", "b", "c"], ["head", "smooth"]),
    Expected: (["a", "b", "c"], ["head", "mean"]),
    Joined: (["a", "b", "c"], ["head"]),
    JoinedByFunction: (["a", "b", "c"], ["head"]),
    JoinedByConstant: (["a", "b", "c"], ["head"]),
    PlacesWeighed: (["a", "b", "c"], ["head"]),
    Residual: (["block.one", "last.one"], ["stem", "block.two", "last.two"]),
    ClassesFirst: (["a", "b", "c", "head"], []),
}


@pytest.mark.parametrize("made", MADE)
def test_what_gives_the_output_stays_in_other_nets(made: type[nn.Module]) -> None:
    goes, stays = MADE[made]
    net = seeded(made)
    graph = follow(net, SHAPE)
    found = {name: reason for name, reason in removable(graph).items() if "#" not in name and name != "conv2d"}
    assert found == dict.fromkeys(goes) | {name: f"{name} cannot go: it gives the net's output." for name in stays}
    for conv, along in units(graph).items():
        assert not set(along) & set(stays), conv
    _work_without_each(net, [conv for conv in goes if made is not Residual], stays)


@pytest.mark.parametrize(
    ("made", "block", "layer"),
    [
        (InSequential, "head", "head.1"),
        (Residual, "block", "block.two"),
        (Residual, "last", "last.two"),
    ],
)
def test_a_block_around_what_gives_the_output_stays(made: type[nn.Module], block: str, layer: str) -> None:
    net = seeded(made)
    with pytest.raises(PlanError) as caught:
        apply(net, plan(blocks=[block]), input_shape=SHAPE)
    assert caught.value.message == f"{block} cannot go: {layer} gives the net's output."
    assert caught.value.hint == "The classifier stays."
    assert removable_blocks(follow(net, SHAPE)).get(block, "no block") is not None


@pytest.mark.parametrize("made", [Comparison, Concatenated])
def test_what_is_left_of_nets_with_several_outputs_has_its_whole_proof(made: type[nn.Module]) -> None:
    net = seeded(made)
    slim = apply(net, plan("b"), input_shape=SHAPE)
    found = verify(net, slim, plan("b"), input_shape=SHAPE)
    assert (found.failures, found.notes, found.save_load, found.export) == ((), (), True, True)
    slim.two = nn.Conv2d(8, 7, 1)
    assert any("the old net's" in failure for failure in verify(net, slim, plan("b"), input_shape=SHAPE).failures)
