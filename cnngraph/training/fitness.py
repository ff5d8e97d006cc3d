"""Whether a net can be judged and trained on these images at all: said before any long work."""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.datasets.images import Images
from cnngraph.errors import ModelError, explain
from cnngraph.models.outputs import Logits, logits_of
from cnngraph.modes import evaluation_mode
from cnngraph.training.execution import image_type

__all__ = ["require_classifier", "require_trainable"]


def require_classifier(model: nn.Module, images: torch.Tensor, classes: int | None = None) -> Logits:
    """The logits of ``model`` for a few images (N, channels, height, width), in eval mode.

    Args:
        classes: how many the data has.

    Raises:
        ModelError: it cannot read such images; or its output has no logits, or too few, or several that may be meant.
    """
    place = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        with evaluation_mode(model), torch.no_grad():
            output = model(images.to(place, image_type(model)))
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError, KeyError, AttributeError) as error:
        shape = " x ".join(str(side) for side in images.shape[1:])
        reason = explain(error)
        raise ModelError(
            f"The net cannot read images of {shape}: {reason}.", "Check --size and the channels."
        ) from error
    return logits_of(output, len(images), classes)


def require_trainable(model: nn.Module, images: Images) -> None:
    """Return if ``model`` reads such images, has an output for every class, and weights finer than half precision.

    Raises:
        ModelError: one of these is not so.
    """
    dtype = image_type(model)
    if dtype.itemsize < torch.float32.itemsize:  # a step of the optimizer would be lost in their rounding
        raise ModelError(
            f"The weights are {str(dtype).removeprefix('torch.')}, too coarse to be trained.",
            "Train them as float32 (model.float()); on CUDA that computes in half precision all the same.",
        )
    sample, _ = images[range(min(2, len(images)))]
    require_classifier(model, sample, int(images.labels.max()) + 1)
