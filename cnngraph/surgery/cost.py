"""What a net would cost without some layers: parameters, multiply-accumulates, and an estimate of its latency."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import fx, nn

from cnngraph.errors import PlanError
from cnngraph.modes import evaluation_mode
from cnngraph.network.graph import Layer, LayerGraph, follow
from cnngraph.plan import Plan, Removal, Step
from cnngraph.surgery.anatomy import Body
from cnngraph.surgery.check import resolve
from cnngraph.surgery.incision import Incision

__all__ = ["Cost", "Costs", "layer_latencies"]


@dataclass(frozen=True)
class Cost:
    """Of one net: parameters; multiply-accumulates and estimated milliseconds (or ``None``) for one image."""

    parameters: int
    macs: int
    latency_ms: float | None = None


class Costs:
    """Reckons what cuts of one net cost, without building them: for schedules of many steps.

    Args:
        graph: the followed net. latencies: of its layers, as :func:`layer_latencies` measures them.
    """

    def __init__(self, graph: LayerGraph, latencies: dict[str, float] | None = None) -> None:
        self._graph = graph
        self._body = Body(graph.graph_module)
        self._latencies = latencies

    def without(self, removes: Iterable[str | Removal]) -> Cost:
        """The cost of the net without ``removes`` (names of conv layers, or Removals for blocks).

        Raises:
            PlanError: it cannot be cut so.
        """
        removals = tuple(item if isinstance(item, Removal) else Removal(layer=item) for item in removes)
        incision = resolve(self._body, removals)
        macs = {layer.layer: _macs(layer, incision) for layer in self._graph.layers}
        return Cost(self._parameters(incision), sum(macs.values()), self._latency(incision, macs))

    def annotate(self, plan: Plan) -> Plan:
        """``plan`` with parameters, MACs and latency in each step of its schedule whose net can be built."""
        return plan.model_copy(update={"schedule": tuple(self._annotated(step) for step in plan.schedule)})

    def _annotated(self, step: Step) -> Step:
        try:
            found = self.without(step.removed)
        except PlanError:
            return step
        return step.model_copy(update=asdict(found))

    def _parameters(self, incision: Incision) -> int:
        module = self._graph.graph_module
        total = sum(parameter.numel() for parameter in module.parameters())
        stays = {
            str(node.target) for node in self._body.nodes if node.name in incision.shapes and node.op == "call_module"
        }
        called = {str(node.target) for node in self._body.nodes if node.op == "call_module"}
        total -= sum(_numel(module.get_submodule(path)) for path in called - stays)
        for path, resize in incision.resized.items():
            layer = module.get_submodule(path)
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            kernel = math.prod(layer.kernel_size) if isinstance(layer, nn.Conv2d) else 1
            total += resize.inputs * resize.outputs * kernel + (resize.outputs if layer.bias is not None else 0)
            total -= _numel(layer)
            if resize.norm is not None:
                norm = module.get_submodule(resize.norm)
                total += sum(p.numel() // len(p) * resize.outputs for p in norm.parameters()) - _numel(norm)
        return total

    def _latency(self, incision: Incision, macs: dict[str, int]) -> float | None:
        """The layers' times summed, of resized ones in proportion to their multiply-accumulates."""
        if self._latencies is None:
            return None
        total = 0.0
        for layer in self._graph.layers:
            if layer.node in incision.shapes:
                share = macs[layer.layer] / layer.macs if layer.macs else 1.0
                total += self._latencies.get(layer.layer, 0.0) * share
        return total


def _numel(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _macs(layer: Layer, incision: Incision) -> int:
    shape = incision.shapes.get(layer.node)
    if shape is None or layer.macs == 0:
        return 0
    elements = math.prod(shape[1:])
    if layer.kind not in ("Conv", "Linear"):
        return elements
    resize = incision.resized.get(layer.layer)
    inputs = resize.inputs if resize else (layer.in_channels or 0)
    return elements * inputs * math.prod(layer.kernel or (1,)) // (layer.groups or 1)


def layer_latencies(model: nn.Module, input_shape: tuple[int, int, int], *, repeats: int = 11) -> dict[str, float]:
    """Milliseconds that each layer of ``model`` takes for one image, the median of ``repeats`` passes.

    Every pass times every layer in its place, so that a drift of the machine's speed meets all of them alike.
    """
    graph = follow(model, input_shape)
    module = graph.graph_module
    timer = _Timer(module)
    weight = next(module.parameters())
    image = torch.zeros(1, *input_shape, device=weight.device, dtype=weight.dtype)
    with evaluation_mode(module), torch.no_grad():
        for _ in range(repeats + 2):  # the first two passes warm up
            timer.run(image.clone())
    layers = [layer for layer in graph.layers if layer.kind != "Input"]
    return {layer.layer: 1000 * statistics.median(timer.seconds[layer.node][2:]) for layer in layers}


class _Timer(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seconds: dict[str, list[float]] = {}
        self._cuda = any(parameter.is_cuda for parameter in module.parameters())

    def run_node(self, n: fx.Node) -> Any:
        began = time.perf_counter()
        value = super().run_node(n)
        if self._cuda:
            torch.cuda.synchronize()
        self.seconds.setdefault(n.name, []).append(time.perf_counter() - began)
        return value
