"""What of a ranking may go, and in which order: layers, and blocks where a layer cannot go without its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cnngraph.network.blocks import find_blocks
from cnngraph.network.graph import LayerGraph
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.decision import first_threshold
from cnngraph.surgery.check import removable_blocks

__all__ = ["candidates", "in_network_order"]


def candidates(
    graph: LayerGraph, plan: Plan, keep: Mapping[str, str], blocks: Mapping[str, float] | None = None
) -> tuple[Removal, ...]:
    """What may go, lowest theta first: every layer of the ranking that can go by itself, and blocks for the others.

    A block that holds a layer which cannot go alone stands for it. Its theta is the highest of its layers, as a layer's
    is the highest of its nodes. Among equal ones the first of the net comes first.

    Args:
        graph: the followed net. plan: the ranking; what it removes does not matter.
        keep: layers that cannot go by themselves, with the reason.
        blocks: thetas of blocks, where they have one of their own.
    """
    own = blocks or {}
    theta = {row.layer: row.theta for row in plan.layers}
    found = [(theta[row.layer], Removal(layer=row.layer)) for row in plan.layers if row.layer not in keep]
    can_go = {block for block, reason in removable_blocks(graph).items() if reason is None}
    for block in find_blocks(graph):
        inside = [layer for layer in block.layers if layer in theta]
        if block.name in can_go and any(layer in keep for layer in inside):
            score = own.get(block.name, max(theta[layer] for layer in inside))
            found.append((score, Removal(layer=block.name, kind="block")))
    found.sort(key=lambda one: one[0])
    return tuple(
        _explained(removal, score, f"number {number} of {len(found)} from the lowest", removal.layer in own)
        for number, (score, removal) in enumerate(found, 1)
    )


def in_network_order(graph: LayerGraph, removals: Iterable[Removal]) -> tuple[Removal, ...]:
    """``removals`` as the net comes by them, a block at its first layer."""
    places = {block.name: graph.layer(block.layers[0]).index for block in find_blocks(graph)}
    places |= {layer.layer: layer.index for layer in graph.layers}
    return tuple(sorted(removals, key=lambda removal: places[removal.layer]))


def _explained(removal: Removal, theta: float, rank: str, own: bool) -> Removal:
    whose = ", the highest of its layers" if removal.kind == "block" and not own else ""
    reason = f"Theta {theta:.6g}{whose}: {rank}."
    return removal.model_copy(update={"score": theta, "threshold": first_threshold(theta), "reason": reason})
