"""The layers of a net and what feeds what: a multigraph read off the user's own net by ``torch.fx``.

A step of the net is a layer if its value is made from the image; sizes, shapes and arithmetic on whole numbers are
contracted away.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from torch import fx, nn
from torch.nn import functional as F

from cnngraph.errors import NotFoundError, TraceError, nearest
from cnngraph.models.wrappers import unwrapped
from cnngraph.network.kinds import image_operands, kind_of, module_of, operation_of, window_of
from cnngraph.network.receptive import Places, locate
from cnngraph.network.remembered import remembered
from cnngraph.network.symbolic import follow_symbolically, left_untouched

__all__ = ["Feed", "Layer", "LayerGraph", "Unit", "follow", "handed_on"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """One step of the net; the fields up to ``macs`` are the columns of ``tables.SCHEMAS["layers"]``.

    Attributes:
        layer: the module's path as ``named_modules()`` gives it, ``path#2`` for the second call of the same module,
            the fx node's name for a functional step, ``input`` for the image.
        in_channels, out_channels: features for dense layers; ``None`` where the value has no channels.
        kernel, stride, padding, dilation: (rows, columns); ``None`` where there is no sliding window.
        out_height, out_width: ``None`` where the value has no rows and columns any more.
        parameters: those that no earlier layer has counted. macs: multiply-accumulates for one image, of
            whatever multiplies and adds up (:mod:`cnngraph.network.macs`); one an element for norms.
        node: name of the fx node in ``LayerGraph.graph_module``. caller: path of the module whose ``forward`` makes
            this step ("" for the net itself). line: ``file:line`` of that code ("" where it is torch's own, as in a
            Sequential).
    """

    index: int
    layer: str
    kind: str
    operation: str
    module: str | None
    shared_with: str | None
    in_channels: int | None
    out_channels: int | None
    kernel: Pair | None
    stride: Pair | None
    padding: Pair | None
    dilation: Pair | None
    groups: int | None
    out_height: int | None
    out_width: int | None
    parameters: int
    macs: int
    node: str
    caller: str
    line: str


@dataclass(frozen=True)
class Feed:
    """An edge of the layer multigraph; ``port`` counts the target's operands that depend on the image."""

    source: str
    target: str
    port: int


@dataclass(frozen=True)
class Unit:
    """A convolution with the norm and the activation that belong to it."""

    conv: Layer
    norm: Layer | None
    activation: Layer | None


@dataclass(frozen=True)
class LayerGraph:
    """A followed net. ``graph_module`` holds the user's own modules: run it, never hand it out or change it."""

    layers: tuple[Layer, ...]
    feeds: tuple[Feed, ...]
    input_shape: tuple[int, int, int]
    graph_module: fx.GraphModule = field(repr=False, compare=False)

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """Layers by name, in network order."""
        return {layer.layer: layer for layer in self.layers}

    @cached_property
    def by_node(self) -> dict[str, Layer]:
        """Layers by the name of their fx node."""
        return {layer.node: layer for layer in self.layers}

    @cached_property
    def convs(self) -> tuple[Layer, ...]:
        """The convolutions in network order; a module that is called twice comes twice."""
        return tuple(layer for layer in self.layers if layer.kind == "Conv")

    def successors(self, name: str) -> list[Layer]:
        """The layers that read ``name``, in network order, each once."""
        return self._neighbours[self.layer(name).layer][1]

    def predecessors(self, name: str) -> list[Layer]:
        """The layers that ``name`` reads, in network order, each once."""
        return self._neighbours[self.layer(name).layer][0]

    def layer(self, name: str) -> Layer:
        """The layer ``name``.

        Raises:
            NotFoundError: there is none.
        """
        if name not in self.by_name:
            raise NotFoundError(f"The net has no layer {name!r}.", nearest(name, self.by_name))
        return self.by_name[name]

    def next_convs(self, name: str) -> list[Layer]:
        """The convolutions that are reached from ``name`` without another convolution between."""
        return [layer for layer in self._reached(name, stop=lambda layer: layer.kind == "Conv") if layer.kind == "Conv"]

    def unit(self, conv: str) -> Unit:
        """``conv`` with its first norm and first non-linearity; none is taken over where several values meet."""

        def ends(layer: Layer) -> bool:
            return layer.kind in ("Conv", "Linear", "Add", "Concat") or len(self.predecessors(layer.layer)) > 1

        own = [layer for layer in self._reached(conv, stop=ends) if not ends(layer)]
        return Unit(
            self.layer(conv),
            next((layer for layer in own if layer.kind == "Norm"), None),
            next((layer for layer in own if layer.kind == "Activation"), None),
        )

    def module_stack(self, name: str) -> str:
        """The path of the module whose ``forward`` called the layer; "" for the net itself."""
        return self.layer(name).caller

    @cached_property
    def _neighbours(self) -> dict[str, tuple[list[Layer], list[Layer]]]:
        before: dict[str, set[int]] = defaultdict(set)
        after: dict[str, set[int]] = defaultdict(set)
        for feed in self.feeds:
            before[feed.target].add(self.by_name[feed.source].index)
            after[feed.source].add(self.by_name[feed.target].index)
        return {
            name: ([self.layers[i] for i in sorted(before[name])], [self.layers[i] for i in sorted(after[name])])
            for name in self.by_name
        }

    def _reached(self, name: str, stop: Callable[[Layer], bool]) -> list[Layer]:
        """Everything after ``name`` up to and with the layers that ``stop`` holds for, in network order."""
        reached: set[int] = set()
        open_ends = list(self.successors(name))
        while open_ends:
            layer = open_ends.pop()
            if layer.index not in reached:
                reached.add(layer.index)
                if not stop(layer):
                    open_ends += self.successors(layer.layer)
        return [self.layers[i] for i in sorted(reached)]


