"""Find how one layer takes the place of a whole block, before anything is changed.

Nowak and Corso, "Deep Net Triage", arXiv 1801.04651, 2018, replace a block of conv layers by a single one with the
block's input and output shape. How that is done here is our choice. The new conv stands at the path of the block's
first conv; what comes before that conv and after the block's last stays (a norm that comes first, the last norm and
activation), and what is between becomes identities. Of a residual block that is the main branch; its shortcut stays.
Where steps between are functions or serve others too, so that they cannot become identities, and where a block is more
than a chain, the block's own module is replaced (:mod:`cnngraph.surgery.layers.new_block`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import fx, nn

from cnngraph.errors import NotFoundError, PlanError, nearest
from cnngraph.network.blocks import Block
from cnngraph.network.graph import LayerGraph
from cnngraph.plan import Removal
from cnngraph.surgery.edits import Edit
from cnngraph.surgery.layers.block_parts import BlockParts, BlockReplacement
from cnngraph.surgery.layers.bypass import Copy
from cnngraph.surgery.layers.net_structure import NetStructure
from cnngraph.surgery.layers.new_block import replace_module, replace_residual
from cnngraph.surgery.layers.one_layer import NewLayer
from cnngraph.surgery.layers.replacements import Remove, Replace

__all__ = ["BlockReplacement", "find_obstacles", "find_replacements"]


def find_replacements(
    graph: LayerGraph,
    blocks: Sequence[Block],
    removes: Iterable[Removal],
    *,
    unknown: type[PlanError] | type[NotFoundError] = PlanError,
) -> tuple[BlockReplacement, ...]:
    """How each of ``removes``, of the kind ``replace``, is carried out, in the net's order.

    Args:
        graph: the followed net. blocks: those that :func:`cnngraph.network.blocks.find_blocks` finds in it.
        unknown: what to raise for a block that is not there.

    Raises:
        PlanError: a block cannot be replaced, or two of them have layers in common; the message says why.
    """
    structure = NetStructure(graph.graph_module)
    known = {block.name: block for block in blocks}
    found: list[BlockReplacement] = []
    for removal in removes:
        if removal.layer not in known:
            raise unknown(f"The net has no block {removal.layer!r}.", nearest(removal.layer, known))
        made = _find(BlockParts(graph, structure, known[removal.layer], removal))
        for other in found:
            if made.places & other.places:
                raise PlanError(
                    f"{made.block} and {other.block} cannot both be replaced: one is inside of the other.",
                    "Replace the one or the other.",
                )
        found.append(made)
    return tuple(sorted(found, key=lambda one: min(one.places)))


def find_obstacles(graph: LayerGraph, blocks: Sequence[Block]) -> dict[str, str | None]:
    """For each block ``None``, or the reason why one layer cannot take its place; arguments as above."""
    structure = NetStructure(graph.graph_module)
    found: dict[str, str | None] = {}
    for block in blocks:
        try:
            _find(BlockParts(graph, structure, block, Removal(layer=block.name, kind="replace")))
        except PlanError as error:
            found[block.name] = error.message
        else:
            found[block.name] = None
    return found


def _find(parts: BlockParts) -> BlockReplacement:
    """How one block is replaced; raises PlanError where it cannot be."""
    structure = parts.structure
    if parts.block.kind == "gate":
        raise parts.refused("it is a gate, which scales what is there and makes no maps of its own")
    residual = parts.residual()
    main = parts.main_branch(residual)
    convs = [node for node in main if structure.is_conv(node)]
    if not convs:
        raise parts.refused("it has no conv layer that is a module")
    strange = next((node for node in main if structure.is_weighted(node) and node not in convs), None)
    if strange is not None:
        raise parts.refused(f"{structure.path(strange)} in it is no 2-d conv")
    line = None if parts.block.kind == "concat" else parts.line(convs[0], convs[-1])
    if line is not None:
        return _in_place(parts, line, convs)
    return replace_module(parts, convs) if residual is None else replace_residual(parts, residual, main, convs)


def _in_place(parts: BlockParts, line: list[fx.Node], convs: list[fx.Node]) -> BlockReplacement:
    """The new conv at the path of the first, identities up to the last."""
    structure, first, last = parts.structure, line[0], line[-1]
    parts.require_inner(line)
    module, end = structure.module(last), structure.unit(last)
    assert isinstance(module, nn.Conv2d)
    conv = parts.conv(structure.sources(first)[0], last, module.bias is not None)
    path, asked, norm = str(first.target), (parts.block.name,), parts.norm(end.norm)
    between = [found for found in dict.fromkeys(map(parts.path_of, line[1:])) if found]
    edits = [Edit("new layer", path, parts.in_words, asked, NewLayer(conv))]
    # An activation that stays may work in place: what it gave must not be what the next one overwrites.
    copies = {parts.path_of(node) for node in convs[1:]} if not all(map(parts.path_of, line[1:])) else set[str]()
    edits += [
        Edit("replace", one, parts.in_words, asked, Replace(Copy()))
        if one in copies
        else Edit("remove", one, parts.in_words, asked, Remove())
        for one in between
    ]
    return BlockReplacement(
        block=parts.block.name,
        layer=path,
        norm=norm,
        conv=conv,
        replacement=parts.said(conv, parts.module(end.norm), parts.module(end.activation)),
        target=str(last.target),
        convs=tuple(str(node.target) for node in convs),
        gone=tuple(dict.fromkeys([path, *between, *([norm] if norm else [])])),
        places=frozenset(structure.order[node] for node in line),
        edits=tuple(edits),
    )
