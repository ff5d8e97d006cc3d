"""What ONNX Runtime's own profile says about the layers of a net.

The exporter and the runtime melt norms and activations into convolutions and rename what comes out, so that a kernel is
found again by what it was made from: by the name of an exported node, else by the value that it gives. A kernel with
weights is counted with its conv or dense layer, whatever was melted into it.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnngraph.network.graph import LayerGraph
from cnngraph.training.latency import Clock, in_turns
from cnngraph.training.runtimes import onnx_model, onnx_session

__all__ = ["profile_layers"]

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_SCOPES = "pkg.torch.onnx.name_scopes"
_RENAMED = re.compile(r"(_nchwc)?(_token_\d+)?$")


def profile_layers(
    model: nn.Module, graph: LayerGraph, images: torch.Tensor, *, repeats: int, warmup: int, clock: Clock
) -> tuple[dict[str, float], float]:
    """Milliseconds of each layer and of the whole net in ONNX Runtime, medians of passes taken in turns.

    The whole net is timed in a session that profiles nothing. Kernels that belong to no layer (changes of the memory
    layout) are in the whole alone.

    Raises:
        CnngraphError: onnxruntime is not installed. ModelError: the net cannot be exported or run.
    """
    proto = onnx_model(model, images)
    with tempfile.TemporaryDirectory() as folder:
        plain = onnx_session(proto, images.device)
        profiled = onnx_session(proto, images.device, Path(folder) / "profile")
        feed = {plain.get_inputs()[0].name: images.cpu().numpy()}
        passes = {"whole": lambda: plain.run(None, feed), "layers": lambda: profiled.run(None, feed)}
        times = in_turns(passes, repeats=repeats, warmup=warmup, clock=clock)
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    kernels = _kernel_times(events, warmup)
    layers = dict.fromkeys((layer.layer for layer in graph.layers if layer.kind != "Input"), 0.0)
    places = _Places(proto.graph.node, graph)
    for kernel, milliseconds in kernels.items():
        owners = places.layers_of(kernel)
        for layer in owners:
            layers[layer] += milliseconds / len(owners)
    return layers, 1000 * statistics.median(times["whole"])


def _kernel_times(events: Iterable[Mapping[str, Any]], warmup: int) -> dict[tuple[str, str], float]:
    """Median milliseconds of each kernel by (name, operation); ONNX Runtime notes whole microseconds."""
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kernel = (event["name"].removesuffix("_kernel_time"), event["args"]["op_name"])
            taken[kernel].append(event["dur"] / 1000)
    return {kernel: statistics.median(times[warmup:] or times) for kernel, times in taken.items()}


class _Places:
    """Which layers a kernel of the runtime belongs to."""

    def __init__(self, nodes: Iterable[Any], graph: LayerGraph) -> None:
        self._nodes = list(nodes)
        self._by_name = {node.name: i for i, node in enumerate(self._nodes)}
        self._by_output = {value: i for i, node in enumerate(self._nodes) for value in node.output}
        self._in_order = self._matched_in_order(graph)
        self._by_scope: dict[str, list[str]] = defaultdict(list)
        for layer in graph.layers:
            if layer.kind != "Input":
                self._by_scope[layer.module or f"{layer.caller}()"].append(layer.layer)

    def layers_of(self, kernel: tuple[str, str]) -> list[str]:
        """The layers that share the time of a kernel (name, operation); none where it is the runtime's own."""
        name, operation = kernel
        name = _RENAMED.sub("", name.removeprefix("fused "))
        node = self._by_name.get(name, self._by_output.get(name))
        if node is None:
            return []
        weighted = next((kind for kind in _WEIGHTED if operation.endswith(kind)), None)
        if weighted is not None:
            node = self._nearest(node, weighted)
        if node in self._in_order:
            return [self._in_order[node]]
        scopes = [str(scope) for scope in _scopes(self._nodes[node])]
        module = next((scope for scope in reversed(scopes) if scope in self._by_scope), None)
        caller = scopes[-2] if len(scopes) > 1 else ""
        return self._by_scope[module] if module is not None else self._by_scope.get(f"{caller}()", [])

    def _matched_in_order(self, graph: LayerGraph) -> dict[int, str]:
        """Exported convs and dense layers to the net's own, one after the other, where there are as many of both.

        The exporter folds a norm into its conv and names the outcome after the norm, so that scopes do not tell.
        """
        found: dict[int, str] = {}
        for kind, operations in (("Conv", ("Conv",)), ("Linear", ("Gemm", "MatMul"))):
            nodes = [i for i, node in enumerate(self._nodes) if node.op_type in operations]
            layers = [layer.layer for layer in graph.layers if layer.kind == kind]
            if len(nodes) == len(layers):
                found |= dict(zip(nodes, layers, strict=True))
        return found

    def _nearest(self, node: int, operation: str) -> int:
        """The node of this operation from which the value of ``node`` is made in the fewest steps, the first of them.

        Where a sum was melted into a conv, both operands are equally near: the conv on the shortcut comes later in the
        code of every residual block, and has a kernel of its own.
        """
        level = {node}
        while level:
            hits = [i for i in level if self._nodes[i].op_type == operation]
            if hits:
                return min(hits)
            level = {
                self._by_output[value] for i in level for value in self._nodes[i].input if value in self._by_output
            }
        return node


def _scopes(node: Any) -> list[object]:
    texts = [entry.value for entry in node.metadata_props if entry.key == _SCOPES]
    scopes = ast.literal_eval(texts[0]) if texts else []
    return list(scopes)