def follow(model: nn.Module, input_shape: tuple[int, int, int]) -> LayerGraph:
    """Read the layer graph of ``model`` for images of ``input_shape`` (channels, height, width).

    The net is followed in eval mode (branches for training alone are not seen) and left as it was: mode, hooks,
    attributes, buffers. ``DataParallel`` and compiled nets are unwrapped. Within
    :func:`cnngraph.network.remembered.remember_structures` a net is followed once for each shape.

    Raises:
        ModelError: weights that are NaN, infinite or without values.
        TraceError: the net cannot be followed (with the line of the user's code), does not take images of this
            shape, or has no convolution.
    """
    model = unwrapped(model)
    known = remembered()
    if known is None:
        return _follow(model, input_shape)
    parts = tuple((path, id(module)) for path, module in model.named_modules())
    tensors = tuple((name, id(weight), tuple(weight.shape)) for name, weight in model.named_parameters())
    key = "followed", id(model), input_shape, parts, tensors  # the graph keeps the net, and with it the number, in use
    if key not in known:
        known[key] = _follow(model, input_shape)
    found: LayerGraph = known[key]
    return found


def _follow(model: nn.Module, input_shape: tuple[int, int, int]) -> LayerGraph:
    module = follow_symbolically(model, input_shape)
    with left_untouched(model, training=False):  # steps of no known kind are run to see what they do
        locate(module)
    nodes = [node for node in module.graph.nodes if node.meta["of_image"]]
    names = _names(nodes, {name for name, _ in model.named_modules()})
    counts = (_parameters(module), _macs(module))
    layers = tuple(_layer(index, node, names, *counts) for index, node in enumerate(nodes))
    if not any(layer.kind == "Conv" for layer in layers):
        raise TraceError(
            f"{type(model).__name__} has no 2-d convolution.", "Only convolutional networks can be mapped."
        )
    feeds = tuple(
        Feed(names[source].name, names[node].name, port)
        for node in nodes
        for port, source in enumerate(image_operands(node))
    )
    return LayerGraph(layers, feeds, input_shape, module)


@dataclass(frozen=True)
class _Name:
    name: str
    shared_with: str | None = None


def _names(nodes: Iterable[fx.Node], modules: set[str]) -> dict[fx.Node, _Name]:
    """Names by node: module paths, ``#2`` for a second call, else the fx name (or ``input``), kept off module paths."""
    names: dict[fx.Node, _Name] = {}
    calls: dict[str, int] = defaultdict(int)
    taken = set(modules)
    for node in nodes:
        path = str(node.target) if node.op == "call_module" else _conv_around(node)
        if path:
            calls[path] += 1
            names[node] = _Name(path) if calls[path] == 1 else _Name(f"{path}#{calls[path]}", shared_with=path)
            continue
        name = wanted = "input" if node.op == "placeholder" else node.name
        number = 1
        while name in taken:
            name = f"{wanted}_{number}"
            number += 1
        taken.add(name)
        names[node] = _Name(name)
    return names


def _conv_around(node: fx.Node) -> str:
    """Path of the conv with a forward of its own that convolves by the function ``node``; "" for other steps."""
    *_, (path, kind) = (node.meta.get("nn_module_stack") or {"": ("", None)}).values()
    is_conv = node.target is F.conv2d and isinstance(kind, type) and issubclass(kind, nn.Conv2d)
    return path if is_conv else ""


