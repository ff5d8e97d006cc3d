"""Scores of filters from the net alone: low goes first, none is negative, and the net stays as it is.

Each gives, by layer of a :class:`~cnngraph.surgery.channels.coupling.Coupling`, one number a filter; a plan divides
them by their mean in the layer, and joins coupled filters. The scores that need the graph are in
:mod:`cnngraph.measures.filters`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from cnngraph.errors import DataError, PlanError, UsageError, nearest
from cnngraph.models.outputs import logits_of
from cnngraph.models.wrappers import unwrapped
from cnngraph.modes import evaluation_mode
from cnngraph.surgery.channels.coupling import Coupling
from cnngraph.vocabulary import IMAGE_SCORES, NET_SCORES

__all__ = [
    "NET_SCORES",
    "TAYLOR_IMAGES",
    "FilterScores",
    "absolute_sum",
    "magnitude",
    "norm_scale",
    "outgoing_magnitude",
    "root_mean_square",
    "score_filters",
    "seeded_order",
    "taylor",
]

FilterScores = dict[str, tuple[float, ...]]

TAYLOR_IMAGES = 256


def score_filters(
    model: nn.Module,
    coupling: Coupling,
    score: str = "magnitude",
    *,
    loader: Iterable[Any] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    classes: int | None = None,
) -> FilterScores:
    """The score of that name of every filter of ``model``, for :func:`cnngraph.pruning.filters.plan_filters`.

    Args:
        coupling: what :func:`cnngraph.surgery.channels.coupling.coupled` found in the net.
        score: one of :data:`NET_SCORES`.
        loader: batches of (images, labels), training data, which :data:`IMAGE_SCORES` need.
        seed: decides ``random``.
        device: where these are computed. classes: of the data, by which it finds the logits among several outputs.

    Raises:
        UsageError: there is no such score, or one that reads images is given none.
        PlanError: ``bn`` of a net without norms.
    """
    model = unwrapped(model)
    if score not in NET_SCORES:
        raise UsageError(f"The net itself gives no score {score!r}.", nearest(score, NET_SCORES))
    if score in IMAGE_SCORES:
        if loader is None:
            raise UsageError(f"The score {score} needs training images.", "Give a loader of (images, labels).")
        if score == "taylor":
            return taylor(model, coupling, loader, device=device, classes=classes)
        from cnngraph.surgery.channels.response_scores import response_scores

        return response_scores(model, coupling, cast("Any", score), loader, device=device)
    if score == "random":
        return seeded_order(coupling, seed)
    return _OF_WEIGHTS[score](model, coupling)


def magnitude(model: nn.Module, coupling: Coupling) -> FilterScores:
    """The L2 norm of each filter's weights, biases left out; as the measure ``magnitude`` of the graph.

    Norm instead of L1 (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017): our choice, since under the
    usual initialisation its square does not depend on the filter's size.
    """
    return {layer: _listed(_filters(model, layer).norm(dim=1)) for layer in coupling.layers}


def absolute_sum(model: nn.Module, layer: str) -> tuple[float, ...]:
    """The L1 norm of the weights of each filter of one layer, biases left out (Li et al., ICLR 2017)."""
    return _listed(_filters(model, layer).abs().sum(dim=1))


def root_mean_square(model: nn.Module, coupling: Coupling) -> FilterScores:
    """The root of the mean square of each filter's weights: within a layer it ranks as :func:`magnitude` does."""
    return {layer: _listed(_filters(model, layer).square().mean(dim=1).sqrt()) for layer in coupling.layers}


def outgoing_magnitude(model: nn.Module, coupling: Coupling) -> FilterScores:
    """The L2 norm of all weights by which other layers read a filter, or what is coupled with it; 0 where none do.

    A filter that a layer reads which makes its weights (weight norm, say) has NaN, so no score.
    """
    squares = np.zeros(int(coupling.classes.max()) + 1)
    for axis in coupling.dependencies.axes.values():
        weight = getattr(model.get_submodule(axis.owner), axis.name, None) if axis.reads else None
        if isinstance(weight, Tensor):
            by_channel = weight.detach().double().movedim(axis.axis, 0).flatten(1).square().sum(1).cpu().numpy()
            np.add.at(squares, coupling.classes[axis.labels], by_channel)
    for path, labels in coupling.dependencies.inputs.items():
        if path in coupling.dependencies.kernels:
            squares[coupling.classes[labels]] = np.nan
    outputs = coupling.dependencies.outputs
    return {layer: tuple(np.sqrt(squares[coupling.classes[outputs[layer]]]).tolist()) for layer in coupling.layers}


