"""What takes the place of a conv that goes: the identity, a pool for its stride, a padding that others rely on."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Copy", "conv_size", "padding_before", "passage"]


class Copy(nn.Module):
    """The identity into a new tensor, for a gap that an in-place operation follows.

    Without it ``relu_`` or ``out += shortcut`` would overwrite a tensor that the backward pass still needs.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a copy of ``x``, any shape."""
        return x.clone()


def padding_before(conv: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """The zeros that ``conv`` adds: ((top, bottom), (left, right)); understands ``padding="same"``."""
    if isinstance(conv.padding, str):
        if conv.padding == "valid":
            return (0, 0), (0, 0)
        spans = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        return (spans[0] // 2, spans[0] - spans[0] // 2), (spans[1] // 2, spans[1] - spans[1] // 2)
    return (conv.padding[0], conv.padding[0]), (conv.padding[1], conv.padding[1])


def conv_size(conv: nn.Conv2d, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the output of ``conv`` for an input of ``size``."""
    heights = []
    for axis, pads in enumerate(padding_before(conv)):
        span = conv.dilation[axis] * (conv.kernel_size[axis] - 1) + 1
        heights.append((size[axis] + sum(pads) - span) // conv.stride[axis] + 1)
    return heights[0], heights[1]


def passage(conv: nn.Conv2d, size: tuple[int, int], *, exact: bool, copy: bool) -> nn.Module:
    """A weightless module that lets a map of ``size`` (height, width) pass where ``conv`` was.

    A stride becomes an average pool of that size (as ResNet-D does in its shortcuts), whose last window may be cut off
    by the border. A padding by which the conv enlarged the map is kept. An unpadded conv shrinks the map: the passage
    leaves it as large as it is (the dense layer behind is resized) unless ``exact``, which crops it to the conv's own
    output size, for sums and stored sizes. ``copy`` asks for a new tensor even where nothing else is to be done.
    """
    steps: list[nn.Module] = []
    height, width = size
    if max(conv.stride) > 1:
        stride = (conv.stride[0], conv.stride[1])
        steps.append(nn.AvgPool2d(stride, stride, ceil_mode=True))
        height, width = -(-height // stride[0]), -(-width // stride[1])
    margins: list[int] = []  # left, right, top, bottom: the order that padding modules want
    for axis, (now, then) in enumerate(zip((height, width), conv_size(conv, size), strict=True)):
        before = _shift(conv, axis) if conv.stride[axis] == 1 else 0
        pair = (before, then - now - before)
        margins = [*(pair if exact else (max(pair[0], 0), max(pair[1], 0))), *margins]
    if any(margins):
        steps.append(nn.ZeroPad2d((margins[0], margins[1], margins[2], margins[3])))
    if not steps:
        return Copy() if copy else nn.Identity()
    return steps[0] if len(steps) == 1 else nn.Sequential(*steps)


def _shift(conv: nn.Conv2d, axis: int) -> int:
    """How far the centre of the kernel lies before the map's first place when it computes the first output."""
    return padding_before(conv)[axis][0] - conv.dilation[axis] * (conv.kernel_size[axis] - 1) // 2
