"""A plan carried out on a net: filters out first, then layers and blocks; what was found out on the way is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from cnngraph.plan import Plan
from cnngraph.surgery.channels.filters import Carved, carved_by, copied
from cnngraph.surgery.channels.list_edits import list_edits as list_filter_edits
from cnngraph.surgery.check import resolve
from cnngraph.surgery.edits import Edit
from cnngraph.surgery.layers.anatomy import read
from cnngraph.surgery.layers.apply_edits import apply_edits
from cnngraph.surgery.layers.incision import Incision
from cnngraph.surgery.layers.list_edits import list_edits

__all__ = ["Execution", "execute"]


@dataclass(frozen=True, eq=False)
class Execution:
    """What a plan gives before joins are fitted; nothing of it is changed afterwards.

    Attributes:
        source: the net that was cut, itself. plan: what goes.
        carved: the net without the plan's filters. incision: what its layers and blocks come to in that one;
            ``None`` where filters alone go. model: the net without both. of_layers: the edits that made it of
            ``carved``'s.
    """

    source: nn.Module = field(repr=False)
    plan: Plan
    carved: Carved = field(repr=False)
    incision: Incision | None = field(repr=False)
    model: nn.Module = field(repr=False)
    of_layers: tuple[Edit, ...] = ()

    @property
    def fitted(self) -> frozenset[str] | None:
        """Layers whose weights :func:`~cnngraph.surgery.apply.apply` may set anew; ``None``: all of them."""
        if self.plan.init == "scratch":
            return None
        return frozenset(join.layer for join in self.incision.joins) if self.incision else frozenset()

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Everything that changed, filters first, with the reason why."""
        return (*list_filter_edits(self.carved, self.plan), *self.of_layers)

    def copy(self) -> nn.Module:
        """The net without what goes, to be changed further."""
        return copied(self.model)


def execute(model: nn.Module, plan: Plan, input_shape: tuple[int, int, int], seed: int = 0) -> Execution:
    """Carry ``plan`` out on a copy of ``model``, for images of ``input_shape`` (channels, height, width).

    Args:
        seed: of the weights of adapters and of widened layers.

    Raises:
        PlanError: the plan does not fit the net. TraceError, ModelError: it cannot be followed or copied.
    """
    carved = carved_by(model, plan, input_shape)
    if plan.filters and not plan.removed:
        return Execution(model, plan, carved, None, carved.model)
    removes = tuple(removal for removal in plan.removes if removal.kind != "filters")
    incision = resolve(read(carved.model, input_shape), removes)
    edits = list_edits(incision)
    return Execution(model, plan, carved, incision, apply_edits(carved.model, edits, seed), edits)
