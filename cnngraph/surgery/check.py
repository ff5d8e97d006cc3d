"""Whether a plan fits a net, found out before anything is changed."""

from __future__ import annotations

from cnngraph.errors import NotFoundError, PlanError, nearest
from cnngraph.network.graph import LayerGraph
from cnngraph.origin import get_origin
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.anatomy import Body
from cnngraph.surgery.incision import Incision, incise

__all__ = ["architectures_of", "check", "removable", "removable_blocks", "resolve"]


def check(graph: LayerGraph, plan: Plan, *, unknown: type[PlanError] | type[NotFoundError] = PlanError) -> None:
    """Return if ``plan`` can be carried out on the followed net.

    Args:
        unknown: what to raise for a layer that is not there: ``PlanError`` for a plan that was read, ``NotFoundError``
            for names typed on a command line.

    Raises:
        PlanError: it removes every conv, the classifier or something that is no conv or block, or the rest cannot work.
        NotFoundError: with ``unknown=NotFoundError``, a layer is not there.
    """
    resolve(Body(graph.graph_module), plan.removes, unknown=unknown)


def removable(graph: LayerGraph) -> dict[str, str | None]:
    """For each conv, in network order, ``None`` or the reason why it cannot go by itself."""
    body = Body(graph.graph_module)
    return {conv.layer: _reason(body, Removal(layer=conv.layer)) for conv in graph.convs}


def removable_blocks(graph: LayerGraph) -> dict[str, str | None]:
    """For each residual block, in network order, ``None`` or the reason why it cannot go as a whole."""
    body = Body(graph.graph_module)
    return {name: _reason(body, Removal(layer=name, kind="block")) for name in body.blocks}


def _reason(body: Body, removal: Removal) -> str | None:
    try:
        resolve(body, (removal,))
    except PlanError as error:
        return error.message
    return None


def resolve(
    body: Body, removes: tuple[Removal, ...], *, unknown: type[PlanError] | type[NotFoundError] = PlanError
) -> Incision:
    """What removing all of ``removes`` does; raises as :func:`check`."""
    convs: set[str] = set()
    blocks: set[str] = set()
    for removal in removes:
        if removal.kind == "block":
            blocks.add(_block(body, removal.layer, unknown))
        else:
            convs.add(_conv(body, removal.layer, unknown))
    if not convs and not blocks:
        return incise(body, (), ())
    gone = convs | {str(node.target) for name in blocks for node in body.blocks[name].branch_convs}
    everything = {str(node.target) for node in body.convs} | {node.name for node in body.functional_convs}
    if gone >= everything:
        raise PlanError(f"The plan removes all {len(everything)} conv layers.", "Leave one at least.")
    return incise(body, convs, blocks)


def _conv(body: Body, layer: str, unknown: type[PlanError] | type[NotFoundError]) -> str:
    name = layer.split("#")[0]
    node = next((node for node in body.nodes if name in (node.target, node.name)), None)
    convs = [str(conv.target) for conv in body.convs]
    if node is None:
        if layer in body.blocks:
            raise PlanError(
                f"{layer} is a residual block, no layer.",
                "Remove it with --remove-block, or with kind block in the plan.",
            )
        raise unknown(f"The net has no conv layer {layer!r}.", nearest(layer, convs))
    if name not in convs:
        if body.is_weighted(node) and node.op == "call_function":
            raise PlanError(f"{layer} cannot go: it is a function call without a module to replace.", "Use nn.Conv2d.")
        raise PlanError(
            f"{layer} is no conv layer.",
            f"Only conv layers and residual blocks can be removed. {nearest(layer, convs)}",
        )
    if body.calls(node) > 1:
        raise PlanError(f"{layer} cannot go: its module is called {body.calls(node)} times.", "Remove another layer.")
    return name


def _block(body: Body, name: str, unknown: type[PlanError] | type[NotFoundError]) -> str:
    block = body.blocks.get(name)
    if block is None:
        if any(name == node.target for node in body.nodes):
            raise PlanError(
                f"{name} is a layer, no residual block.",
                "Remove it with --remove-layer, or with kind layer in the plan.",
            )
        raise unknown(f"The net has no residual block {name!r}.", nearest(name, body.blocks))
    if block.reason:
        raise PlanError(f"The block {name} cannot go: {block.reason}.", "Remove layers inside it.")
    return name


def architectures_of(model: object) -> set[str]:
    """Every name by which a plan may call the architecture of a live net."""
    kind = type(model)
    dotted = {f"{kind.__module__}.{kind.__qualname__}", f"python:{kind.__module__}:{kind.__qualname__}"}
    origin = get_origin(model)
    return dotted | ({origin.architecture} if origin else set())