def norm_scale(model: nn.Module, coupling: Coupling) -> FilterScores:
    """|gamma| of the norms that scale a filter's channel (Liu et al., "Network Slimming", ICCV 2017).

    Each norm's |gamma| are divided by their mean, and where several norms read a channel their mean counts. A filter
    that no norm with a gamma reads has NaN, so no score.

    Raises:
        PlanError: the net has no such norm.
    """
    gammas = {
        name: weight.detach().double().abs()
        for name in dict.fromkeys(name for group in coupling.groups for name, _ in group.norms)
        if isinstance(weight := getattr(model.get_submodule(name), "weight", None), Tensor)
    }
    if not gammas:
        raise PlanError("The net has no norm with a scale, so there is no score bn.", "Use {score=magnitude}.")
    relative = {name: (gamma / gamma.mean() if gamma.mean() > 0 else gamma).tolist() for name, gamma in gammas.items()}
    scores = {layer: [math.nan] * width for layer, width in coupling.layers.items()}
    for group in coupling.groups:
        read = [relative[name][channel] for name, channel in group.norms if name in relative]
        if read:
            for layer, channel in group.filters:
                scores[layer][channel] = math.fsum(read) / len(read)
    return {layer: tuple(values) for layer, values in scores.items()}


def taylor(
    model: nn.Module,
    coupling: Coupling,
    batches: Iterable[Any],
    *,
    images: int = TAYLOR_IMAGES,
    device: torch.device | str = "cpu",
    classes: int | None = None,
) -> FilterScores:
    """|sum of w * dL/dw| over each filter's weights and bias: what the loss would change without it, to first order.

    Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8 before its square, which
    leaves the order as it is. L is the mean cross-entropy over the images, in eval mode, so norms use the statistics
    that they have.

    Args:
        model: the net; it is copied.
        coupling: of that net.
        batches: (images, labels), training data; read until so many images were seen.
        images: how many, about.
        device: where it is computed. classes: of the data, see :func:`cnngraph.models.outputs.logits_of`.

    Raises:
        DataError: there is no image. ModelError: the net gives no logits.
    """
    net = copy.deepcopy(model).to(device)
    for parameter in net.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    seen = 0
    with evaluation_mode(net), torch.enable_grad():
        for inputs, labels in batches:
            logits = logits_of(net(inputs.to(device)), len(inputs), classes).values
            loss = nn.functional.cross_entropy(logits, labels.to(device), reduction="sum")
            loss.backward()  # type: ignore[no-untyped-call]
            seen += len(inputs)
            if seen >= images:
                break
    if not seen:
        raise DataError("There is no image to take the gradient on.", "Give batches of (images, labels).")
    return {
        layer: _listed(_saliency(net.get_submodule(layer), width).abs() / seen)
        for layer, width in coupling.layers.items()
    }


def seeded_order(coupling: Coupling, seed: int) -> FilterScores:
    """The null: numbers that follow from the seed alone, uniform in 0..1."""
    rng = np.random.default_rng(seed)
    return {layer: tuple(rng.random(width).tolist()) for layer, width in coupling.layers.items()}


def _filters(model: nn.Module, layer: str) -> Tensor:
    """The weights of a layer's filters, float64, shape (filters, weights of one)."""
    module = model.get_submodule(layer)
    assert isinstance(module.weight, Tensor)
    return _by_filter(module, module.weight.detach().double())


def _by_filter(module: nn.Module, weight: Tensor) -> Tensor:
    """``weight`` of ``module`` as (filters, weights of one): a transposed conv has (inputs, outputs / groups, ...)."""
    if not isinstance(module, nn.modules.conv._ConvTransposeNd):
        return weight.flatten(1)
    return torch.unflatten(weight, 0, (module.groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1)


def _saliency(module: nn.Module, width: int) -> Tensor:
    """Sum of w * dL/dw over weight and bias of each filter, shape (width,); what the loss does not reach has 0."""
    total = torch.zeros(width, dtype=torch.float64)
    for parameter in module.parameters():  # of parametrizations too
        if parameter.grad is not None and parameter.dim() > 0:
            product = parameter.detach().double() * parameter.grad.double()
            rows = _by_filter(module, product) if parameter.dim() > 1 else product.unsqueeze(1)
            if len(rows) == width:  # not one number for all
                total += rows.sum(1).cpu()
    return total


def _listed(values: Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())


_OF_WEIGHTS: dict[str, Callable[[nn.Module, Coupling], FilterScores]] = {
    "magnitude": magnitude,
    "outgoing": outgoing_magnitude,
    "rms": root_mean_square,
    "bn": norm_scale,
}
