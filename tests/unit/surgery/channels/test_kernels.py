"""Convs that make their weights: which of them have filters that stand apart, and that these go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filter_scores import taylor
from cnngraph.surgery.channels.filters import slice_channels
from cnngraph.surgery.channels.kernels import made_kernels
from cnngraph.surgery.channels.masked import masked, norms_across
from cnngraph.surgery.output_diff import output_diff
from tests.unit.surgery.nets import images, seeded

from .coupled_nets import SHAPE, chain


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(weight, None, None, training=True, momentum=0.0).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class PaddedAsNeeded(nn.Conv2d):
    """What it does depends on the size of the map."""

    def forward(self, x: Tensor) -> Tensor:
        extra = -x.shape[-1] % self.stride[0]
        return super().forward(F.pad(x, (0, extra, 0, extra)) if extra > 0 else x)


class Rounded(nn.Conv2d):
    """Weights in steps of a scale of each filter."""

    def forward(self, x: Tensor) -> Tensor:
        step = self.weight.abs().amax((1, 2, 3), keepdim=True) / 7
        return self._conv_forward(x, torch.round(self.weight / step) * step, self.bias)


class OneScale(nn.Conv2d):
    """One scale for all filters: without one of them the others would be others."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight / self.weight.norm(), self.bias)


class Backwards(nn.Conv2d):
    """The last weight reads the first channel."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.flip(1), self.bias)


class Bounded(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return torch.tanh(weight)


def bounded(conv: nn.Conv2d) -> nn.Conv2d:
    parametrize.register_parametrization(conv, "weight", Bounded())
    return conv


def thinned(conv: nn.Conv2d) -> nn.Conv2d:
    prune.l1_unstructured(conv, "weight", 0.3)
    conv.weight = conv.weight.detach()  # as after a step: torch copies no tensor that has a gradient to come
    return conv


def pair(make: Callable[[nn.Conv2d], nn.Module] = lambda conv: conv, kind: type = nn.Conv2d) -> nn.Sequential:
    """Two convs that make their weights; both are 1 x 1, since the images are small."""
    return chain(a=make(kind(1, 4, 1)), r=nn.ReLU(), b=make(kind(4, 3, 1)))


MADE: dict[str, Callable[[], nn.Sequential]] = {
    "standardised": lambda: chain(a=Standardised(1, 4, 3), r=nn.ReLU(), b=Standardised(4, 3, 3)),
    "standardised by group": lambda: chain(a=Standardised(1, 6, 3), r=nn.ReLU(), b=Standardised(6, 6, 3, groups=2)),
    "standardised depthwise": lambda: chain(a=Standardised(1, 4, 3), r=nn.ReLU(), b=Standardised(4, 4, 3, groups=4)),
    "padded as needed": lambda: chain(a=PaddedAsNeeded(1, 4, 3, stride=4), r=nn.ReLU(), b=PaddedAsNeeded(4, 3, 1)),
    "rounded": lambda: pair(kind=Rounded),
    "bounded": lambda: pair(bounded),
    "weight norm": lambda: pair(parametrizations.weight_norm),
    "thinned": lambda: pair(thinned),
}


@pytest.mark.parametrize("name", MADE)
def test_filters_that_stand_apart_go(name: str) -> None:
    net = seeded(MADE[name])
    coupling = coupled(net, SHAPE)
    assert not any(group.fixed for group in coupling.groups if group.filters)
    for gone in ({"a": [1]}, {"b": [0]}, {"a": [0], "b": [2]}):
        slim = slice_channels(net, coupling, gone)
        batch = [images(8, *SHAPE)]
        assert output_diff(slim, masked(net, coupling, gone), batch, batch).relative < 1e-12
        widths = coupling.closure(gone)
        assert slim.a.weight.shape[0] == net.a.weight.shape[0] - len(widths.get("a", ()))
        assert slim.b.weight.shape[0] == net.b.weight.shape[0] - len(widths.get("b", ()))


def test_a_layer_that_norms_its_weights_is_named() -> None:
    for name, named in (("standardised", ("b",)), ("weight norm", ("b",)), ("rounded", ("b",)), ("bounded", ())):
        net = seeded(MADE[name])
        assert norms_across(coupled(net, SHAPE), {"a": [1]}) == named, name


@pytest.mark.parametrize("kind", [OneScale, Backwards])
def test_filters_that_hang_together_stay(kind: type[nn.Conv2d]) -> None:
    net = seeded(lambda: chain(a=nn.Conv2d(1, 4, 1), b=kind(4, 6, 1), c=nn.Conv2d(6, 2, 1)))
    assert made_kernels(net) == {"b": None}
    fixed = {layer for group in coupled(net, SHAPE).groups if group.fixed for layer, _ in group.filters}
    assert "a" in fixed


def test_a_spectral_norm_holds_all_filters_together() -> None:
    net = seeded(lambda: chain(a=parametrizations.spectral_norm(nn.Conv2d(1, 4, 1)), b=nn.Conv2d(4, 2, 1)))
    reasons = {group.fixed for group in coupled(net, SHAPE).groups if ("a", 0) in group.filters}
    assert reasons == {"a makes its weights of all of its filters"}


def test_the_gradient_of_what_weights_are_made_of_counts() -> None:
    a, b = nn.Conv2d(1, 4, 1, bias=False), nn.Conv2d(4, 3, 1, bias=False)
    net = seeded(lambda: chain(a=bounded(a), b=bounded(b)))
    scores = taylor(net, coupled(net, SHAPE), [(images(4, *SHAPE), torch.tensor([0, 1, 0, 1]))])
    assert all(min(values) > 0 for values in scores.values())


def test_plain_layers_are_not_tried() -> None:
    assert made_kernels(nn.Sequential(nn.Conv2d(1, 2, 1), nn.LazyConv2d(3, 1), nn.Flatten(), nn.Linear(2, 2))) == {}
