"""Remove filters: copy the user's net and slice its tensors and stored numbers down to the channels that are left."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from cnngraph.errors import CnngraphError, ModelError, explain
from cnngraph.plan import Plan
from cnngraph.surgery.channels.coupling import Coupling, coupled
from cnngraph.surgery.channels.list_edits import list_edits
from cnngraph.surgery.channels.slices import apply_slices
from cnngraph.surgery.edits import Edit

__all__ = ["SlicedNet", "copy_net", "remove_filters", "slice_channels"]


@dataclass(frozen=True)
class SlicedNet:
    """A net after the filters of a plan went, or the net itself where the plan names none.

    Attributes:
        filters: those that are gone, with what is coupled to the plan's. coupling: ``None`` where none went.
        edits: what made ``model`` of the user's net, with a reason each.
        notes: which layers went along unnamed, and what could not be seen.
    """

    model: nn.Module
    filters: dict[str, tuple[int, ...]]
    coupling: Coupling | None
    notes: tuple[str, ...]
    edits: tuple[Edit, ...] = ()


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
    edits = list_edits(model, coupling, plan.filters)
    return SlicedNet(_sliced(model, edits), filters, coupling, (*coupling.notes, *notes), edits)


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
    return _sliced(model, list_edits(model, coupling, filters))


def _sliced(model: nn.Module, edits: Iterable[Edit]) -> nn.Module:
    slim = copy_net(model)
    apply_slices(slim, edits)
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