def _parameters(module: fx.GraphModule) -> dict[fx.Node, int]:
    """How many parameters each step is the first to use; those of ``get_attr`` go to the layer that reads them."""
    counted: set[int] = set()
    direct: dict[fx.Node, int] = {}
    for node in module.graph.nodes:
        owned: list[nn.Parameter] = []
        called = module_of(node)
        if called is not None:
            owned = list(called.parameters())
        elif node.op == "get_attr":
            value = _attribute(module, str(node.target))
            owned = [value] if isinstance(value, nn.Parameter) else []
        fresh = [parameter for parameter in owned if id(parameter) not in counted]
        counted |= {id(parameter) for parameter in fresh}
        direct[node] = sum(parameter.numel() for parameter in fresh)
    return handed_on(direct)


def _macs(module: fx.GraphModule) -> dict[fx.Node, int]:
    """Multiply-accumulates of each step, for one image; one an element for norms."""
    elements = {node: math.prod(node.meta["shape"][1:]) for node in module.graph.nodes if _is_norm(node)}
    return handed_on({node: elements.get(node) or node.meta["macs"] for node in module.graph.nodes})


def _is_norm(node: fx.Node) -> bool:
    return bool(node.meta["of_image"]) and node.op != "output" and kind_of(node) == "Norm"


def handed_on(direct: dict[fx.Node, int]) -> dict[fx.Node, int]:
    """``direct``, where what is no layer (a weight, attention that gives two values) hands its number to a reader.

    Where no layer reads it, as behind a recurrent layer, which gives a tuple in a tuple, the last one before it counts
    it, so that the sum over layers is that of the net.
    """
    found: dict[fx.Node, int] = {}
    inherited: dict[fx.Node, int] = defaultdict(int)
    for node, number in direct.items():
        found[node] = number + inherited[node]
        if node.meta["of_image"] or not found[node]:
            continue
        first = next(iter(node.users), None)
        if first is not None and first.op != "output":
            inherited[first] += found[node]
        elif (layer := _layer_before(node)) is not None:
            found[layer] += found[node]
    return found


def _layer_before(node: fx.Node) -> fx.Node | None:
    waiting = [*node.all_input_nodes]
    while waiting:
        here = waiting.pop(0)
        if here.meta["of_image"]:
            return here
        waiting.extend(here.all_input_nodes)
    return None


def _attribute(module: nn.Module, path: str) -> object:
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _layer(
    index: int, node: fx.Node, names: dict[fx.Node, _Name], parameters: dict[fx.Node, int], macs: dict[fx.Node, int]
) -> Layer:
    places: Places = node.meta["places"]
    operands = image_operands(node)
    vanish = places.dims == (None, None) and any(o.meta["places"].dims != (None, None) for o in operands)
    kind = kind_of(node, places_vanish=vanish)
    window = window_of(node)
    channels_in = _channels(operands[0], kind) if operands else None
    channels_out = _channels(node, kind)
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    if node.op == "call_module":
        stack = stack[:-1]
    height, width = (None if dim is None else size for dim, size in zip(places.dims, places.sizes, strict=True))
    return Layer(
        index=index,
        layer=names[node].name,
        kind=kind,
        operation=operation_of(node),
        module=str(node.target) if node.op == "call_module" else None,
        shared_with=names[node].shared_with,
        in_channels=channels_in,
        out_channels=channels_out,
        kernel=None if window is None else window.kernel,
        stride=None if window is None else window.stride,
        padding=None if window is None else window.padding,
        dilation=None if window is None else window.dilation,
        groups=window.groups if window is not None and kind == "Conv" else None,
        out_height=height,
        out_width=width,
        parameters=parameters[node],
        macs=macs[node],
        node=node.name,
        caller=stack[-1] if stack else "",
        line=node.meta.get("line", ""),
    )


def _channels(node: fx.Node, kind: str) -> int | None:
    """The one dimension that holds neither images nor places; for a dense layer the features, which come last."""
    shape: tuple[int, ...] | list[tuple[int, ...]] = node.meta["shape"]
    if isinstance(shape, list):
        return None
    if kind == "Linear":
        return shape[-1]
    if kind == "Conv":
        return shape[-3]
    rest = [size for dim, size in enumerate(shape) if dim > 0 and dim not in node.meta["places"].dims]
    return rest[0] if len(rest) == 1 or (rest and math.prod(rest) == rest[0]) else None
