"""Repair a net that does not fit past its gaps: by a wider conv, an adapter, or a larger removal set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from torch import fx, nn

from cnngraph.errors import PlanError
from cnngraph.surgery.layers.cut_state import CutState, Gap, RemovalSet
from cnngraph.surgery.layers.net_structure import Gate, NetStructure
from cnngraph.surgery.layers.node_queries import is_sum
from cnngraph.surgery.layers.shape_check import ShapeCheck, ShapeMismatchError, can_follow

__all__ = ["UnrepairableError", "larger_removals", "repair"]


class UnrepairableError(Exception):
    """Only the module that was removed would fit into ``gap``: more must go with it, or it must stay."""

    def __init__(self, reason: str, gap: Gap, mismatch: ShapeMismatchError) -> None:
        super().__init__(reason)
        self.gap, self.mismatch = gap, mismatch


def repair(check: ShapeCheck, mismatch: ShapeMismatchError) -> None:
    """Repair ``mismatch``: widen the conv before a gap so that it gives the channels needed, or note an adapter.

    Raises:
        StuckError: an adapter would be what it replaces. PlanError: no gap is to blame.
    """
    state = check.state
    reason = str(mismatch)
    if mismatch.meets:
        obstacle = _widen(state, mismatch.sides[0])
        if not obstacle:
            return
        reason = f"{reason}, and {obstacle}"
    gaps = _to_blame(check, mismatch.sides) or _to_blame(check, list(check.changed))
    if not gaps:
        raise PlanError(f"{state.name} cannot go: {reason}.", "Remove other layers.")
    nearest = gaps[0]
    if _would_change_nothing(check, nearest):
        raise UnrepairableError(f"{state.name} cannot go: {reason}.", nearest, mismatch)
    state.adapters.add(nearest.path)


def larger_removals(state: CutState, unrepairable: UnrepairableError) -> Iterator[RemovalSet]:
    """Yield larger removal sets that may fit where this one does not, the most promising first."""
    gap, node, removals = unrepairable.gap, unrepairable.mismatch.node, state.removals
    structure = state.structure
    module = structure.module(node)
    if isinstance(module, nn.Conv2d) and module.groups != 1 and node not in state.gaps:
        kind = "depthwise" if module.groups == module.in_channels else "grouped"
        yield removals.with_convs(
            [str(node.target)], f"{gap.path} goes with the {kind} conv {node.target} that reads it."
        )
    gate = structure.gate_of.get(node)
    if gate is not None and gate.name not in removals.gates:
        yield replace(
            removals.with_gates([gate.name]), notes=(*removals.notes, f"{gap.path} goes with the gate {gate.name}.")
        )
    before = _producer(state, gap)
    home = _home(state, gap.path)
    if before is not None and str(before[0].target).startswith(home):
        yield _with_producer(removals, gap, *before)
    if len(_behind(state, gap)) > 1:
        yield replace(removals, kept_width=removals.kept_width | {gap.path})
    if is_sum(node) and gap.conv is not None and _can_be_left_out(state, gap, node):
        note = f"What {gap.path} gave is left out of the sum {node.name}."
        yield replace(removals, left_out=removals.left_out | {gap.path}, notes=(*removals.notes, note))
    if before is not None and not str(before[0].target).startswith(home):
        yield _with_producer(removals, gap, *before)
    if structure.is_norm(node) and can_follow(module, structure.calls(node)) and not removals.norms_follow:
        note = f"The norms behind {gap.path} take the width that comes in."
        yield replace(removals, norms_follow=True, notes=(*removals.notes, note))
    around = [block for block in structure.blocks.values() if gap.node in block.branch and not block.reason]
    if around:
        block = min(around, key=lambda block: len(block.branch))
        note = f"{gap.path} goes with the whole block {block.name}."
        yield replace(removals, blocks=removals.blocks | {block.name}, notes=(*removals.notes, note))


def _with_producer(removals: RemovalSet, gap: Gap, conv: fx.Node, gates: list[Gate]) -> RemovalSet:
    note = f"{gap.path} goes with the conv {conv.target} that it reads."
    return removals.with_convs([str(conv.target)], note).with_gates(gate.name for gate in gates)


def _to_blame(check: ShapeCheck, sides: list[fx.Node]) -> list[Gap]:
    """The gaps whose changed widths or sizes reach ``sides``, the nearest first."""
    state = check.state
    found: dict[str, Gap] = {}
    seen: set[fx.Node] = set()
    waiting = list(sides)
    while waiting:
        node = waiting.pop()
        if node in seen or node not in check.changed:
            continue
        seen.add(node)
        gap = state.gaps.get(node)
        if gap is not None and gap.path not in state.opened:
            found.setdefault(gap.path, gap)
        else:
            waiting.extend([state.bypassed[node]] if node in state.bypassed else node.all_input_nodes)
    return sorted(found.values(), key=lambda gap: -state.structure.order[gap.node])


def _would_change_nothing(check: ShapeCheck, gap: Gap) -> bool:
    """Whether an adapter would be a 1x1 conv that was there, in this gap or behind it."""
    if gap.path in check.state.removals.kept_width:
        return False
    return any(
        (conv.in_channels, conv.out_channels) == (check.read[gap.path], gap.width)
        for conv in _behind(check.state, gap)
        if tuple(conv.kernel_size) == (1, 1) and conv.groups == 1
    )


def _widen(state: CutState, side: fx.Node) -> str:
    """Let the conv before the gap give the width that ``side`` had; the reason if none can that only this gap reads."""
    structure = state.structure
    node, stood_in = side, None
    norm: fx.Node | None = None
    while True:
        gap = state.gaps.get(node)
        if gap is not None:
            if gap.conv is None or gap.path in state.adapters | state.removals.along | state.removals.left_out:
                break
            stood_in = stood_in or node
        elif structure.is_conv(node):
            conv = structure.module(node)
            assert isinstance(conv, nn.Conv2d)
            if stood_in is None or node in state.widened:
                break
            if conv.groups != 1 or structure.calls(node) != 1:
                return f"the conv before it, {node.target}, is grouped or called more than once"
            state.widened[node] = (int(side.meta["shape"][1]), stood_in)
            if norm is not None:
                state.norms[norm] = node
            return ""
        elif structure.is_norm(node) and node not in state.identities:
            if node.op != "call_module":
                break
            norm = node
        elif not (node in state.identities or structure.is_activation(node) or structure.is_passing(node)):
            break
        node = structure.sources(node)[0]
        if len(structure.readers(node)) != 1:
            name = node.target if node.op == "call_module" else node.name
            return f"what lies before it, {name}, is read elsewhere too"
    return "no conv before it could give that width"


def _producer(state: CutState, gap: Gap) -> tuple[fx.Node, list[Gate]] | None:
    """The conv that gives what the gap reads, to it alone, and the gates that scale it between."""
    structure = state.structure
    gates: list[Gate] = []
    node, readers = gap.source, {gap.node}
    while readers.issuperset(structure.readers(node)):
        gate = structure.gate_of.get(node)
        if gate is not None and node is gate.product:
            gates.append(gate)
            node, readers = gate.source, {*gate.branch, gate.product}
        elif structure.is_conv(node) and node not in state.gaps:
            return node, gates
        elif node in state.gaps or structure.keeps_channels(node):
            node, readers = structure.sources(node)[0], {node}
        else:
            return None
    return None


def _home(state: CutState, path: str) -> str:
    """The innermost module around ``path`` with another conv, as a prefix of paths."""
    structure = state.structure
    while path:
        path = path.rpartition(".")[0]
        if len([node for node in structure.paths.get(path, []) if structure.is_conv(node)]) > 1:
            return f"{path}."
    return ""


def _behind(state: CutState, gap: Gap) -> list[nn.Conv2d]:
    """The convs that go that an adapter in ``gap`` would take the place of, with no layer between that stays."""
    found: dict[str, nn.Conv2d] = {}
    seen: set[fx.Node] = set()
    waiting = [gap.node]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        there = state.gaps.get(node)
        block = next((block for block in state.blocks if block.total is node), None)
        if there is not None and (there is gap or there.path not in state.adapters):
            found |= _convs(state.structure, state.regions[there.path] if there.conv is None else [node])
            waiting.append(there.source)
        elif node in state.bypassed:
            found |= _convs(state.structure, block.branch_convs if block is not None else ())
            waiting.append(state.bypassed[node])
        elif there is None and not state.structure.is_weighted(node):
            waiting.extend(state.structure.sources(node))
    return list(found.values())


def _convs(structure: NetStructure, nodes: Iterable[fx.Node]) -> dict[str, nn.Conv2d]:
    return {str(node.target): conv for node in nodes if isinstance(conv := structure.module(node), nn.Conv2d)}


def _can_be_left_out(state: CutState, gap: Gap, total: fx.Node) -> bool:
    """Whether ``gap`` leads to ``total`` and nowhere else, and its other side is still made from the image."""
    structure = state.structure
    node = gap.node
    while structure.readers(node) != [total]:
        readers = structure.readers(node)
        if len(readers) != 1 or len(structure.sources(readers[0])) != 1 or structure.is_weighted(readers[0]):
            return False
        node = readers[0]
    closed = {other.node for other in state.gaps.values() if other.path in state.removals.left_out} | {gap.node}
    waiting = [source for source in structure.sources(total) if source is not node]
    seen: set[fx.Node] = set()
    while waiting:
        here = waiting.pop()
        if here.op == "placeholder":
            return True
        if here not in seen and here not in closed:
            seen.add(here)
            waiting.extend([state.bypassed[here]] if here in state.bypassed else structure.sources(here))
    return False
