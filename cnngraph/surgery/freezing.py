"""Train the first part of a net while what comes after stays bit for bit: which tensors those are, and the proof of it.

Osaku, Gomes, Falcão, "Convolutional Neural Network Simplification with Progressive Retraining", arXiv 2101.04699, 2021:
when layer l was simplified, layers 1 to l + 1 are trained, and nothing after them. On nets with branches (our choices):
layers up to l in network order, and all that reads l: "next" is every conv and dense layer that is reached from l
without another one between. A norm, or another part with weights of its own, is trained where it comes before l, where
l reaches it, or where all that reaches it is trained. A depthwise conv is such a part too: it goes with what it reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MethodType

from torch import Tensor, fx, nn

from cnngraph.models.masks import get_masks
from cnngraph.models.tensor_bytes import tensor_bytes
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.graph import Layer, LayerGraph

__all__ = ["count_parameters_of", "depthwise_layers", "frozen", "hash_tensors", "named_tensors", "trained_tensors"]


def named_tensors(net: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, also those that are not saved, and shared ones under each of their names."""
    return {
        **dict(net.named_parameters(remove_duplicate=False)),
        **dict(net.named_buffers(remove_duplicate=False)),
    }


def depthwise_layers(graph: LayerGraph) -> frozenset[str]:
    """Paths of the depthwise convs of a net; of one that was cut to a single channel only the net before tells."""
    return frozenset(_path(one) for one in graph.layers if one.groups is not None and 1 < one.groups == one.in_channels)


def trained_tensors(net: FollowedNet, layer: str, depthwise: Collection[str]) -> frozenset[str]:
    """Names of the parameters and buffers that may change once ``layer`` was simplified; all others are frozen.

    A tensor that several layers use may change if one of them is trained. What no image passes in eval mode (auxiliary
    heads) is frozen.

    Args:
        layer: a conv or dense layer, by its module's path.
        depthwise: :func:`depthwise_layers` of the unpruned net.
    """
    graph = net.graph
    trained = _trained_layers(graph, layer, depthwise)
    known, found = named_tensors(net.model), set[str]()
    for node in graph.graph_module.graph.nodes:
        step = graph.by_node.get(node.name)
        if step is not None and step.layer in trained:
            found.update(_tensors_of(node, known))
    shared = {id(known[name]) for name in found}
    return frozenset(name for name, tensor in known.items() if id(tensor) in shared)


def count_parameters_of(net: nn.Module, names: Collection[str]) -> int:
    """How many numbers the parameters of these names hold; a shared one counts once, pruned weights do not."""
    masks = get_masks(net)
    alive = masks.alive if masks is not None else {}
    return sum(
        int(alive[name].sum()) if name in alive else parameter.numel()
        for name, parameter in net.named_parameters()
        if name in names
    )


def hash_tensors(net: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """By name, the sha256 of the bytes of a tensor, its type and its shape."""
    known = named_tensors(net)
    return {name: _hash(known[name]) for name in sorted(names)}


@contextmanager
def frozen(net: nn.Module, trained: Collection[str]) -> Iterator[None]:
    """Whoever trains ``net`` inside can change the ``trained`` tensors alone: a copy of it is frozen in the same way.

    Other parameters ask for no gradient, so that no optimizer holds them (no weight decay, no momentum); modules whose
    buffers are frozen (norms) stay in eval mode, whatever mode the net is put into. One that holds trained tensors too,
    such as the net itself, does not: the mode is that of what is trained in it.
    """
    parameters = [(parameter, parameter.requires_grad) for _, parameter in net.named_parameters()]
    held = [module for _, module in _with_frozen_buffers(net, trained)]
    modes = [module.training for module in held]
    for name, parameter in net.named_parameters(remove_duplicate=False):
        if name not in trained:
            parameter.requires_grad_(False)
    for module in held:
        module.training = False
        module.__dict__["train"] = MethodType(_stay_in_eval, module)
    try:
        yield
    finally:
        for module, mode in zip(held, modes, strict=True):
            del module.__dict__["train"]
            module.training = mode
        for parameter, flag in parameters:
            parameter.requires_grad_(flag)


def _stay_in_eval(self: nn.Module, mode: bool = True) -> nn.Module:
    """What ``train`` is in a frozen module: those inside it may be another matter."""
    self.training = False
    for child in self.children():
        child.train(mode)
    return self


def _with_frozen_buffers(net: nn.Module, trained: Collection[str]) -> Iterator[tuple[str, nn.Module]]:
    for path, module in net.named_modules():
        inside = f"{path}." if path else ""
        buffers = [f"{inside}{name}" for name, _ in module.named_buffers(recurse=False)]
        if buffers and not any(name.startswith(inside) for name in trained):
            yield path, module


def _trained_layers(graph: LayerGraph, layer: str, depthwise: Collection[str]) -> set[str]:
    """Names of the steps of the net that are trained once ``layer`` was simplified."""
    weighty = {one.layer for one in graph.layers if one.kind in ("Conv", "Linear") and _path(one) not in depthwise}
    reached = _reached_by(graph, weighty)
    last = min(one.index for one in graph.layers if _path(one) == layer)
    trained = {one.layer for one in graph.layers if one.index <= last or layer in reached[one.layer]}
    whole = {_path(one) for one in graph.layers if one.layer in trained & weighty}
    belonging = {
        one.layer
        for one in graph.layers
        if one.layer not in weighty and reached[one.layer] and reached[one.layer] <= whole
    }
    return trained | belonging


def _reached_by(graph: LayerGraph, weighty: Collection[str]) -> dict[str, frozenset[str]]:
    """By layer, the ``weighty`` layers (convs and dense ones) from which it is reached without another one between."""
    found: dict[str, frozenset[str]] = {}
    for layer in graph.layers:
        sources = graph.predecessors(layer.layer)
        found[layer.layer] = frozenset[str]().union(
            *({_path(one)} if one.layer in weighty else found[one.layer] for one in sources)
        )
    return found


def _path(layer: Layer) -> str:
    return layer.shared_with or layer.layer


def _tensors_of(node: fx.Node, known: Mapping[str, Tensor]) -> Iterator[str]:
    """Names of the tensors that a step of the net uses: of its module, or those that its code takes by itself."""
    if node.op == "call_module":
        yield from (name for name in known if name.startswith(f"{node.target}."))
    waiting, seen = list(node.all_input_nodes), set[fx.Node]()
    while waiting:
        one = waiting.pop()
        if one in seen or one.meta.get("of_image"):
            continue
        seen.add(one)
        waiting += one.all_input_nodes
        if one.op == "get_attr" and one.target in known:
            yield str(one.target)


def _hash(tensor: Tensor) -> str:
    digest = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor_bytes(tensor).data)
    return digest.hexdigest()
