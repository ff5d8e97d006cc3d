"""Random nets, random plans: a clear refusal, or a net that works, is what was planned, and costs what was reckoned."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply, apply_with_report
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.masked import masked
from cnngraph.surgery.check import removable, removable_blocks
from cnngraph.surgery.cost import Costs
from cnngraph.surgery.output_diff import output_diff
from cnngraph.surgery.verify import state_hash, verify

from . import random_nets
from .nets import batches, images, plan

SHAPE = (2, 12, 12)


@dataclass(frozen=True)
class Step:
    """One conv of a chain and what follows it."""

    width: int
    kernel: tuple[int, int]
    stride: int
    padding: int
    norm: bool
    activation: str
    pool: bool


STEPS = st.builds(
    Step,
    width=st.integers(1, 4),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.sampled_from([1, 1, 2]),
    padding=st.integers(0, 2),
    norm=st.booleans(),
    activation=st.sampled_from(["relu", "inplace", "silu", "none"]),
    pool=st.booleans(),
)
_ACTIVATIONS = {"relu": nn.ReLU, "inplace": lambda: nn.ReLU(inplace=True), "silu": nn.SiLU}


class Chain(nn.Module):
    """A chain of convs and, behind a flatten, two dense layers."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        channels, size = SHAPE[0], SHAPE[1]
        for step in steps:
            parts.append(nn.Conv2d(channels, step.width, step.kernel, step.stride, step.padding, bias=not step.norm))
            parts += [nn.BatchNorm2d(step.width)] if step.norm else []
            parts += [_ACTIVATIONS[step.activation]()] if step.activation in _ACTIVATIONS else []
            channels = step.width
            size = (size + 2 * step.padding - max(step.kernel)) // step.stride + 1
            if step.pool and size >= 4:
                parts.append(nn.MaxPool2d(2))
                size //= 2
        self.features = nn.Sequential(*parts)
        with torch.no_grad():
            flat = self.features.eval()(torch.zeros(1, *SHAPE)).numel()
        self.features.train()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(flat, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Block(nn.Module):
    """A basic or bottleneck block with one ReLU for all its places, as torchvision has it."""

    def __init__(self, inputs: int, outputs: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        sizes = [(inputs, 2, 1, 1), (2, 2, 3, stride), (2, outputs, 1, 1)]
        if not bottleneck:
            sizes = [(inputs, outputs, 3, stride), (outputs, outputs, 3, 1)]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, k, s, k // 2, bias=False) for i, o, k, s in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in sizes)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            out = norm(conv(out))
            if index + 1 < len(self.convs):
                out = self.relu(out)
        out += x if self.shortcut is None else self.shortcut(x)
        return self.relu(out)


class Residual(nn.Module):
    """A stem and random blocks."""

    def __init__(self, blocks: list[tuple[int, int, bool]]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(SHAPE[0], 3, 3, padding=1)
        widths = [3, *(width for width, _, _ in blocks)]
        self.blocks = nn.Sequential(
            *(Block(widths[i], width, stride, deep) for i, (width, stride, deep) in enumerate(blocks))
        )
        self.fc = nn.Linear(widths[-1], 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


def _holds(model: nn.Module, layers: list[str], blocks: list[str], init: str) -> bool:
    """Cut it; ``False`` where that is refused, with a reason. All that verify checks but the process and the export."""
    before = state_hash(model)
    made = plan(*layers, blocks=blocks, init=init)  # type: ignore[arg-type]
    loader = batches(SHAPE, number=1, size=8)
    try:
        slim, report = apply_with_report(model, made, loader=loader)
    except PlanError as error:
        assert "\n" not in error.message
        assert error.message.endswith(".")
        assert state_hash(model) == before
        return False
    x = images(8, *SHAPE, seed=5)
    with torch.no_grad():
        assert slim.eval()(x).shape == model.eval()(x).shape
    slim.train()(x).square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in slim.parameters())
    there = dict(slim.named_modules())
    assert not any(type(there.get(name)) is nn.Conv2d for name in layers)  # an Adapter is none
    removes = [*layers, *(Removal(layer=block, kind="block") for block in blocks)]
    found = Costs(follow(model, SHAPE)).without(removes)
    assert found.parameters == sum(parameter.numel() for parameter in slim.parameters())
    assert found.macs == sum(layer.macs for layer in follow(slim, SHAPE).layers)
    if init == "scratch":
        return True
    mine, theirs = model.state_dict(), slim.state_dict()
    changed = {join.layer for join in report.joins} | {
        name.rpartition(".")[0] for name in theirs if theirs[name].shape != mine[name].shape
    }
    for name, tensor in theirs.items():
        # Resized layers and joins aside, all is bit-identical; the train step above moved the norms' statistics.
        kept = name.rpartition(".")[0] not in changed and not name.endswith(("running_mean", "running_var", "tracked"))
        assert not kept or torch.equal(tensor, mine[name])
    return True


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.lists(STEPS, min_size=2, max_size=4), st.data())
def test_random_chains(steps: list[Step], data: st.DataObject) -> None:
    try:
        model = Chain(steps)
    except RuntimeError:
        return  # the maps shrank to nothing
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names) - 1, unique=True))
    assert _holds(model, chosen, [], data.draw(st.sampled_from(["inherit", "least-squares", "scratch"])))


