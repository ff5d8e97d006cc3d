"""What a set of removals does to the rest of a net, found out before anything is changed.

The net is run on fake tensors with the removed layers passed by. Where a width no longer fits, the layer that reads it
is noted to be resized. Where a step demands the width that was there (a sum, a norm, a depthwise conv, a stored size),
the conv before the gap is widened or the gap gets an adapter; where an adapter would be what it replaces, more goes
with it. What is refused is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import fx, nn

from cnngraph.errors import PlanError
from cnngraph.surgery.layers.anatomy import Body, Gate
from cnngraph.surgery.layers.fitter import Fitter, MisfitError
from cnngraph.surgery.layers.joints import Filling, Join, Renorm, Resize, find_joins
from cnngraph.surgery.layers.mending import StuckError, mend, wider
from cnngraph.surgery.layers.output import require_output_stays
from cnngraph.surgery.layers.passage import Copy
from cnngraph.surgery.layers.residual import Branch, Residual
from cnngraph.surgery.layers.wound import Extent, Wound, open_wound

__all__ = ["Filling", "Incision", "Join", "Renorm", "Resize", "incise"]


@dataclass(frozen=True)
class Incision:
    """Everything that changes when ``removed`` goes; paths are those of ``named_modules()``.

    Attributes:
        asked: what was asked for, by name. along: convs that go with it and were not asked for.
        removed: convs that go, also those inside of blocks and gates, in network order.
        blocks: residual blocks that go as a whole. regions: other modules that do. gates: those that go.
        passages: weightless modules that take the place of convs, regions and gates.
        adapters: 1x1 convs behind passages, by the same paths. left_out: by path, the channels of zeros that stand
            for a branch that is left out of its sum. opened: last convs of gates that now always let through.
        silenced: norms and activations that become identities.
        rectified: blocks whose last activation is idle, since their input has been through the same one.
        resized, joins: surviving layers that change. renormed: batch norms that get another width.
        stays: activations that stay without their conv.
        shapes: of every surviving value for a batch of images, by name of the fx node.
        macs: multiply-accumulates for one image of steps that read other shapes, but for convs, dense layers and norms.
        notes: why something goes that nobody asked for.
    """

    asked: tuple[str, ...]
    along: frozenset[str]
    removed: tuple[str, ...]
    blocks: tuple[Residual, ...]
    regions: tuple[str, ...]
    gates: tuple[str, ...]
    passages: dict[str, nn.Module]
    adapters: dict[str, Filling]
    left_out: dict[str, int]
    opened: frozenset[str]
    silenced: tuple[str, ...]
    rectified: frozenset[str]
    resized: dict[str, Resize]
    renormed: dict[str, Renorm]
    joins: tuple[Join, ...]
    stays: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    macs: dict[str, int]
    notes: tuple[str, ...]


def incise(
    body: Body,
    convs: Iterable[str],
    blocks: Iterable[str],
    regions: Iterable[str] = (),
    branches: Mapping[str, Branch] | None = None,
) -> Incision:
    """Find out what removing ``convs`` (paths of Conv2d modules), ``blocks``, ``regions`` and ``branches`` does.

    A block all of whose branch's convs are named goes as a block.

    Args:
        branches: of sums without a module of their own, by the name of the sum.

    Raises:
        PlanError: the rest cannot work; the message says which layer stands against it and why.
    """
    gone, whole, parts, left_out = frozenset(convs), frozenset(blocks), frozenset(regions), frozenset[str]()
    listed = [str(node.target) for node in body.convs if str(node.target) in gone]
    asked = dict.fromkeys([*sorted(whole), *sorted(parts), *sorted(branches or {}), *listed])
    for branch in (branches or {}).values():
        gone |= {str(node.target) for node in branch.convs}
        left_out |= {str(node.target) for node in branch.last}
    return _search(body, Extent(tuple(asked), gone, whole, parts, left_out=left_out), set())


def _search(body: Body, extent: Extent, tried: set[Extent]) -> Incision:
    """The first extent around ``extent`` that fits."""
    tried.add(extent)
    wound = open_wound(body, extent)
    require_output_stays(body.output_layers, {*wound.gaps, *wound.skipped}, wound.name)
    try:
        return _close(wound, _settle(wound))
    except StuckError as stuck:
        for more in wider(wound, stuck):
            if more in tried:
                continue
            try:
                return _search(body, more, tried)
            except PlanError:
                continue
        raise PlanError(str(stuck), "Remove the whole block, or another layer.") from stuck


def _settle(wound: Wound) -> Fitter:
    """Run the net past the gaps until everything fits: with maps as large as they come, else as large as they were."""
    for exact in (False, True):
        wound.forget()
        while True:
            fitter = Fitter(wound, exact=exact)
            try:
                fitter.run_all()
            except MisfitError as misfit:
                if misfit.size and not exact:
                    break
                mend(fitter, misfit)
            else:
                return fitter
    raise AssertionError("the second fit returns or raises")


def _close(wound: Wound, fitter: Fitter) -> Incision:
    body, extent = wound.body, wound.extent
    removed = tuple(
        dict.fromkeys(str(node.target) for node in body.convs if node in wound.gaps or node in wound.skipped)
    )
    removed += tuple(path for gap in wound.gaps.values() if gap.conv is None for path in _leaving_conv(body, gap.node))
    everything = {str(node.target) for node in body.convs} | {node.name for node in body.functional_convs}
    if everything and everything <= set(removed):
        raise PlanError(f"The plan removes all {len(everything)} conv layers.", "Leave one at least.")
    for node in body.nodes[-1].all_input_nodes:
        if node in fitter.changed:
            raise PlanError(
                f"{wound.name} cannot go: the net's output would have another shape.", "The classifier stays."
            )
    _silence_idle(wound)
    resized = {body.path(node): _resize(wound, fitter, node, widths) for node, widths in fitter.widths.items()}
    adapters = _adapters(wound, fitter)
    order = {name: place for place, name in enumerate(dict.fromkeys(str(node.target) for node in body.convs))}
    return Incision(
        asked=extent.asked,
        along=extent.along,
        removed=tuple(sorted(set(removed), key=order.__getitem__)),
        blocks=wound.blocks,
        regions=tuple(gap.path for gap in wound.gaps.values() if gap.conv is None),
        gates=tuple(gate.name for gate in body.gates.values() if gate.product in wound.closed or _is_open(wound, gate)),
        passages=fitter.passages,
        adapters=adapters,
        left_out={gap.path: gap.width for gap in wound.gaps.values() if gap.path in extent.left_out},
        opened=frozenset(wound.opened),
        silenced=wound.silenced,
        rectified=frozenset(
            block.name
            for block in wound.blocks
            if len(block.tail) == 1
            and not block.shortcut
            and body.is_rectified(block.entry, block.tail[0], wound.quiet)
        ),
        resized=resized,
        renormed={str(node.target): _renorm(wound, fitter, node) for node in fitter.norms},
        joins=find_joins(wound, resized, adapters),
        stays=wound.stays,
        shapes={node.name: shape for node, shape in fitter.shapes.items() if node not in wound.quiet},
        macs={node.name: macs for node, macs in fitter.macs.items()},
        notes=(*extent.notes, *_gate_notes(wound)),
    )


def _silence_idle(wound: Wound) -> None:
    """Let norms and activations go on which the net's output no longer depends, as before a branch that is left out.

    Raises:
        PlanError: there is something else with weights on which it no longer depends.
    """
    body = wound.body
    constant = {node for node, gap in wound.gaps.items() if gap.path in wound.extent.left_out | wound.opened}
    sources = {node: [gap.source] for node, gap in wound.gaps.items()}
    sources |= {node: [kept] for node, kept in wound.bypassed.items()} | {node: [] for node in constant}
    gone = wound.skipped | wound.silent | set(wound.gaps) | set(wound.closed)
    # A parameter that the forward of a module reads goes with that module, whatever takes the module's place.
    replaced = {block.name for block in wound.blocks} | {gap.path for gap in wound.gaps.values()}
    replaced |= {*wound.silenced, *wound.closed.values()}
    weighted = [
        node
        for node in body.nodes
        if node not in gone
        and _has_weights(body, node)
        and not any(str(node.target).startswith(f"{path}.") for path in replaced)
    ]
    before, now = _used(body, {}), _used(body, sources)
    still = {str(node.target) for node in weighted if node in now}
    idle = [node for node in weighted if node in before and str(node.target) not in still]
    for node in idle:
        if not (body.is_norm(node) or body.is_activation(node)):
            raise PlanError(
                f"{wound.name} cannot go: {node.target} would stay and have no part in what the net gives.",
                "Remove other layers.",
            )
    wound.silent |= set(idle)
    wound.silenced += tuple(dict.fromkeys(str(node.target) for node in idle))


def _used(body: Body, sources: Mapping[fx.Node, list[fx.Node]]) -> set[fx.Node]:
    """The nodes that the net's output depends on; ``sources``: what some of them read instead."""
    found: set[fx.Node] = set()
    waiting = [body.nodes[-1]]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(sources.get(node, node.all_input_nodes))
    return found


