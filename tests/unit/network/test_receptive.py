"""Receptive fields against autograd: a place looks at another iff its gradient with respect to it is not zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnngraph.network.graph import follow
from cnngraph.network.topology import positions_and_arcs

Arcs = set[tuple[str, int, int, str, int, int]]


@dataclass(frozen=True)
class Step:
    """One step of a random net: what it does to which earlier values."""

    operation: str
    operands: tuple[int, ...]
    options: dict[str, Any]


class RandomNet(nn.Module):
    """A net made of steps; all weights are positive, so that no dependence cancels.

    With ``watched`` set, each conv's output becomes a leaf of its own and pairs (output, leaf) are kept.
    """

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps
        self.convs = nn.ModuleDict()
        for number, step in enumerate(steps):
            if step.operation == "conv":
                conv = nn.Conv2d(**step.options, bias=False, dtype=torch.float64)
                nn.init.constant_(conv.weight, 0.5)
                self.convs[str(number)] = conv
        self.watched: dict[str, tuple[Tensor, Tensor]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for number, step in enumerate(self.steps):
            operands = [values[i] for i in step.operands]
            if step.operation == "conv":
                value = self.convs[str(number)](operands[0])
                if self.watched is not None:
                    leaf = value.detach().requires_grad_()
                    self.watched[f"convs.{number}"] = (value, leaf)
                    value = leaf
            else:
                value = OPERATIONS[step.operation](self.watched is not None, *operands, **step.options)
            values.append(value)
        return values[-1].flatten(1)


def max_pool(smooth: bool, x: Tensor, **options: Any) -> Tensor:
    """A max-pool, or the sum over the same windows: its gradient does not pick one place."""
    if not smooth:
        return F.max_pool2d(x, **options)
    ones = torch.ones((x.shape[1], 1, *options.pop("kernel_size")), dtype=x.dtype)
    return F.conv2d(x, ones, groups=x.shape[1], **options)


def shuffle(_: bool, x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.size()
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


def per_place_norm(_: bool, x: Tensor) -> Tensor:
    return F.gelu(x.permute(0, 2, 3, 1) * 1.5).permute(0, 3, 1, 2)


def halves(_: bool, x: Tensor) -> Tensor:
    upper, lower = x.chunk(2, 2)
    return torch.cat([lower, upper], 2)


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "max_pool": max_pool,
    "avg_pool": lambda _, x, **options: F.avg_pool2d(x, **options),
    "adaptive": lambda _, x, size: F.adaptive_avg_pool2d(x, size),
    "relu": lambda _, x: torch.relu(x),
    "add": lambda _, x, y: x + y,
    "gate": lambda _, x: x * x.mean((2, 3), keepdim=True),
    "gate_view": lambda _, x: x * x.mean((2, 3)).view(x.size(0), -1, 1, 1),
    "cat": lambda _, x, y, dim: torch.cat([x, y], dim),
    "halves": halves,
    "crop": lambda _, x: x[:, :, 1:, ::2],
    "pad": lambda _, x, mode: F.pad(x, (1, 1, 0, 1), mode=mode),
    "upsample": lambda _, x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "nearest": lambda _, x: F.interpolate(x, scale_factor=2),
    "flip": lambda _, x: x.flip(3),
    "row_sums": lambda _, x: x + x.sum(3, keepdim=True),
    "shuffle": shuffle,
    "place": per_place_norm,
}


@st.composite
def windows(draw: st.DrawFn, height: int, width: int, *, pool: bool) -> dict[str, Any]:
    """A window that fits: kernel, stride, dilation and padding per axis."""
    kernel = tuple(draw(st.integers(1, min(3, size))) for size in (height, width))
    dilation = tuple(
        draw(st.integers(1, 2)) if 2 * (k - 1) < s else 1 for k, s in zip(kernel, (height, width), strict=True)
    )
    most = [k // 2 if pool else k - 1 for k in kernel]
    padding = tuple(draw(st.integers(0, m)) for m in most)
    stride = tuple(draw(st.integers(1, 3)) for _ in kernel)
    return {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}


@st.composite
def nets(draw: st.DrawFn) -> tuple[RandomNet, tuple[int, int, int]]:
    """A random net of at most 8 steps with at least two convs on an image of at most 9 x 9."""
    shape = (2, draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    steps: list[Step] = []
    values = [torch.ones(1, *shape, dtype=torch.float64)]

    def add(operation: str, *operands: int, **options: Any) -> None:
        steps.append(Step(operation, operands, options))
        if operation == "conv":
            value = nn.Conv2d(**options, bias=False, dtype=torch.float64)(values[operands[0]]).detach()
        else:
            value = OPERATIONS[operation](False, *(values[i] for i in operands), **options)
        values.append(value)

    def add_conv(operand: int) -> None:
        _, channels, height, width = values[operand].shape
        options = draw(windows(height, width, pool=False))
        mode = draw(st.sampled_from(["zeros", "zeros", "circular", "replicate"]))
        groups = draw(st.sampled_from([g for g in (1, 2) if channels % g == 0]))
        add("conv", operand, in_channels=channels, out_channels=2, groups=groups, padding_mode=mode, **options)

    add_conv(0)
    for _ in range(draw(st.integers(1, 6))):
        operand = draw(st.integers(max(1, len(values) - 3), len(values) - 1))
        _, channels, height, width = values[operand].shape
        same = [i for i in range(1, len(values)) if values[i].shape == values[operand].shape]
        beside = [i for i in range(1, len(values)) if values[i].shape[2:] == values[operand].shape[2:]]
        small, splits = max(height, width) <= 8, min(height, width) >= 2
        fits = {"upsample": small, "nearest": small, "crop": splits, "halves": splits}
        choice = draw(st.sampled_from(["conv", *OPERATIONS]))
        if choice == "conv":
            add_conv(operand)
        elif choice == "max_pool":
            add(choice, operand, **draw(windows(height, width, pool=True)))
        elif choice == "avg_pool":
            options = draw(windows(height, width, pool=True)) | {"ceil_mode": draw(st.booleans())}
            del options["dilation"]
            add(choice, operand, **options)
        elif choice == "adaptive":
            add(choice, operand, size=(draw(st.integers(1, height)), draw(st.integers(1, width))))
        elif choice == "add":
            add(choice, operand, draw(st.sampled_from(same)))
        elif choice == "cat" and channels * 2 <= 8:
            dim = draw(st.sampled_from([1, 2, 3]))
            add(choice, operand, draw(st.sampled_from(beside if dim == 1 else same)), dim=dim)
        elif choice == "pad":
            add(choice, operand, mode=draw(st.sampled_from(["constant", "replicate", "circular"])))
        elif choice == "shuffle" and channels % 2 == 0:
            add(choice, operand, groups=2)
        elif fits.get(choice, choice in ("relu", "gate", "gate_view", "flip", "row_sums", "place")):
            add(choice, operand)
    add_conv(len(values) - 1)
    return RandomNet(steps), shape


def arcs_by_gradient(net: RandomNet, shape: tuple[int, int, int]) -> Arcs:
    """All pairs of places (also those in the margins) where the target conv depends on the source's output."""
    net.watched = {}
    net(torch.ones(1, *shape, dtype=torch.float64))
    watched, net.watched = net.watched, None
    arcs: Arcs = set()
    names = list(watched)
    for target, (value, _) in watched.items():
        places = value.sum((0, 1)).flatten()
        if not places.requires_grad:
            continue
        gradients = torch.autograd.grad(
            places,
            [watched[name][1] for name in names],
            torch.eye(len(places), dtype=torch.float64),
            is_grads_batched=True,
            allow_unused=True,
            retain_graph=True,
        )
        for source, gradient in zip(names, gradients, strict=True):
            if gradient is None:
                continue
            looks = gradient.abs().sum((1, 2)) > 1e-12
            for place, row, column in torch.nonzero(looks).tolist():
                arcs.add((source, row, column, target, *divmod(place, value.shape[3])))
    return arcs


