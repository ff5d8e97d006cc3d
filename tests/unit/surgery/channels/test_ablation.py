"""Answers without each group: those of whole runs of the masked net, found faster."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnngraph.models.registry import build
from cnngraph.surgery.channels.ablation import MEMORY, AblatedNet, Ablation
from cnngraph.surgery.channels.coupling import Coupling, Group, coupled
from cnngraph.surgery.channels.masked import masked
from tests.toynets import toy, toy_shape

IMAGES, CLASSES = 41, 10
Right = np.ndarray[tuple[int], np.dtype[np.bool_]]


class NormedAcross(nn.Module):
    """A LayerNorm reckons over the filters of ``a``, which therefore cannot be ablated at a reader alone."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.GroupNorm(1, 6)
        self.b = nn.Conv2d(6, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.b(torch.relu(self.norm(self.a(x)))).mean((2, 3)))
        return out


class Gated(nn.Module):
    """Squeeze and excite: the gate reads what it scales; a size read off the batch, and an activation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze = nn.Conv2d(8, 2, 1)
        self.excite = nn.Conv2d(2, 8, 1)
        self.b = nn.Conv2d(8, 5, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(5 * 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        images = x.shape[0]
        x = self.act(self.a(x))
        x = x * torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        x = self.act(self.b(x))
        out: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 2).view(images, -1))
        return out


def _nets() -> Iterator[tuple[str, nn.Module, tuple[int, int, int], str]]:
    torch.manual_seed(0)
    sized = {"classes": CLASSES, "size": 32, "width": 0.125}
    yield "vgg16", build("cnngraph:vgg16", **sized), (3, 32, 32), "features.14"
    yield "resnet20, nested", build("cnngraph:resnet20", **sized), (3, 32, 32), "layer2.0.conv2"
    yield "resnet20, one reader", build("cnngraph:resnet20", **sized), (3, 32, 32), "layer2.1.conv1"
    yield "mobilenet_v2", build("cnngraph:mobilenet_v2", **sized), (3, 32, 32), "features.3.conv.0.0"
    yield "norm across", NormedAcross(), (3, 8, 8), "a"
    yield "gate", Gated(), (3, 8, 8), "a"
    yield "dense reader", toy("pooled"), toy_shape("pooled"), "features.4"


NETS = {name: (net, shape, layer) for name, net, shape, layer in _nets()}


class Case:
    """A net, its groups of one layer, and images, of which every fifth has another label than the net's answer."""

    def __init__(self, name: str) -> None:
        self.net, self.shape, layer = copy.deepcopy(NETS[name])
        generator = torch.Generator().manual_seed(1)
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = torch.randn(module.num_features, generator=generator) / 5
                module.running_var = torch.rand(module.num_features, generator=generator) + 0.5
        self.net.eval()
        self.images = torch.randn(IMAGES, *self.shape, generator=generator)
        with torch.no_grad():
            answers = self.net(self.images)
        self.labels = answers.argmax(1)
        self.labels[::5] = torch.randint(answers.shape[1], self.labels[::5].shape, generator=generator)
        self.coupling: Coupling = coupled(self.net, self.shape)
        self.groups: tuple[Group, ...] = tuple(
            group for group in self.coupling.groups if not group.fixed and layer in dict(group.filters)
        )

    def ablation(self, memory: int = MEMORY) -> Ablation:
        """In batches that do not divide the images."""

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            yield from zip(self.images.split(24), self.labels.split(24), strict=True)

        ablated = AblatedNet(copy.deepcopy(self.net), self.coupling)
        return Ablation(ablated, self.groups, batches, input_shape=self.shape, batch=16, memory=memory)

    def naive(self, *groups: Group) -> Right:
        """By a whole run of the masked net."""
        gone: dict[str, list[int]] = {}
        for layer, channel in (pair for group in groups for pair in group.filters):
            gone.setdefault(layer, []).append(channel)
        with torch.no_grad():
            found: Right = (masked(self.net, self.coupling, gone)(self.images).argmax(1) == self.labels).numpy()
        return found


