"""The layers at the gaps: which of them are refitted, to the output of which layer of the old net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx, nn
from torch.nn.utils import parametrize

from cnngraph.surgery.layers.anatomy import Body
from cnngraph.surgery.layers.wound import Gap, Wound

__all__ = ["Filling", "Join", "Renorm", "Resize", "find_joins", "obstacle_to_refit"]


@dataclass(frozen=True)
class Resize:
    """New width of a surviving conv or dense layer.

    ``maps``: (channels, height, width) before and after of what is flattened into a dense layer, else ``None``.
    ``pieces``: (channels before, channels after) of each part that a concatenation made its inputs of, in order; () for
    one part. ``norm``: path of its norm, where its outputs change; ``norm_of``: path of the removed norm that fits
    there instead.
    """

    inputs: int
    outputs: int
    maps: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    pieces: tuple[tuple[int, int], ...] = ()
    norm: str | None = None
    norm_of: str | None = None


@dataclass(frozen=True)
class Renorm:
    """New width of a surviving batch norm; ``pieces`` as in :class:`Resize`, at least one."""

    channels: int
    pieces: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Filling:
    """An adapter: a 1x1 conv from ``inputs`` to ``outputs`` channels behind the passage of the gap.

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


def find_joins(wound: Wound, resized: Mapping[str, Resize], adapters: Mapping[str, Filling]) -> tuple[Join, ...]:
    """The joins in network order."""
    body = wound.body
    reached: set[fx.Node] = set()
    first: set[fx.Node] = set()
    for start in _starts(wound):
        found = _readers(wound, start)
        reached |= found
        first |= {min(found, key=body.order.__getitem__)} if found else set()
    reached |= set(wound.widened)
    joins: dict[str, Join] = {}
    filled = {node: gap for node, gap in wound.gaps.items() if gap.path in wound.adapters}
    for node in sorted(reached | set(filled), key=body.order.__getitem__):
        if node in filled:
            join = _adapter(body, filled[node], adapters[filled[node].path])
        else:
            join = _survivor(wound, node, resized, first=node in first)
        joins.setdefault(join.layer, join)
    return tuple(joins.values())


def _starts(wound: Wound) -> list[fx.Node]:
    """The nodes whose values are others than before, and that no adapter makes."""
    return [node for node, gap in wound.gaps.items() if gap.path not in wound.adapters] + list(wound.bypassed)


def _adapter(body: Body, gap: Gap, filling: Filling) -> Join:
    calls = [node for node in body.nodes if node.op == "call_module" and node.target == gap.path]
    obstacle = "it is called more than once" if len(calls) > 1 else ""
    return Join(filling.layer, gap.target, first=True, obstacle=obstacle)


def _survivor(wound: Wound, node: fx.Node, resized: Mapping[str, Resize], *, first: bool) -> Join:
    body = wound.body
    name = body.path(node)
    target, obstacle = name, obstacle_to_refit(body, node)
    if node in wound.widened:
        stood_in = wound.widened[node][1]
        target = str(stood_in.target)
        old, new = body.module(stood_in), resized[name]
        assert isinstance(old, nn.Conv2d)
        if max(old.stride) > 1:
            obstacle = f"it stands in for {target}, whose stride is a pool now"
        elif (new.norm_of is None) != (body.unit(stood_in).norm is None) or (new.norm is None) != (new.norm_of is None):
            obstacle = f"it stands in for {target}, and only one of the two has a norm"
    return Join(name, target, first or name in resized, obstacle)


def _readers(wound: Wound, start: fx.Node) -> set[fx.Node]:
    """Surviving conv and dense layers that the value of ``start`` reaches with none between."""
    found: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    waiting = list(start.users)
    while waiting:
        node = waiting.pop()
        gap = wound.gaps.get(node)
        passed = node in wound.skipped or wound.body.is_size(node) or (gap is not None and gap.path in wound.adapters)
        if node in seen or passed:
            continue
        seen.add(node)
        if wound.body.is_weighted(node) and gap is None:
            found.add(node)
        else:
            waiting.extend(node.users)
    return found


def obstacle_to_refit(body: Body, node: fx.Node) -> str:
    """Why the weights of a layer cannot be refitted, or ""."""
    module = body.module(node)
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return "it is no plain conv or dense layer"
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        return "it is a grouped conv"
    if body.has_own_forward(node):
        return "it has a forward of its own"
    if body.calls(node) > 1:
        return "it is called more than once"
    if parametrize.is_parametrized(module):
        return "it is parametrized"
    if body.shares_weights(node):
        return "it shares its weights with another layer"
    return ""
