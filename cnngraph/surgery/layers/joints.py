"""The layers at the gaps: which of them are refitted, to the output of which layer of the old net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx, nn
from torch.nn.utils import parametrize

from cnngraph.surgery.layers.cut_state import CutState, Gap
from cnngraph.surgery.layers.net_structure import NetStructure

__all__ = ["AdapterSpec", "Join", "Resize", "ResizeNorm", "find_joins", "obstacle_to_refit"]


@dataclass(frozen=True)
class Resize:
    """New width of a surviving conv or dense layer.

    ``maps``: (channels, height, width) before and after of what is flattened into a dense layer, else ``None``.
    ``pieces``: (channels before, channels after) of each part that a concatenation made its inputs of, in order; () for
    one part. ``norm``: path of its norm, where its outputs change; ``norm_of``: path of the removed norm that takes
    its place.
    """

    inputs: int
    outputs: int
    maps: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    pieces: tuple[tuple[int, int], ...] = ()
    norm: str | None = None
    norm_of: str | None = None


@dataclass(frozen=True)
class ResizeNorm:
    """New width of a surviving batch norm; ``pieces`` as in :class:`Resize`, at least one."""

    channels: int
    pieces: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class AdapterSpec:
    """An adapter: a 1x1 conv from ``inputs`` to ``outputs`` channels behind the bypass of the gap.

    ``layer``: its path. ``nodes``: names of the fx nodes in whose place it stands, one a call.
    """

    layer: str
    inputs: int
    outputs: int
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Join:
    """A conv or dense layer that a gap reaches without another one between: one that survived, or an adapter.

    ``target``: the layer of the old net whose output it is to give: itself before its norm; for a widened conv the
    removed conv that it stands in for; for an adapter the last module that went.
    ``first``: it is the first after its gap in network order, or is resized. ``obstacle``: why it cannot be refitted,
    or "". ``kept``: the numbers of the target's outputs that it is to give, where it is not to give all of them.
    """

    layer: str
    target: str
    first: bool
    obstacle: str = ""
    kept: tuple[int, ...] | None = None


def find_joins(state: CutState, resized: Mapping[str, Resize], adapters: Mapping[str, AdapterSpec]) -> tuple[Join, ...]:
    """The joins in network order."""
    structure = state.structure
    reached: set[fx.Node] = set()
    first: set[fx.Node] = set()
    for start in _starts(state):
        found = _readers(state, start)
        reached |= found
        first |= {min(found, key=structure.order.__getitem__)} if found else set()
    reached |= set(state.widened)
    joins: dict[str, Join] = {}
    filled = {node: gap for node, gap in state.gaps.items() if gap.path in state.adapters}
    for node in sorted(reached | set(filled), key=structure.order.__getitem__):
        if node in filled:
            join = _adapter(structure, filled[node], adapters[filled[node].path])
        else:
            join = _survivor(state, node, resized, first=node in first)
        joins.setdefault(join.layer, join)
    return tuple(joins.values())


def _starts(state: CutState) -> list[fx.Node]:
    """The nodes whose values are others than before, and that no adapter makes."""
    return [node for node, gap in state.gaps.items() if gap.path not in state.adapters] + list(state.bypassed)


def _adapter(structure: NetStructure, gap: Gap, spec: AdapterSpec) -> Join:
    calls = [node for node in structure.nodes if node.op == "call_module" and node.target == gap.path]
    obstacle = "it is called more than once" if len(calls) > 1 else ""
    return Join(spec.layer, gap.target, first=True, obstacle=obstacle)


def _survivor(state: CutState, node: fx.Node, resized: Mapping[str, Resize], *, first: bool) -> Join:
    structure = state.structure
    name = structure.path(node)
    target, obstacle = name, obstacle_to_refit(structure, node)
    if node in state.widened:
        stood_in = state.widened[node][1]
        target = str(stood_in.target)
        old, new = structure.module(stood_in), resized[name]
        assert isinstance(old, nn.Conv2d)
        if max(old.stride) > 1:
            obstacle = f"it stands in for {target}, whose stride is a pool now"
        elif (new.norm_of is None) != (structure.unit(stood_in).norm is None) or (new.norm is None) != (
            new.norm_of is None
        ):
            obstacle = f"it stands in for {target}, and only one of the two has a norm"
    return Join(name, target, first or name in resized, obstacle)


def _readers(state: CutState, start: fx.Node) -> set[fx.Node]:
    """Surviving conv and dense layers that the value of ``start`` reaches with none between."""
    found: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    waiting = list(start.users)
    while waiting:
        node = waiting.pop()
        gap = state.gaps.get(node)
        passed = (
            node in state.skipped or state.structure.is_size(node) or (gap is not None and gap.path in state.adapters)
        )
        if node in seen or passed:
            continue
        seen.add(node)
        if state.structure.is_weighted(node) and gap is None:
            found.add(node)
        else:
            waiting.extend(node.users)
    return found


def obstacle_to_refit(structure: NetStructure, node: fx.Node) -> str:
    """Why the weights of a layer cannot be refitted, or ""."""
    module = structure.module(node)
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return "it is no plain conv or dense layer"
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        return "it is a grouped conv"
    if structure.has_own_forward(node):
        return "it has a forward of its own"
    if structure.calls(node) > 1:
        return "it is called more than once"
    if parametrize.is_parametrized(module):
        return "it is parametrized"
    if structure.shares_weights(node):
        return "it shares its weights with another layer"
    return ""
