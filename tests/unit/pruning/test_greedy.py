"""Greedy by CAR: the golden numbers of the method, quotas, pools, and what was known before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor, nn

from cnngraph.measures.accuracy_reduction import measure_reduction
from cnngraph.models.registry import build
from cnngraph.pruning.greedy import GreedyStep, Room, groups_of, take_from_each, take_from_pool
from cnngraph.surgery.channels.ablation import AblatedNet, Ablation
from cnngraph.surgery.channels.coupling import Coupling, Group, coupled
from cnngraph.surgery.channels.masked import masked


def golden_net(classifier: Sequence[Sequence[float]], biases: Sequence[float]) -> nn.Module:
    """Features relu(x), one filter each, and a dense layer."""
    conv = nn.Conv2d(len(classifier[0]), len(classifier[0]), 1, bias=False)
    dense = nn.Linear(len(classifier[0]), len(classifier))
    with torch.no_grad():
        conv.weight.copy_(torch.eye(len(classifier[0]))[:, :, None, None])
        dense.weight.copy_(torch.tensor(classifier))
        dense.bias.copy_(torch.tensor(biases))
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), dense).eval()


def data(*rows: tuple[int, Sequence[float], int]) -> tuple[Tensor, Tensor]:
    """So many images of one pixel with these values, and their class."""
    images = [values for count, values, _ in rows for _ in range(count)]
    labels = [label for count, _, label in rows for _ in range(count)]
    return torch.tensor(images, dtype=torch.float32)[:, :, None, None], torch.tensor(labels)


class Judged:
    """A net on some images."""

    def __init__(self, net: nn.Module, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.shape = (images.shape[1], images.shape[2], images.shape[3])
        self.net = net
        self.coupling: Coupling = coupled(net, self.shape)

    def ablate(self) -> Callable[[Sequence[Group]], Ablation]:
        ablated = AblatedNet(copy.deepcopy(self.net), self.coupling)

        def batches() -> Iterable[tuple[Tensor, Tensor]]:
            return [(self.images, self.labels)]

        return lambda groups: Ablation(ablated, groups, batches, input_shape=self.shape, batch=32)

    def room(self, **shares: int) -> Room:
        return Room.of(self.coupling, {layer.replace("__", "."): share for layer, share in shares.items()})

    def groups(self, *layers: str) -> dict[str, tuple[Group, ...]]:
        return groups_of(self.coupling, layers)


IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (0.0, 0.0, 0.0)


def test_golden_car_and_its_classes() -> None:
    judged = Judged(golden_net(*IDENTITY), *data((5, (2, 1, 0), 0), (3, (0, 2, 1), 1), (2, (1, 0, 2), 2)))
    groups = judged.groups("0")["0"]
    judge = judged.ablate()(groups)
    found = [measure_reduction(judge.labels, judge.right, right, 3) for right in judge.right_without(groups)]
    assert [one.overall for one in found] == [0.5, 0.3, 0.2]
    assert [one.by_class for one in found] == [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]


def test_golden_order_to_the_last_filter() -> None:
    judged = Judged(golden_net(*IDENTITY), *data((5, (2, 1, 0), 0), (3, (0, 2, 1), 1), (2, (1, 0, 2), 2)))
    steps = list(take_from_each(judged.groups("0"), Room({"0": 3}), judged.ablate()))
    assert [step.group.filters[0][1] for step in steps] == [2, 1, 0]
    assert [step.accuracy for step in steps] == [0.8, 0.5, 0.5]
    assert [round(step.car, 12) for step in steps] == [0.2, 0.3, 0.0]


def test_golden_greedy_is_not_one_shot() -> None:
    net = golden_net(((1.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)), (0.0, 0.0, 0.5))
    judged = Judged(net, *data((6, (1, 1, 0), 0), (2, (0, 0, 1), 1), (2, (0, 0, 0), 2)))
    groups = judged.groups("0")
    judge = judged.ablate()(groups["0"])
    cars = [
        measure_reduction(judge.labels, judge.right, right, 3).overall for right in judge.right_without(judge.groups)
    ]
    assert cars == [0.0, 0.0, 0.2]
    greedy = list(take_from_each(groups, Room({"0": 2}), judged.ablate()))
    assert [(step.group.filters[0][1], step.accuracy) for step in greedy] == [(0, 1.0), (2, 0.8)]
    one_shot = list(take_from_each(groups, Room({"0": 2}), judged.ablate(), per_step=2))
    assert [(step.group.filters[0][1], step.accuracy) for step in one_shot] == [(0, 1.0), (1, 0.4)]


@given(
    labels=arrays.arrays(np.int64, 30, elements=st.integers(0, 4)),
    before=arrays.arrays(bool, 30),
    after=arrays.arrays(bool, 30),
)
def test_car_is_the_mean_of_its_classes(
    labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    before: np.ndarray[tuple[int], np.dtype[np.bool_]],
    after: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> None:
    found = measure_reduction(labels, before, after, 6)
    counts = np.bincount(labels, minlength=6)
    assert [one is None for one in found.by_class] == [count == 0 for count in counts]
    mean = sum(count / 30 * one for count, one in zip(counts, found.by_class, strict=True) if one is not None)
    assert found.overall == pytest.approx(mean, abs=1e-12)


def residual() -> Judged:
    torch.manual_seed(3)
    net = build("cnngraph:resnet20", classes=4, size=16, width=0.25).eval()
    images = torch.randn(40, 3, 16, 16)
    with torch.no_grad():
        labels = net(images).argmax(1)
    labels[::4] = torch.arange(10) % 4
    return Judged(net, images, labels)


def facts(steps: Iterable[GreedyStep]) -> list[tuple[str, tuple[tuple[str, int], ...], float, float]]:
    return [(step.layer, step.group.filters, step.car, step.accuracy) for step in steps]


def test_layers_keep_what_their_share_leaves_them() -> None:
    judged = residual()
    groups = judged.groups("layer2.1.conv1", "layer1.0.conv1")
    assert list(groups) == ["layer1.0.conv1", "layer2.1.conv1"]
    steps = list(take_from_each(groups, judged.room(layer1__0__conv1=2, layer2__1__conv1=3), judged.ablate()))
    assert [step.layer for step in steps] == ["layer1.0.conv1"] * 2 + ["layer2.1.conv1"] * 3
    again = list(
        take_from_each(groups, judged.room(layer1__0__conv1=2, layer2__1__conv1=3), judged.ablate(), known=steps[:3])
    )
    assert facts(again) == facts(steps)


def test_a_pool_takes_the_lowest_of_all_layers() -> None:
    judged = residual()
    groups = judged.groups("layer1.0.conv1", "layer2.1.conv1")
    widths = judged.coupling.layers
    steps = list(take_from_pool(groups, judged.room(), judged.ablate()))
    assert len(steps) == sum(widths[layer] - 1 for layer in groups)
    naive = judged.ablate()
    first = {layer: naive(candidates) for layer, candidates in groups.items()}
    lowest = {
        layer: min(1 - right.mean() for right in judge.right_without(judge.groups)) for layer, judge in first.items()
    }
    assert steps[0].layer == min(lowest, key=lambda layer: lowest[layer])
    again = list(take_from_pool(groups, judged.room(), judged.ablate(), known=steps[:4]))
    assert facts(replace(step, car=0.0) for step in again) == facts(replace(step, car=0.0) for step in steps)


def test_a_group_belongs_to_the_first_named_layer_in_it() -> None:
    judged = residual()
    groups = judged.groups("layer1.1.conv2", "layer1.0.conv2")  # both in the residual stream
    assert len(groups["layer1.0.conv2"]) == judged.coupling.layers["layer1.0.conv2"]
    assert groups["layer1.1.conv2"] == ()


class GroupedReader(nn.Module):
    """A conv of 8 filters whose reader has 2 groups, so that its filters go four at a time; another that is summed."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 6, 3, padding=1, groups=2)
        self.c = nn.Conv2d(3, 6, 1)
        self.norm = nn.GroupNorm(1, 6)
        self.d = nn.Conv2d(6, 4, 1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.b(torch.relu(self.a(x))) + self.c(x))
        out: Tensor = self.fc(torch.relu(self.d(self.norm(x))).mean((2, 3)))
        return out


