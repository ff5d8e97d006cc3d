"""How well the answer of a filter, pooled over its places, tells the classes apart: Fisher's ratio of variances."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from cnngraph.errors import DataError, PlanError
from cnngraph.modes import evaluation_mode
from cnngraph.network.channels import Maps, channel_dim
from cnngraph.network.followed_net import FollowedNet
from cnngraph.training.execution import image_type

__all__ = ["FISHER_IMAGES", "LARGEST_RATIO", "fisher_ratios", "separation"]

FISHER_IMAGES = 1024
LARGEST_RATIO = 1e12  # of an answer that never varies within the classes, and does between them
_ROUNDING = 1e-12  # of the largest answer of a filter

Floats = npt.NDArray[np.float64]


def fisher_ratios(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    layer: str,
    batches: Iterable[Any],
    *,
    images: int = FISHER_IMAGES,
    device: torch.device | str = "cpu",
) -> tuple[float, ...]:
    """For each filter of ``layer``, :func:`separation` of its answers: their mean over the places of an image, read
    where the graph reads a feature map (after the activation that belongs to the layer, else its norm).

    Args:
        batches: (images, labels), read until so many ``images`` were seen, about.
        device: where a copy of the net runs.

    Raises:
        DataError: there is no image. PlanError: the layer does not answer channel by channel.
    """
    net = copy.deepcopy(model).to(device)
    run, dtype = _Pooled(net, input_shape, layer), image_type(net)
    if not run.places:
        raise PlanError(f"{layer} does not answer channel by channel.", "Choose by {criterion=l1}.")
    answers: list[Tensor] = []
    labels: list[Tensor] = []
    with evaluation_mode(net), torch.no_grad():
        for inputs, classes in batches:
            answers.append(run.of(inputs.to(device, dtype)))
            labels.append(classes)
            if sum(map(len, labels)) >= images:
                break
    if not labels:
        raise DataError("There is no image to score filters by fisher on.", "Give batches of (images, labels).")
    return tuple(separation(torch.cat(answers).numpy(), torch.cat(labels).numpy()).tolist())


def separation(answers: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Variance between the means of the classes over the variance within the classes, each weighted by its images.

    0 where nothing varies; :data:`LARGEST_RATIO` at most, as where the classes differ and nothing varies within them.

    >>> answers = np.array([[0.0, 1.0, 5.0], [0.0, 3.0, 5.0], [4.0, 2.0, 5.0], [4.0, 6.0, 5.0]])
    >>> separation(answers, np.array([0, 0, 1, 1])).tolist()
    [1000000000000.0, 0.4, 0.0]

    Args:
        answers: (images, filters). labels: (images,).
    """
    between, within = np.zeros(answers.shape[1]), np.zeros(answers.shape[1])
    mean = answers.mean(axis=0)
    for label in np.unique(labels):
        mine = answers[labels == label]
        between += len(mine) * (mine.mean(axis=0) - mean) ** 2
        within += ((mine - mine.mean(axis=0)) ** 2).sum(axis=0)
    rounding = len(answers) * (_ROUNDING * np.abs(answers).max(axis=0)) ** 2  # means of equal numbers may differ by it
    ratio = np.divide(between, within, out=np.full_like(between, LARGEST_RATIO), where=within > rounding)
    found: Floats = np.where(between > rounding, np.minimum(ratio, LARGEST_RATIO), 0.0)
    return found


class _Pooled(fx.Interpreter):
    """The net, run step by step; notes what each filter of one layer answers to each image, pooled over its places."""

    def __init__(self, model: nn.Module, shape: tuple[int, int, int], name: str) -> None:
        graph = FollowedNet(model, shape).graph
        super().__init__(graph.graph_module, garbage_collect_values=True)
        nodes = {node.name: node for node in graph.graph_module.graph.nodes}
        self.places: dict[fx.Node, int] = {}
        for layer in graph.layers:
            if (layer.shared_with or layer.layer) == name:
                response = Maps.response(graph, layer.layer)
                dim = channel_dim(nodes[response.node], "Linear" if layer.kind == "Linear" else response.kind)
                if dim is not None:
                    self.places[nodes[response.node]] = dim
        self.found: list[Tensor] = []

    def of(self, images: Tensor) -> Tensor:
        """float64 (images, filters), the mean over the calls of the layer."""
        self.found = []
        self.run(images)
        return torch.stack(self.found).mean(0)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self.places:
            pooled = value.movedim(self.places[n], 1).flatten(2) if value.dim() > 2 else value.unsqueeze(-1)
            self.found.append(pooled.mean(2, dtype=torch.float64).cpu())
        return value
