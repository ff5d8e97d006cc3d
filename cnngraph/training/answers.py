"""Which class a net gives each image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cnngraph.console import Progress, Quiet
from cnngraph.datasets.images import Images, loader
from cnngraph.errors import ModelError
from cnngraph.models.outputs import logits_of
from cnngraph.modes import evaluation_mode
from cnngraph.training.execution import image_type, pick_device

__all__ = ["answer"]


def answer(
    model: nn.Module,
    images: Images,
    *,
    classes: int | None = None,
    batch_size: int = 256,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
) -> npt.NDArray[np.int64]:
    """The output of the largest logit for each image, int64 of shape (images,).

    The net runs in eval mode, in the precision of its weights; its modes are restored, it stays on ``device``.

    Args:
        classes: how many outputs it is known to have.

    Raises:
        ModelError: there are no logits, or they are NaN or infinite.
    """
    shown = progress or Quiet()
    place, dtype = pick_device(device), image_type(model)
    model.to(place)
    given: list[npt.NDArray[np.int64]] = []
    with evaluation_mode(model), torch.inference_mode():
        for pictures, _ in loader(images, batch_size=batch_size):
            logits = logits_of(model(pictures.to(place, dtype)), len(pictures), classes).values.float()
            if not bool(torch.isfinite(logits).all()):
                raise ModelError("The net's outputs are NaN or infinite.", "Train it again with a lower learning rate.")
            given.append(logits.argmax(dim=1).cpu().numpy())
            shown.advance(len(pictures))
    return np.concatenate(given) if given else np.zeros(0, dtype=np.int64)
