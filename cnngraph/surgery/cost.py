"""What a net would cost without some layers: parameters, multiply-accumulates, and an estimate of its latency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import torch
from torch import nn

from cnngraph.errors import PlanError
from cnngraph.network.graph import Layer, LayerGraph, handed_on
from cnngraph.network.macs import count_parameters
from cnngraph.plan import Plan, Removal, Step
from cnngraph.surgery.check import resolve
from cnngraph.surgery.layers.net_structure import NetStructure
from cnngraph.surgery.layers.rewrite import AdapterSpec, Rewrite

__all__ = ["Cost", "Costs"]


@dataclass(frozen=True)
class Cost:
    """Of one net: parameters; multiply-accumulates and estimated milliseconds (or ``None``) for one image."""

    parameters: int
    macs: int
    latency_ms: float | None = None


class Costs:
    """Reckons what cuts of one net cost, without building them: for schedules of many steps.

    Args:
        graph: the followed net. latencies: milliseconds of its layers, those of a LatencyTable.
    """

    def __init__(self, graph: LayerGraph, latencies: dict[str, float] | None = None) -> None:
        self._graph = graph
        self._structure = NetStructure(graph.graph_module)
        self._latencies = latencies

    def without(self, removes: Iterable[str | Removal]) -> Cost:
        """The cost of the net without ``removes`` (names of conv layers, or Removals for blocks).

        Raises:
            PlanError: it cannot be cut so.
        """
        removals = tuple(item if isinstance(item, Removal) else Removal(layer=item) for item in removes)
        rewrite = resolve(self._structure, removals)
        places = {node: adapter for adapter in rewrite.adapters.values() for node in adapter.nodes}
        along = self._along(rewrite)
        macs = {
            layer.layer: _macs(layer, rewrite, places.get(layer.node), along[layer.node])
            for layer in self._graph.layers
        }
        return Cost(self._parameters(rewrite), sum(macs.values()), self._latency(rewrite, macs))

    def annotate(self, plan: Plan) -> Plan:
        """``plan`` with parameters, MACs and latency in each step of its schedule whose net can be built."""
        return plan.model_copy(update={"schedule": tuple(self._annotated(step) for step in plan.schedule)})

    def _annotated(self, step: Step) -> Step:
        try:
            found = self.without(step.removed)
        except PlanError:
            return step
        return step.model_copy(update=asdict(found))

    def _along(self, rewrite: Rewrite) -> dict[str, int]:
        """Multiply-accumulates of what is no layer, by the step that reads it."""
        nodes = self._graph.graph_module.graph.nodes
        direct = {
            node: 0 if node.meta["of_image"] else rewrite.macs.get(node.name, node.meta["macs"]) for node in nodes
        }
        return {node.name: macs for node, macs in handed_on(direct).items()}

    def _parameters(self, rewrite: Rewrite) -> int:
        module = self._graph.graph_module
        stays = {id(parameter): parameter for parameter in _stays(module, rewrite)}
        total = sum(parameter.numel() for parameter in stays.values())
        for path, resize in rewrite.resized.items():
            layer = module.get_submodule(path)
            assert isinstance(layer.weight, torch.Tensor)
            kernel = math.prod(layer.weight.shape[2:])
            total += resize.inputs * resize.outputs * kernel
            total += resize.outputs if getattr(layer, "bias", None) is not None else 0
            total -= count_parameters(layer)
            if resize.norm is not None:
                norm = module.get_submodule(resize.norm)
                total += sum(p.numel() // len(p) * resize.outputs for p in norm.parameters()) - count_parameters(norm)
        for path, norm_resize in rewrite.resized_norms.items():
            norm = module.get_submodule(path)
            total += sum(norm_resize.channels - len(parameter) for parameter in norm.parameters())
        return total + sum((adapter.inputs + 1) * adapter.outputs for adapter in rewrite.adapters.values())

    def _latency(self, rewrite: Rewrite, macs: dict[str, int]) -> float | None:
        """The layers' times summed, of resized ones and adapters in proportion to their multiply-accumulates."""
        if self._latencies is None:
            return None
        total = 0.0
        for layer in self._graph.layers:
            if layer.node in rewrite.shapes or macs[layer.layer]:
                share = macs[layer.layer] / layer.macs if layer.macs else 1.0
                total += self._latencies.get(layer.layer, 0.0) * share
        return total


def _stays(module: nn.Module, rewrite: Rewrite) -> Iterator[nn.Parameter]:
    """The parameters of modules that are not replaced."""
    blocks = {
        block.name: () if block.name in rewrite.redundant_relu else tuple(part for _, part in block.pieces)
        for block in rewrite.blocks
    }
    for path, part in module.named_modules(remove_duplicate=False):
        around = [path[:end] for end in range(len(path) + 1) if end == len(path) or path[end] == "."]
        if any(outer in rewrite.bypasses or outer in rewrite.removed_norms_and_activations for outer in around):
            continue
        block = next((outer for outer in around if outer in blocks), None)
        child = path.removeprefix(f"{block}.").split(".")[0]
        if block is None or child in blocks[block]:
            yield from part.parameters(recurse=False)


def _macs(layer: Layer, rewrite: Rewrite, adapter: AdapterSpec | None, along: int) -> int:
    if adapter is not None:
        assert layer.out_height is not None and layer.out_width is not None
        return adapter.inputs * adapter.outputs * layer.out_height * layer.out_width
    shape = rewrite.shapes.get(layer.node)
    if shape is None or layer.macs == 0:
        return 0
    if layer.node in rewrite.macs:
        return rewrite.macs[layer.node] + along
    if layer.kind not in ("Conv", "Linear", "Norm"):
        return layer.macs  # it reads what it read
    elements = math.prod(shape[1:])
    if layer.kind == "Norm":
        return elements + along
    resize = rewrite.resized.get(layer.module or layer.caller)
    inputs = resize.inputs if resize else (layer.in_channels or 0)
    return elements * inputs * math.prod(layer.kernel or (1,)) // (layer.groups or 1) + along
