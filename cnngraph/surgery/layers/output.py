"""What gives a net's output: the layers that decide what each of its classes or channels says. They never go.

Found by walking back from what the net returns, whatever stands behind those layers (views, pools, a softmax, sums of
heads), up to the nearest layers with weights that mix channels.
"""

from __future__ import annotations

import operator
from collections.abc import Collection

import torch
from torch import fx, nn
from torch.nn import functional as F

from cnngraph.errors import PlanError
from cnngraph.network.kinds import step_of
from cnngraph.surgery.layers.node_queries import NodeQueries, step_name

__all__ = ["output_layers", "require_output_stays"]

_PRODUCTS = {operator.matmul, torch.matmul, torch.mm, torch.bmm, torch.addmm, "matmul", "mm", "addmm"}
_TURNS = frozenset("permute transpose swapaxes swapdims movedim moveaxis t einsum".split())  # noqa: SIM905
_ATTENTIONS = (nn.MultiheadAttention, nn.RNNBase)


def output_layers(queries: NodeQueries) -> tuple[fx.Node, ...]:
    """The layers that give what the net returns, of one output or of several, in network order.

    A layer behind which channels stay apart (a depthwise conv, an upsampling from as many channels to as many, fixed
    weights that nobody trains, a dense layer over places) is one of them, and so is what it reads.
    """
    found: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    waiting = [queries.nodes[-1]]
    while waiting:
        node = waiting.pop()
        if node in seen or queries.is_size(node):
            continue
        seen.add(node)
        if _has_weights(queries, node):
            found.add(node)
        if not _mixes_channels(queries, node):
            waiting.extend(node.all_input_nodes)
    return tuple(sorted(found, key=queries.order.__getitem__))


def require_output_stays(output: Collection[fx.Node], gone: Collection[fx.Node], asked: str) -> None:
    """Return unless a layer of ``output``, as :func:`output_layers` found it, is among ``gone``.

    ``asked``: what was to go, as messages call it.

    Raises:
        PlanError: the classifier would go.
    """
    lost = next((node for node in output if node in gone), None)
    if lost is not None:
        what = "it" if step_name(lost) == asked else step_name(lost)
        raise PlanError(f"{asked} cannot go: {what} gives the net's output.", "The classifier stays.")


def _has_weights(queries: NodeQueries, node: fx.Node) -> bool:
    module = queries.module(node)
    matrix = module is not None and any(parameter.dim() > 1 for parameter in module.parameters())
    return matrix or queries.is_weighted(node) or _is_product_with_weights(node)


def _mixes_channels(queries: NodeQueries, node: fx.Node) -> bool:
    """Whether each channel that the layer gives is made from several that it reads, by weights of its own."""
    module = queries.module(node)
    if isinstance(module, nn.Linear):
        return not _runs_over_places(queries, node)
    if node.target is F.linear or _is_product_with_weights(node):
        return not _has_fixed_weights(queries, node) and not _runs_over_places(queries, node)
    if module is not None and _is_fixed(queries, module):
        return False
    if isinstance(module, nn.modules.conv._ConvNd):
        upsampling = module.transposed and module.in_channels == module.out_channels
        return not upsampling and (module.groups == 1 or module.groups != module.in_channels)
    if isinstance(module, _ATTENTIONS):
        return True
    return queries.is_weighted(node)


def _is_fixed(queries: NodeQueries, module: nn.Module) -> bool:
    """Whether nobody trains the module, though the rest of the net is trained: a fixed filter, no classifier."""
    own = [parameter.requires_grad for parameter in module.parameters()]
    trained = any(parameter.requires_grad for parameter in queries.graph_module.parameters())
    return bool(own) and not any(own) and trained


def _has_fixed_weights(queries: NodeQueries, node: fx.Node) -> bool:
    """Whether what a product reads beside the image are buffers and constants alone: it joins classes that are there.

    So do the matrix of a hierarchy of classes, and one that corrects for their shares.
    """
    waiting = [source for source in node.all_input_nodes if _is_weight(source)]
    while waiting:
        here = waiting.pop()
        if here.op == "get_attr" and here.target in queries.parameters:
            return False
        waiting.extend(here.all_input_nodes)
    return True


def _is_product_with_weights(node: fx.Node) -> bool:
    """Whether a matrix product has the image on one side and weights alone on the other."""
    if not _is_einsum(node) and node.target not in _PRODUCTS:
        return False
    weights = [_is_weight(source) for source in node.all_input_nodes]
    return any(weights) and not all(weights) and (not _is_einsum(node) or _summed_axis(node) is not None)


def _is_einsum(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target is torch.einsum


def _summed_axis(node: fx.Node) -> int | None:
    """The axis of the image that an einsum of it and of weights sums over, getting another one from the weights.

    ``None`` where it does not, as a scale of each channel (``nchw,c->nchw``) does not.
    """
    equation, *_ = node.args
    if not isinstance(equation, str) or "->" not in equation:
        return None
    read, given = equation.replace(" ", "").split("->")
    operands = read.split(",")
    if len(operands) != 2 or len(node.all_input_nodes) != 2:
        return None
    image, weights = operands[::-1] if _is_weight(node.all_input_nodes[0]) else operands
    summed = [axis for axis, letter in enumerate(image) if letter in weights and letter not in given]
    made = [letter for letter in weights if letter in given and letter not in image]
    return summed[0] if summed and made else None


def _is_weight(node: fx.Node) -> bool:
    """Whether the value is a matrix that is made from the net's own tensors alone."""
    shape = node.meta.get("shape")
    if not isinstance(shape, tuple) or len(shape) < 2:
        return False
    waiting, owned = [node], False
    while waiting:
        here = waiting.pop()
        if here.op == "placeholder":
            return False
        owned |= here.op == "get_attr"
        waiting.extend(here.all_input_nodes)
    return owned


def _runs_over_places(queries: NodeQueries, node: fx.Node) -> bool:
    """Whether a dense layer reads the places of each channel, as a learned pool does, and no channels.

    Its operand has its channels in front then, and nothing between the map and it has turned that around.
    """
    if (_is_einsum(node) and (_summed_axis(node) or 0) < 2) or _is_weight(node.all_input_nodes[0]):
        return False
    source = next((source for source in queries.sources(node) if not _is_weight(source)), None)
    while source is not None and not queries.is_weighted(source):
        shape = source.meta.get("shape")
        if not isinstance(shape, tuple) or len(shape) < 3 or step_of(source) in _TURNS:
            return False
        source = next(iter(queries.sources(source)), None)
    return source is not None and queries.is_conv(source)
