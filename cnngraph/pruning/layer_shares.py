"""Which layers may lose filters, and how many of each: what methods that go layer by layer share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cnngraph.errors import NotFoundError, PlanError, nearest
from cnngraph.pruning.context import Context
from cnngraph.pruning.greedy import count_filters
from cnngraph.pruning.method import ALL
from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["explain_fixed", "named_layers", "require_as_many", "require_groups", "share_of", "take_first"]

_EXACT = 1e-9  # a share that is a whole number must not lose one to rounding


def named_layers(coupling: Coupling, named: Sequence[str]) -> list[str]:
    """The layers that were named, all where the word for it is among them; raises NotFoundError for a strange one."""
    if ALL in named:
        return list(coupling.layers)
    strange = next((layer for layer in named if layer not in coupling.layers), None)
    if strange is not None:
        raise NotFoundError(f"There is no layer {strange!r} with filters.", nearest(strange, coupling.layers))
    return list(named)


def require_groups(
    context: Context, coupling: Coupling, groups: Mapping[str, Sequence[Group]], layers: Sequence[str]
) -> None:
    """Return if a filter of the layers can go; says of each layer that has none of its own why.

    Raises:
        PlanError: none can.
    """
    for layer in (layer for layer in layers if not groups.get(layer)):
        reason = explain_fixed(coupling, groups, layer)
        if not any(groups.values()):
            raise PlanError(f"No filter of {layer} can go: {reason}.", "Name another layer.")
        context.progress.note(f"{layer} has no filters of its own to lose: {reason}.")


def explain_fixed(coupling: Coupling, groups: Mapping[str, Sequence[Group]], layer: str) -> str:
    """Why no group belongs to ``layer``."""
    for owner, mine in groups.items():
        if any(name == layer for group in mine for name, _ in group.filters):
            return f"they go with those of {owner}"
    fixed = (group.fixed for group in coupling.groups if group.fixed and layer in {name for name, _ in group.filters})
    return next(fixed, "nothing of it can go")


def require_as_many(coupling: Coupling, groups: Mapping[str, Sequence[Group]], bounds: Mapping[str, Any]) -> None:
    """Return if a layer can lose as many filters as were asked for by number.

    Raises:
        PlanError: none can.
    """
    able = {layer: _able(coupling, layer, mine) for layer, mine in groups.items() if mine}
    if able and bounds.get("filters", 0) > max(able.values()):
        layer = max(able, key=lambda name: able[name])
        raise PlanError(
            f"No layer has {bounds['filters']} filters to lose: the most are {able[layer]} of {layer}.",
            "Ask for fewer: {filters}.",
        )


def share_of(
    coupling: Coupling, layer: str, groups: Sequence[Group], bounds: Mapping[str, Any], *, strict: bool
) -> int:
    """How many filters of the layer may go: within the bounds, and one stays.

    Raises:
        PlanError: more were asked for by number than there are.
    """
    width, able = coupling.layers[layer], _able(coupling, layer, groups)
    wanted = bounds.get("filters", able)
    if wanted > able and strict:
        raise PlanError(
            f"{wanted} filters of {layer} cannot go: it has {width}, {able} of which can.", "Ask for fewer: {filters}."
        )
    return int(min(wanted, able, math.floor(bounds.get("ratio", 1.0) * width + _EXACT)))


def _able(coupling: Coupling, layer: str, groups: Sequence[Group]) -> int:
    """How many filters of the layer can go: all but one, and of its own ones no more than there are."""
    most = coupling.layers[layer] - 1
    return min(most, sum(count_filters(group, layer) for group in groups)) if groups else most


def take_first(layer: str, groups: Sequence[Group], share: int) -> tuple[Group, ...]:
    """As many groups as fit into the share."""
    found, room = [], share
    for group in groups:
        if count_filters(group, layer) <= room:
            found.append(group)
            room -= count_filters(group, layer)
    return tuple(found)
