"""What a net saves without one filter: parameters, counted, and milliseconds, in proportion to a latency table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnngraph.errors import PlanError
from cnngraph.surgery.channels.list_edits import list_edits

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.surgery.channels.coupling import Channels, Coupling, Group

__all__ = ["FilterCosts", "Savings"]


@dataclass(frozen=True)
class Savings:
    """What goes with a filter.

    Attributes:
        parameters: how many; ``None`` where it cannot go. milliseconds: of one pass; ``None`` where that is not known.
        stays: why it cannot go, "" where it can. along: the other filters that go with it.
        no_car: why no CAR of it can be measured, "" where one can: it can of the only filter of a layer, which stays.
    """

    parameters: int | None
    milliseconds: float | None
    stays: str = ""
    along: Channels = ()
    no_car: str = ""


@dataclass
class FilterCosts:
    """Savings by filter of one net.

    Attributes:
        latencies: milliseconds of the layers, those of a LatencyTable; ``None``: not known.
    """

    model: nn.Module
    coupling: Coupling
    latencies: Mapping[str, float] | None = None
    _groups: dict[tuple[str, int], Group] = field(init=False, repr=False)
    _widths: Counter[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._groups = {one: group for group in self.coupling.groups for one in group.filters}
        self._widths = Counter(layer for group in self.coupling.groups for layer, _ in group.readers)

    def of(self, layer: str, channel: int) -> Savings:
        """What goes with filter ``channel`` of ``layer``, and with all that is coupled with it."""
        group = self._groups.get((layer, channel))
        if group is None:
            return _fixed("it is no filter that can be cut")
        along = tuple(one for one in group.filters if one != (layer, channel))
        if group.fixed:
            return _fixed(group.fixed, along)
        try:
            parameters = self._parameters(layer, channel)
        except PlanError as error:
            return Savings(None, None, error.message.rstrip("."), along)
        return Savings(parameters, self._milliseconds(group), "", along)

    def _parameters(self, layer: str, channel: int) -> int:
        """Those of every tensor that gets smaller: its own kernel and norm, and what reads it."""
        left: dict[tuple[str, str], dict[int, int]] = {}
        for edit in list_edits(self.model, self.coupling, {layer: [channel]}):
            for one in edit.detail.tensors:
                left.setdefault((one.owner, one.name), {})[one.axis] = len(one.kept)
        saved, seen = 0, set()
        for (owner, name), sizes in left.items():
            tensor = self.model.get_submodule(owner)._parameters.get(name)
            if tensor is None or id(tensor) in seen:  # a buffer, or one that is shared
                continue
            seen.add(id(tensor))
            saved += tensor.numel() - math.prod(sizes.get(axis, size) for axis, size in enumerate(tensor.shape))
        return saved

    def _milliseconds(self, group: Group) -> float | None:
        """The share of their time that the layers spend on it: time goes with multiply-accumulates."""
        if self.latencies is None:
            return None
        writes = Counter(layer for layer, _ in group.filters)
        reads = Counter(layer for layer, _ in group.readers)
        total = sum(self.latencies.get(one, 0.0) * many / self.coupling.layers[one] for one, many in writes.items())
        return total + sum(self.latencies.get(one, 0.0) * many / self._widths[one] for one, many in reads.items())


def _fixed(why: str, along: Channels = ()) -> Savings:
    return Savings(None, None, why, along, no_car=why)
