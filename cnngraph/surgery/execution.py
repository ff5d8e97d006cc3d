"""A plan carried out on a net: weights first, then filters, then layers and blocks; all that is found out is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from cnngraph.errors import PlanError
from cnngraph.models.masks import Masks, get_masks, keep_zeros, set_masks
from cnngraph.network.blocks import find_blocks
from cnngraph.network.graph import follow
from cnngraph.plan import Plan
from cnngraph.surgery.channels.filters import SlicedNet, copy_net, remove_filters
from cnngraph.surgery.check import require_no_stage, resolve
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
        pruned: the net with zeros for the weights that the plan prunes; the source itself where it names none.
        sliced: the net without the plan's filters. rewrite: what its layers and blocks come to in that one;
            ``None`` where filters alone go. model: the net without both. of_layers: the edits that made it of
            ``sliced``'s. of_weights: those that made ``pruned`` of the source.
        replaced: the blocks for which one layer came.
    """

    source: nn.Module = field(repr=False)
    plan: Plan
    pruned: nn.Module = field(repr=False)
    sliced: SlicedNet = field(repr=False)
    rewrite: Rewrite | None = field(repr=False)
    model: nn.Module = field(repr=False)
    of_layers: tuple[Edit, ...] = ()
    of_weights: tuple[Edit, ...] = ()
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
        """Everything that changed, weights and filters first, with the reason why."""
        return (*self.of_weights, *self.sliced.edits, *self.of_layers)

    def copy(self) -> nn.Module:
        """The net without what goes, to be changed further."""
        return copy_net(self.model)


def apply_plan(
    model: nn.Module, plan: Plan, input_shape: tuple[int, int, int], seed: int = 0, masks: Masks | None = None
) -> Execution:
    """Carry ``plan`` out on a copy of ``model``, for images of ``input_shape`` (channels, height, width).

    Masks of the net are sliced with its channels.

    Args:
        seed: of the weights of adapters, of widened layers and of those that replace blocks.
        masks: those that the plan names, for ``model``; ``None`` leaves its weights as they are.

    Raises:
        PlanError: the plan does not fit the net, or the masks are not the plan's or not within those that the net has.
        TraceError, ModelError: it cannot be followed or copied.
    """
    pruned = _with_masks(model, plan, masks)
    sliced = remove_filters(pruned, plan, input_shape)
    zeros = _zeros(plan, masks)
    if plan.replaced:
        graph = follow(pruned, input_shape)
        replaced = find_replacements(graph, find_blocks(graph), plan.removes)
        changes = tuple(edit for one in replaced for edit in one.edits)
        made = apply_edits(pruned, changes, seed)
        return Execution(model, plan, pruned, sliced, None, made, changes, replaced=replaced)
    if (plan.filters or plan.weights) and not plan.removed:
        return Execution(model, plan, pruned, sliced, None, sliced.model, of_weights=zeros)
    removes = tuple(removal for removal in plan.removes if removal.is_whole)
    try:
        rewrite = resolve(read_structure(sliced.model, input_shape), removes)
    except PlanError:
        require_no_stage(follow(sliced.model, input_shape), removes)
        raise
    edits = list_edits(rewrite)
    return Execution(model, plan, pruned, sliced, rewrite, apply_edits(sliced.model, edits, seed), edits, zeros)


def _with_masks(model: nn.Module, plan: Plan, masks: Masks | None) -> nn.Module:
    """A copy of ``model`` with the masks put on; ``model`` itself where the plan prunes no weights."""
    if not plan.weights:
        return model
    pruned = copy_net(model)
    if masks is None:
        return pruned
    wrong = next((layer for layer, one in plan.weights.items() if masks.sha256_of(layer) != one.mask), None)
    if wrong is not None:
        raise PlanError(f"The mask of {wrong} is not the one that the plan names.", "Give the masks of this plan.")
    known = get_masks(model)
    grown = masks.within(known) if known is not None else ""
    if grown:
        raise PlanError(
            f"The mask of {grown} lets weights grow that are pruned in the net.", "Masks only become smaller."
        )
    set_masks(pruned, masks)
    keep_zeros(pruned)
    return pruned


def _zeros(plan: Plan, masks: Masks | None) -> tuple[Edit, ...]:
    """The edits that pruning weights comes to."""
    if masks is None:
        return ()
    return tuple(
        Edit(
            "zeros",
            layer,
            f"{masks.size(layer) - masks.count(layer)} of its {masks.size(layer)} weights are zero",
            (layer,),
        )
        for layer in plan.weights
    )
