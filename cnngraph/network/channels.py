"""Feature maps, and which maps each channel of a layer's input comes from.

The way of a channel through norms, activations, pools, concats, flattens, chunks and shuffles is not derived by rules
for each of them: the net's own steps are executed on tensors that hold, instead of values, the numbers of the maps.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx

from cnngraph.network.graph import Layer, LayerGraph
from cnngraph.network.kinds import entry_of, image_operands, module_of, step_of
from cnngraph.network.observe import Probe
from cnngraph.network.operations import Places

__all__ = ["Maps", "Wiring"]

Integers = npt.NDArray[np.int64]

WITH_MAPS = ("Input", "Conv", "Linear", "Add")


@dataclass(frozen=True)
class Maps:
    """The feature maps of a net, numbered 0.. in network order, channel by channel.

    Attributes:
        sizes: layer -> how many maps, in network order.
        probes: where each layer's maps are observed: after the activation (else the norm) that belongs to the layer.
    """

    sizes: dict[str, int]
    probes: tuple[Probe, ...]

    def of_layers(self, layers: Collection[str]) -> Maps:
        """Those of some layers alone, in network order."""
        sizes = {layer: size for layer, size in self.sizes.items() if layer in layers}
        return Maps(sizes, tuple(probe for probe in self.probes if probe.layer in layers))

    @classmethod
    def of(cls, graph: LayerGraph) -> Maps:
        """The maps of the Input, Conv, Linear and Add layers; a sum without one dimension of channels has none."""
        nodes = {node.name: node for node in graph.graph_module.graph.nodes}
        sizes: dict[str, int] = {}
        probes = []
        for layer in graph.layers:
            if layer.kind in WITH_MAPS and layer.out_channels is not None:
                sizes[layer.layer] = layer.out_channels
                response = cls.response(graph, layer.layer)
                dim = channel_dim(nodes[response.node], "Linear" if layer.kind == "Linear" else response.kind)
                assert dim is not None
                probes.append(Probe(layer.layer, response.node, channel_dim=dim))
        return cls(sizes, tuple(probes))

    @staticmethod
    def response(graph: LayerGraph, name: str) -> Layer:
        """The step that shows the maps of ``name``: its activation, else its norm, else itself.

        An activation counts only while it has the layer's channels, place by place (not behind a flatten).
        """
        layer = graph.layer(name)
        if layer.kind == "Input":
            return layer
        unit = graph.unit(name)
        shapes = {node.name: node.meta["shape"] for node in graph.graph_module.graph.nodes if "shape" in node.meta}
        for candidate in (unit.activation, unit.norm):
            if candidate is None or candidate.out_channels != layer.out_channels:
                continue
            if len(shapes[candidate.node]) == len(shapes[layer.node]):
                return candidate
        return layer

    @property
    def total(self) -> int:
        """How many maps."""
        return sum(self.sizes.values())

    @cached_property
    def first(self) -> dict[str, int]:
        """Layer -> number of its first map."""
        starts = np.cumsum([0, *self.sizes.values()]).tolist()
        return dict(zip(self.sizes, starts, strict=False))

    @cached_property
    def layer_of(self) -> Integers:
        """For each map the place of its layer in ``sizes``."""
        return np.repeat(np.arange(len(self.sizes)), list(self.sizes.values())).astype(np.int64)

    @cached_property
    def channel_of(self) -> Integers:
        """For each map its channel."""
        first = np.array(list(self.first.values()), dtype=np.int64)
        channels: Integers = np.arange(self.total) - first[self.layer_of]
        return channels


def channel_dim(node: fx.Node, kind: str) -> int | None:
    """The dimension of a step's value that holds its channels; ``None`` where there is not exactly one."""
    shape = node.meta["shape"]
    if isinstance(shape, list):
        return None
    if kind == "Linear":
        return len(shape) - 1
    rest = [dim for dim in range(1, len(shape)) if dim not in node.meta["places"].dims]
    sizes = [shape[dim] for dim in rest]
    return rest[0] if len(rest) == 1 or (rest and math.prod(sizes) == sizes[0]) else None


@dataclass(frozen=True)
class Wiring:
    """What every Conv, Linear and Add layer reads.

    Attributes:
        reads: layer -> for each operand an array (n, 2) of (input channel, number of a map), sorted, each once.
        weights: layer -> its weight tensor, for Conv and Linear.
        lost: steps through which channels could not be followed.
    """

    reads: dict[str, list[Integers]]
    weights: dict[str, Tensor]
    lost: tuple[str, ...]

    @classmethod
    def of(cls, graph: LayerGraph, maps: Maps) -> Wiring:
        """Send the numbers of the maps through the net."""
        trails = _Trails(graph, maps)
        with torch.no_grad():
            trails.run(torch.zeros(1))
        return cls(trails.reads, trails.weights, tuple(trails.lost))


