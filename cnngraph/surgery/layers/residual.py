"""Residual blocks: modules in whose forward two paths from one input meet in one sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import fx, nn

from cnngraph.surgery.layers.node_queries import NodeQueries, is_sum, module_path, within

__all__ = ["Branch", "Residual", "branch_of", "residual_blocks"]


@dataclass(frozen=True)
class Residual:
    """A residual block.

    Attributes:
        name: path of the module.
        entry: the node outside the block that it reads. total: its sum. leaving: the node that the rest reads.
        shortcut: nodes from ``entry`` (exclusive) to the sum along the path with fewer convs.
        tail: nodes after the sum.
        branch: every other node of the block. branch_convs: the convs among them, in network order.
        side: the operand of the sum that is the shortcut.
        pieces: what stays, in order: (name, path below the block), or (name, module) for a functional activation.
        reason: why it cannot be taken out, or "".
    """

    name: str
    entry: fx.Node
    total: fx.Node
    leaving: fx.Node
    side: fx.Node
    shortcut: tuple[fx.Node, ...]
    tail: tuple[fx.Node, ...]
    branch: tuple[fx.Node, ...]
    branch_convs: tuple[fx.Node, ...]
    pieces: tuple[tuple[str, str | nn.Module], ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Branch:
    """What one side of a sum does to the other: its convs, and those of them that no conv follows on the way."""

    convs: tuple[fx.Node, ...]
    last: tuple[fx.Node, ...]


def branch_of(queries: NodeQueries, total: fx.Node) -> Branch | None:
    """The side of the sum ``total`` with more convs, in whatever module; ``None`` where the sides meet nowhere before.

    Nobody else may read what is inside of it.
    """
    for fork in reversed(queries.nodes[: queries.order[total]]):
        sides = [queries.upstream(side, fork) for side in total.all_input_nodes]
        if fork not in queries.of_image or sides[0] is None or sides[1] is None:
            continue
        counts = [sum(queries.is_conv(node) for node in side) for side in sides if side is not None]
        # What is not made from the image (a learned scale of all branches) may be read by whomever.
        inside = {total, *sides[counts.index(max(counts))]} & queries.of_image  # type: ignore[misc]
        if counts[0] == counts[1] or any(not inside.issuperset(node.users) for node in inside - {total}):
            return None
        convs = tuple(node for node in queries.nodes if node in inside and queries.is_conv(node))
        return Branch(convs, tuple(node for node in convs if _leads_to(queries, node, total)))
    return None


def _leads_to(queries: NodeQueries, conv: fx.Node, total: fx.Node) -> bool:
    """Whether ``conv`` gives its value to ``total`` alone, through nothing but sums and steps without weights."""
    node = conv
    while node is not total:
        readers = queries.readers(node)
        if len(readers) != 1 or queries.is_weighted(readers[0]):
            return False
        node = readers[0]
        if len(queries.sources(node)) > 1 and not is_sum(node):
            return False
    return True


def residual_blocks(queries: NodeQueries) -> Iterator[Residual]:
    """Every residual block of the net that is the call of a module."""
    homes: dict[str, list[fx.Node]] = {}
    for node in queries.nodes:
        if is_sum(node) and module_path(node):
            homes.setdefault(module_path(node), []).append(node)
    for home, sums in homes.items():
        inside = [node for node in queries.nodes if node in queries.of_image and within(node, home)]
        if any(is_sum(node) and node not in sums for node in inside):
            continue  # a module around blocks is no block itself
        block = _read_block(queries, home, sums, inside)
        if block is not None:
            yield block


def _read_block(queries: NodeQueries, name: str, sums: list[fx.Node], inside: list[fx.Node]) -> Residual | None:
    members = set(inside)
    entries = {source for node in inside for source in queries.sources(node) if source not in members}
    leaving = [node for node in inside if any(user not in members for user in queries.readers(node))]
    if len(sums) != 1 or len(entries) != 1 or len(leaving) != 1:
        return None
    (total,), (entry,) = sums, entries
    sides = [_upstream(queries, operand, members) for operand in total.all_input_nodes]
    if len(sides) != 2:
        return None
    convs = [[node for node in side if queries.is_conv(node)] for side in sides]
    if not convs[0] and not convs[1]:
        return None
    short = 0 if len(convs[0]) < len(convs[1]) else 1
    shortcut = [node for node in inside if node in sides[short]]
    tail = _downstream(queries, total, leaving[0])
    kept = {*shortcut, total, *(tail or ())}
    branch = [node for node in inside if node not in kept]
    pieces = None if tail is None else _pieces(queries, name, [*shortcut, *tail], branch)
    reason = ""
    if len(convs[0]) == len(convs[1]):
        reason = "both ways to its sum have as many convs, so that none is the shortcut"
    elif not queries.takes_one_map(name):
        reason = "it is called with other arguments than one map"
    elif pieces is None:
        reason = "its shortcut, or what follows its sum, is no chain of modules"
    return Residual(
        name=name,
        entry=entry,
        total=total,
        leaving=leaving[0],
        side=total.all_input_nodes[short],
        shortcut=tuple(shortcut),
        tail=tuple(tail or ()),
        branch=tuple(branch),
        branch_convs=tuple(node for node in branch if queries.is_conv(node)),
        pieces=tuple(pieces or ()),
        reason=reason,
    )


def _pieces(
    queries: NodeQueries, name: str, chain: list[fx.Node], branch: list[fx.Node]
) -> list[tuple[str, str | nn.Module]] | None:
    """The modules that do what ``chain`` does, the block's children as they are; ``None`` where a step has none."""
    pieces: list[tuple[str, str | nn.Module]] = []
    for node in chain:
        if len(queries.sources(node)) != 1:
            return None
        path = str(node.target) if node.op == "call_module" else module_path(node)
        child = path.removeprefix(name).removeprefix(".").split(".")[0]
        if not child:
            made = queries.activation_module(node)
            if made is None:
                return None
            pieces.append((node.name, made))
        elif pieces and pieces[-1] == (child, child):
            continue
        else:
            pieces.append((child, child))
    names = [piece for piece, _ in pieces]
    whole = {piece for piece, part in pieces if part == piece}
    torn = any(_child(node, name) in whole and within(node, f"{name}.{_child(node, name)}") for node in branch)
    return None if torn or len(set(names)) != len(names) else pieces


def _upstream(queries: NodeQueries, node: fx.Node, members: set[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if here in members and here not in found:
            found.add(here)
            waiting.extend(queries.sources(here))
    return found


def _downstream(queries: NodeQueries, start: fx.Node, end: fx.Node) -> list[fx.Node] | None:
    """The nodes after ``start`` up to ``end`` where they are a chain, else ``None``."""
    chain: list[fx.Node] = []
    node = start
    while node is not end:
        readers = queries.readers(node)
        if len(readers) != 1:
            return None
        node = readers[0]
        if len(queries.sources(node)) != 1:
            return None
        chain.append(node)
    return chain


def _child(node: fx.Node, name: str) -> str:
    return module_path(node).removeprefix(name).removeprefix(".").split(".")[0]
