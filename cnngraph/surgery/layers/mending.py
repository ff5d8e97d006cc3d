"""What can be done where the rest of a net does not fit past its gaps: a wider conv, an adapter, or more that goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from torch import fx, nn

from cnngraph.errors import PlanError
from cnngraph.surgery.layers.anatomy import Body, Gate
from cnngraph.surgery.layers.fitter import Fitter, MisfitError, can_follow
from cnngraph.surgery.layers.steps import is_sum
from cnngraph.surgery.layers.wound import Extent, Gap, Wound

__all__ = ["StuckError", "mend", "wider"]


class StuckError(Exception):
    """Nothing fits into ``gap`` but what was there: more must go, or nothing can."""

    def __init__(self, reason: str, gap: Gap, misfit: MisfitError) -> None:
        super().__init__(reason)
        self.gap, self.misfit = gap, misfit


def mend(fitter: Fitter, misfit: MisfitError) -> None:
    """Let the conv before a gap give the width that is demanded, or give the nearest gap an adapter.

    Raises:
        StuckError: an adapter would be what it replaces. PlanError: no gap is to blame.
    """
    wound = fitter.wound
    reason = str(misfit)
    if misfit.meets:
        obstacle = _widen(wound, misfit.sides[0])
        if not obstacle:
            return
        reason = f"{reason}, and {obstacle}"
    gaps = _to_blame(fitter, misfit.sides) or _to_blame(fitter, list(fitter.changed))
    if not gaps:
        raise PlanError(f"{wound.name} cannot go: {reason}.", "Remove other layers.")
    nearest = gaps[0]
    if _would_change_nothing(fitter, nearest):
        raise StuckError(f"{wound.name} cannot go: {reason}.", nearest, misfit)
    wound.adapters.add(nearest.path)


def wider(wound: Wound, stuck: StuckError) -> Iterator[Extent]:
    """What could go besides, the best first, so that something else fits."""
    gap, node, extent = stuck.gap, stuck.misfit.node, wound.extent
    body = wound.body
    module = body.module(node)
    if isinstance(module, nn.Conv2d) and module.groups != 1 and node not in wound.gaps:
        kind = "depthwise" if module.groups == module.in_channels else "grouped"
        yield extent.with_convs(
            [str(node.target)], f"{gap.path} goes with the {kind} conv {node.target} that reads it."
        )
    gate = body.gate_of.get(node)
    if gate is not None and gate.name not in extent.gates:
        yield replace(
            extent.with_gates([gate.name]), notes=(*extent.notes, f"{gap.path} goes with the gate {gate.name}.")
        )
    before = _producer(wound, gap)
    home = _home(wound, gap.path)
    if before is not None and str(before[0].target).startswith(home):
        yield _with_producer(extent, gap, *before)
    if len(_behind(wound, gap)) > 1:
        yield replace(extent, kept_width=extent.kept_width | {gap.path})
    if is_sum(node) and gap.conv is not None and _can_be_left_out(wound, gap, node):
        note = f"What {gap.path} gave is left out of the sum {node.name}."
        yield replace(extent, left_out=extent.left_out | {gap.path}, notes=(*extent.notes, note))
    if before is not None and not str(before[0].target).startswith(home):
        yield _with_producer(extent, gap, *before)
    if body.is_norm(node) and can_follow(module, body.calls(node)) and not extent.norms_follow:
        note = f"The norms behind {gap.path} take the width that comes in."
        yield replace(extent, norms_follow=True, notes=(*extent.notes, note))
    around = [block for block in body.blocks.values() if gap.node in block.branch and not block.reason]
    if around:
        block = min(around, key=lambda block: len(block.branch))
        note = f"{gap.path} goes with the whole block {block.name}."
        yield replace(extent, blocks=extent.blocks | {block.name}, notes=(*extent.notes, note))


def _with_producer(extent: Extent, gap: Gap, conv: fx.Node, gates: list[Gate]) -> Extent:
    note = f"{gap.path} goes with the conv {conv.target} that it reads."
    return extent.with_convs([str(conv.target)], note).with_gates(gate.name for gate in gates)


def _to_blame(fitter: Fitter, sides: list[fx.Node]) -> list[Gap]:
    """The gaps whose changed widths or sizes reach ``sides``, the nearest first."""
    wound = fitter.wound
    found: dict[str, Gap] = {}
    seen: set[fx.Node] = set()
    waiting = list(sides)
    while waiting:
        node = waiting.pop()
        if node in seen or node not in fitter.changed:
            continue
        seen.add(node)
        gap = wound.gaps.get(node)
        if gap is not None and gap.path not in wound.opened:
            found.setdefault(gap.path, gap)
        else:
            waiting.extend([wound.bypassed[node]] if node in wound.bypassed else node.all_input_nodes)
    return sorted(found.values(), key=lambda gap: -wound.body.order[gap.node])


def _would_change_nothing(fitter: Fitter, gap: Gap) -> bool:
    """Whether an adapter would be a 1x1 conv that was there, in this gap or behind it."""
    if gap.path in fitter.wound.extent.kept_width:
        return False
    return any(
        (conv.in_channels, conv.out_channels) == (fitter.read[gap.path], gap.width)
        for conv in _behind(fitter.wound, gap)
        if tuple(conv.kernel_size) == (1, 1) and conv.groups == 1
    )


def _widen(wound: Wound, side: fx.Node) -> str:
    """Let the conv before the gap give the width that ``side`` had; the reason if none can that only this gap reads."""
    body = wound.body
    node, stood_in = side, None
    norm: fx.Node | None = None
    while True:
        gap = wound.gaps.get(node)
        if gap is not None:
            if gap.conv is None or gap.path in wound.adapters | wound.extent.along | wound.extent.left_out:
                break
            stood_in = stood_in or node
        elif body.is_conv(node):
            conv = body.module(node)
            assert isinstance(conv, nn.Conv2d)
            if stood_in is None or node in wound.widened:
                break
            if conv.groups != 1 or body.calls(node) != 1:
                return f"the conv before it, {node.target}, is grouped or called more than once"
            wound.widened[node] = (int(side.meta["shape"][1]), stood_in)
            if norm is not None:
                wound.norms[norm] = node
            return ""
        elif body.is_norm(node) and node not in wound.silent:
            if node.op != "call_module":
                break
            norm = node
        elif not (node in wound.silent or body.is_activation(node) or body.is_passing(node)):
            break
        node = body.sources(node)[0]
        if len(body.readers(node)) != 1:
            name = node.target if node.op == "call_module" else node.name
            return f"what lies before it, {name}, is read elsewhere too"
    return "no conv before it could give that width"


def _producer(wound: Wound, gap: Gap) -> tuple[fx.Node, list[Gate]] | None:
    """The conv that gives what the gap reads, to it alone, and the gates that scale it between."""
    body = wound.body
    gates: list[Gate] = []
    node, readers = gap.source, {gap.node}
    while readers.issuperset(body.readers(node)):
        gate = body.gate_of.get(node)
        if gate is not None and node is gate.product:
            gates.append(gate)
            node, readers = gate.source, {*gate.branch, gate.product}
        elif body.is_conv(node) and node not in wound.gaps:
            return node, gates
        elif node in wound.gaps or body.keeps_channels(node):
            node, readers = body.sources(node)[0], {node}
        else:
            return None
    return None


def _home(wound: Wound, path: str) -> str:
    """The innermost module around ``path`` with another conv, as a prefix of paths."""
    body = wound.body
    while path:
        path = path.rpartition(".")[0]
        if len([node for node in body.paths.get(path, []) if body.is_conv(node)]) > 1:
            return f"{path}."
    return ""


def _behind(wound: Wound, gap: Gap) -> list[nn.Conv2d]:
    """The convs that go that an adapter in ``gap`` would take the place of, with no layer between that stays."""
    found: dict[str, nn.Conv2d] = {}
    seen: set[fx.Node] = set()
    waiting = [gap.node]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        there = wound.gaps.get(node)
        block = next((block for block in wound.blocks if block.total is node), None)
        if there is not None and (there is gap or there.path not in wound.adapters):
            found |= _convs(wound.body, wound.regions[there.path] if there.conv is None else [node])
            waiting.append(there.source)
        elif node in wound.bypassed:
            found |= _convs(wound.body, block.branch_convs if block is not None else ())
            waiting.append(wound.bypassed[node])
        elif there is None and not wound.body.is_weighted(node):
            waiting.extend(wound.body.sources(node))
    return list(found.values())


def _convs(body: Body, nodes: Iterable[fx.Node]) -> dict[str, nn.Conv2d]:
    return {str(node.target): conv for node in nodes if isinstance(conv := body.module(node), nn.Conv2d)}


def _can_be_left_out(wound: Wound, gap: Gap, total: fx.Node) -> bool:
    """Whether ``gap`` leads to ``total`` and nowhere else, and its other side is still made from the image."""
    body = wound.body
    node = gap.node
    while body.readers(node) != [total]:
        readers = body.readers(node)
        if len(readers) != 1 or len(body.sources(readers[0])) != 1 or body.is_weighted(readers[0]):
            return False
        node = readers[0]
    closed = {other.node for other in wound.gaps.values() if other.path in wound.extent.left_out} | {gap.node}
    waiting = [source for source in body.sources(total) if source is not node]
    seen: set[fx.Node] = set()
    while waiting:
        here = waiting.pop()
        if here.op == "placeholder":
            return True
        if here not in seen and here not in closed:
            seen.add(here)
            waiting.extend([wound.bypassed[here]] if here in wound.bypassed else body.sources(here))
    return False
