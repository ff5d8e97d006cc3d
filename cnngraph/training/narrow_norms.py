"""Batch norms of few channels in a net that lies in memory as NHWC: computed in NCHW, where torch does it faster.

In NHWC torch computes the statistics over one row of channels after another, and few channels fill no vector of the
processor: the seven norms of 4 channels of a ResNet-20 of width 0.25 took a third of a training step. To bring a batch
into NCHW for the norm, and back for the next conv, costs less than that. What comes out is the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["has_narrow_norms", "relay_narrow_norms"]

# Below these the norm is faster in NCHW by more than two copies take, measured at 8 to 32 px (AMD Zen 4, torch 2.15).
_FEWER_THAN = {torch.float32: 8, torch.bfloat16: 16}


class _Relay(torch.autograd.Function):
    """The same numbers in another memory format, and their gradients in that of before."""

    @staticmethod
    def forward(context: Any, values: Tensor, forth: torch.memory_format, back: torch.memory_format) -> Tensor:
        context.back = back
        return values.contiguous(memory_format=forth)

    @staticmethod
    def backward(context: Any, gradients: Tensor) -> tuple[Tensor, None, None]:
        # Gradients in another format than the values would send the norm's backward pass the slow way round.
        return gradients.contiguous(memory_format=context.back), None, None


def has_narrow_norms(model: nn.Module, computed_in: torch.dtype) -> bool:
    """Whether a net has batch norms of so few channels that NCHW may be faster for them.

    >>> has_narrow_norms(nn.BatchNorm2d(4), torch.float32), has_narrow_norms(nn.BatchNorm2d(64), torch.float32)
    (True, False)
    """
    return any(norm.num_features < _FEWER_THAN.get(computed_in, 0) for norm in _norms(model))


@contextmanager
def relay_narrow_norms(model: nn.Module) -> Iterator[None]:
    """In train mode, batch norms of few channels are computed in NCHW inside; the net is as it was afterwards."""
    hooks = []
    for norm in _norms(model):
        hooks += [norm.register_forward_pre_hook(_to_nchw), norm.register_forward_hook(_to_nhwc)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _norms(model: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (module for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def _to_nchw(norm: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What the norm is to read instead; ``None``: what it was given."""
    if not inputs or not _is_narrow(norm, inputs[0]):
        return None
    return (_relay(inputs[0], torch.contiguous_format, torch.channels_last), *inputs[1:])


def _to_nhwc(norm: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Tensor | None:
    """What others are to read instead of what the norm gave."""
    if not _is_narrow(norm, output, torch.channels_last):
        return None
    return _relay(output, torch.channels_last, torch.contiguous_format)


def _is_narrow(norm: nn.Module, values: Any, wanted: torch.memory_format = torch.contiguous_format) -> bool:
    """Whether these are few channels in a norm that trains, which are not laid out as is wanted."""
    return (
        norm.training
        and isinstance(values, Tensor)
        and values.dim() == 4
        and values.shape[1] < _FEWER_THAN.get(values.dtype, 0)
        and not values.is_contiguous(memory_format=wanted)
    )


def _relay(values: Tensor, forth: torch.memory_format, back: torch.memory_format) -> Tensor:
    relaid: Tensor = _Relay.apply(values, forth, back)
    return relaid
