"""Whether a plan fits a net, found out before anything is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cnngraph.errors import NotFoundError, PlanError, nearest
from cnngraph.network.blocks import Block, find_blocks
from cnngraph.network.graph import LayerGraph
from cnngraph.origin import get_origin
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.layers.net_structure import NetStructure
from cnngraph.surgery.layers.node_queries import is_sum
from cnngraph.surgery.layers.replace_block import find_obstacles, find_replacements
from cnngraph.surgery.layers.residual import Branch, branch_of
from cnngraph.surgery.layers.rewrite import Rewrite, find_rewrite

__all__ = [
    "architectures_of",
    "check",
    "removable",
    "removable_blocks",
    "replaceable_blocks",
    "require_no_stage",
    "resolve",
    "units",
]

_STAGE = "it is a stage of a chain, and what reads it would get maps of another width"


def check(graph: LayerGraph, plan: Plan, *, unknown: type[PlanError] | type[NotFoundError] = PlanError) -> None:
    """Return if ``plan`` can be carried out on the followed net.

    Args:
        unknown: what to raise for a layer that is not there: ``PlanError`` for a plan that was read, ``NotFoundError``
            for names typed on a command line.

    Raises:
        PlanError: it removes every conv, the classifier or something that is no conv or block, or the rest cannot work.
        NotFoundError: with ``unknown=NotFoundError``, a layer is not there.
    """
    if plan.replaced:
        find_replacements(graph, find_blocks(graph), plan.removes, unknown=unknown)
        return
    require_no_stage(graph, plan.removes)
    resolve(NetStructure(graph.graph_module), plan.removes, unknown=unknown)


def require_no_stage(graph: LayerGraph, removes: Iterable[Removal]) -> None:
    """Return unless a stage is to go as a block; raises PlanError, which says what can be done instead."""
    stages = {block.name: block for block in find_blocks(graph) if block.kind == "stage"}
    for removal in removes:
        if removal.kind == "block" and removal.layer in stages:
            raise PlanError(f"The block {removal.layer} cannot go: {_STAGE}.", _hint_for(graph, stages[removal.layer]))


def removable(graph: LayerGraph) -> dict[str, str | None]:
    """For each conv, in network order, ``None`` or the reason why it cannot go by itself."""
    structure = NetStructure(graph.graph_module)
    return {conv.layer: _reason(structure, Removal(layer=conv.layer)) for conv in graph.convs}


def removable_blocks(graph: LayerGraph) -> dict[str, str | None]:
    """For each block of whatever kind, in network order, ``None`` or the reason why it cannot go as a whole."""
    structure = NetStructure(graph.graph_module)
    blocks = find_blocks(graph)
    stages = {block.name: f"The block {block.name} cannot go: {_STAGE}." for block in blocks if block.kind == "stage"}
    names = dict.fromkeys([block.name for block in blocks] + list(structure.blocks))
    return {name: stages.get(name) or _reason(structure, Removal(layer=name, kind="block")) for name in names}


def replaceable_blocks(graph: LayerGraph) -> dict[str, str | None]:
    """For each block, in network order, ``None`` or the reason why one layer cannot take its place."""
    return find_obstacles(graph, find_blocks(graph))


def units(graph: LayerGraph, layers: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
    """For each conv that can go, in network order, the convs that go with it because half makes no sense.

    ``layers``: look at these convs alone.
    """
    structure = NetStructure(graph.graph_module)
    found: dict[str, tuple[str, ...]] = {}
    for conv in graph.convs:
        if layers is not None and conv.layer not in layers:
            continue
        try:
            rewrite = resolve(structure, (Removal(layer=conv.layer),))
        except PlanError:
            continue
        found[conv.layer] = tuple(layer for layer in rewrite.removed if layer not in (conv.layer, conv.module))
    return found


def _hint_for(graph: LayerGraph, stage: Block) -> str:
    """How the convs of a stage go otherwise."""
    convs = [layer for layer in stage.layers if graph.by_name[layer].kind == "Conv"]
    return f"Remove its layers ({', '.join(convs)}) with {{remove_layers}}, or replace it with {{replace_block}}."


def _reason(structure: NetStructure, removal: Removal) -> str | None:
    try:
        resolve(structure, (removal,))
    except PlanError as error:
        return error.message
    return None


def resolve(
    structure: NetStructure, removes: tuple[Removal, ...], *, unknown: type[PlanError] | type[NotFoundError] = PlanError
) -> Rewrite:
    """What removing all of ``removes`` does; raises as :func:`check`."""
    convs: set[str] = set()
    blocks: set[str] = set()
    regions: set[str] = set()
    branches: dict[str, Branch] = {}
    for removal in removes:
        if removal.kind in ("filters", "weights"):
            continue  # these change no layer: cnngraph.surgery.channels.filters, cnngraph.models.masks
        if removal.kind != "block":
            convs.add(_conv(structure, removal.layer, unknown))
        elif removal.layer in structure.blocks and not structure.blocks[removal.layer].reason:
            blocks.add(removal.layer)
        elif removal.layer in structure.gates:
            convs.add(_gate_conv(structure, removal.layer))
        elif structure.region(removal.layer) is not None:
            regions.add(removal.layer)
        else:
            branches[removal.layer] = _branch(structure, removal.layer, unknown)
    gone = convs | {str(node.target) for name in blocks for node in structure.blocks[name].branch_convs}
    everything = {str(node.target) for node in structure.convs} | {node.name for node in structure.functional_convs}
    if gone and gone >= everything:
        raise PlanError(f"The plan removes all {len(everything)} conv layers.", "Leave one at least.")
    return find_rewrite(structure, convs, blocks, regions, branches)


def _conv(structure: NetStructure, layer: str, unknown: type[PlanError] | type[NotFoundError]) -> str:
    name = _module_of(structure, layer)
    node = next((node for node in structure.nodes if name in (node.target, node.name)), None)
    convs = [str(conv.target) for conv in structure.convs]
    if node is None:
        if layer in structure.blocks or structure.region(layer) is not None:
            raise PlanError(
                f"{layer} is a block, no layer.",
                "Remove it with {remove_blocks}, or with kind block in the plan.",
            )
        raise unknown(f"The net has no conv layer {layer!r}.", nearest(layer, convs))
    if not structure.is_conv(node):
        if structure.is_weighted(node) and node.op == "call_function":
            raise PlanError(f"{layer} cannot go: it is a function call without a module to replace.", "Use nn.Conv2d.")
        raise PlanError(
            f"{layer} is no conv layer.", f"Only conv layers and blocks can be removed. {nearest(layer, convs)}"
        )
    return str(node.target)


def _module_of(structure: NetStructure, name: str) -> str:
    """The module of the call ``name``: ``path#2`` is the second one of ``path``, unless a module is called that."""
    path, _, call = name.rpartition("#")
    own = name in structure.paths or any(name in (node.target, node.name) for node in structure.nodes)
    return name if own or not call.isdigit() else path


