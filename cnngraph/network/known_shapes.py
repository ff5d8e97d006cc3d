"""What the usual steps of a net give, told from the shapes of their operands: no operator of torch has to run.

A followed net has hundreds of steps, nearly all of them convs, norms, activations, pools and sums. Their output shapes
and multiply-accumulates are a line of arithmetic each; running them on fake tensors takes milliseconds each. A step
that is not in the table, or whose operands it does not take, is left to those.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Outline", "outline_of", "work_out"]


@dataclass(frozen=True)
class Outline:
    """A tensor of numbers, in row-major order in memory, of which only this is known."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def with_shape(self, *shape: int) -> Outline:
        """Another one of the same type on the same device."""
        return Outline(tuple(map(int, shape)), self.dtype, self.device)

    def as_tensor(self) -> Tensor:
        """Such a tensor; a fake one while a mode of fake tensors is on."""
        return torch.empty(self.shape, dtype=self.dtype, device=self.device)


Known = tuple[Outline, int]  # the value, and the multiply-accumulates of all images together


def outline_of(value: Any) -> Outline | None:
    """What is known of ``value``, if it is a plain tensor of floats in row-major order."""
    if isinstance(value, Outline):
        return value
    if isinstance(value, Tensor) and value.layout is torch.strided and value.dim() and _is_row_major(value):
        return Outline(tuple(value.shape), value.dtype, value.device)
    return None


def _is_row_major(tensor: Tensor) -> bool:
    """Whether it lies in memory row by row, and says so: a map of one place may be said to be channels last."""
    return tensor.is_contiguous() and tensor.stride(-1) == 1


