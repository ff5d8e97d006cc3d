"""The modules that replace a removed conv: an identity, a pool for its stride, a padding, an adapter, zeros."""

from __future__ import annotations

import torch
from torch import nn

__all__ = [
    "Adapter",
    "Copy",
    "Nothing",
    "Open",
    "conv_size",
    "make_bypass",
    "make_bypass_of_own_forward",
    "make_bypass_of_region",
    "padding_before",
]


class Copy(nn.Module):
    """The identity into a new tensor, for a gap that an in-place operation follows.

    Without it ``relu_`` or ``out += shortcut`` would overwrite a tensor that the backward pass still needs.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (named as in a conv, for calls by keyword)
        """Return a copy of ``input``, any shape."""
        return input.clone()


class Adapter(nn.Conv2d):
    """A 1x1 conv in the place of what is gone, where others demand a width; it starts by passing channels on.

    The first channels go through as they are; further outputs are 0, further inputs are not read.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(min(inputs, outputs)), range(min(inputs, outputs))] = 1
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]


class Nothing(nn.Module):
    """Zeros for a branch that is left out of its sum: ``channels`` of them, as large as ``size`` leaves the map."""

    def __init__(self, channels: int, size: nn.Module) -> None:
        super().__init__()
        self.channels = channels
        self.size = size

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (named as in a conv)
        """Return zeros (N, channels, height, width) for maps ``input`` (N, C, H, W)."""
        x: torch.Tensor = self.size(input)
        return x.new_zeros((x.shape[0], self.channels, x.shape[2], x.shape[3]))

    def extra_repr(self) -> str:
        """The channels, for people."""
        return str(self.channels)


class Open(nn.Module):
    """In the place of a gate's last conv: a value at which its sigmoid (or hard sigmoid) is 1."""

    VALUE = 40.0

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (named as in a conv)
        """Return :attr:`VALUE` as (N, 1, 1, 1), which scales every channel alike, for any ``input`` (N, ...)."""
        return input.new_full((input.shape[0], 1, 1, 1), self.VALUE)


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


def make_bypass(conv: nn.Conv2d, size: tuple[int, int], *, exact: bool, copy: bool) -> nn.Module:
    """Make the module without weights that replaces ``conv`` for maps of ``size`` (height, width).

    A stride becomes an average pool of that size (as ResNet-D does in its shortcuts), whose last window may be cut off
    by the border. A padding by which the conv enlarged the map is kept. An unpadded conv shrinks the map: the bypass
    leaves it as large as it is (the dense layer behind is resized) unless ``exact``, which crops it to the conv's own
    output size, for sums and stored sizes. ``copy`` asks for a new tensor even where nothing else is to be done.

    Example: a 3x3 conv with stride 2 becomes ``AvgPool2d(2)``; a 3x3 conv with padding 1 becomes ``Identity``.
    """
    pads = [_shift(conv, axis) if conv.stride[axis] == 1 else 0 for axis in (0, 1)]
    return _make_bypass(size, conv_size(conv, size), (conv.stride[0], conv.stride[1]), pads, exact=exact, copy=copy)


def make_bypass_of_own_forward(
    conv: nn.Conv2d, size: tuple[int, int], wanted: tuple[int, int], *, exact: bool, copy: bool
) -> nn.Module:
    """As :func:`make_bypass`, for a conv with a forward of its own: it makes ``wanted`` from maps of ``size``."""
    # How it pads is not known: what it adds or cuts off is taken to be as much on both sides.
    pads = [(then - now) // 2 if step == 1 else 0 for now, then, step in zip(size, wanted, conv.stride, strict=True)]
    return _make_bypass(size, wanted, (conv.stride[0], conv.stride[1]), pads, exact=exact, copy=copy)


def make_bypass_of_region(
    before: tuple[int, int], after: tuple[int, int], size: tuple[int, int], *, exact: bool, copy: bool
) -> nn.Module:
    """Make the module that replaces a region for maps of ``size``; it made ``after`` from ``before``."""
    stride = (max(round(before[0] / after[0]), 1), max(round(before[1] / after[1]), 1))
    height, width = (
        -(-now // step) - (-(-old // step) - new)
        for now, old, new, step in zip(size, before, after, stride, strict=True)
    )
    return _make_bypass(size, (height, width), stride, [0, 0], exact=exact, copy=copy)


def _make_bypass(
    size: tuple[int, int],
    wanted: tuple[int, int],
    stride: tuple[int, int],
    pads: list[int],
    *,
    exact: bool,
    copy: bool,
) -> nn.Module:
    steps: list[nn.Module] = []
    height, width = size
    if max(stride) > 1:
        steps.append(nn.AvgPool2d(stride, stride, ceil_mode=True))
        height, width = -(-height // stride[0]), -(-width // stride[1])
    margins: list[int] = []  # left, right, top, bottom: the order that padding modules want
    for now, then, before in zip((height, width), wanted, pads, strict=True):
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
