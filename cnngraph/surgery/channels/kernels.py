"""Layers that make their weights, and whether their filters stand apart from each other: found out by trying.

A conv or dense layer with a ``forward`` of its own, with parametrized weights or with hooks that make them may do
anything with them: standardise, normalise, mask, quantise them, pad the map first. Nothing of that is read off a class.
The layer is run on random numbers in double precision. Its filters stand apart if the layer cut down to some of them
gives for these what the whole one gives; its channels are read one by one if it does not matter in which order they
come, as long as the weights come in the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cnngraph.randomness import seeded
from cnngraph.surgery.channels.selection import select

__all__ = ["CONV", "TRANSPOSED", "Kernel", "made_kernels", "resize", "takes_whole_groups"]

CONV = nn.modules.conv._ConvNd
TRANSPOSED = nn.modules.conv._ConvTransposeNd
_CALLS = ("forward", "_conv_forward", "__call__")
_TOLERANCE = 1e-6  # of the largest value; what depends on other filters differs by far more
_IMAGES = 2

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """One axis of a tensor: path of its module below the layer, its name, the axis."""

    owner: str
    name: str
    axis: int


@dataclass(frozen=True)
class Kernel:
    """The tensors of a layer that follow its channels.

    Attributes:
        outputs: axes with one entry a filter. inputs: those with one entry a channel that is read, of each group.
        mixes: a filter's weights depend on which channels are read (they are standardised, say).
    """

    outputs: tuple[Part, ...]
    inputs: tuple[Part, ...]
    mixes: bool


def made_kernels(model: nn.Module) -> dict[str, Kernel | None]:
    """By path, the kernel of every conv and dense layer that makes its weights; ``None``: they do not stand apart."""
    layers = ((path, part) for path, part in model.named_modules() if isinstance(part, CONV | nn.Linear))
    return {path: _tried(layer) for path, layer in layers if not _is_plain(layer)}


def takes_whole_groups(groups: int, inputs: int, outputs: int) -> bool:
    """Whether whole groups go, or the same place in every group (of so many channels): the finer choice."""
    return groups > 1 and min(inputs, outputs) <= groups


def _is_plain(layer: nn.Module) -> bool:
    """Whether it is one of torch's own, with weights as they are."""
    kind = type(layer)
    base = next(base for base in kind.__mro__ if base.__module__.startswith("torch.nn.modules."))
    own = any(getattr(kind, name, None) is not getattr(base, name, None) for name in _CALLS)
    return "weight" in layer._parameters and not own and not hasattr(layer, "parametrizations")


def _tried(layer: nn.Module) -> Kernel | None:
    try:
        found = [_Trial(layer, training).kernel() for training in (False, True)]
    except Exception:  # noqa: BLE001 (whatever a layer does that cannot be cut down, it is no kernel)
        return None
    return found[0] if found[0] == found[1] else None


