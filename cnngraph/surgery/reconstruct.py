"""Reconstruction: the layers that read removed filters are refitted to the outputs that they gave before.

A conv or dense layer that lost inputs gets, by least squares on training images, the weights with which its outputs
before the norm come nearest to the old net's; layer by layer in network order, so that each makes up for what those
before it left. No labels and no training. Source: Luo et al., ThiNet (ICCV 2017), section 3.3, and He et al., Channel
Pruning for Accelerating Very Deep Neural Networks (ICCV 2017), section 3.1; here with biases, ridge and the whole net.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from torch import nn

from cnngraph.console import Progress, Quiet
from cnngraph.models.wrappers import unwrapped
from cnngraph.plan import Plan
from cnngraph.surgery.calibration import IMAGES, fitting_images, input_shape_of
from cnngraph.surgery.channels.coupling import Coupling, coupled
from cnngraph.surgery.layers.joints import Join, obstacle_to_refit
from cnngraph.surgery.layers.net_structure import NetStructure, read_structure
from cnngraph.surgery.layers.refit import Refitted, refit

__all__ = ["reconstruct"]


def reconstruct(
    model: nn.Module,
    slim: nn.Module,
    plan: Plan,
    *,
    loader: Iterable[Any],
    input_shape: tuple[int, int, int] | None = None,
    seed: int = 0,
    images: int = IMAGES,
    progress: Progress | None = None,
) -> tuple[Refitted, ...]:
    """Refit, in ``slim``, every layer that lost inputs with the filters of ``plan``; ``model`` stays as it is.

    The structure is proven before this, on the user's own weights: see :func:`cnngraph.surgery.verify.verify`.

    Args:
        model: the net that ``plan`` was for. slim: what :func:`cnngraph.surgery.apply.apply` made of it.
        loader: training images as (images, labels) batches. input_shape: by default that of the loader's images.
        seed: of the images and places that are looked at. images: how many training images are.

    Returns:
        By layer, in network order, its relative error, or why its weights stayed; none where no filters went.

    Raises:
        PlanError: the plan does not fit the net. DataError: the loader gives no images.
    """
    model, slim = unwrapped(model), unwrapped(slim)
    shape = input_shape or input_shape_of(model, loader)
    joins = list(_readers(coupled(model, shape), plan, read_structure(slim, shape)))
    batches = fitting_images(loader, images=images, seed=seed)
    return tuple(refit(model, slim, joins, batches, seed, progress or Quiet()))


def _readers(coupling: Coupling, plan: Plan, structure: NetStructure) -> Iterator[Join]:
    """The layers of the slim net that read fewer channels than before, as wide as the plan's filters leave them.

    A layer that is resized at the gap of a removed layer too was refitted there.
    """
    gone = coupling.gone(coupling.closure(plan.filters))
    for node in {structure.path(node): node for node in structure.nodes if structure.is_weighted(node)}.values():
        path, layer = structure.path(node), structure.module(node)
        if (
            path not in coupling.dependencies.inputs
            or not isinstance(layer, nn.Conv2d | nn.Linear)
            or _depthwise(layer)
        ):
            continue
        lost = gone[coupling.dependencies.inputs[path]]
        kept = np.flatnonzero(~gone[coupling.dependencies.outputs[path]])
        if lost.any() and _widths(layer) == (int((~lost).sum()), len(kept)):
            obstacle = obstacle_to_refit(structure, node)
            yield Join(path, path, first=True, obstacle=obstacle, kept=tuple(kept.tolist()))


def _depthwise(layer: nn.Conv2d | nn.Linear) -> bool:
    """Whether every filter reads one channel, with which it went: what is left reads what it read."""
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1


def _widths(layer: nn.Conv2d | nn.Linear) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels
