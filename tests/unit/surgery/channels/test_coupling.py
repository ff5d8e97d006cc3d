"""Which filters go together, on nets whose groups can be written down by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cnngraph.errors import ModelError, PlanError, TraceError
from cnngraph.surgery.channels.coupling import Coupling, Group, coupled
from tests.toynets import toy
from tests.unit.surgery.nets import seeded

from . import coupled_nets as nets
from .coupled_nets import SHAPE, Net, chain, conv


def groups(net: nn.Module) -> list[str]:
    """``a0 b1``: filter 0 of a and filter 1 of b go together; dense units in brackets, fixed groups with !."""
    return [_spelt(group) for group in coupled(net, SHAPE).groups if group.filters]


def _spelt(group: Group) -> str:
    filters = " ".join(f"{layer}{channel}" for layer, channel in group.filters)
    units = "".join(f" ({layer}{channel})" for layer, channel in group.units)
    return f"{filters}{units}{'!' if group.fixed else ''}"


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (nets.added, ["a0 b0", "a1 b1", "a2 b2"]),
        (nets.concatenated, ["a0", "a1", "b0", "b1", "b2", "c0", "c1"]),
        (nets.split, ["a0 a2", "a1 a3", "b0", "b1"]),
        (nets.shuffled, ["a0 a3", "a1 a4", "a2 a5", "b0", "b1"]),
        (lambda: chain(a=conv(1, 2), d=conv(2, 4, groups=2)), ["a0 d0 d1", "a1 d2 d3"]),
        (lambda: chain(a=conv(1, 4), g=conv(4, 4, groups=2)), ["a0 a1 g0 g1", "a2 a3 g2 g3"]),
        (
            lambda: chain(a=conv(1, 6), g=conv(6, 6, groups=2)),
            ["a0 a3", "a1 a4", "a2 a5", "g0 g3", "g1 g4", "g2 g5"],
        ),
        (nets.Gated, ["a0 (excite0)", "a1 (excite1)", "a2 (excite2)"]),
        (nets.Scaled, ["a0 b0", "a1 b1", "a2 b2"]),
        (nets.Twice, ["a0 b0", "a1 b1", "a2 b2", "both0", "both1"]),
        (nets.Written, ["a0!", "a1!", "a2", "a3", "a4", "b0", "b1", "b2"]),
        (nets.Stored, ["a0 b0 c0 c4", "a1 b1 c1 c5", "a2 b2 c2 c6", "a3 b3 c3 c7", "a4", "a5"]),
        (lambda: chain(a=conv(1, 4), n=nn.GroupNorm(2, 4)), ["a0 a1", "a2 a3"]),
        (lambda: chain(a=conv(1, 6), n=nn.GroupNorm(2, 6)), ["a0 a3", "a1 a4", "a2 a5"]),
        (lambda: chain(a=conv(1, 3), n=nn.GroupNorm(1, 3)), ["a0", "a1", "a2"]),
        (nets.channels_last, ["a0", "a1", "a2", "a3", "up0", "up1", "up2"]),
        (lambda: chain(a=conv(1, 3), n=nn.LocalResponseNorm(2), b=conv(3, 2)), ["a0!", "a1!", "a2!", "b0", "b1"]),
        (lambda: chain(a=conv(1, 2), n=nn.Softmax(1), b=conv(2, 2)), ["a0!", "a1!", "b0", "b1"]),
        (nets.Tied, ["a0 b0!", "a1 b1!", "a2 b2!", "c0", "c1"]),
        (lambda: chain(a=conv(1, 4), s=nn.ChannelShuffle(2), b=conv(4, 2)), ["a0 a2", "a1 a3", "b0", "b1"]),
        (lambda: chain(a=conv(1, 8), s=nn.PixelShuffle(2), b=conv(2, 2)), ["a0 a1 a2 a3", "a4 a5 a6 a7", "b0", "b1"]),
        (lambda: chain(a=conv(1, 4), s=nn.GLU(1), b=conv(2, 2)), ["a0 a2", "a1 a3", "b0", "b1"]),
        (lambda: Net(lambda net, x: torch.max(net.a(x), net.b(x)), 2, a=conv(1, 2), b=conv(1, 2)), ["a0 b0", "a1 b1"]),
    ],
)
def test_groups(build: Callable[[], nn.Module], expected: list[str]) -> None:
    assert groups(build()) == expected


def test_what_reads_and_scales_a_group_is_listed() -> None:
    (first, *_) = coupled(chain(a=conv(1, 2), n=nn.BatchNorm2d(2), b=conv(2, 2)), SHAPE).groups
    assert (first.filters, first.norms, first.readers) == ((("a", 0),), (("n", 0),), (("b", 0),))
    pooled = coupled(toy("pooled"), (1, 8, 8))
    (fourth,) = (group for group in pooled.groups if group.filters == (("features.4", 3),))
    assert fourth.readers == tuple(("classifier", 48 + place) for place in range(16))


def test_a_shuffled_reader_has_its_channels_in_the_new_order() -> None:
    first, second, third, *_ = coupled(nets.shuffled(), SHAPE).groups
    assert (first.filters, first.readers) == ((("a", 0), ("a", 3)), (("b", 0), ("b", 1)))
    assert (second.filters, second.readers) == ((("a", 1), ("a", 4)), (("b", 2), ("b", 3)))
    assert (third.filters, third.readers) == ((("a", 2), ("a", 5)), (("b", 4), ("b", 5)))


def test_a_single_channel_that_scales_whole_maps_stays_and_couples_nothing() -> None:
    net = Net(lambda net, x: net.a(x) * torch.sigmoid(net.gate(x)), 3, a=conv(1, 3), gate=conv(1, 1))
    assert groups(net) == ["a0", "a1", "a2", "gate0!"]


def test_a_layer_whose_filters_are_all_coupled_is_named() -> None:
    """A split and a shuffle, three times: every channel meets every other one in the end."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.a(x)
        for _ in range(3):
            left, right = x.chunk(2, 1)
            x = torch.stack([left, right], 2).flatten(1, 2)
        return x

    found = coupled(Net(run, 4, a=conv(1, 4)), SHAPE)
    assert found.groups[0].fixed == "they are all that a has"
    assert found.notes == ("All filters of a are coupled with each other, so that none of them can go.",)


