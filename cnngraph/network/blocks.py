"""The blocks of a net: its parts with one way in and one way out between which the way forks and joins again.

They are read off the layer graph alone: a sum, a concatenation or a product whose operands all come from one fork (its
immediate dominator), with nothing between the two that anybody else reads, so that the join post-dominates it all. No
class of any library is known here. What a block is called, and which steps before the fork and after the join count to
it, its module says (the squeeze of a Fire module, the ReLU after a residual sum).

Lengauer and Tarjan, "A fast algorithm for finding dominators in a flowgraph" (1979); the layers of a net come in an
order in which one sweep over them is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from cnngraph.network.graph import Layer, LayerGraph

__all__ = ["Block", "find_blocks"]

_PRODUCTS = frozenset({"mul", "mul_", "imul", "multiply", "multiply_"})
_WEIGHTED = ("Conv", "Linear")
_OF_STAGE = ("Conv", "Norm", "Activation")
_BETWEEN = frozenset({"identity", "dropout", "dropout2d", "alphadropout", "featuredropout", "stochasticdepth"})


@dataclass(frozen=True)
class Block:
    """A part of a net with one way in and one way out.

    Attributes:
        name: path of the module whose call it is (``path#2`` for the second call of the same module), else the name of
            its exit, of a stage ``stage1``, ``stage2``, ... in network order.
        kind: ``residual`` (its ways meet in a sum), ``concat``, ``gate`` (in a product), ``chain`` (without a fork,
            but of a module whose class is a block elsewhere in the net), or ``stage`` (of a net that is a chain).
        entry: the layer where its ways part; of a chain or stage the layer that it reads.
        exit: the layer where they meet; of a chain or stage its last layer.
        layers: all that is in it, in network order. The entry is among them only where the module has it.
        module: path of that module; ``None`` where the block is a piece of a larger ``forward``.
        parent: name of the smallest block around it.
    """

    name: str
    kind: str
    entry: str
    exit: str
    layers: tuple[str, ...]
    module: str | None
    parent: str | None = None


def find_blocks(graph: LayerGraph) -> tuple[Block, ...]:
    """Every block of the net in network order, each before the blocks inside it.

    A block has a conv or dense layer: an activation that multiplies (``x * sigmoid(x)``) is none. Of sums that follow
    each other from one fork (``a + b + x``) only the last counts. Stages are found where there is no other block and
    no layer reads two others.
    """
    flow = _Flow(graph)
    regions = _regions(flow)
    calls = {region: call for region in regions if (call := _call_around(flow, region)) is not None}
    blocks = [_block(flow, region, calls.get(region)) for region in regions]
    blocks += _chains(flow, set(calls.values()))
    if not blocks and all(len(before) < 2 for before in flow.before):
        blocks = list(_stages(flow))
    places = graph.by_name
    blocks.sort(key=lambda block: (places[block.layers[0]].index, -len(block.layers)))
    return tuple(replace(block, parent=_parent(block, blocks)) for block in blocks)


@dataclass(frozen=True)
class _Region:
    """Places of layers: the fork, the join, and what lies strictly between."""

    fork: int
    join: int
    between: frozenset[int]
    kind: str

    @property
    def core(self) -> frozenset[int]:
        return self.between | {self.join}


@dataclass(frozen=True)
class _Call:
    """One call of a module: its path and class, which call of it (1, 2, ...), and the places of the layers it makes."""

    path: str
    kind: type
    number: int
    layers: frozenset[int]

    @property
    def name(self) -> str:
        return self.path if self.number == 1 else f"{self.path}#{self.number}"


class _Flow:
    """The layer graph in whole numbers: place -> places before and after, each once."""

    def __init__(self, graph: LayerGraph) -> None:
        self.graph = graph
        self.layers = graph.layers
        self.before = [tuple(other.index for other in graph.predecessors(layer.layer)) for layer in graph.layers]
        self.after = [tuple(other.index for other in graph.successors(layer.layer)) for layer in graph.layers]
        results = graph.graph_module.graph.output_node().all_input_nodes
        self.results = {graph.by_node[node.name].index for node in results if node.name in graph.by_node}

    @cached_property
    def dominators(self) -> list[int]:
        """The immediate dominator of every place; a place without predecessors is its own."""
        found: list[int] = []
        for place, before in enumerate(self.before):
            found.append(self._common(found, before) if before else place)
        return found

    @staticmethod
    def _common(dominators: Sequence[int], places: Iterable[int]) -> int:
        first, *others = places
        for other in others:
            while first != other:
                first, other = sorted((first, other))
                other = dominators[other]
        return first

    @cached_property
    def calls(self) -> dict[str, _Call]:
        """All calls of modules that hold layers of their own inside, by the key that torch.fx gives them."""
        nodes = {node.name: node for node in self.graph.graph_module.graph.nodes}
        owners: dict[str, tuple[str, type]] = {}
        members: dict[str, set[int]] = {}
        for layer in self.layers:
            stack = list((nodes[layer.node].meta.get("nn_module_stack") or {}).items())
            for key, owner in stack[:-1] if layer.module is not None else stack:
                owners[key] = owner
                members.setdefault(key, set()).add(layer.index)
        numbers: dict[str, int] = {}
        calls = {}
        for key, (path, kind) in owners.items():
            numbers[path] = numbers.get(path, 0) + 1
            calls[key] = _Call(path, kind, numbers[path], frozenset(members[key]))
        return calls

    def weight(self, places: Iterable[int]) -> int:
        """How many conv and dense layers."""
        return sum(self.layers[place].kind in _WEIGHTED for place in places)

    def ways_in(self, places: frozenset[int]) -> set[int]:
        """The places outside that ``places`` reads."""
        return {source for place in places for source in self.before[place]} - places

    def ways_out(self, places: frozenset[int]) -> set[int]:
        """Those of ``places`` that others read, or that the net returns."""
        return {place for place in places if place in self.results or not places.issuperset(self.after[place])}

    def has_one_way(self, places: frozenset[int]) -> bool:
        """Whether there is one way in and one way out."""
        return len(self.ways_in(places)) == 1 and len(self.ways_out(places)) == 1


def _regions(flow: _Flow) -> list[_Region]:
    found = [region for join in range(len(flow.layers)) if (region := _region(flow, join)) is not None]
    sums = {(region.fork, region.join): region for region in found if region.kind == "residual"}

    def goes_on(region: _Region) -> bool:
        """Whether its sum is only a summand of another sum from the same fork."""
        after = flow.after[region.join]
        return len(after) == 1 and region.kind == "residual" and (region.fork, after[0]) in sums

    return [region for region in found if not goes_on(region)]


def _region(flow: _Flow, join: int) -> _Region | None:
    kind = _kind(flow.layers[join])
    if kind is None or len(flow.before[join]) < 2:
        return None
    fork = flow.dominators[join]
    between: set[int] = set()
    waiting = list(flow.before[join])
    while waiting:
        place = waiting.pop()
        if place != fork and place not in between:
            between.add(place)
            waiting += flow.before[place]
    core = frozenset(between | {join})
    if not flow.weight(between) or flow.ways_out(core) - {join}:
        return None
    return _Region(fork, join, frozenset(between), kind)


def _kind(layer: Layer) -> str | None:
    if layer.operation in _PRODUCTS:
        return "gate"
    return {"Add": "residual", "Concat": "concat"}.get(layer.kind)


def _call_around(flow: _Flow, region: _Region) -> _Call | None:
    """The smallest call that holds the region, if the rest is a shorter chain before its fork and after its join."""
    around = [call for call in flow.calls.values() if region.core <= call.layers]
    if not around:
        return None
    call = min(around, key=lambda call: (len(call.layers), -len(call.path)))  # of two that hold the same, the inner one
    rest = call.layers - region.core
    for place in rest:
        forks = place != region.fork and len(call.layers.intersection(flow.after[place])) > 1
        if forks or len(flow.before[place]) > 1:
            return None
    return call if flow.has_one_way(call.layers) and flow.weight(rest) <= flow.weight(region.core) else None


def _chains(flow: _Flow, taken: set[_Call]) -> Iterator[Block]:
    """The modules without a fork of their own whose class makes blocks elsewhere in the net."""
    classes = {call.kind for call in taken if not issubclass(call.kind, nn.Sequential)}
    known = {call.layers for call in taken}
    for call in flow.calls.values():
        if call.kind not in classes or call.layers in known:
            continue
        if flow.weight(call.layers) and flow.has_one_way(call.layers):
            known.add(call.layers)
            (entry,), (leaving,) = flow.ways_in(call.layers), flow.ways_out(call.layers)
            yield _made(flow, call.name, "chain", (entry, leaving), call.layers, call.path)


def _stages(flow: _Flow) -> Iterator[Block]:
    """The stages of a chain: convs in a row whose outputs have one size, up to the last norm or activation of theirs.

    A conv that changes the size (a stride, no padding) begins a stage, as the one after a pool does.
    """
    calls = {call.layers: call for call in flow.calls.values()}
    taken = {path for call in flow.calls.values() for path in (call.path, call.name)} | set(flow.graph.by_name)
    for number, places in enumerate(_runs(flow), 1):
        call = calls.get(frozenset(places))
        name = f"stage{number}" if call is None else call.name
        while call is None and name in taken:
            name += "_"
        ends = (flow.before[places[0]][0], places[-1])
        yield _made(flow, name, "stage", ends, frozenset(places), call.path if call else None)


def _runs(flow: _Flow) -> Iterator[list[int]]:
    """The places of each stage, in network order."""
    run: list[int] = []
    for place, layer in enumerate(flow.layers):
        joined = bool(run) and flow.before[place] == (run[-1],) and flow.after[run[-1]] == (place,)
        joined = joined and run[-1] not in flow.results
        of_conv = (layer.out_height, layer.out_width)
        if layer.kind == "Conv":
            size = _size_of_run(flow, run)
            if not joined or size != of_conv:
                yield from _trimmed(flow, run)
                run = []
            run.append(place)
        elif joined and (layer.kind in _OF_STAGE or layer.operation.lower().replace("_", "") in _BETWEEN):
            run.append(place)
        else:
            yield from _trimmed(flow, run)
            run = []
    yield from _trimmed(flow, run)


def _size_of_run(flow: _Flow, run: Sequence[int]) -> tuple[int | None, int | None] | None:
    convs = [flow.layers[place] for place in run if flow.layers[place].kind == "Conv"]
    return (convs[-1].out_height, convs[-1].out_width) if convs else None


def _trimmed(flow: _Flow, run: Sequence[int]) -> Iterator[list[int]]:
    """The run without the dropouts at its end, if it is one."""
    end = max((place for place, at in enumerate(run) if flow.layers[at].kind in _OF_STAGE), default=-1)
    if end >= 0:
        yield list(run[: end + 1])


def _block(flow: _Flow, region: _Region, call: _Call | None) -> Block:
    ends = (region.fork, region.join)
    if call is None:
        return _made(flow, flow.layers[region.join].layer, region.kind, ends, region.core, None)
    return _made(flow, call.name, region.kind, ends, call.layers, call.path)


def _made(
    flow: _Flow, name: str, kind: str, ends: tuple[int, int], places: frozenset[int], module: str | None
) -> Block:
    entry, leaving = (flow.layers[place].layer for place in ends)
    return Block(name, kind, entry, leaving, tuple(flow.layers[place].layer for place in sorted(places)), module)


def _parent(block: Block, blocks: Iterable[Block]) -> str | None:
    inside = set(block.layers)
    around = [other for other in blocks if inside < set(other.layers)]
    return min(around, key=lambda other: len(other.layers)).name if around else None
