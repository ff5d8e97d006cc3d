"""Measure how far the outputs of two nets that ought to be the same differ, with everything random switched off."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cnngraph.models import outputs
from cnngraph.models.torchvision_nets import layer_classes
from cnngraph.randomness import seeded

__all__ = ["Difference", "convolve_small_maps", "list_tensors", "output_diff"]

_FEW_PLACES = 16  # of a map, up to which a product over the whole batch is quicker than torch's own conv in float64
_CHANCES = ("drop_prob", "drop_path_rate", "drop_rate")  # what timm and others call the chance to drop a path or a unit
_DROPOUTS = frozenset(
    {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout}
)


@dataclass(frozen=True)
class Difference:
    """The largest difference of two nets' outputs over batches and modes.

    Attributes:
        absolute: max |a - b| in float64. relative: max |a - b| / max |b| in float64, of one output each.
        relative_float32: the same in float32; ``None`` where it was not asked for.
    """

    absolute: float
    relative: float
    relative_float32: float | None


def output_diff(
    net: nn.Module,
    reference: nn.Module,
    batches: Sequence[Tensor],
    for_training: Sequence[Tensor],
    seed: int = 0,
    *,
    float32: bool = True,
) -> Difference:
    """Compare two nets; neither is changed.

    Args:
        batches: images (N, channels, height, width) for eval mode. for_training: those for train mode.
        float32: whether to compare in float32 besides.
    """
    runs = [(False, batches), (True, for_training)]
    wide = [gap for mode, given in runs for gap in _gaps(net, reference, given, torch.float64, mode, seed)]
    narrow = [gap for mode, given in runs if float32 for gap in _gaps(net, reference, given, torch.float32, mode, seed)]
    return Difference(
        absolute=max(absolute for absolute, _ in wide),
        relative=max(relative for _, relative in wide),
        relative_float32=max((relative for _, relative in narrow), default=None),
    )


def _gaps(
    net: nn.Module, reference: nn.Module, batches: Sequence[Tensor], dtype: torch.dtype, training: bool, seed: int
) -> list[tuple[float, float]]:
    """(absolute, relative) difference of all outputs for each batch."""
    found: list[list[list[Tensor]]] = []
    for one in (net, reference):
        twin = _prepared(one, dtype, training=training)
        with torch.no_grad(), _default_dtype(dtype), _Plain():
            found.append([_outputs(twin, images.to(dtype), seed) for images in batches])
    return [_gap(*outputs) for outputs in zip(*found, strict=True)]


def _outputs(net: nn.Module, images: Tensor, seed: int) -> list[Tensor]:
    with seeded(seed):
        return list_tensors(net(images))


def _gap(outputs: list[Tensor], wanted_outputs: list[Tensor]) -> tuple[float, float]:
    """(absolute, relative) difference of all outputs; infinite where one is no number."""
    absolute = relative = 0.0
    for found, wanted in zip(outputs, wanted_outputs, strict=True):
        gap, largest = float((found - wanted).abs().max()), float(wanted.abs().max())
        if not (isfinite(gap) and isfinite(largest)):
            return inf, inf
        absolute, relative = max(absolute, gap), max(relative, gap / largest if largest else gap)
    return absolute, relative


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Constants that ``forward`` makes (``torch.eye(n)``) are of the type of the weights."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _prepared(net: nn.Module, dtype: torch.dtype, *, training: bool) -> nn.Module:
    """A copy in ``dtype`` and one mode, without chance."""
    twin = copy.deepcopy(net).to(dtype)
    dropping: tuple[type[nn.Module], ...] = (nn.modules.dropout._DropoutNd, *layer_classes("StochasticDepth"))
    for module in twin.modules():
        module.training = training
        if isinstance(module, dropping):
            setattr(module, "p", 0.0)  # noqa: B010 - not every Module has one
        for name in _CHANCES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return twin


class _Plain(TorchFunctionMode):
    """Dropouts that a net calls as functions let everything through; convs of small maps are reckoned quickly."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DROPOUTS:
            return args[0] if args else kwargs["input"]
        if func is F.conv2d:
            found = convolve_small_maps(*args, **kwargs)
            if found is not None:
                return found
        return func(*args, **kwargs)


def convolve_small_maps(
    input: Tensor,  # noqa: A002 (torch's names, by which it is called)
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """What ``F.conv2d`` gives, by one product of matrices for the whole batch; ``None`` where torch is as quick.

    In float64 torch (2.15) multiplies image by image, which takes four times as long for maps of a few places.
    """
    if input.dtype != torch.float64 or input.device.type != "cpu" or input.dim() != 4 or groups != 1:
        return None
    if isinstance(padding, str) or input.shape[1] != weight.shape[1] or weight.dtype != input.dtype:
        return None
    steps = [_pair(value) for value in (weight.shape[2:], stride, padding, dilation)]
    kernel, moves, around, spread = steps
    height, width = (
        (size + 2 * pad - apart * (side - 1) - 1) // move + 1
        for size, side, move, pad, apart in zip(input.shape[2:], kernel, moves, around, spread, strict=True)
    )
    if not 0 < height * width <= _FEW_PLACES or min(height, width) < 1:
        return None
    columns = F.unfold(input, kernel, dilation=spread, padding=around, stride=moves)
    images = len(input)
    flat = weight.flatten(1) @ columns.transpose(0, 1).reshape(columns.shape[1], -1)
    found = flat.view(len(weight), images, height, width).transpose(0, 1).contiguous()
    return found if bias is None else found + bias.view(-1, 1, 1)


def _pair(value: Any) -> tuple[int, int]:
    values = (value, value) if isinstance(value, int) else tuple(value)
    return (values[0], values[-1])


def list_tensors(output: Any) -> list[Tensor]:
    """The tensors of an output, which may be one, or some in tuples, lists and dicts; what is none is left out."""
    return list(outputs.tensors_of(output).values())
