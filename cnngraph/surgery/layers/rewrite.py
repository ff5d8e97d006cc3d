"""Find how the rest of a net must change when some layers are removed, before anything is changed.

The net is run on fake tensors (shapes without values) that skip the removed layers. Where the number of channels no
longer fits, the layer that reads them will be resized. Where an operation needs the number that was there (a sum, a
norm, a depthwise conv, a size stored in the code), the conv before the gap is widened, or a 1x1 conv, the adapter, is
put into the gap. Where that adapter would be just the conv it replaces, the search goes on with a larger removal set.
If nothing fits, PlanError says which layer stands against it and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import fx, nn

from cnngraph.errors import PlanError
from cnngraph.surgery.layers.bypass import Copy
from cnngraph.surgery.layers.cut_state import CutState, RemovalSet, start_cut
from cnngraph.surgery.layers.joints import AdapterSpec, Join, Resize, ResizeNorm, find_joins
from cnngraph.surgery.layers.net_structure import Gate, NetStructure
from cnngraph.surgery.layers.output import require_output_stays
from cnngraph.surgery.layers.repair import UnrepairableError, larger_removals, repair
from cnngraph.surgery.layers.residual import Branch, Residual
from cnngraph.surgery.layers.shape_check import ShapeCheck, ShapeMismatchError

__all__ = ["AdapterSpec", "Join", "Resize", "ResizeNorm", "Rewrite", "find_rewrite"]


@dataclass(frozen=True)
class Rewrite:
    """Everything that must change in a net when ``removed`` goes; paths are those of ``named_modules()``.

    Attributes:
        asked: what was asked for, by name. along: convs that go with it and were not asked for.
        removed: convs that go, also those inside of blocks and gates, in network order.
        blocks: residual blocks that go as a whole. regions: other modules that do. gates: those that go.
        bypasses: by path of a conv, region or gate that goes, the module without weights that replaces it.
        adapters: 1x1 convs behind bypasses, by the same paths. left_out: by path, how many channels of zeros replace a
            branch that is left out of its sum. opened: last convs of gates that pass everything on from now on.
        removed_norms_and_activations: those that become identities.
        redundant_relu: blocks whose last activation no longer does anything, since their input has been through the
            same one (a ReLU of a ReLU).
        resized, joins: remaining layers that change. resized_norms: batch norms that get another number of channels.
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
    bypasses: dict[str, nn.Module]
    adapters: dict[str, AdapterSpec]
    left_out: dict[str, int]
    opened: frozenset[str]
    removed_norms_and_activations: tuple[str, ...]
    redundant_relu: frozenset[str]
    resized: dict[str, Resize]
    resized_norms: dict[str, ResizeNorm]
    joins: tuple[Join, ...]
    stays: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    macs: dict[str, int]
    notes: tuple[str, ...]


def find_rewrite(
    structure: NetStructure,
    convs: Iterable[str],
    blocks: Iterable[str],
    regions: Iterable[str] = (),
    branches: Mapping[str, Branch] | None = None,
) -> Rewrite:
    """Find what must change when ``convs`` (paths of Conv2d modules), ``blocks``, ``regions`` and ``branches`` go.

    A block all of whose branch's convs are named goes as a block.

    Args:
        branches: of sums without a module of their own, by the name of the sum.

    Raises:
        PlanError: the rest cannot work; the message says which layer stands against it and why.
    """
    gone, whole, parts, left_out = frozenset(convs), frozenset(blocks), frozenset(regions), frozenset[str]()
    listed = [str(node.target) for node in structure.convs if str(node.target) in gone]
    asked = dict.fromkeys([*sorted(whole), *sorted(parts), *sorted(branches or {}), *listed])
    for branch in (branches or {}).values():
        gone |= {str(node.target) for node in branch.convs}
        left_out |= {str(node.target) for node in branch.last}
    return _search(structure, RemovalSet(tuple(asked), gone, whole, parts, left_out=left_out), set())


def _search(structure: NetStructure, removals: RemovalSet, tried: set[RemovalSet]) -> Rewrite:
    """Search depth first for a removal set that contains ``removals`` and leaves a net that fits.

    ``tried``: those that did not, so that none is tried twice.
    """
    tried.add(removals)
    state = start_cut(structure, removals)
    require_output_stays(structure.output_layers, {*state.gaps, *state.skipped}, state.name)
    try:
        return _close(state, _settle(state))
    except UnrepairableError as unrepairable:
        for more in larger_removals(state, unrepairable):
            if more in tried:
                continue
            try:
                return _search(structure, more, tried)
            except PlanError:
                continue
        raise PlanError(str(unrepairable), "Remove the whole block, or another layer.") from unrepairable