class _Trails(fx.Interpreter):
    """Runs the net on map numbers: 1 + number, 0 for "no map". The first dimension holds alternatives, not images:
    a product of two maps stems from both."""

    def __init__(self, graph: LayerGraph, maps: Maps) -> None:
        super().__init__(graph.graph_module, garbage_collect_values=True)
        self._layers, self._maps = graph.by_node, maps
        self.reads: dict[str, list[Integers]] = {}
        self.weights: dict[str, Tensor] = {}
        self.lost: list[str] = []

    def run_node(self, n: fx.Node) -> Any:
        if not n.meta["of_image"]:
            return super().run_node(n)
        layer = self._layers[n.name]
        operands = [self.env[operand] for operand in image_operands(n)]
        if layer.layer not in self._maps.sizes:
            return self._carry(n, operands)
        if layer.kind in ("Conv", "Linear"):
            self.weights[layer.layer] = self._weight(n)
        dim = channel_dim(n, layer.kind)
        assert dim is not None
        if layer.kind == "Add":
            shape = n.meta["shape"]
            operands = [ids.expand(-1, *shape[1:]) if ids.dim() == len(shape) else ids[:0] for ids in operands]
        if layer.kind != "Input":
            self.reads[layer.layer] = [_read(ids, dim) for ids in operands]
        return self._numbers(layer.layer, n.meta["shape"], dim)

    def _weight(self, n: fx.Node) -> Tensor:
        module = module_of(n)
        if module is not None:
            weight: Tensor = module.weight  # type: ignore[assignment]
        else:
            weight = self.env[n.args[1] if len(n.args) > 1 else n.kwargs["weight"]]  # type: ignore[index]
        return weight.detach()

    def _numbers(self, layer: str, shape: tuple[int, ...], dim: int) -> Tensor:
        first = self._maps.first[layer]
        numbers = torch.arange(first + 1, first + 1 + self._maps.sizes[layer], dtype=torch.float64)
        view = [1] * len(shape)
        view[dim] = -1
        return numbers.view(view).expand(1, *shape[1:])

    def _carry(self, n: fx.Node, operands: list[Any]) -> Any:
        """The numbers after a step without maps of its own."""
        shape = n.meta["shape"]
        if _only_moves(n):
            self._equal_alternatives(n, operands)
            return super().run_node(n)
        if isinstance(shape, tuple):
            carried = [self._fitted(n, operand, ids) for operand, ids in zip(image_operands(n), operands, strict=True)]
            known = [ids for ids in carried if ids is not None]
            if len(known) == len(carried):
                return torch.cat(known) if len(known) > 1 else known[0]
        self.lost.append(self._layers[n.name].layer)
        nothing = [
            torch.zeros(1, *part[1:], dtype=torch.float64) for part in ([shape] if isinstance(shape, tuple) else shape)
        ]
        return nothing[0] if isinstance(shape, tuple) else tuple(nothing)

    def _equal_alternatives(self, n: fx.Node, operands: list[Any]) -> None:
        """Give the operands as many alternatives each, in memory as a value of the net would be (for ``view``)."""
        tensors = [ids for ids in operands if isinstance(ids, Tensor)]
        # `squeeze` must not take the first dimension of a value without alternatives for one of its places.
        most = max([len(ids) for ids in tensors] + [1 + (step_of(n) == "squeeze")])
        for operand, ids in zip(image_operands(n), operands, strict=True):
            if isinstance(ids, Tensor):
                more = ids[-1:].expand(most - len(ids), *ids.shape[1:])
                self.env[operand] = torch.cat([ids, more]) if len(more) else ids.contiguous()

    @staticmethod
    def _fitted(n: fx.Node, operand: fx.Node, ids: Any) -> Tensor | None:
        """An operand's numbers on the places of ``n``: as they are, broadcast, or, for a pool or mean, the same on all
        places of a channel."""
        shape = n.meta["shape"]
        if not isinstance(ids, Tensor):
            return None
        if ids.dim() == len(shape) and all(a in (1, b) for a, b in zip(ids.shape[1:], shape[1:], strict=True)):
            return ids.expand(-1, *shape[1:])
        before, after = channel_dim(operand, ""), channel_dim(n, "")
        if before is None or after is None or ids.shape[before] != shape[after]:
            return None
        flat = ids.movedim(before, 1).flatten(2)
        if flat.shape[2] > 1 and not bool((flat == flat[:, :, :1]).all()):
            return None
        view = [len(ids)] + [1] * (len(shape) - 1)
        view[after] = shape[after]
        return flat[:, :, 0].reshape(view).expand(-1, *shape[1:])


def _read(ids: Tensor, dim: int) -> Integers:
    """(n, 2): each channel along ``dim`` with each map that it stems from, at whatever place and alternative."""
    dim = ids.dim() - 1 if dim >= ids.dim() else dim
    flat = ids.movedim(dim, 1).flatten(2) if ids.dim() > 2 else ids.unsqueeze(2)
    if flat.shape[2] > 1 and bool((flat == flat[:, :, :1]).all()):
        flat = flat[:, :, :1]
    numbers = flat.transpose(0, 1).flatten(1).numpy().round().astype(np.int64)
    channels = np.repeat(np.arange(len(numbers)), numbers.shape[1])
    pairs = np.stack([channels, numbers.ravel() - 1], axis=1)
    pairs = pairs[pairs[:, 1] >= 0]
    if numbers.shape[1] == 1:
        return pairs
    span = int(pairs[:, 1].max(initial=0)) + 1
    codes = np.unique(pairs[:, 0] * span + pairs[:, 1])
    return np.stack([codes // span, codes % span], axis=1)


def _only_moves(node: fx.Node) -> bool:
    """Whether a step moves values about, unchanged, so that it may be run on numbers instead."""
    operation = entry_of(node)
    return operation.places is Places.MOVES or operation.kind == "Concat" or step_of(node) == "unbind"
