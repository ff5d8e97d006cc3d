"""Filters go out of a net: what is left of every tensor and number, and that it is what the masked net computes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnngraph.errors import ModelError, PlanError
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply, apply_with_report, cut
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filters import slice_channels
from cnngraph.surgery.channels.masked import masked
from cnngraph.surgery.output_diff import output_diff
from tests.toynets import TOYS, toy
from tests.unit.surgery.nets import images, seeded

from . import coupled_nets as nets
from .coupled_nets import SHAPE, chain, conv


def sliced(net: nn.Module, filters: Mapping[str, Iterable[int]], shape: tuple[int, int, int] = SHAPE) -> nn.Module:
    """The net without ``filters``, proven against the masked net in both modes."""
    coupling = coupled(net, shape)
    slim = slice_channels(net, coupling, filters)
    batch = [images(8, *shape)]
    assert output_diff(slim, masked(net, coupling, filters), batch, batch).relative < 1e-12
    return slim


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items() if tensor.dim()}


def plan(filters: Mapping[str, tuple[int, ...]], *layers: str, **fields: Any) -> Plan:
    gone = [Removal(layer=layer, kind="filters", filters=numbers) for layer, numbers in filters.items()]
    return Plan(removes=(*gone, *(Removal(layer=layer) for layer in layers)), **fields)


def test_the_weights_that_stay_are_those_of_the_old_net() -> None:
    net = chain(a=nn.Conv2d(1, 3, 1), n=nn.BatchNorm2d(3), b=nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        net.a.weight.copy_(torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1))
        net.a.bias.copy_(torch.tensor([10.0, 20.0, 30.0]))
        net.n.running_mean.copy_(torch.tensor([0.1, 0.2, 0.3]))
        net.b.weight.copy_(torch.arange(6.0).reshape(2, 3, 1, 1))
    slim = slice_channels(net, coupled(net, SHAPE), {"a": [1]})
    assert slim.a.weight.flatten().tolist() == [1.0, 3.0]
    assert slim.a.bias.tolist() == [10.0, 30.0]
    assert torch.equal(slim.n.running_mean, torch.tensor([0.1, 0.3]))
    assert slim.b.weight.flatten(1).tolist() == [[0.0, 2.0], [3.0, 5.0]]
    assert (slim.a.out_channels, slim.n.num_features, slim.b.in_channels, slim.b.out_channels) == (2, 2, 2, 2)
    assert net.a.out_channels == 3


@pytest.mark.parametrize(
    ("build", "filters", "expected"),
    [
        (nets.added, {"b": [1]}, {"a.weight": (2, 1, 1, 1), "b.weight": (2, 1, 1, 1), "fc.weight": (2, 2)}),
        (nets.concatenated, {"b": [0, 2]}, {"b.weight": (1, 1, 1, 1), "c.weight": (2, 3, 1, 1)}),
        (nets.split, {"a": [3]}, {"a.weight": (2, 1, 1, 1), "b.weight": (2, 1, 1, 1), "fc.weight": (2, 3)}),
        (nets.shuffled, {"a": [0]}, {"a.weight": (4, 1, 1, 1), "b.weight": (2, 4, 1, 1)}),
        (
            lambda: chain(a=conv(1, 2), d=conv(2, 4, groups=2)),
            {"a": [0]},
            {"a.weight": (1, 1, 1, 1), "d.weight": (2, 1, 1, 1), "fc.weight": (2, 2)},
        ),
        (
            lambda: chain(a=conv(1, 4), g=conv(4, 4, groups=2)),
            {"g": [3]},
            {"a.weight": (2, 1, 1, 1), "g.weight": (2, 2, 1, 1)},
        ),
        (
            lambda: chain(a=conv(1, 6), g=conv(6, 6, groups=2)),
            {"g": [0], "a": [1]},
            {"a.weight": (4, 1, 1, 1), "g.weight": (4, 2, 1, 1), "fc.weight": (2, 4)},
        ),
        (
            nets.Gated,
            {"a": [2]},
            {"squeeze.weight": (2, 2), "excite.weight": (2, 2), "excite.bias": (2,), "fc.weight": (2, 2)},
        ),
        (nets.Scaled, {"a": [0]}, {"scale": (2, 1, 1), "b.weight": (2, 2, 1, 1)}),
        (nets.Twice, {"a": [1], "both": [0]}, {"b.weight": (2, 1, 1, 1), "both.weight": (1, 2, 1, 1)}),
        (
            lambda: chain(a=conv(1, 3), n=nets.FunctionalNorm(3)),
            {"a": [0]},
            {"n.weight": (2,), "n.running_mean": (2,), "fc.weight": (2, 2)},
        ),
        (lambda: chain(a=conv(1, 3), n=nn.PReLU(3)), {"a": [0]}, {"n.weight": (2,)}),
        (lambda: chain(a=conv(1, 4), n=nn.GroupNorm(2, 4)), {"a": [0]}, {"n.weight": (2,)}),
        (lambda: chain(a=conv(1, 6), n=nn.GroupNorm(2, 6)), {"a": [0]}, {"n.weight": (4,)}),
        (nets.channels_last, {"a": [0], "up": [2]}, {"norm.weight": (3,), "up.weight": (2, 3), "fc.weight": (2, 2)}),
        (nets.Auxiliary, {"a": [0]}, {"b.weight": (2, 2, 1, 1), "aux.weight": (2, 2, 1, 1)}),
        (nets.Stored, {"a": [1, 5]}, {"a.weight": (4, 1, 1, 1), "b.weight": (3, 1, 1, 1), "c.weight": (6, 1, 1, 1)}),
        (lambda: chain(a=conv(1, 4), s=nn.ChannelShuffle(2), b=conv(4, 2)), {"a": [0]}, {"b.weight": (2, 2, 1, 1)}),
        (lambda: chain(a=conv(1, 8), s=nn.PixelShuffle(2), b=conv(2, 2)), {"a": [0]}, {"b.weight": (2, 1, 1, 1)}),
        (lambda: chain(a=conv(1, 4), s=nn.GLU(1), b=conv(2, 2)), {"a": [0]}, {"b.weight": (2, 1, 1, 1)}),
        (nets.Unread, {"a": [0]}, {"a.weight": (2, 1, 1, 1), "idle.weight": (2, 2, 1, 1), "fc.weight": (2, 2)}),
        (nets.Written, {"a": [3, 4]}, {"a.weight": (3, 1, 1, 1), "b.weight": (3, 2, 1, 1)}),
        (
            lambda: chain(a=conv(1, 4), t=nn.ConvTranspose2d(4, 2, 2), b=conv(2, 2)),
            {"a": [0], "t": [1]},
            {"t.weight": (3, 1, 2, 2), "t.bias": (1,), "b.weight": (2, 1, 1, 1)},
        ),
        (
            lambda: chain(a=conv(1, 4), t=nn.ConvTranspose2d(4, 4, 2, groups=2), b=conv(4, 2)),
            {"t": [1]},
            {"a.weight": (2, 1, 1, 1), "t.weight": (2, 2, 2, 2), "b.weight": (2, 2, 1, 1)},
        ),
    ],
)
def test_each_kind_of_coupling(
    build: Callable[[], nn.Module], filters: dict[str, list[int]], expected: dict[str, tuple[int, ...]]
) -> None:
    slim = sliced(seeded(build), filters)
    found = shapes(slim)
    assert {name: found[name] for name in expected} == expected


def test_numbers_stay_true() -> None:
    groups = sliced(seeded(lambda: chain(a=conv(1, 4), g=conv(4, 4, groups=2), n=nn.GroupNorm(2, 4))), {"a": [0]})
    assert (groups.g.groups, groups.g.in_channels, groups.n.num_groups, groups.n.num_channels) == (1, 2, 1, 2)
    places = sliced(seeded(lambda: chain(a=conv(1, 6), g=conv(6, 6, groups=2), n=nn.GroupNorm(1, 6))), {"g": [0]})
    assert (places.g.groups, places.g.out_channels, places.n.num_groups, places.n.num_channels) == (2, 4, 1, 4)
    last = sliced(seeded(nets.channels_last), {"a": [0], "up": [0]})
    assert (last.norm.normalized_shape, last.up.in_features, last.up.out_features) == ((3,), 3, 2)
    stored = sliced(seeded(nets.Stored), {"a": [1], "c": [3]})
    assert (stored.width, stored.parts) == (2, (2, 0))
    functional = sliced(seeded(lambda: chain(a=conv(1, 3), n=nets.FunctionalNorm(3))), {"a": [0]})
    assert functional.n.num_features == 2
    assert sliced(seeded(lambda: chain(a=conv(1, 3), n=nn.PReLU(3))), {"a": [0]}).n.num_parameters == 2


def test_flattened_places_go_with_their_channel() -> None:
    slim = sliced(seeded(lambda: toy("pooled")), {"features.4": [1]}, (1, 8, 8))
    old = seeded(lambda: toy("pooled")).classifier.weight
    assert slim.classifier.in_features == 48
    assert torch.equal(slim.classifier.weight, torch.cat([old[:, :16], old[:, 32:]], 1))


def test_kind_mode_gradient_flag_and_memory_format_stay() -> None:
    net = seeded(lambda: chain(a=nn.Conv2d(1, 4, 3, padding=1), b=nn.Conv2d(4, 3, 3, padding=1))).double()
    net = net.to(memory_format=torch.channels_last)
    net.b.weight.requires_grad_(False)
    net.a.train()
    slim = sliced(net, {"a": [0], "b": [0]})
    assert slim.b.weight.is_contiguous(memory_format=torch.channels_last)
    assert (slim.b.weight.requires_grad, slim.a.weight.requires_grad) == (False, True)
    assert slim.b.weight.dtype == torch.float64
    assert (slim.a.training, slim.b.training) == (True, False)
    assert type(slim) is type(net)


@pytest.mark.parametrize("name", TOYS)
def test_every_free_group_of_every_toy(name: str) -> None:
    net, shape = seeded(lambda: toy(name)), TOYS[name][1]
    coupling = coupled(net, shape)
    batch = [images(8, *shape)]
    for group in coupling.groups:
        if group.filters and not group.fixed:
            filters = {layer: [c for other, c in group.filters if other == layer] for layer, _ in group.filters}
            slim = slice_channels(net, coupling, filters)
            assert output_diff(slim, masked(net, coupling, filters), batch, batch).relative < 1e-12


def test_timm_says_what_is_true() -> None:
    timm = pytest.importorskip("timm")
    net = seeded(lambda: timm.create_model("resnet18d", num_classes=3)).eval()
    coupling = coupled(net, (3, 32, 32))
    slim = slice_channels(net, coupling, {"layer1.0.conv2": range(16), "layer4.1.conv2": [0]})
    assert [entry["num_chs"] for entry in slim.feature_info] == [48, 48, 128, 256, 511]
    assert [entry["num_chs"] for entry in net.feature_info] == [64, 64, 128, 256, 512]
    assert (slim.num_features, slim.head_hidden_size, slim.fc.in_features) == (511, 511, 511)
    with torch.no_grad():
        assert slim(images(2, 3, 32, 32)).shape == (2, 3)


def test_a_net_that_cannot_be_copied() -> None:
    class Locked(nn.Conv2d):
        def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
            raise TypeError("no copies")

    net = chain(a=Locked(1, 2, 1), b=conv(2, 2))
    with pytest.raises(ModelError, match="Sequential cannot be copied: no copies"):
        slice_channels(net, coupled(net, SHAPE), {"a": [0]})


def test_a_number_that_cannot_follow() -> None:
    class Halves(nn.Module):
        """One stored number that counts one map wholly and another one's half."""

        def __init__(self) -> None:
            super().__init__()
            self.width = 4
            self.a, self.b, self.fc = conv(1, 5), conv(1, 3), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            whole = self.a(x)[:, : self.width].mean((1, 2, 3), keepdim=True)
            return self.fc((whole * 0 + self.b(x)[:, : self.width // 2]).mean((2, 3)))

    net = Halves()
    with pytest.raises(PlanError, match="no value of width gives the sizes"):
        slice_channels(net, coupled(net, SHAPE), {"b": [0]})


class TestPlans:
    def test_a_plan_takes_what_is_coupled_along_and_says_so(self) -> None:
        net = seeded(nets.added)
        slim, report = apply_with_report(net, plan({"a": (0,)}), input_shape=SHAPE)
        assert report.filters == {"a": (0,), "b": (0,)}
        assert report.notes == ("Filters that are coupled with those of the plan went along: 1 of b.",)
        assert report.removed == ()
        assert shapes(slim)["fc.weight"] == (2, 2)
        assert shapes(net)["fc.weight"] == (2, 3)

    def test_filters_go_first_then_layers(self) -> None:
        net = seeded(lambda: chain(a=conv(1, 4), b=conv(4, 4), c=conv(4, 3)))
        slim, report = apply_with_report(net, plan({"a": (0,), "c": (1,)}, "b", init="inherit"), input_shape=SHAPE)
        assert (report.filters, report.removed) == ({"a": (0,), "c": (1,)}, ("b",))
        assert shapes(slim)["c.weight"] == (2, 3, 1, 1)
        assert slim(images(2, *SHAPE)).shape == (2, 2)

    def test_a_pruned_net_is_pruned_again(self) -> None:
        net = seeded(nets.added)
        once = cut(net, plan({"a": (0,)}), input_shape=SHAPE)
        twice = apply(once, plan({"a": (0,)}), input_shape=SHAPE)
        assert torch.equal(twice.a.weight, net.a.weight[2:])

    def test_a_bad_plan_changes_nothing(self) -> None:
        net = seeded(nets.added)
        before = copy.deepcopy(net.state_dict())
        for bad, message in (
            (plan({"a": (7,)}), "a has no filter 7"),
            (plan({"a": (0, 1, 2)}), "all 3 filters of a"),
            (plan({"c": (0,)}), "no layer 'c'"),
            (plan({"a": (0,)}, architecture="torchvision:vgg16"), "The plan is for torchvision:vgg16"),
        ):
            with pytest.raises(PlanError, match=message):
                apply(net, bad, input_shape=SHAPE)
        assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
