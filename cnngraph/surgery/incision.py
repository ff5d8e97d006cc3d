"""What a set of removals does to the rest of a net, found out before anything is changed.

The net is run once on fake tensors with the removed layers passed by. Where a width no longer fits, the layer that
reads it is noted to be resized; where a sum's two sides differ, the conv before the gap is widened or the removal is
refused.
Any graph that can be followed can be cut so; what is refused is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.nn.utils import parametrize

from cnngraph.errors import PlanError
from cnngraph.surgery.anatomy import Block, Body
from cnngraph.surgery.fitter import Fitter
from cnngraph.surgery.wound import SizeMismatchError, WidthMismatchError, Wound, open_wound, widen

__all__ = ["Incision", "Join", "Resize", "incise"]


@dataclass(frozen=True)
class Resize:
    """New width of a surviving conv or dense layer.

    ``maps``: (channels, height, width) before and after of what is flattened into a dense layer, else ``None``.
    ``norm``: path of its norm, where its outputs change; ``norm_of``: path of the removed norm that fits there instead.
    """

    inputs: int
    outputs: int
    maps: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    norm: str | None = None
    norm_of: str | None = None


@dataclass(frozen=True)
class Join:
    """A surviving conv or dense layer that a gap reaches without another one between.

    ``target``: the layer of the old net whose output, before its norm, it is to give: itself, or for a widened conv the
    removed conv that it stands in for. ``first``: it is the first after its gap in network order, or is resized.
    ``obstacle``: why it cannot be refitted, or "".
    """

    layer: str
    target: str
    first: bool
    obstacle: str = ""


@dataclass(frozen=True)
class Incision:
    """Everything that changes when ``removed`` goes; paths are those of ``named_modules()``.

    Attributes:
        removed: convs that go, also those inside of blocks, in network order.
        blocks: residual blocks that go as a whole.
        passages: weightless modules that take the place of convs.
        silenced: norms and activations that become identities.
        rectified: blocks whose last activation is idle, since their input has been through the same one.
        resized, joins: surviving layers that change. stays: activations that stay without their conv.
        shapes: of every surviving value for a batch of images, by name of the fx node.
    """

    removed: tuple[str, ...]
    blocks: tuple[Block, ...]
    passages: dict[str, nn.Module]
    silenced: tuple[str, ...]
    rectified: frozenset[str]
    resized: dict[str, Resize]
    joins: tuple[Join, ...]
    stays: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]


def incise(body: Body, convs: Iterable[str], blocks: Iterable[str]) -> Incision:
    """Find out what removing ``convs`` (paths of Conv2d modules called once) and ``blocks`` does.

    A block all of whose branch's convs are named goes as a block.

    Raises:
        PlanError: the rest cannot work; the message says which layer stands against it and why.
    """
    wound = open_wound(body, set(convs), set(blocks))
    for exact in (False, True):
        try:
            fitter = _fit(wound, exact=exact)
        except SizeMismatchError as error:
            if exact:
                raise PlanError(f"{wound.name} cannot go: {error}.", "Remove other layers.") from error
            wound.widened.clear()
            wound.norms.clear()
        else:
            return _close(wound, fitter)
    raise AssertionError("the second fit returns or raises")


def _fit(wound: Wound, *, exact: bool) -> Fitter:
    """Run the net past the gaps until every width fits."""
    while True:
        fitter = Fitter(wound, exact=exact)
        try:
            fitter.run_all()
        except WidthMismatchError as error:
            widen(wound, error)
        else:
            return fitter


def _close(wound: Wound, fitter: Fitter) -> Incision:
    body = wound.body
    for node in body.nodes[-1].all_input_nodes:
        if fitter.shapes.get(node) != node.meta["shape"]:
            raise PlanError(
                f"{wound.name} cannot go: the net's output would have another shape.", "The classifier stays."
            )
    resized = {str(node.target): _resize(wound, fitter, node, widths) for node, widths in fitter.widths.items()}
    return Incision(
        removed=tuple(str(node.target) for node in body.convs if node in wound.convs or node in wound.skipped),
        blocks=wound.blocks,
        passages=fitter.passages,
        silenced=tuple(str(node.target) for node in body.nodes if node in wound.silent),
        rectified=frozenset(
            block.name
            for block in wound.blocks
            if len(block.tail) == 1
            and not block.shortcut
            and body.is_rectified(block.entry, block.tail[0], wound.quiet)
        ),
        resized=resized,
        joins=_joins(wound, resized),
        stays=tuple(dict.fromkeys(wound.stays)),
        shapes={node.name: shape for node, shape in fitter.shapes.items() if node not in wound.quiet},
    )


def _resize(wound: Wound, fitter: Fitter, node: fx.Node, widths: tuple[int, int]) -> Resize:
    maps: tuple[Any, Any] | None = None
    if isinstance(wound.body.module(node), nn.Linear):
        source = node
        while len(source.meta["shape"]) != 4 and source.all_input_nodes:
            source = source.all_input_nodes[0]
        before, after = source.meta["shape"][1:], fitter.shapes[source][1:]
        if len(before) == 3 and (_size(before), _size(after)) == (_inputs(wound.body.module(node)), widths[0]):
            maps = (before, after)
    norm = next((norm for norm, conv in wound.norms.items() if conv is node), None)
    norm_of = wound.body.unit(wound.widened[node][1]).norm if norm is not None else None
    return Resize(
        *widths,
        maps=maps,
        norm=None if norm is None else str(norm.target),
        norm_of=None if norm_of is None or norm_of not in wound.silent else str(norm_of.target),
    )


def _size(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1] * shape[2]


def _inputs(module: nn.Module | None) -> int:
    return module.in_features if isinstance(module, nn.Linear) else 0


def _joins(wound: Wound, resized: dict[str, Resize]) -> tuple[Join, ...]:
    body = wound.body
    order = {node: index for index, node in enumerate(body.nodes)}
    reached: set[fx.Node] = set()
    first: set[fx.Node] = set()
    for start in (*wound.convs, *wound.bypassed):
        found = _readers(wound, start)
        if body.nodes[-1] in found:
            raise PlanError(f"{wound.name} cannot go: it gives the net's output.", "The classifier stays.")
        reached |= found
        first |= {min(found, key=order.__getitem__)} if found else set()
    reached |= set(wound.widened)
    joins = []
    for node in sorted(reached, key=order.__getitem__):
        name = str(node.target)
        target, obstacle = name, _obstacle(body, node)
        if node in wound.widened:
            stood_in = wound.widened[node][1]
            target = str(stood_in.target)
            old, new = body.module(stood_in), resized[name]
            assert isinstance(old, nn.Conv2d)
            if max(old.stride) > 1:
                obstacle = f"it stands in for {target}, whose stride is a pool now"
            elif (new.norm_of is None) != (body.unit(stood_in).norm is None) or (new.norm is None) != (
                new.norm_of is None
            ):
                obstacle = f"it stands in for {target}, and only one of the two has a norm"
        joins.append(Join(name, target, node in first or name in resized, obstacle))
    return tuple(joins)


def _readers(wound: Wound, start: fx.Node) -> set[fx.Node]:
    """Surviving conv and dense layers, or the output, that the value of ``start`` reaches with none between."""
    found: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    waiting = list(start.users)
    while waiting:
        node = waiting.pop()
        if node in seen or node in wound.skipped:
            continue
        seen.add(node)
        if node.op == "output" or (wound.body.is_weighted(node) and node not in wound.convs):
            found.add(node)
        else:
            waiting.extend(node.users)
    return found


def _obstacle(body: Body, node: fx.Node) -> str:
    module = body.module(node)
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return "it is no plain conv or dense layer"
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        return "it is a grouped conv"
    if body.calls(node) > 1:
        return "it is called more than once"
    if parametrize.is_parametrized(module):
        return "it is parametrized"
    if body.shares_weights(node):
        return "it shares its weights with another layer"
    return ""