class _Trial:
    """A copy of a layer with random numbers, and what it gives for random maps."""

    def __init__(self, layer: nn.Module, training: bool) -> None:
        self.random = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.layer = copy.deepcopy(layer).cpu().double().train(training)
        weight: Any = self.layer.weight
        transposed = isinstance(layer, TRANSPOSED)
        self.groups = int(getattr(layer, "groups", 1))
        if transposed and self.groups > 1:
            raise ValueError("a grouped transposed conv has its filters on two axes")
        out = 1 if transposed else 0
        self.outs, self.ins = weight.shape[out] // self.groups, weight.shape[1 - out]  # of each group
        self.whole = takes_whole_groups(self.groups, self.ins, self.outs)
        self.outputs = tuple(self._along(out, self.outs * self.groups, vectors=True))
        self.inputs = () if self.whole else tuple(self._along(1 - out, self.ins, vectors=False))
        with torch.no_grad():
            for tensor in (*self.layer.parameters(), *self.layer.buffers()):
                if tensor.is_floating_point():  # zeros, and values that are all one, would hide what depends on them
                    factor = torch.rand(tensor.shape, generator=self.random, dtype=tensor.dtype) + 0.5
                    tensor.copy_(tensor * factor + (tensor == 0) * 0.1 * factor)
        sides = [self._side(axis) for axis in range(weight.dim() - 2)]
        shape = (_IMAGES, self.ins * self.groups, *sides)
        self.maps = torch.randn(shape, generator=self.random, dtype=torch.float64)

    def kernel(self) -> Kernel | None:
        """``None`` where filters or channels do not stand apart."""
        whole = self._run(self.layer, self.maps)
        if not (self._filters_apart(whole) and self._channels_in_any_order(whole)):
            return None
        return Kernel(self.outputs, self.inputs, self._mixes())

    def _along(self, axis: int, size: int, *, vectors: bool) -> Iterator[Part]:
        """Axes that have one entry a channel; ``vectors``: those of tensors with one axis too."""
        if size == 1:
            return
        for path, module in self.layer.named_modules():
            plain = {name: value for name, value in vars(module).items() if isinstance(value, Tensor)}
            for name, tensor in {**module._parameters, **module._buffers, **plain}.items():
                if tensor is None or tensor.dim() == 0 or (tensor.dim() == 1 and not vectors):
                    continue
                at = axis if tensor.dim() > 1 else 0
                if tensor.shape[at] == size:
                    yield Part(path, name, at)

    def _side(self, axis: int) -> int:
        """Rows or columns enough for two steps of the window."""
        layer: Any = self.layer
        return int(layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1 + layer.stride[axis])

    def _filters_apart(self, whole: Tensor) -> bool:
        """Some filters, then the others: what they share (one scale for all, say) is kept by one half alone."""
        number = self.groups if self.whole else self.outs
        order = torch.randperm(number, generator=self.random).numpy()
        for chosen in (order[: number // 2], order[number // 2 :]):
            if not len(chosen):
                continue
            rows, channels = self._rows(np.sort(chosen), self.outs), self._rows(np.arange(self.ins), self.ins)
            if self.whole:
                rows, channels = self._blocks(chosen, self.outs), self._blocks(chosen, self.ins)
            small = self._cut(self.outputs, rows)
            resize(small, outs=len(rows), ins=len(channels), groups=len(chosen) if self.whole else self.groups)
            if not _same(self._run(small, self.maps[:, torch.from_numpy(channels)]), whole[:, torch.from_numpy(rows)]):
                return False
        return True

    def _channels_in_any_order(self, whole: Tensor) -> bool:
        if not self.inputs:
            return self.whole or self.ins == 1
        order = torch.randperm(self.ins, generator=self.random).numpy()
        other = self._cut(self.inputs, order)
        return _same(self._run(other, self.maps[:, torch.from_numpy(self._rows(order, self.ins))]), whole)

    def _mixes(self) -> bool:
        """Whether half of the channels, read alone, give something else than with zeros for the other half."""
        if not self.inputs:
            return False
        chosen = np.arange(0, self.ins, 2)
        channels = torch.from_numpy(self._rows(chosen, self.ins))
        small = self._cut(self.inputs, chosen)
        resize(small, ins=len(channels))
        zeros = torch.zeros_like(self.maps)
        zeros[:, channels] = self.maps[:, channels]
        alone, beside = self._run(small, self.maps[:, channels]), self._run(self.layer, zeros)
        if alone.shape != beside.shape:
            raise ValueError("with fewer channels it gives maps of another shape")
        return not _same(alone, beside)

    def _rows(self, places: Rows, size: int) -> Rows:
        """These places of every group."""
        found: Rows = (np.arange(self.groups)[:, None] * size + places).reshape(-1)
        return found

    def _blocks(self, groups: Rows, size: int) -> Rows:
        """Everything of these groups."""
        found: Rows = (groups[:, None] * size + np.arange(size)).reshape(-1)
        return found

    def _cut(self, parts: tuple[Part, ...], kept: Rows) -> nn.Module:
        small = copy.deepcopy(self.layer)
        for part in parts:
            select(small.get_submodule(part.owner), part.name, part.axis, kept)
        return small

    def _run(self, layer: nn.Module, maps: Tensor) -> Tensor:
        """What a layer gives, of a copy: it may change what it holds."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with torch.no_grad(), seeded(0):
                found: Tensor = copy.deepcopy(layer)(maps)
        finally:
            torch.set_default_dtype(before)
        return found


_SIZES: Mapping[str, tuple[str, ...]] = {
    "outs": ("out_channels", "out_features"),
    "ins": ("in_channels", "in_features"),
    "groups": ("groups",),
}


def resize(layer: nn.Module, **sizes: int) -> None:
    """Set the numbers by which a layer names its channels and groups: ``outs``, ``ins``, ``groups``."""
    for kind, size in sizes.items():
        for name in _SIZES[kind]:
            if hasattr(layer, name):
                setattr(layer, name, size)


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or not bool(torch.isfinite(one).all()):
        return False
    return float((one - other).abs().max()) <= _TOLERANCE * max(float(other.abs().max()), 1e-30)