@pytest.fixture(params=sorted(NETS))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_every_answer_is_that_of_the_masked_net(case: Case) -> None:
    found = case.ablation()
    assert (found.right == case.naive()).all()
    assert len(case.groups) > 2
    for group, right in zip(case.groups, found.right_without(case.groups), strict=True):
        assert (right == case.naive(group)).all(), group.filters


def test_the_choice_is_that_of_the_naive_loop_again_and_again(case: Case) -> None:
    found = case.ablation()
    gone: list[Group] = []
    while len(found.groups) > 1 and len(gone) < 3:
        naive = [int(case.naive(*gone, group).sum()) for group in found.groups]
        best = found.groups[naive.index(max(naive))]
        chosen, right = found.choose(found.groups)
        assert chosen.index == best.index
        assert (right == case.naive(*gone, chosen)).all()
        found.remove(chosen)
        gone.append(chosen)
        assert (found.right == right).all()


def test_images_that_do_not_fit_into_memory_are_read_again() -> None:
    case = Case("vgg16")
    found = case.ablation(memory=10_000)
    for _ in range(2):
        rights = found.right_without(found.groups)
        chosen, right = found.choose(found.groups)
        counts = [int(one.sum()) for one in rights]
        assert chosen.index == found.groups[counts.index(max(counts))].index
        found.remove(chosen)
        assert (found.right == right).all()


def test_which_nets_are_split() -> None:
    split = {name: Case(name).ablation().splits for name in NETS}
    assert not split.pop("norm across")
    assert all(split.values())


def test_the_net_that_is_asked_stays_as_it_was() -> None:
    case = Case("gate")
    found = case.ablation()
    before = {name: tensor.clone() for name, tensor in found.ablated.net.state_dict().items()}
    found.right_without(found.groups)
    found.choose(found.groups)
    assert all(torch.equal(tensor, before[name]) for name, tensor in found.ablated.net.state_dict().items())


def test_what_went_elsewhere_in_the_net_is_heeded() -> None:
    case = Case("vgg16")
    here, gone = case.ablation(), next(g for g in case.coupling.groups if "features.0" in dict(g.filters))
    here.ablated.remove(gone, plainly=True)
    here.renew()
    for group, right in zip(case.groups, here.right_without(case.groups), strict=True):
        assert (right == case.naive(gone, group)).all()
    assert here.splits
    here.ablated.remove(case.groups[0], plainly=False)  # as a judge does that cannot split the net
    here.renew()
    assert not here.splits
    for group, right in zip(case.groups[1:], here.right_without(case.groups[1:]), strict=True):
        assert (right == case.naive(gone, case.groups[0], group)).all()


class Hooked(Gated):
    """A hook changes what a reader gives."""

    def __init__(self) -> None:
        super().__init__()
        self.b.register_forward_hook(lambda _, given, answer: answer.relu())


class TwoCalls(Gated):
    """The weights of a reader are used by a function besides."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        x = self.b(x) + nn.functional.conv2d(x, self.b.weight, self.b.bias, padding=2, dilation=2)
        out: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(torch.relu(x), 2).flatten(1))
        return out


class OfBatch(Gated):
    """What an image gives hangs on the others of its batch."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        x = torch.relu(self.b(x / x.amax()))
        out: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))
        return out


class Large(Gated):
    """One filter of ``a`` gives far more than the others: a difference would lose their digits."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(5)
        with torch.no_grad():
            self.a.weight[0] *= 1e5

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.b(torch.relu(self.a(x)))))
        out: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))
        return out


@pytest.mark.parametrize(("kind", "splits"), [(Hooked, False), (TwoCalls, False), (OfBatch, False), (Large, True)])
def test_unusual_nets_are_answered_as_whole_runs_do(
    kind: type[nn.Module], splits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    monkeypatch.setitem(NETS, "gate", (kind(), (3, 8, 8), "a"))
    case = Case("gate")
    found = case.ablation()
    assert found.splits == splits
    if kind is not OfBatch:  # of which no two batches agree
        for group, right in zip(case.groups, found.right_without(case.groups), strict=True):
            assert (right == case.naive(group)).all()