@settings(deadline=None, derandomize=True, max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from([3, 4]), st.sampled_from([1, 1, 2]), st.booleans()), min_size=1, max_size=3),
    st.data(),
)
def test_random_residual_nets(blocks: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    model = Residual(blocks)
    graph = follow(model, SHAPE)
    reasons = removable(graph)
    layers = data.draw(st.lists(st.sampled_from(list(reasons)), max_size=3, unique=True))
    gone = data.draw(st.lists(st.sampled_from(list(removable_blocks(graph))), max_size=2, unique=True))
    held = _holds(model, layers, gone, data.draw(st.sampled_from(["inherit", "least-squares", "reset"])))
    if len(layers) == 1 and not gone:
        assert held == (reasons[layers[0]] is None)
    if not layers:
        assert held


def _gradients(net: nn.Module) -> set[str] | None:
    """Parameters that get a gradient in a training step; ``None`` where the net cannot be trained."""
    twin = copy.deepcopy(net).train()
    try:
        twin(images(8, *random_nets.SHAPE, seed=5)).square().sum().backward()
    except RuntimeError:
        return None
    grads = {name: parameter.grad for name, parameter in twin.named_parameters() if parameter.grad is not None}
    assert all(bool(torch.isfinite(grad).all()) for grad in grads.values())
    return set(grads)


def _draw_plan(model: nn.Module, data: st.DataObject) -> Plan:
    """Layers, blocks and filters at random, whether they can go or not."""
    graph = follow(model, random_nets.SHAPE)
    convs = sorted({conv.layer.split("#")[0] for conv in graph.convs})
    layers = data.draw(st.lists(st.sampled_from(convs), max_size=2, unique=True))
    blocks = list(removable_blocks(graph))
    gone = data.draw(st.lists(st.sampled_from(blocks), max_size=1)) if blocks else []
    widths = coupled(model, random_nets.SHAPE).layers
    narrowed = data.draw(st.lists(st.sampled_from(sorted(widths)), max_size=2, unique=True)) if widths else []
    removes = [Removal(layer=layer) for layer in layers] + [Removal(layer=block, kind="block") for block in gone]
    for layer in narrowed:
        some = st.lists(st.integers(0, widths[layer] - 1), min_size=1, max_size=3, unique=True)
        removes.append(Removal(layer=layer, kind="filters", filters=tuple(data.draw(some))))
    names = [removal.layer for removal in removes]
    assume(removes and len(set(names)) == len(names))
    return Plan(removes=tuple(removes), init="inherit")


def _cut(model: nn.Module, made: Plan) -> nn.Module | None:
    """The net without what the plan names; ``None`` where that is refused, in a line, and nothing was changed."""
    before = state_hash(model)
    try:
        return apply(model, made, input_shape=random_nets.SHAPE)
    except PlanError as error:
        assert "\n" not in error.message
        assert error.message.endswith(".")
        return None
    finally:
        assert state_hash(model) == before


def _sound(model: nn.Module, slim: nn.Module, made: Plan) -> None:
    """What a proof finds without a new process and an export; for filters alone the equality with the masked net."""
    x = images(8, *random_nets.SHAPE, seed=5)
    with torch.no_grad():
        logits = slim.eval()(x)
    assert logits.shape == (8, random_nets.CLASSES)
    assert bool(torch.isfinite(logits).all())
    got, trained = _gradients(slim), _gradients(model)
    assert got is not None and trained is not None
    unused = {name for name, _ in model.named_parameters()} - trained
    assert {name for name, _ in slim.named_parameters()} - got <= unused
    if made.filters and not made.removed:
        reference = masked(model, coupled(model, random_nets.SHAPE), made.filters)
        assert output_diff(slim, reference, [x], [x]).relative <= 1e-9


_ANY_NET = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@settings(_ANY_NET, max_examples=50)
@given(random_nets.NETS, st.data())
def test_any_net_is_sound_or_refused(model: nn.Module, data: st.DataObject) -> None:
    assume(_gradients(model) is not None)
    made = _draw_plan(model, data)
    slim = _cut(model, made)
    if slim is not None:
        _sound(model, slim, made)


@pytest.mark.slow
@settings(_ANY_NET, max_examples=500)
@given(random_nets.NETS, st.data())
def test_many_nets_are_proven_or_refused(model: nn.Module, data: st.DataObject) -> None:
    assume(_gradients(model) is not None)
    made = _draw_plan(model, data)
    slim = _cut(model, made)
    if slim is not None:
        _sound(model, slim, made)
        proof = verify(model, slim, made, input_shape=random_nets.SHAPE)
        assert proof.ok, (made.removes, proof.failures)