def _has_weights(body: Body, node: fx.Node) -> bool:
    if node.op == "get_attr":
        return node.target in body.parameters
    module = body.module(node) if node.op == "call_module" else None
    return module is not None and next(module.parameters(), None) is not None


def _gate_notes(wound: Wound) -> list[str]:
    """That a gate goes as a whole because one of its convs was to go."""
    gates = [gate for gate in wound.body.gates.values() if gate.product in wound.closed or _is_open(wound, gate)]
    return [
        f"The whole gate {gate.name} goes with {conv.target}."
        for gate in gates
        for conv in gate.convs
        if str(conv.target) in wound.extent.convs and gate.name not in wound.extent.gates
    ]


def _is_open(wound: Wound, gate: Gate) -> bool:
    return any(str(conv.target) in wound.opened for conv in gate.convs)


def _leaving_conv(body: Body, node: fx.Node) -> list[str]:
    """The conv whose value a region gives, which is the region's own node and not inside of what is skipped."""
    return [str(node.target)] if body.is_conv(node) else []


def _adapters(wound: Wound, fitter: Fitter) -> dict[str, Filling]:
    found: dict[str, Filling] = {}
    for node, gap in wound.gaps.items():
        if gap.path not in wound.adapters:
            continue
        plain = isinstance(fitter.passages[gap.path], nn.Identity | Copy)
        layer = gap.path if plain else f"{gap.path}.adapter"
        known = found.get(gap.path, Filling(layer, fitter.read[gap.path], gap.width, ()))
        found[gap.path] = replace(known, nodes=(*known.nodes, node.name))
    return found


