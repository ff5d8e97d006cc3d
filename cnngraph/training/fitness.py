"""Whether a net can be trained on these images at all: said before the first step."""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.datasets.images import Images
from cnngraph.errors import ModelError
from cnngraph.modes import evaluation_mode
from cnngraph.training.execution import image_type

__all__ = ["require_trainable"]


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
    output = _output(model, images)
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise ModelError("The net's output is no matrix of logits (images, classes).", "Give a classifier.")
    if output.shape[1] <= int(images.labels.max()):
        raise ModelError(
            f"The net has {output.shape[1]} outputs, but the data has {int(images.labels.max()) + 1} classes.",
            "Build it with as many outputs as the data has classes, or use --new-head.",
        )


def _output(model: nn.Module, images: Images) -> object:
    """What the net makes of two images."""
    place = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    sample, _ = images[range(2)]
    try:
        with evaluation_mode(model), torch.no_grad():
            return model(sample.to(place, image_type(model)))
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
        shape = " x ".join(str(side) for side in sample.shape[1:])
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ModelError(
            f"The net cannot read images of {shape}: {reason}.", "Check --size and the channels."
        ) from error
