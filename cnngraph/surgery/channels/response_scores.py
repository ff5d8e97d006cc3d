"""Scores of filters from what they answer to images: mean activation, and how often they answer at all.

Both are read where the graph reads a feature map: after the activation that belongs to the layer, else its norm, else
the layer itself (:meth:`cnngraph.network.channels.Maps.response`). Low goes first, none is negative.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from cnngraph.errors import DataError
from cnngraph.modes import evaluation_mode
from cnngraph.network.channels import Maps, channel_dim
from cnngraph.network.followed_net import FollowedNet
from cnngraph.surgery.channels.coupling import Coupling
from cnngraph.training.execution import image_type

__all__ = ["RESPONSE_IMAGES", "response_scores"]

RESPONSE_IMAGES = 256


def response_scores(
    model: nn.Module,
    coupling: Coupling,
    score: Literal["activation", "apoz"],
    batches: Iterable[Any],
    *,
    images: int = RESPONSE_IMAGES,
    device: torch.device | str = "cpu",
) -> dict[str, tuple[float, ...]]:
    """By layer the score of each filter.

    Args:
        score: ``activation``: the mean of |response| over images and places. ``apoz``: the share of values that are
            not zero, 1 - APoZ of Hu et al., "Network Trimming", 2016, so that low goes first.
        batches: (images, labels) on which it is computed; read until so many ``images`` were seen, about.
        device: where a copy of the net runs.

    Raises:
        DataError: there is no image. ModelError, TraceError: the net cannot be followed.
    """
    seen = 0
    sums: dict[str, list[Tensor]] = {}
    run: _Responses | None = None
    model = copy.deepcopy(model).to(device)
    dtype = image_type(model)
    with evaluation_mode(model), torch.no_grad():
        for inputs, _ in batches:
            if run is None:
                run = _Responses(model, tuple(inputs.shape[1:]), coupling, score)
            for layer, calls in run.of(inputs.to(device, dtype)).items():
                known = sums.setdefault(layer, [torch.zeros_like(call) for call in calls])
                sums[layer] = [one + len(inputs) * call for one, call in zip(known, calls, strict=True)]
            seen += len(inputs)
            if seen >= images:
                break
    if not seen:
        raise DataError(f"There is no image to score filters by {score} on.", "Give batches of (images, labels).")
    scores = {layer: torch.stack(calls).mean(0) / seen for layer, calls in sums.items()}
    return {layer: tuple(values.tolist()) for layer, values in scores.items()}


class _Responses(fx.Interpreter):
    """The net, run step by step; notes what each filter gives on average."""

    def __init__(self, model: nn.Module, shape: Any, coupling: Coupling, score: str) -> None:
        graph = FollowedNet(model, shape).graph
        super().__init__(graph.graph_module, garbage_collect_values=True)
        nodes = {node.name: node for node in graph.graph_module.graph.nodes}
        self.score = score
        self.places: dict[fx.Node, list[tuple[str, int]]] = {}
        for layer in graph.layers:
            named = layer.shared_with or layer.layer
            if named in coupling.layers and layer.out_channels is not None:
                response = Maps.response(graph, layer.layer)
                node = nodes[response.node]
                dim = channel_dim(node, "Linear" if layer.kind == "Linear" else response.kind)
                if dim is not None:
                    self.places.setdefault(node, []).append((named, dim))
        self.found: dict[str, list[Tensor]] = {}

    def of(self, images: Tensor) -> Mapping[str, list[Tensor]]:
        """By layer, for each of its calls the mean over images and places: float64 (filters,)."""
        self.found = {}
        self.run(images)
        return self.found

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        for layer, dim in self.places.get(n, ()):
            spread = value.movedim(dim, 0).flatten(1)
            told = spread.ne(0).double() if self.score == "apoz" else spread.double().abs()
            self.found.setdefault(layer, []).append(told.mean(1).cpu())
        return value