def work_out(step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Known | None:
    """The value of ``step`` and its multiply-accumulates; ``None`` where it has to be run.

    Args:
        step: a module, a function or the name of a method. args: tensors among them are an :class:`Outline` each.
    """
    if torch.is_autocast_enabled():
        return None  # types would be others
    if isinstance(step, nn.Module):
        rule: Any = _MODULES.get(type(step))
        if rule is None or "forward" in vars(step) or kwargs or len(args) != 1 or not isinstance(args[0], Outline):
            return None
        found = rule(step, args[0]) if args[0].dtype.is_floating_point else None
    else:
        rule = _FUNCTIONS.get(step)
        found = rule(*args, **kwargs) if rule is not None and _are_known(rule, args, kwargs) else None
    return found if found is None or isinstance(found, tuple) else (found, 0)


def _are_known(rule: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the operands are what ``rule`` reckons with: an outline of floats first, and no argument it has not."""
    first = args[0] if args else None
    if isinstance(first, list | tuple):
        first = first[0] if first else None
    names = rule.__code__.co_varnames[: rule.__code__.co_argcount]
    fits = len(args) <= len(names) and kwargs.keys() <= set(names[len(args) :])
    return fits and isinstance(first, Outline) and first.dtype.is_floating_point


def _conv(conv: nn.Conv2d, x: Outline) -> Known | None:
    weight, bias = conv.weight, conv.bias
    plain = conv.padding_mode == "zeros" and not isinstance(conv.padding, str) and "_conv_forward" not in vars(conv)
    inputs = conv.in_channels // conv.groups
    if not plain or len(x.shape) != 4 or x.shape[1] != conv.in_channels or not _match(weight, x):
        return None
    if tuple(weight.shape) != (conv.out_channels, inputs, *conv.kernel_size):
        return None
    if bias is not None and (tuple(bias.shape) != (conv.out_channels,) or not _match(bias, x)):
        return None
    sides = _slide(x.shape[2:], conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    if sides is None:
        return None
    made = x.with_shape(x.shape[0], conv.out_channels, *sides)
    return made, math.prod(made.shape) * inputs * math.prod(conv.kernel_size)


def _batch_norm(norm: nn.BatchNorm2d, x: Outline) -> Outline | None:
    several = not norm.training or math.prod(x.shape) > x.shape[1]
    tensors = [tensor for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var) if tensor is not None]
    if len(x.shape) != 4 or x.shape[1] != norm.num_features or not several:
        return None
    return x if all(tuple(tensor.shape) == (x.shape[1],) and _match(tensor, x) for tensor in tensors) else None


def _linear(layer: nn.Linear, x: Outline) -> Known | None:
    if len(x.shape) != 2 or x.shape[-1] != layer.in_features or not _match(layer.weight, x):
        return None
    if tuple(layer.weight.shape) != (layer.out_features, layer.in_features):
        return None
    if layer.bias is not None and (tuple(layer.bias.shape) != (layer.out_features,) or not _match(layer.bias, x)):
        return None
    return x.with_shape(x.shape[0], layer.out_features), x.shape[0] * layer.out_features * layer.in_features


def _match(tensor: Tensor, x: Outline) -> bool:
    """Whether a weight is in row-major order, of the type and on the device of ``x``."""
    return tensor.dtype == x.dtype and tensor.device == x.device and _is_row_major(tensor)


def _max_pool(pool: nn.MaxPool2d, x: Outline) -> Outline | None:
    if pool.return_indices or pool.ceil_mode or len(x.shape) != 4:
        return None
    return _pooled(x, pool.kernel_size, pool.stride, pool.padding, pool.dilation)


def _average_pool(pool: nn.AvgPool2d, x: Outline) -> Outline | None:
    if pool.ceil_mode or len(x.shape) != 4:
        return None
    return _pooled(x, pool.kernel_size, pool.stride, pool.padding, 1)


def _pooled(x: Outline, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Outline | None:
    kernel, stride, padding, dilation = map(_pair, (kernel, stride, padding, dilation))
    if None in (kernel, stride, padding, dilation) or any(2 * pad > side for pad, side in zip(padding, kernel)):  # noqa: B905
        return None
    sides = _slide(x.shape[2:], kernel, stride, padding, dilation)
    return None if sides is None else x.with_shape(*x.shape[:2], *sides)


def _pair(value: Any) -> tuple[int, int] | None:
    values = (value, value) if isinstance(value, int) else value
    return tuple(values) if isinstance(values, tuple | list) and len(values) == 2 else None


def _slide(sizes: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, ...] | None:
    """The sizes behind a window; ``None`` where a map is too small for it."""
    found = tuple(
        (size + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
        for axis, size in enumerate(sizes)
    )
    return found if min(found) > 0 else None


def _adaptive_pool(pool: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d, x: Outline) -> Outline | None:
    return None if getattr(pool, "return_indices", False) else _adapted(x, pool.output_size)


def _adapted(input: Outline, output_size: Any) -> Outline | None:  # noqa: A002 (torch's names, which callers may use)
    sides = _pair(output_size)
    if sides is None or len(input.shape) != 4 or not all(isinstance(side, int) and side > 0 for side in sides):
        return None
    return input.with_shape(*input.shape[:2], *sides)


def _alike(module: nn.Module, x: Outline) -> Outline:  # noqa: ARG001 (a rule gets both)
    return x


def _same(input: Outline, inplace: bool = False) -> Outline:  # noqa: A002, ARG001 (torch's names)
    return input


def _dropped(input: Outline, p: float = 0.5, training: bool = True, inplace: bool = False) -> Outline:  # noqa: A002, ARG001
    return input


def _flatten_module(module: nn.Flatten, x: Outline) -> Outline | None:
    return _flatten(x, module.start_dim, module.end_dim)


def _flatten(input: Outline, start_dim: int = 0, end_dim: int = -1) -> Outline | None:  # noqa: A002
    axes, last = len(input.shape), len(input.shape) - 1
    if start_dim != 1 or end_dim not in (-1, last) or axes < 2:
        return None
    return input.with_shape(input.shape[0], math.prod(input.shape[1:]))


def _combined(input: Outline, other: Any) -> Outline | None:  # noqa: A002
    """A sum, a difference or a product, place by place."""
    if type(other) in (int, float):
        return input
    if not isinstance(other, Outline) or other.dtype != input.dtype or other.device != input.device:
        return None
    if len(other.shape) != len(input.shape):
        return None
    pairs = list(zip(input.shape, other.shape, strict=True))
    if not all(one == two or 1 in (one, two) for one, two in pairs):
        return None
    return input.with_shape(*(two if one == 1 else one for one, two in pairs))


def _combined_in_place(input: Outline, other: Any) -> Outline | None:  # noqa: A002
    made = _combined(input, other)
    return made if made is not None and made.shape == input.shape else None


def _cat(tensors: Any, dim: int = 0) -> Outline | None:
    first: Outline = tensors[0]
    if not all(isinstance(part, Outline) and part.dtype == first.dtype for part in tensors):
        return None
    axes = len(first.shape)
    if not -axes <= dim < axes or any(len(part.shape) != axes or part.device != first.device for part in tensors):
        return None
    dim %= axes
    others = {part.shape[:dim] + part.shape[dim + 1 :] for part in tensors}
    if len(others) != 1:
        return None
    return first.with_shape(*first.shape[:dim], sum(part.shape[dim] for part in tensors), *first.shape[dim + 1 :])


_ELEMENTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Softplus,
    nn.Dropout,
    nn.Dropout2d,
    nn.AlphaDropout,
)
_MODULES: dict[type[nn.Module], Callable[..., Outline | Known | None]] = {
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _batch_norm,
    nn.Linear: _linear,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.AdaptiveMaxPool2d: _adaptive_pool,
    nn.Flatten: _flatten_module,
    **dict.fromkeys(_ELEMENTWISE, _alike),
}
_FUNCTIONS: dict[Any, Callable[..., Outline | None]] = {
    F.relu: _same,
    F.relu6: _same,
    F.silu: _same,
    F.hardswish: _same,
    F.hardsigmoid: _same,
    torch.relu: _same,
    torch.sigmoid: _same,
    F.dropout: _dropped,
    F.adaptive_avg_pool2d: _adapted,
    torch.flatten: _flatten,
    operator.add: _combined,
    operator.sub: _combined,
    operator.mul: _combined,
    operator.iadd: _combined_in_place,
    operator.imul: _combined_in_place,
    torch.add: _combined,
    torch.mul: _combined,
    torch.cat: _cat,
    "flatten": _flatten,
    "relu": _same,
    "sigmoid": _same,
    "add": _combined,
    "mul": _combined,
    "add_": _combined_in_place,
    "mul_": _combined_in_place,
}