def _resize(wound: Wound, fitter: Fitter, node: fx.Node, widths: tuple[int, int]) -> Resize:
    maps: tuple[Any, Any] | None = None
    source = wound.body.sources(node)[0]
    if isinstance(wound.body.module(node), nn.Linear):
        while len(source.meta["shape"]) != 4 and wound.body.sources(source):
            source = wound.body.sources(source)[0]
        before, after = source.meta["shape"][1:], fitter.shapes[source][1:]
        if len(before) == 3 and (_size(before), _size(after)) == (_inputs(wound.body.module(node)), widths[0]):
            maps = (before, after)
    norm = next((norm for norm, conv in wound.norms.items() if conv is node), None)
    norm_of = wound.body.unit(wound.widened[node][1]).norm if norm is not None else None
    pieces = tuple(_pieces(wound, fitter, source))
    return Resize(
        *widths,
        maps=maps,
        pieces=pieces
        if len(pieces) > 1 and sum(now for _, now in pieces) == (maps[1][0] if maps else widths[0])
        else (),
        norm=None if norm is None else str(norm.target),
        norm_of=None if norm_of is None or norm_of.path not in wound.silenced else norm_of.path,
    )


def _renorm(wound: Wound, fitter: Fitter, node: fx.Node) -> Renorm:
    before, now = fitter.norms[node]
    pieces = tuple(_pieces(wound, fitter, wound.body.sources(node)[0]))
    return Renorm(now, pieces if sum(width for _, width in pieces) == now else ((before, now),))


def _pieces(wound: Wound, fitter: Fitter, node: fx.Node) -> list[tuple[int, int]]:
    """The channels of ``node``, before and now, in the parts that concatenations made them of."""
    body = wound.body
    while node not in wound.gaps and (node in wound.silent or body.keeps_channels(node)):
        node = body.sources(node)[0]
    joined = getattr(node.target, "__name__", "") in {"cat", "concat", "concatenate"}
    if joined and node not in wound.gaps and node not in wound.bypassed:
        return [piece for part in body.sources(node) for piece in _pieces(wound, fitter, part)]
    return [(node.meta["shape"][1], fitter.shapes[node][1])]


def _size(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1] * shape[2]


def _inputs(module: nn.Module | None) -> int:
    return module.in_features if isinstance(module, nn.Linear) else 0