def grouped() -> Judged:
    torch.manual_seed(5)
    net = GroupedReader().eval()
    images = torch.randn(30, 3, 6, 6)
    with torch.no_grad():
        return Judged(net, images, net(images).argmax(1))


def test_no_layer_loses_more_than_its_share_whatever_is_coupled() -> None:
    judged = grouped()
    layers = [layer for layer in judged.coupling.layers if judged.groups(layer)[layer]]
    shares = {layer: judged.coupling.layers[layer] // 2 for layer in layers}
    for take in (take_from_each, take_from_pool):
        lost = dict.fromkeys(judged.coupling.layers, 0)
        for step in take(judged.groups(*layers), Room.of(judged.coupling, shares), judged.ablate()):
            for layer, _ in step.group.filters:
                lost[layer] += 1
        assert sum(lost.values()) > 0
        for layer, count in lost.items():
            assert count <= shares.get(layer, judged.coupling.layers[layer] - 1), layer


def test_a_pool_of_judges_of_both_kinds_goes_to_its_end() -> None:
    """The norm across channels makes one judge run the net whole; the others then do so too."""
    judged = grouped()
    layers = [layer for layer in judged.coupling.layers if judged.groups(layer)[layer]]
    ablate = judged.ablate()
    kinds = {layer: ablate(judged.groups(layer)[layer]).splits for layer in layers}
    assert set(kinds.values()) == {True, False}
    steps = list(take_from_pool(judged.groups(*layers), judged.room(), judged.ablate()))
    gone: dict[str, set[int]] = {}
    for step in steps:
        for layer, channel in step.group.filters:
            gone.setdefault(layer, set()).add(channel)
        with torch.no_grad():
            right = masked(judged.net, judged.coupling, gone)(judged.images).argmax(1) == judged.labels
        assert step.accuracy == right.double().mean().item()