def test_a_count_that_is_reckoned_with_fixes_what_it_counts() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = conv(1, 3)
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.fc((x * x.shape[1] ** -0.5).mean((2, 3)))

    found = coupled(Counting(), SHAPE)
    assert {group.fixed for group in found.groups if group.filters} == {"the code reckons with their number"}


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (nets.Tied, "shares a parameter with another module"),
        (lambda: chain(a=nn.utils.parametrizations.spectral_norm(conv(1, 3)), b=conv(3, 2)), "of all of its filters"),
        (nets.Written, "written in the code"),
        (lambda: chain(a=conv(1, 3), n=nn.LocalResponseNorm(2), b=conv(3, 2)), "LocalResponseNorm may mix them"),
    ],
)
def test_reasons_are_kept(build: Callable[[], nn.Module], reason: str) -> None:
    first = coupled(build(), SHAPE).groups[0]
    assert reason in first.fixed


def test_outputs_of_the_net_are_fixed() -> None:
    net = nn.Sequential(conv(1, 3), nn.ReLU(), conv(3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    fixed = {group.filters[0][0]: group.fixed for group in coupled(net, SHAPE).groups if group.fixed}
    assert fixed == {"2": "they are what the net gives"}


def test_heads_of_train_mode_are_seen() -> None:
    found = coupled(nets.Auxiliary().eval(), SHAPE)
    assert found.layers == {"a": 3, "b": 2, "aux": 2}
    assert found.groups[0].readers == (("b", 0), ("aux", 0))
    assert found.notes == ()


def test_a_train_mode_that_cannot_be_followed_is_noted() -> None:
    class Undecided(nets.Auxiliary):
        def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
            if self.training and bool(x.sum() > 0):
                return super().forward(x)
            return self.fc(self.b(self.a(x)).mean((2, 3)))

    (note,) = coupled(Undecided(), SHAPE).notes
    assert note.startswith("Branches for training alone were not followed: Undecided cannot be followed")


def test_the_net_is_left_as_it_was() -> None:
    net = seeded(nets.Stored).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    coupled(net, SHAPE)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert type(net.width) is int
    assert [type(part) for part in net.parts] == [int, int]  # type: ignore[union-attr]


class _Logs(nn.Module):
    """It keeps what it saw in a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head, self.seen = nn.Conv2d(1, 4, 1), nn.Linear(4, 2), ["nothing"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        self.seen.append(x.mean())  # type: ignore[arg-type]
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def test_what_a_net_collects_is_what_it_was() -> None:
    net = seeded(_Logs)
    coupled(net, SHAPE)
    assert net.seen == ["nothing"]


@pytest.fixture(scope="module")
def sums() -> Coupling:
    return coupled(nets.added(), SHAPE)


def test_a_closure_names_everything_that_goes(sums: Coupling) -> None:
    assert sums.closure({"b": [2, 0]}) == {"a": (0, 2), "b": (0, 2)}
    assert sums.closure({}) == {}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"a": [3]}, "a has no filter 3. Its filters are numbered from 0 to 2."),
        ({"a": [-1]}, "a has no filter -1."),
        ({"bb": [0]}, "The net has no layer 'bb' with filters. Did you mean b?"),
        ({"fc": [0]}, "The net has no layer 'fc' with filters."),
        ({"a": [0, 1, 2]}, "The plan removes all 3 filters of a."),
        ({"a": [0], "b": [1, 2]}, "The plan removes all 3 filters of a."),
    ],
)
def test_bad_filters(sums: Coupling, filters: dict[str, list[int]], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        sums.closure(filters)
    assert str(caught.value).startswith(message)


def test_what_a_layer_reads_never_goes_as_a_whole() -> None:
    coupling = coupled(nets.Written(), SHAPE)
    assert coupling.closure({"a": [2, 3, 4]}) == {"a": (2, 3, 4)}
    net = Net(lambda net, x: net.b(net.a(x).split((1, 2), 1)[1]), 2, a=conv(1, 3), b=conv(2, 2))
    assert groups(net) == ["a0!", "a1!", "a2!", "b0", "b1"]
    net = Net(lambda net, x: net.b(net.a(x)[:, net.start :]), 2, a=conv(1, 3), b=conv(2, 2))
    net.start = 1  # type: ignore[assignment]
    with pytest.raises(PlanError, match="all that b reads"):
        coupled(net, SHAPE).closure({"a": [1, 2]})


def test_a_fixed_filter_is_refused_with_the_reason() -> None:
    with pytest.raises(PlanError, match=r"Filter 1 of a cannot go: their number is written in the code\."):
        coupled(nets.Written(), SHAPE).closure({"a": [1]})


def test_nets_that_cannot_be_read() -> None:
    with pytest.raises(ModelError, match="meta device"):
        coupled(nets.added().to("meta"), SHAPE)
    with pytest.raises(ModelError, match="no shape yet"):
        coupled(nn.Sequential(nn.LazyConv2d(3, 1)), SHAPE)
    with pytest.raises(TraceError, match="does not take images"):
        coupled(nets.added(), (2, 6, 6))
    assert coupled(nn.DataParallel(nets.added()), SHAPE).layers == {"a": 3, "b": 3}
    assert coupled(nets.added().half(), SHAPE).layers == {"a": 3, "b": 3}
