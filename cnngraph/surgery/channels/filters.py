"""Remove filters: copy the user's net and slice its tensors and stored numbers down to the channels that are left."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from cnngraph.errors import CnngraphError, ModelError, PlanError, explain
from cnngraph.plan import Plan
from cnngraph.surgery.channels.channel_dependencies import Size
from cnngraph.surgery.channels.coupling import Coupling, coupled
from cnngraph.surgery.channels.selection import select
from cnngraph.surgery.channels.tracked_ints import StoredSize

__all__ = ["SlicedNet", "copy_net", "remove_filters", "slice_channels"]

Gone = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SlicedNet:
    """A net after the filters of a plan went, or the net itself where the plan names none.

    Attributes:
        filters: those that are gone, with what is coupled to the plan's. coupling: ``None`` where none went.
        notes: which layers went along unnamed, and what could not be seen.
    """

    model: nn.Module
    filters: dict[str, tuple[int, ...]]
    coupling: Coupling | None
    notes: tuple[str, ...]


def remove_filters(model: nn.Module, plan: Plan, input_shape: tuple[int, int, int]) -> SlicedNet:
    """Remove the filters that ``plan`` names, for images of ``input_shape`` (channels, height, width).

    Raises:
        PlanError: as :func:`slice_channels`. TraceError, ModelError: the net cannot be followed or copied.
    """
    if not plan.filters:
        return SlicedNet(model, {}, None, ())
    coupling = coupled(model, input_shape)
    filters = coupling.closure(plan.filters)
    more = {layer: set(gone) - set(plan.filters.get(layer, ())) for layer, gone in filters.items()}
    along = [f"{len(extra)} of {layer}" for layer, extra in more.items() if extra]
    notes = [f"Filters that are coupled with those of the plan went along: {_listed(along)}."] if along else []
    return SlicedNet(slice_channels(model, coupling, filters), filters, coupling, (*coupling.notes, *notes))


def _listed(parts: list[str]) -> str:
    shown = 5
    rest = f" and of {len(parts) - shown} more layers" if len(parts) > shown else ""
    return ", ".join(parts[:shown]) + rest


def slice_channels(model: nn.Module, coupling: Coupling, filters: Mapping[str, Iterable[int]]) -> nn.Module:
    """Return a copy of ``model`` without ``filters`` and what is coupled with them; ``model`` stays as it is.

    Args:
        coupling: what :func:`cnngraph.surgery.channels.coupling.coupled` found for this net.
        filters: output channels by layer, numbered from 0.

    Raises:
        PlanError: as ``coupling.closure``, or a number that a module stores cannot follow.
        ModelError: the net cannot be copied.
    """
    gone = coupling.gone(filters)
    sizes = {where: _new_size(model, where, uses, gone) for where, uses in coupling.dependencies.sizes.items()}
    slim = copy_net(model)
    for axis in coupling.dependencies.axes.values():
        kept = np.flatnonzero(~gone[axis.labels])
        if len(kept) < len(axis.labels):
            select(slim.get_submodule(axis.owner), axis.name, axis.axis, kept)
    for where, value in sizes.items():
        if value is not None:
            _set(slim, where, value)
    for index, labels in coupling.dependencies.described:
        slim.feature_info[index]["num_chs"] = int((~gone[labels]).sum())  # type: ignore[index]
    return slim


def copy_net(model: nn.Module) -> nn.Module:
    """A deep copy.

    Raises:
        ModelError: the net holds something that cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except CnngraphError:
        raise
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} cannot be copied: {explain(error)}.",
            "Let copy.deepcopy(model) work, then try again.",
        ) from error


def _new_size(model: nn.Module, where: StoredSize, uses: list[Size], gone: Gone) -> int | None:
    """Find the new value of a stored size so that every use of it fits; ``None`` if it need not change.

    Raises:
        PlanError: no value fits all of its uses.
    """
    wanted = [(use.function, int((~gone[use.labels]).sum()), len(use.labels)) for use in uses]
    if all(left == before for _, left, before in wanted):
        return None
    held = getattr(model.get_submodule(where.owner), where.attribute)
    before = int(held if where.index is None else held[where.index])
    for value in range(before, -1, -1):
        if all(function(value) == left for function, left, _ in wanted):
            return value
    name = ".".join(part for part in (where.owner, where.attribute) if part)
    raise PlanError(
        f"These filters cannot go: no value of {name} gives the sizes that they leave.",
        "Remove other filters.",
    )


def _set(model: nn.Module, where: StoredSize, value: int) -> None:
    module = model.get_submodule(where.owner)
    if where.index is None:
        setattr(module, where.attribute, value)
        return
    held = getattr(module, where.attribute)
    parts = [value if index == where.index else part for index, part in enumerate(held)]
    setattr(module, where.attribute, type(held)(parts))
