"""How well a net can do without each single conv, before any training: the error of the least-squares join."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from cnngraph.console import Progress, Quiet
from cnngraph.errors import PlanError
from cnngraph.models.wrappers import unwrapped
from cnngraph.plan import Removal
from cnngraph.surgery.calibration import fitting_images, input_shape_of
from cnngraph.surgery.check import resolve
from cnngraph.surgery.layers.apply_edits import apply_edits
from cnngraph.surgery.layers.list_edits import list_edits
from cnngraph.surgery.layers.net_structure import read_structure
from cnngraph.surgery.layers.refit import refit

__all__ = ["IMAGES", "join_errors"]

IMAGES = 256  # training images that each join is fitted on


def join_errors(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    input_shape: tuple[int, int, int] | None = None,
    images: int = IMAGES,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, float]:
    """For each conv, in network order, the largest relative error of the joins at its gap; 0 is a perfect join.

    The conv is cut out of a copy by itself, with what has to go with it, and the layers at the gap are refitted by
    least squares to what they gave before; the error is that of :class:`cnngraph.surgery.layers.least_squares.Fit`.
    Convs that cannot go, or at whose gap nothing can be refitted, have none. Nothing is trained; ``model``
    stays as it is.

    Args:
        loader: training images as (images, labels) batches.
        input_shape: (channels, height, width); by default what the loader says.
        images: how many images the joins are fitted on. seed: of the images and the places.

    Raises:
        TraceError, ModelError: the net cannot be followed. DataError: the loader gives no images.
    """
    told = progress or Quiet()
    net = unwrapped(model)
    batches = fitting_images(loader, images=images, seed=seed)
    structure = read_structure(net, input_shape or input_shape_of(net, loader))
    convs = list(dict.fromkeys(str(conv.target) for conv in structure.convs))
    errors: dict[str, float] = {}
    for number, conv in enumerate(convs, 1):
        told.start(f"Joining the ends of {conv} ({number} of {len(convs)})")
        try:
            rewrite = resolve(structure, (Removal(layer=conv),))
        except PlanError:
            continue
        slim = apply_edits(net, list_edits(rewrite), seed)
        found = [join.relative_error for join in refit(net, slim, rewrite.joins, batches, seed, Quiet())]
        known = [error for error in found if error is not None]
        if known:
            errors[conv] = max(known)
    return errors