def _settle(state: CutState) -> ShapeCheck:
    """Run the net past the gaps and repair each mismatch, until everything fits.

    First maps may have any height and width; if that fails, each bypass keeps those that were there.
    """
    for exact in (False, True):
        state.forget()
        while True:
            check = ShapeCheck(state, exact=exact)
            try:
                check.run_all()
            except ShapeMismatchError as mismatch:
                if mismatch.size and not exact:
                    break
                repair(check, mismatch)
            else:
                return check
    raise AssertionError("the second fit returns or raises")


def _close(state: CutState, check: ShapeCheck) -> Rewrite:
    structure, removals = state.structure, state.removals
    removed = tuple(
        dict.fromkeys(str(node.target) for node in structure.convs if node in state.gaps or node in state.skipped)
    )
    removed += tuple(
        path for gap in state.gaps.values() if gap.conv is None for path in _leaving_conv(structure, gap.node)
    )
    everything = {str(node.target) for node in structure.convs} | {node.name for node in structure.functional_convs}
    if everything and everything <= set(removed):
        raise PlanError(f"The plan removes all {len(everything)} conv layers.", "Leave one at least.")
    for node in structure.nodes[-1].all_input_nodes:
        if node in check.changed:
            raise PlanError(
                f"{state.name} cannot go: the net's output would have another shape.", "The classifier stays."
            )
    _remove_idle(state)
    resized = {structure.path(node): _resize(state, check, node, widths) for node, widths in check.widths.items()}
    adapters = _adapters(state, check)
    order = {name: place for place, name in enumerate(dict.fromkeys(str(node.target) for node in structure.convs))}
    return Rewrite(
        asked=removals.asked,
        along=removals.along,
        removed=tuple(sorted(set(removed), key=order.__getitem__)),
        blocks=state.blocks,
        regions=tuple(gap.path for gap in state.gaps.values() if gap.conv is None),
        gates=tuple(
            gate.name for gate in structure.gates.values() if gate.product in state.closed or _is_open(state, gate)
        ),
        bypasses=check.bypasses,
        adapters=adapters,
        left_out={gap.path: gap.width for gap in state.gaps.values() if gap.path in removals.left_out},
        opened=frozenset(state.opened),
        removed_norms_and_activations=state.removed_norms_and_activations,
        redundant_relu=frozenset(
            block.name
            for block in state.blocks
            if len(block.tail) == 1
            and not block.shortcut
            and structure.is_already_activated(block.entry, block.tail[0], state.let_through)
        ),
        resized=resized,
        resized_norms={str(node.target): _resize_norm(state, check, node) for node in check.norms},
        joins=find_joins(state, resized, adapters),
        stays=state.stays,
        shapes={node.name: shape for node, shape in check.shapes.items() if node not in state.let_through},
        macs={node.name: macs for node, macs in check.macs.items()},
        notes=(*removals.notes, *_gate_notes(state)),
    )


def _remove_idle(state: CutState) -> None:
    """Remove norms and activations that no longer reach the net's output, as those before a branch that is left out.

    Raises:
        PlanError: there is something else with weights on which it no longer depends.
    """
    structure = state.structure
    constant = {node for node, gap in state.gaps.items() if gap.path in state.removals.left_out | state.opened}
    sources = {node: [gap.source] for node, gap in state.gaps.items()}
    sources |= {node: [kept] for node, kept in state.bypassed.items()} | {node: [] for node in constant}
    gone = state.skipped | state.identities | set(state.gaps) | set(state.closed)
    # A parameter that the forward of a module reads goes with that module, whatever takes the module's place.
    replaced = {block.name for block in state.blocks} | {gap.path for gap in state.gaps.values()}
    replaced |= {*state.removed_norms_and_activations, *state.closed.values()}
    weighted = [
        node
        for node in structure.nodes
        if node not in gone
        and _has_weights(structure, node)
        and not any(str(node.target).startswith(f"{path}.") for path in replaced)
    ]
    before, now = _used(structure, {}), _used(structure, sources)
    still = {str(node.target) for node in weighted if node in now}
    idle = [node for node in weighted if node in before and str(node.target) not in still]
    for node in idle:
        if not (structure.is_norm(node) or structure.is_activation(node)):
            raise PlanError(
                f"{state.name} cannot go: {node.target} would stay and have no part in what the net gives.",
                "Remove other layers.",
            )
    state.identities |= set(idle)
    state.removed_norms_and_activations += tuple(dict.fromkeys(str(node.target) for node in idle))


