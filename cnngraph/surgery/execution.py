"""A plan carried out on a net: filters out first, then layers and blocks; what was found out on the way is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from cnngraph.network.blocks import find_blocks
from cnngraph.network.graph import follow
from cnngraph.plan import Plan
from cnngraph.surgery.channels.filters import SlicedNet, copy_net, remove_filters
from cnngraph.surgery.check import resolve
from cnngraph.surgery.edits import Edit
from cnngraph.surgery.layers.apply_edits import apply_edits
from cnngraph.surgery.layers.list_edits import list_edits
from cnngraph.surgery.layers.net_structure import read_structure
from cnngraph.surgery.layers.replace_block import BlockReplacement, find_replacements
from cnngraph.surgery.layers.rewrite import Rewrite

__all__ = ["Execution", "apply_plan"]


@dataclass(frozen=True, eq=False)
class Execution:
    """What a plan gives before joins are fitted; nothing of it is changed afterwards.

    Attributes:
        source: the net that was cut, itself. plan: what goes.
        sliced: the net without the plan's filters. rewrite: what its layers and blocks come to in that one;
            ``None`` where filters alone go. model: the net without both. of_layers: the edits that made it of
            ``sliced``'s.
    """

    source: nn.Module = field(repr=False)
    plan: Plan
    sliced: SlicedNet = field(repr=False)
    rewrite: Rewrite | None = field(repr=False)
    model: nn.Module = field(repr=False)
    of_layers: tuple[Edit, ...] = ()
    replaced: tuple[BlockReplacement, ...] = ()

    @property
    def fitted(self) -> frozenset[str] | None:
        """Layers whose weights :func:`~cnngraph.surgery.apply.apply` may set anew; ``None``: all of them."""
        if self.plan.init == "scratch":
            return None
        new = frozenset[str]().union(*(one.fitted for one in self.replaced))
        return new | frozenset(join.layer for join in self.rewrite.joins) if self.rewrite else new

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Everything that changed, filters first, with the reason why."""
        return (*self.sliced.edits, *self.of_layers)

    def copy(self) -> nn.Module:
        """The net without what goes, to be changed further."""
        return copy_net(self.model)


def apply_plan(model: nn.Module, plan: Plan, input_shape: tuple[int, int, int], seed: int = 0) -> Execution:
    """Carry ``plan`` out on a copy of ``model``, for images of ``input_shape`` (channels, height, width).

    Args:
        seed: of the weights of adapters, of widened layers and of those that replace blocks.

    Raises:
        PlanError: the plan does not fit the net. TraceError, ModelError: it cannot be followed or copied.
    """
    sliced = remove_filters(model, plan, input_shape)
    if plan.replaced:
        graph = follow(model, input_shape)
        replaced = find_replacements(graph, find_blocks(graph), plan.removes)
        changes = tuple(edit for one in replaced for edit in one.edits)
        return Execution(model, plan, sliced, None, apply_edits(model, changes, seed), changes, replaced)
    if plan.filters and not plan.removed:
        return Execution(model, plan, sliced, None, sliced.model)
    removes = tuple(removal for removal in plan.removes if removal.kind != "filters")
    rewrite = resolve(read_structure(sliced.model, input_shape), removes)
    edits = list_edits(rewrite)
    return Execution(model, plan, sliced, rewrite, apply_edits(sliced.model, edits, seed), edits)
