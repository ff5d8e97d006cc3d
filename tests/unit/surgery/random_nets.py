"""Random nets for hypothesis: every way in which values fork, meet and are re-indexed in convolutional nets.

A net is a program: a list of steps, each of which reads earlier values (numbered modulo what is there, so that every
list of numbers is a net and shrinks to a smaller one) and appends its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

__all__ = ["CLASSES", "NETS", "SHAPE", "RandomNet", "Step"]

SHAPE = (3, 8, 8)
CLASSES = 3


@dataclass(frozen=True)
class Step:
    """One step of a program.

    ``reads``: how many values back its operands lie. ``size``: of whatever it makes, modulo what is possible.
    ``norm``, ``activation``: what follows a conv.
    """

    kind: str
    reads: tuple[int, int] = (0, 1)
    size: int = 0
    norm: str = "none"
    activation: str = "none"


_WIDTHS = (4, 6, 8)
_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda width: nn.GroupNorm(2, width),
    "instance": lambda width: nn.InstanceNorm2d(width, affine=True),
}
_MODULES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "inplace": lambda: nn.ReLU(inplace=True),
    "silu": nn.SiLU,
    "prelu": nn.PReLU,
}
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": lambda x: F.relu(x),
    "relu_": lambda x: x.relu_(),
    "F.hardswish": F.hardswish,
    "torch.tanh": torch.tanh,
}
_KINDS = (
    "conv", "conv", "conv", "pointwise", "stride", "depthwise", "grouped", "again", "pool", "F.pool",
    "add", "add", "iadd", "concat", "concat", "split", "chunk", "shuffle", "gate", "scale", "dropout",
)  # fmt: skip
_STEPS = st.builds(
    Step,
    kind=st.sampled_from(_KINDS),
    reads=st.tuples(st.sampled_from([0, 0, 0, 1, 2]), st.integers(0, 4)),
    size=st.integers(0, 3),
    norm=st.sampled_from(["none", "batch", "batch", "group", "instance"]),
    activation=st.sampled_from(["none", *_MODULES, *_FUNCTIONS]),
)


@dataclass(frozen=True)
class Call:
    """One call of the forward pass: which values it reads, which module it calls, and its whole numbers."""

    operation: str
    operands: tuple[int, ...]
    module: str = ""
    numbers: tuple[int, ...] = ()


class RandomNet(nn.Module):
    """A stem, the steps of a program, and a head that pools, flattens, or does both."""

    def __init__(self, program: tuple[Step, ...], head: str) -> None:
        super().__init__()
        self.program, self.head = program, head
        self.parts = nn.ModuleDict({"stem": nn.Conv2d(SHAPE[0], 4, 3, padding=1)})
        self.calls: tuple[Call, ...] = ()
        values = [torch.zeros(2, *SHAPE)]
        self._add(values, "module", 0, module="stem")
        with torch.no_grad():
            for number, step in enumerate(program):
                self._take(f"s{number}", step, values)
        self.fc = nn.Linear(_headed(head, values[-1]).shape[1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for call in self.calls:
            values = values + self._made(call, values)
        return self.fc(_headed(self.head, values[-1]))

    def _made(self, call: Call, values: list[Tensor]) -> list[Tensor]:
        operands = [values[place] for place in call.operands]
        if call.operation == "module":
            return [self.parts[call.module](*operands)]
        return _OPERATIONS[call.operation](*operands, *call.numbers)

    def _add(
        self, values: list[Tensor], operation: str, *operands: int, module: str = "", numbers: tuple[int, ...] = ()
    ) -> int:
        """Append a call, run it, and return the place of its last value."""
        call = Call(operation, operands, module, numbers)
        self.calls += (call,)
        values += [value.detach() for value in self._made(call, values)]
        return len(values) - 1

    def _call(self, values: list[Tensor], name: str, part: nn.Module, operand: int) -> int:
        self.parts[name] = part
        return self._add(values, "module", operand, module=name)

    def _take(self, name: str, step: Step, values: list[Tensor]) -> None:
        """Append the calls of one step; a step that fits nowhere appends none."""
        first, second = (len(values) - 1 - back % (len(values) - 1) for back in step.reads)  # never the image itself
        x, y = values[first], values[second]
        width, size = x.shape[1], x.shape[2]
        if step.kind in _CONVS:
            self._conv(name, step, values, first)
        elif step.kind == "again":
            fitting = [key for key, part in self.parts.items() if _takes(part, width)]
            if fitting:
                chosen = fitting[step.size % len(fitting)]
                if step.norm == "none":  # under a second name
                    self._call(values, name, self.parts[chosen], first)
                else:
                    self._add(values, "module", first, module=chosen)
        elif step.kind in {"add", "iadd"}:
            if x.shape != y.shape:
                stride = max(y.shape[2] // size, 1)
                second = self._call(values, f"{name}_fit", nn.Conv2d(y.shape[1], width, 1, stride), second)
            if values[second].shape == x.shape:
                self._add(values, step.kind, first, second)
        elif step.kind == "concat":
            if y.shape[2:] == x.shape[2:]:
                self._add(values, "concat", *((first, second) if step.size % 2 else (second, first)))
        elif step.kind == "split":
            if width > 1:
                left = 1 + step.size % (width - 1)
                self._add(values, "split", first, numbers=(left, width - left))
        elif step.kind in {"chunk", "shuffle"}:
            if width % 2 == 0:
                self._add(values, step.kind, first, numbers=(width, size) if step.kind == "shuffle" else ())
        elif step.kind == "gate":
            squeezed = self._add(values, "squeeze", first)
            squeezed = self._call(values, f"{name}_squeeze", nn.Conv2d(width, 2, 1), squeezed)
            squeezed = self._add(values, "F.relu", squeezed)
            excited = self._call(values, f"{name}_excite", nn.Conv2d(2, width, 1), squeezed)
            self._add(values, "gate", first, excited)
        elif step.kind == "pool":
            self._call(values, name, nn.MaxPool2d(2, ceil_mode=True), first)
        elif step.kind == "dropout":
            self._call(values, name, nn.Dropout2d(0.5), first)
        else:
            self._add(values, step.kind, first)

    def _conv(self, name: str, step: Step, values: list[Tensor], operand: int) -> None:
        width, size = values[operand].shape[1:3]
        kernel = 1 if step.kind == "pointwise" else 3
        outputs = width if step.kind == "depthwise" else _WIDTHS[step.size % len(_WIDTHS)]
        groups = {"depthwise": width, "grouped": 2}.get(step.kind, 1)
        groups = groups if width % groups == 0 else 1
        stride = 2 if step.kind == "stride" and size > 2 else 1
        conv = nn.Conv2d(width, outputs, kernel, stride, kernel // 2, groups=groups)
        value = self._call(values, name, conv, operand)
        if step.norm in _NORMS and (step.norm != "instance" or values[value].shape[2] > 1):
            value = self._call(values, f"{name}_norm", _NORMS[step.norm](outputs), value)
        if step.activation in _MODULES:
            self._call(values, f"{name}_act", _MODULES[step.activation](), value)
        elif step.activation in _FUNCTIONS:
            self._add(values, step.activation, value)


def _takes(part: nn.Module, width: int) -> bool:
    return isinstance(part, nn.Conv2d) and part.in_channels == width and part.stride == (1, 1)


def _headed(head: str, x: Tensor) -> Tensor:
    if head == "mean":
        return x.mean((2, 3))
    if head == "pool":
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
    return torch.flatten(F.adaptive_max_pool2d(x, 2), 1)


def _iadd(x: Tensor, y: Tensor) -> list[Tensor]:
    x += y
    return [x]


def _pair(values: Any) -> list[Tensor]:
    return [values[0], values[1]]


def _shuffle(x: Tensor, width: int, size: int) -> list[Tensor]:
    mixed = x.view(x.size(0), 2, width // 2, size, size).transpose(1, 2)
    return [mixed.reshape(x.size(0), width, size, size)]


_CONVS = frozenset({"conv", "pointwise", "stride", "depthwise", "grouped"})
_OPERATIONS: dict[str, Callable[..., list[Tensor]]] = {
    "add": lambda x, y: [x + y],
    "iadd": _iadd,
    "concat": lambda x, y: [torch.cat([x, y], 1)],
    "split": lambda x, left, right: _pair(torch.split(x, [left, right], 1)),
    "chunk": lambda x: _pair(x.chunk(2, dim=1)),
    "shuffle": _shuffle,
    "squeeze": lambda x: [F.adaptive_avg_pool2d(x, 1)],
    "gate": lambda x, y: [x * torch.sigmoid(y)],
    "scale": lambda x: [x * 0.5 + 0.25],
    "F.pool": lambda x: [F.avg_pool2d(x, 2, ceil_mode=True)],
    **{name: (lambda x, function=function: [function(x)]) for name, function in _FUNCTIONS.items()},
}


def _net(program: list[Step], head: str) -> RandomNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = RandomNet(tuple(program), head)
        for norm in net.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.uniform_(-0.5, 0.5)
                norm.running_var.uniform_(0.5, 2)
            if isinstance(norm, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.uniform_(norm.bias, -0.5, 0.5)
        return net.eval()


NETS = st.builds(_net, st.lists(_STEPS, min_size=1, max_size=7), st.sampled_from(["mean", "pool", "flatten"]))