def _used(structure: NetStructure, sources: Mapping[fx.Node, list[fx.Node]]) -> set[fx.Node]:
    """The nodes that the net's output depends on; ``sources``: what some of them read instead."""
    found: set[fx.Node] = set()
    waiting = [structure.nodes[-1]]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(sources.get(node, node.all_input_nodes))
    return found


def _has_weights(structure: NetStructure, node: fx.Node) -> bool:
    if node.op == "get_attr":
        return node.target in structure.parameters
    module = structure.module(node) if node.op == "call_module" else None
    return module is not None and next(module.parameters(), None) is not None


def _gate_notes(state: CutState) -> list[str]:
    """That a gate goes as a whole because one of its convs was to go."""
    gates = [gate for gate in state.structure.gates.values() if gate.product in state.closed or _is_open(state, gate)]
    return [
        f"The whole gate {gate.name} goes with {conv.target}."
        for gate in gates
        for conv in gate.convs
        if str(conv.target) in state.removals.convs and gate.name not in state.removals.gates
    ]


def _is_open(state: CutState, gate: Gate) -> bool:
    return any(str(conv.target) in state.opened for conv in gate.convs)


def _leaving_conv(structure: NetStructure, node: fx.Node) -> list[str]:
    """The conv whose value a region gives, which is the region's own node and not inside of what is skipped."""
    return [str(node.target)] if structure.is_conv(node) else []


def _adapters(state: CutState, check: ShapeCheck) -> dict[str, AdapterSpec]:
    found: dict[str, AdapterSpec] = {}
    for node, gap in state.gaps.items():
        if gap.path not in state.adapters:
            continue
        plain = isinstance(check.bypasses[gap.path], nn.Identity | Copy)
        layer = gap.path if plain else f"{gap.path}.adapter"
        known = found.get(gap.path, AdapterSpec(layer, check.read[gap.path], gap.width, ()))
        found[gap.path] = replace(known, nodes=(*known.nodes, node.name))
    return found


def _resize(state: CutState, check: ShapeCheck, node: fx.Node, widths: tuple[int, int]) -> Resize:
    maps: tuple[Any, Any] | None = None
    source = state.structure.sources(node)[0]
    if isinstance(state.structure.module(node), nn.Linear):
        while len(source.meta["shape"]) != 4 and state.structure.sources(source):
            source = state.structure.sources(source)[0]
        before, after = source.meta["shape"][1:], check.shapes[source][1:]
        if len(before) == 3 and (_size(before), _size(after)) == (_inputs(state.structure.module(node)), widths[0]):
            maps = (before, after)
    norm = next((norm for norm, conv in state.norms.items() if conv is node), None)
    norm_of = state.structure.unit(state.widened[node][1]).norm if norm is not None else None
    pieces = tuple(_pieces(state, check, source))
    return Resize(
        *widths,
        maps=maps,
        pieces=pieces
        if len(pieces) > 1 and sum(now for _, now in pieces) == (maps[1][0] if maps else widths[0])
        else (),
        norm=None if norm is None else str(norm.target),
        norm_of=None if norm_of is None or norm_of.path not in state.removed_norms_and_activations else norm_of.path,
    )


def _resize_norm(state: CutState, check: ShapeCheck, node: fx.Node) -> ResizeNorm:
    before, now = check.norms[node]
    pieces = tuple(_pieces(state, check, state.structure.sources(node)[0]))
    return ResizeNorm(now, pieces if sum(width for _, width in pieces) == now else ((before, now),))


def _pieces(state: CutState, check: ShapeCheck, node: fx.Node) -> list[tuple[int, int]]:
    """The channels of ``node``, before and now, in the parts that concatenations made them of."""
    structure = state.structure
    while node not in state.gaps and (node in state.identities or structure.keeps_channels(node)):
        node = structure.sources(node)[0]
    joined = getattr(node.target, "__name__", "") in {"cat", "concat", "concatenate"}
    if joined and node not in state.gaps and node not in state.bypassed:
        return [piece for part in structure.sources(node) for piece in _pieces(state, check, part)]
    return [(node.meta["shape"][1], check.shapes[node][1])]


def _size(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1] * shape[2]


def _inputs(module: nn.Module | None) -> int:
    return module.in_features if isinstance(module, nn.Linear) else 0
