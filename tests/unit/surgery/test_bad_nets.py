"""Nets that are hard to cut: each plan of layers or filters is refused in one clear line, or is carried out right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnngraph.errors import CnngraphError, ModelError, PlanError, TraceError
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filter_scores import score_filters
from cnngraph.surgery.verify import state_hash, verify

from .nets import seeded

SHAPE = (3, 8, 8)
PLANS = {
    "layer": Plan(removes=(Removal(layer="b"),), init="inherit"),
    "filters": Plan(removes=(Removal(layer="b", kind="filters", filters=(0, 2)),), init="inherit"),
}


class Plain(nn.Module):
    """Three convs and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.Conv2d(4, 6, 3, padding=1)
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.b(torch.relu(self.a(x))))
        return self.fc(torch.relu(self.c(x)).mean((2, 3)))


class ControlFlow(Plain):
    """What it does depends on the image."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean() > 0 else -x)


class Double(torch.autograd.Function):
    """Twice the input, with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 2 * grads[0]


class OwnFunction(Plain):
    """A custom autograd function after a conv."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.b(Double.apply(torch.relu(self.a(x)))))
        return self.fc(torch.relu(self.c(x)).mean((2, 3)))


class Lazy(Plain):
    """A conv whose parameters are made at the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.LazyConv2d(6, 3, padding=1)


class Tied(Plain):
    """One parameter, held by two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.d = nn.Conv2d(4, 4, 3, padding=1)
        self.d.weight = self.b.weight

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.d(torch.relu(self.b(torch.relu(self.a(x))))))
        return self.fc(torch.relu(self.c(x)).mean((2, 3)))


class NoImage(Plain):
    """A net that is not called with one image."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x + y)


REFUSED: dict[str, tuple[Callable[[], nn.Module], type[CnngraphError], str]] = {
    "control flow": (ControlFlow, TraceError, "depends on the values"),
    "lazy parameters": (Lazy, ModelError, "c.weight"),
    "meta": (lambda: Plain().to("meta"), ModelError, "meta"),
    "two inputs": (NoImage, TraceError, "y"),
}


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused(name: str, kind: str) -> None:
    build, error, said = REFUSED[name]
    model = build()
    with pytest.raises(error) as caught:
        apply(model, PLANS[kind], input_shape=SHAPE)
    assert "\n" not in caught.value.message
    assert said in str(caught.value), str(caught.value)
    assert caught.value.hint


def test_tied_weights() -> None:
    """A layer goes, its twin keeps the weights; filters of one are filters of both or of none."""
    model = seeded(Tied)
    before = state_hash(model)
    slim = apply(model, PLANS["layer"], input_shape=SHAPE)
    assert verify(model, slim, PLANS["layer"], input_shape=SHAPE).ok
    with pytest.raises(PlanError, match="share") as caught:
        apply(model, PLANS["filters"], input_shape=SHAPE)
    assert "\n" not in caught.value.message
    assert state_hash(model) == before


# The user's own forward stays, so that a function with a gradient of its own keeps it.
WORK: dict[str, Callable[[nn.Module], nn.Module]] = {
    "custom autograd function": lambda _: seeded(OwnFunction),
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "double": lambda model: model.double(),
    "data parallel": nn.DataParallel,
    "compiled": lambda model: torch.compile(model),  # type: ignore[return-value]
    "frozen": lambda model: model.requires_grad_(False),
    "channels last": lambda model: model.to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("name", WORK)
def test_what_works(name: str, kind: str) -> None:
    model = WORK[name](seeded(Plain))
    before = state_hash(model)
    slim = apply(model, PLANS[kind], input_shape=SHAPE)
    proof = verify(model, slim, PLANS[kind], input_shape=SHAPE)
    assert proof.ok, proof.failures
    assert isinstance(slim, Plain)
    assert {p.dtype for p in slim.parameters()} == {p.dtype for p in model.parameters()}
    assert state_hash(model) == before


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_filters_of_a_wrapped_net_are_scored(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = wrap(seeded(Plain))
    coupling = coupled(model, SHAPE)
    for score in ("magnitude", "random"):
        assert score_filters(model, coupling, score) == score_filters(seeded(Plain), coupling, score)


def test_hooks_stay_on_the_users_net_alone() -> None:
    model = seeded(Plain)
    calls: list[str] = []
    model.a.register_forward_hook(lambda *_: calls.append("a"))
    for made in PLANS.values():
        apply(model, made, input_shape=SHAPE)
    assert calls == []
    assert len(model.a._forward_hooks) == 1


def test_filters_that_are_not_there() -> None:
    model = seeded(Plain)
    coupling = coupled(model, SHAPE)
    for filters, said in (
        ({"b": [4]}, "b has no filter 4"),
        ({"b": [0, 1, 2, 3]}, "all"),
        ({"bb": [0]}, "bb"),
        ({"fc": [0]}, "fc"),
    ):
        with pytest.raises(PlanError, match=said) as caught:
            coupling.closure(filters)
        assert "\n" not in caught.value.message
