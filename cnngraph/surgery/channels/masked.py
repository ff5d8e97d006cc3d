"""The reference that sliced nets are proven against: the user's net, in which what is left reads zeros for what goes.

Nothing is taken out of it, so that it owes nothing to the surgery: the weights by which layers read a channel that goes
are set to zero. Where a norm reckons over several channels (LayerNorm, some GroupNorms) zeros would change what it
gives for the others; there the reference is a norm that sees the surviving channels only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cnngraph.surgery.channels.coupling import Coupling
from cnngraph.surgery.channels.filters import copy_net
from cnngraph.surgery.channels.kernels import Kernel, resize
from cnngraph.surgery.channels.selection import select

__all__ = ["masked", "norms_across"]

Kept = npt.NDArray[np.int64]


def masked(model: nn.Module, coupling: Coupling, filters: Mapping[str, Iterable[int]]) -> nn.Module:
    """A copy of ``model`` in which layers read zeros for ``filters`` and what is coupled with them.

    Raises:
        PlanError: as ``coupling.closure``. ModelError: the net cannot be copied.
    """
    gone = coupling.gone(filters)
    twin = copy_net(model)
    with torch.no_grad():
        for axis in coupling.dependencies.axes.values():
            zeros = np.flatnonzero(gone[axis.labels])
            if axis.reads and len(zeros):
                weight = getattr(twin.get_submodule(axis.owner), axis.name)
                weight.index_fill_(axis.axis, torch.from_numpy(zeros).to(weight.device), 0)
    for path, kernel in coupling.dependencies.kernels.items():
        if kernel is not None and path in coupling.dependencies.inputs:
            _let_read(twin.get_submodule(path), kernel, ~gone[coupling.dependencies.inputs[path]])
    kept: dict[str, dict[int, Kept]] = {}
    for owner, name in sorted(coupling.dependencies.across):
        axes = [axis for axis in coupling.dependencies.axes.values() if (axis.owner, axis.name) == (owner, name)]
        if any(gone[axis.labels].any() for axis in axes):
            _give_weight(twin.get_submodule(owner), name)
            path = f"{owner}.{name}" if owner else name
            kept[path] = {axis.axis: np.flatnonzero(~gone[axis.labels]) for axis in axes}
    return _Masked(twin, kept) if kept else twin


def norms_across(coupling: Coupling, filters: Mapping[str, Iterable[int]]) -> tuple[str, ...]:
    """Paths of the norms, and layers that norm their weights, over several channels some of which go."""
    gone = coupling.gone(filters)
    touched = {
        axis.owner
        for axis in coupling.dependencies.axes.values()
        if (axis.owner, axis.name) in coupling.dependencies.across and gone[axis.labels].any()
    }
    dependencies = coupling.dependencies
    mixing = {path for path, kernel in dependencies.kernels.items() if kernel is not None and kernel.mixes}
    touched |= {path for path in mixing & dependencies.inputs.keys() if gone[dependencies.inputs[path]].any()}
    return tuple(sorted(touched))


def _let_read(layer: nn.Module, kernel: Kernel, kept: npt.NDArray[np.bool_]) -> None:
    """Let a layer that makes its weights read zeros, or what is ``kept`` alone where it mixes its weights."""
    if not kernel.inputs or kept.all():
        return
    layer.register_forward_pre_hook(_Reading(torch.from_numpy(kept), alone=kernel.mixes), with_kwargs=True)
    if kernel.mixes:
        of_group = kept[: len(kept) // int(getattr(layer, "groups", 1))]
        for part in kernel.inputs:
            select(layer.get_submodule(part.owner), part.name, part.axis, np.flatnonzero(of_group))
        resize(layer, ins=int(kept.sum()))


class _Reading:
    """A hook: ``kept`` channels come in ``alone``, or with zeros for the others."""

    def __init__(self, kept: Tensor, *, alone: bool) -> None:
        self.kept = kept
        self.alone = alone

    def __call__(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        axis = -1 if isinstance(layer, nn.Linear) else 1
        if not args:
            name, maps = next(iter(kwargs.items()))
            return args, {**kwargs, name: self._read(maps, axis)}
        return (self._read(args[0], axis), *args[1:]), kwargs

    def _read(self, maps: Tensor, axis: int) -> Tensor:
        kept = self.kept.to(maps.device)
        if self.alone:
            return maps.index_select(axis, torch.nonzero(kept).flatten())
        return maps.movedim(axis, -1).mul(kept).movedim(-1, axis)


def _give_weight(norm: nn.Module, name: str) -> None:
    """A norm without weight gets one of ones, which changes nothing and by which it is known."""
    if getattr(norm, name, None) is None:
        sizes: Any = getattr(norm, "normalized_shape", None) or (norm.num_channels,)
        setattr(norm, name, nn.Parameter(torch.ones(sizes)))


class _Masked(nn.Module):
    """A net some of whose norms see the surviving channels only; ``kept``: by path of a norm's weight, by its axis."""

    def __init__(self, net: nn.Module, kept: dict[str, dict[int, Kept]]) -> None:
        super().__init__()
        self.net = net
        self._kept = kept

    def forward(self, images: Tensor) -> Any:
        """What the net gives for ``images``."""
        with _Survivors({id(self.net.get_parameter(path)): axes for path, axes in self._kept.items()}):
            return self.net(images)


class _Survivors(TorchFunctionMode):
    """Norms with a weight in ``kept`` (by identity) are reckoned over its surviving entries; the others get zeros."""

    def __init__(self, kept: dict[int, dict[int, Kept]]) -> None:
        super().__init__()
        self.kept = kept

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        names = _ARGUMENTS.get(func)
        given = {**dict(zip(names, args, strict=False)), **kwargs} if names else {}
        axes = self.kept.get(id(given.get("weight")))
        if axes is None:
            return func(*args, **kwargs)
        x: Tensor = given["input"]
        first = 1 if "num_groups" in given else x.dim() - len(given["normalized_shape"])
        index = {axis: torch.from_numpy(rows).to(x.device) for axis, rows in axes.items()}
        given["input"] = _taken(x, {first + axis: rows for axis, rows in index.items()})
        for name in ("weight", "bias"):
            if given.get(name) is not None:
                given[name] = _taken(given[name], index)
        if "normalized_shape" in given:
            given["normalized_shape"] = tuple(given["weight"].shape)
        found = func(**given)
        for axis, rows in index.items():
            shape = [*found.shape]
            shape[first + axis] = x.shape[first + axis]
            found = found.new_zeros(shape).index_copy(first + axis, rows, found)
        return found


_ARGUMENTS: dict[Any, tuple[str, ...]] = {
    F.layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
    F.rms_norm: ("input", "normalized_shape", "weight", "eps"),
    F.group_norm: ("input", "num_groups", "weight", "bias", "eps"),
}


def _taken(tensor: Tensor, index: Mapping[int, Tensor]) -> Tensor:
    for axis, rows in index.items():
        tensor = tensor.index_select(axis, rows)
    return tensor
