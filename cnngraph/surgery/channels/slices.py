"""What is left of a module's tensors and stored numbers when channels go, and how it is set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import nn

from cnngraph.models.masks import get_masks, masks_of, set_masks
from cnngraph.surgery.channels.selection import select
from cnngraph.surgery.edits import Edit

__all__ = ["NumberEdit", "SliceEdit", "TensorSlice", "apply_slices"]


@dataclass(frozen=True, eq=False)
class TensorSlice:
    """The tensor ``owner.name`` keeps the entries ``kept`` (numbered from 0) along ``axis``."""

    owner: str
    name: str
    axis: int
    kept: npt.NDArray[np.int64]


@dataclass(frozen=True)
class NumberEdit:
    """The attribute ``owner.attribute`` becomes ``value``; only its entry ``index`` where it is a tuple or list.

    ``feature_info`` of the net itself is timm's list of dicts; ``num_chs`` of its entry ``index`` becomes ``value``.
    """

    owner: str
    attribute: str
    index: int | None
    value: int


@dataclass(frozen=True, eq=False)
class SliceEdit:
    """The detail of an edit that takes channels out of a module: its tensors and numbers that change."""

    tensors: list[TensorSlice] = field(default_factory=list)
    numbers: list[NumberEdit] = field(default_factory=list)


def apply_slices(net: nn.Module, edits: Iterable[Edit]) -> None:
    """Change ``net`` itself as ``edits`` say, whose details are SliceEdits: first all tensors, then all numbers.

    Masks of the tensors are sliced with them.
    """
    details: list[SliceEdit] = [edit.detail for edit in edits]
    masks = get_masks(net)
    alive = dict(masks.alive) if masks is not None else {}
    for tensor in (tensor for detail in details for tensor in detail.tensors):
        select(net.get_submodule(tensor.owner), tensor.name, tensor.axis, tensor.kept)
        name = f"{tensor.owner}.{tensor.name}" if tensor.owner else tensor.name
        if name in alive:
            alive[name] = alive[name].take(tensor.kept, axis=tensor.axis)
    if alive:
        set_masks(net, masks_of(alive))
    for number in (number for detail in details for number in detail.numbers):
        _set(net, number)


def _set(net: nn.Module, number: NumberEdit) -> None:
    module = net.get_submodule(number.owner)
    held = getattr(module, number.attribute)
    if number.index is None:
        setattr(module, number.attribute, number.value)
    elif number.attribute == "feature_info":
        held[number.index]["num_chs"] = number.value
    else:
        parts = [number.value if index == number.index else part for index, part in enumerate(held)]
        setattr(module, number.attribute, type(held)(parts))
