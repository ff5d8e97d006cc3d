"""Multiply-accumulates, counted where all of a net's code ends: at the operators of torch, by the shapes they get.

So a function counts as a module does, in one, two or three dimensions, transposed or grouped, and attention and
recurrent layers as the products that they are made of. ``torch.utils.flop_counter`` has the formulas of most operators
(a multiply-accumulate is two of its operations); it counts nothing for those below, nor for attention in eval mode,
which is one operator then (torch 2.15).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["MacCounter", "count_parameters", "counting"]

_OURS = frozenset({"aten", "prim", "prims"})  # namespaces of torch's own operators


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own is
    """Counts while operators run, of which fake tensors are enough.

    Attributes:
        macs: multiply-accumulates so far. foreign: names of operators so far that are not torch's own, whose kernels
            for fake tensors may take shapes that the real ones refuse.
    """

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry  # imports triton, where there is one

        super().__init__()  # type: ignore[no-untyped-call]
        self._formulas = flop_registry
        self.macs = 0
        self.foreign: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and count it."""
        kwargs = kwargs or {}
        given = func(*args, **kwargs)
        name = func._schema.name
        if name in _MISSING:
            self.macs += _MISSING[name](given, *args)
        elif func._overloadpacket in self._formulas:
            self.macs += self._formulas[func._overloadpacket](*args, **kwargs, out_val=given) // 2
        if func.namespace not in _OURS:
            self.foreign.add(name)
        return given


@contextmanager
def counting() -> Iterator[MacCounter]:
    """Count what runs inside, attention as its single products."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with MacCounter() as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _summed(_: Tensor, matrix: Tensor, *__: Any) -> int:
    """A matrix, or several, times one vector."""
    return matrix.numel()


def _added(_: Tensor, __: Tensor, matrix: Tensor, *rest: Any) -> int:
    """A sum and a matrix, or several, times a vector or as many matrices."""
    other = rest[0]
    return matrix.numel() * int(other.shape[-1] if other.dim() > 2 else 1)


def _trilinear(_: Tensor, one: Tensor, two: Tensor, three: Tensor, *rest: Any) -> int:
    """Three factors in each element of the space that they span: one addition each."""
    spread = [_at(factor, axes) for factor, axes in zip((one, two, three), rest[:3], strict=True)]
    sizes: Iterator[tuple[int, ...]] = zip(*spread, strict=True)
    return math.prod(max(axis) for axis in sizes)


def _at(factor: Tensor, axes: list[int]) -> tuple[int, ...]:
    """The shape of ``factor`` with axes of one element at ``axes``."""
    sizes = list(factor.shape)
    for axis in sorted(axes):
        sizes.insert(axis, 1)
    return tuple(sizes)


def _recurrent(_: Any, steps: Tensor, *weights: Any) -> int:
    """Each step (of ``steps``: time, image, feature) times each matrix."""
    held = weights[0] if isinstance(weights[0], list | tuple) else weights[:2]
    times: int = steps.shape[0] * steps.shape[1]
    return times * sum(int(weight.numel()) for weight in held if weight.dim() == 2)


def _deformed(given: Tensor, _: Tensor, weight: Tensor, *__: Any) -> int:
    return int(given.numel() * weight[0].numel())


# By the operator's name: its value and arguments -> multiply-accumulates.
_MISSING: dict[str, Callable[..., int]] = {
    "aten::mv": _summed,
    "aten::dot": _summed,
    "aten::vdot": _summed,
    "aten::addmv": _added,
    "aten::addbmm": _added,
    "aten::_trilinear": _trilinear,
    "aten::mkldnn_rnn_layer": _recurrent,
    "aten::_cudnn_rnn": _recurrent,
    "torchvision::deform_conv2d": _deformed,
}


def count_parameters(module: nn.Module) -> int:
    """All numbers of ``module`` that training may change."""
    return sum(parameter.numel() for parameter in module.parameters())
