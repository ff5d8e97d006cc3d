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

__all__ = ["Difference", "list_tensors", "output_diff"]

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
    runs = _runs(batches, for_training)
    wide = [_gap(net, reference, images, torch.float64, mode, seed) for mode, images in runs]
    narrow = [_gap(net, reference, images, torch.float32, mode, seed) for mode, images in runs if float32]
    return Difference(
        absolute=max(absolute for absolute, _ in wide),
        relative=max(relative for _, relative in wide),
        relative_float32=max((relative for _, relative in narrow), default=None),
    )


def _runs(batches: Sequence[Tensor], for_training: Sequence[Tensor]) -> list[tuple[bool, Tensor]]:
    return [(False, batch) for batch in batches] + [(True, batch) for batch in for_training]


def _gap(
    net: nn.Module, reference: nn.Module, images: Tensor, dtype: torch.dtype, training: bool, seed: int
) -> tuple[float, float]:
    """(absolute, relative) difference of all outputs; infinite where one is no number."""
    outputs: list[list[Tensor]] = []
    for one in (net, reference):
        twin = _prepared(one, dtype, training=training)
        with torch.no_grad(), seeded(seed), _default_dtype(dtype), _NoDropout():
            outputs.append(list_tensors(twin(images.to(dtype))))
    absolute = relative = 0.0
    for found, wanted in zip(*outputs, strict=True):
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


class _NoDropout(TorchFunctionMode):
    """Dropouts that a net calls as functions let everything through."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _DROPOUTS:
            return args[0] if args else (kwargs or {})["input"]
        return func(*args, **(kwargs or {}))


def list_tensors(output: Any) -> list[Tensor]:
    """The tensors of an output, which may be one, or some in tuples, lists and dicts; what is none is left out."""
    return list(outputs.tensors_of(output).values())