def _gate_conv(structure: NetStructure, name: str) -> str:
    """A conv of a gate, with which all of it goes."""
    gate = structure.gates[name]
    if not gate.convs:
        raise PlanError(f"The gate {name} cannot go: it has no conv layer.", "Remove other layers.")
    return str(gate.convs[-1].target)


def _branch(structure: NetStructure, name: str, unknown: type[PlanError] | type[NotFoundError]) -> Branch:
    """The branch of the sum ``name``, which has no module of its own."""
    node = next(
        (node for node in structure.nodes if node in structure.of_image and name in (node.target, node.name)), None
    )
    branch = branch_of(structure, node) if node is not None and is_sum(node) else None
    if branch is not None:
        return branch
    if node is not None and structure.is_weighted(node):
        raise PlanError(
            f"{name} is a layer, no block.", "Remove it with {remove_layers}, or with kind layer in the plan."
        )
    home = _module_of(structure, name)
    several = structure.calls_within(home) > 1
    if several or (home in structure.paths and not structure.takes_one_map(home)):
        how = "more than once" if several else "with other arguments than one map"
        raise PlanError(f"The block {name} cannot go: its module {home} is called {how}.", "Remove layers inside it.")
    if node is not None or name in structure.paths:
        raise PlanError(
            f"The block {name} cannot go: it has no module of its own that could be replaced, "
            "and no side of a sum with fewer convs than the other that could stay.",
            "Remove layers inside it.",
        )
    known = [*structure.blocks, *structure.gates] or [
        path for path in structure.paths if structure.region(path) is not None
    ]
    raise unknown(f"The net has no block {name!r}.", nearest(name, known))


def architectures_of(model: object) -> set[str]:
    """Every name by which a plan may call the architecture of a live net."""
    kind = type(model)
    dotted = {f"{kind.__module__}.{kind.__qualname__}", f"python:{kind.__module__}:{kind.__qualname__}"}
    origin = get_origin(model)
    return dotted | ({origin.architecture} if origin else set())
