"""One layer in the place of a block that is more than a chain of modules: the block's own module is replaced.

What stands there runs the new conv under the path of the block's first conv, then what follows the last conv of its
main branch; of a residual block also the shortcut and what follows the sum, the block's own modules under their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import fx, nn

from cnngraph.surgery.edits import Edit
from cnngraph.surgery.layers.block_parts import BlockParts, BlockReplacement
from cnngraph.surgery.layers.one_layer import NewBlock, Piece
from cnngraph.surgery.layers.residual import Residual

__all__ = ["replace_module", "replace_residual"]


def replace_residual(parts: BlockParts, block: Residual, main: list[fx.Node], convs: list[fx.Node]) -> BlockReplacement:
    """One conv for the main branch of a residual block; ``main``: its steps, ``convs`` those that are convs.

    Raises:
        PlanError: the rest of the block cannot be kept.
    """
    structure, last = parts.structure, convs[-1]
    if block.reason:
        raise parts.refused(block.reason)
    parts.require_inner([*block.branch, *block.tail])
    behind = _behind(parts, last, block.total)
    if behind is None:
        raise parts.refused("what follows the last conv of its main branch is no chain up to the sum")
    if any(structure.order[node] < structure.order[convs[0]] for node in main if node in structure.of_image):
        raise parts.refused("its main branch does not begin with a conv, and is no chain of modules")
    conv = parts.conv(block.entry, last, _has_bias(parts, last))
    shortcut = _pieces(parts, sorted(block.shortcut, key=structure.order.__getitem__))
    branch = [Piece(_below(parts, convs[0]), conv), *_pieces(parts, behind)]
    detail = NewBlock(tuple(branch), tuple(shortcut), tuple(_pieces(parts, block.tail)))
    norm = parts.norm(structure.unit(last).norm)
    return _replacement(parts, detail, convs, last, main, norm)


def replace_module(parts: BlockParts, convs: list[fx.Node]) -> BlockReplacement:
    """One conv for all that the module of a block does, with a norm of its own where the block ends in batch norms.

    Raises:
        PlanError: the block is not the one call of a module that reads one map and gives one.
    """
    structure, name = parts.structure, parts.block.name
    region = structure.region(name)
    if region is None or structure.calls_within(name) != 1:
        raise parts.refused("it is no chain, and no call of a module of its own that reads one map and gives one")
    parts.require_inner(region.inside)
    ends = [conv for conv in convs if _ends(parts, conv, region.inside)]
    last = ends[-1] if ends else convs[-1]
    end = structure.unit(last)
    conv = parts.conv(region.entry, region.leaving, _has_bias(parts, last))
    branch = [Piece(_below(parts, convs[0]), conv)]
    norm, activation = parts.module(end.norm), parts.module(end.activation)
    if isinstance(norm, nn.BatchNorm2d):
        made = nn.BatchNorm2d(
            conv.outputs, norm.eps, norm.momentum, affine=norm.affine, track_running_stats=norm.track_running_stats
        )
        branch.append(Piece(_free(parts, "norm"), made))
    if activation is not None:
        branch.append(Piece(_free(parts, "activation"), activation))
    path = f"{name}.{branch[1].path}" if isinstance(norm, nn.BatchNorm2d) else ""
    found = _replacement(parts, NewBlock(tuple(branch)), convs, last, list(region.inside), path)
    whole = region.leaving is not last  # what the last conv gives is not all that the block gives
    return replace(found, target=name if whole else found.target, renewed=bool(path))


def _has_bias(parts: BlockParts, conv: fx.Node) -> bool:
    return getattr(parts.structure.module(conv), "bias", None) is not None


def _behind(parts: BlockParts, last: fx.Node, total: fx.Node) -> list[fx.Node] | None:
    """The steps between ``last`` and the sum, if they are a chain."""
    found: list[fx.Node] = []
    node = last
    while True:
        readers = parts.structure.readers(node)
        if len(readers) != 1 or (readers[0] is not total and len(parts.structure.sources(readers[0])) != 1):
            return None
        if readers[0] is total:
            return found
        node = readers[0]
        found.append(node)


def _ends(parts: BlockParts, conv: fx.Node, inside: Sequence[fx.Node]) -> bool:
    """Whether no other conv of the block reads what ``conv`` gives."""
    waiting, seen = list(parts.structure.readers(conv)), set[fx.Node]()
    while waiting:
        node = waiting.pop()
        if node in seen or node not in inside:
            continue
        seen.add(node)
        if parts.structure.is_conv(node):
            return False
        waiting.extend(parts.structure.readers(node))
    return True


def _free(parts: BlockParts, name: str) -> str:
    """``name``, or one like it that no part of the block has."""
    home = parts.structure.graph_module.get_submodule(parts.block.name)
    while hasattr(home, name):
        name += "_"
    return name


def _below(parts: BlockParts, node: fx.Node) -> str:
    """The path of a step's module below that of the block."""
    path, home = parts.path_of(node) or str(node.target), parts.block.name
    if not path.startswith(f"{home}."):
        raise parts.refused(f"{path} lies outside of its module")
    return path.removeprefix(f"{home}.")


def _pieces(parts: BlockParts, nodes: Sequence[fx.Node]) -> list[Piece]:
    """The steps that stay, each module once: a norm with a forward of its own is several nodes."""
    found: list[Piece] = []
    for node in nodes:
        piece = _piece(parts, node)
        if node.op == "call_module" or piece.module is not None or not found or piece.path != found[-1].path:
            found.append(piece)
    return found


def _piece(parts: BlockParts, node: fx.Node) -> Piece:
    """A step that stays: the block's own module, or one that does what a function does."""
    if node.op == "call_module" or parts.path_of(node):
        return Piece(_below(parts, node))
    made = parts.structure.activation_module(node) if parts.structure.is_activation(node) else None
    if made is None:
        raise parts.refused(f"its step {node.name} is a function that no module does as well")
    return Piece(_free(parts, node.name), made)


def _replacement(
    parts: BlockParts, detail: NewBlock, convs: list[fx.Node], last: fx.Node, inside: list[fx.Node], norm: str
) -> BlockReplacement:
    """``last``: the conv whose norm and activation the new one has. ``inside``: what it replaces."""
    home, end, first = parts.block.name, parts.structure.unit(last), detail.branch[0]
    conv = first.conv
    kept = {f"{home}.{path}" for path in detail.kept} - {norm}
    called = [str(node.target) for node in inside if node.op == "call_module"]
    return BlockReplacement(
        block=home,
        layer=f"{home}.{first.path}",
        norm=norm,
        conv=conv,
        replacement=parts.said(conv, parts.module(end.norm), parts.module(end.activation)),
        target=str(last.target),
        convs=tuple(str(node.target) for node in convs),
        gone=tuple(path for path in dict.fromkeys(called) if path not in kept),
        places=frozenset(parts.structure.order[node] for node in inside),
        edits=(Edit("new block", home, parts.in_words, (home,), detail),),
    )