def arcs_of_topology(net: nn.Module, shape: tuple[int, int, int]) -> tuple[Arcs, Callable[[Arcs], Arcs]]:
    """The arcs by layer and coordinates, and the filter that keeps of other arcs those between positions."""
    topology = positions_and_arcs(follow(net, shape))
    layer = np.concatenate([[grid.layer] * grid.count for grid in topology.grids])
    x = np.concatenate([grid.x for grid in topology.grids])
    y = np.concatenate([grid.y for grid in topology.grids])
    places = [(str(a), int(b), int(c)) for a, b, c in zip(layer, x, y, strict=True)]
    arcs = {places[s - 1] + places[t - 1] for s, t in zip(topology.source, topology.target, strict=True)}
    assert len(arcs) == len(topology.source)
    positions = set(places)
    return arcs, lambda others: {arc for arc in others if arc[:3] in positions and arc[3:] in positions}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(nets())
def test_arcs_are_the_dependences_that_autograd_finds(case: tuple[RandomNet, tuple[int, int, int]]) -> None:
    net, shape = case
    arcs, between_positions = arcs_of_topology(net, shape)
    assert arcs == between_positions(arcs_by_gradient(net, shape))


class Choosy(nn.Module):
    """A step of torch that takes probabilities alone, which the shocks of a probe are not."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).sigmoid().bernoulli())  # type: ignore[no-any-return]


def test_a_step_that_refuses_strange_values_may_look_everywhere() -> None:
    arcs, _ = arcs_of_topology(Choosy(), (1, 3, 3))
    between = {arc for arc in arcs if (arc[0], arc[3]) == ("one", "two")}
    assert len(between) == 81


class Sorted(nn.Module):
    """The image itself chooses where its values go."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        return self.two(y[y.mean((1, 2, 3)).argsort()])  # type: ignore[no-any-return]


def test_an_order_that_the_image_chooses_is_followed() -> None:
    arcs, _ = arcs_of_topology(Sorted(), (1, 3, 3))
    assert {("one", x, y, "two", x, y) for x in range(3) for y in range(3)} <= arcs
