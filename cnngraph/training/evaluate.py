"""How good a classifier is: accuracy, macro precision and recall, Cohen's kappa; precision and recall per class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from cnngraph.console import Progress, Quiet
from cnngraph.datasets.images import Images, loader
from cnngraph.errors import DataError, ModelError
from cnngraph.models.outputs import logits_of
from cnngraph.modes import evaluation_mode
from cnngraph.training.execution import image_type, pick_device

__all__ = ["Evaluation", "evaluate", "scores"]


@dataclass(frozen=True)
class Evaluation:
    """Scores on a set of images.

    Attributes:
        accuracy: share of images whose class is right, 0..1.
        precision, recall: means over the classes (macro); a class that is never predicted has precision 0, and one
            that is neither there nor predicted does not count.
        kappa: Cohen's: how much more often the class is right than by chance, of what chance leaves (Cohen, "A
            Coefficient of Agreement for Nominal Scales", 1960); 1 is perfect, 0 chance, also where there is one class.
        loss: mean cross-entropy, in nats.
        images: how many were judged.
        per_class: for each class index precision, recall and images.
        confusion: int64 of shape (classes, classes); rows are true classes, columns predicted ones.
    """

    accuracy: float
    precision: float
    recall: float
    kappa: float
    loss: float
    images: int
    per_class: tuple[dict[str, float], ...]
    confusion: NDArray[np.int64]

    def as_json(self) -> dict[str, Any]:
        """Everything but the confusion matrix, as a JSON object."""
        return {
            "accuracy": self.accuracy,
            "precision": self.precision,
            "recall": self.recall,
            "kappa": self.kappa,
            "loss": self.loss,
            "images": self.images,
            "per_class": list(self.per_class),
        }


def evaluate(
    model: nn.Module,
    images: Images | Iterable[tuple[torch.Tensor, torch.Tensor]],
    *,
    classes: int | None = None,
    batch_size: int = 256,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
) -> Evaluation:
    """Judge ``model`` in eval mode, in the precision of its weights; its modes are restored, it stays on ``device``.

    Args:
        model: a classifier: images -> logits of shape (N, classes), alone or in one of the forms of
            :mod:`cnngraph.models.outputs`.
        images: an Images, or batches of (images, labels).
        classes: of the data; by default as many as the labels of an Images say.
        batch_size: of an Images.
        device: auto, cpu or cuda.
        progress: told of every batch.

    Raises:
        DataError: there are no images.
        ModelError: there are no logits; or they are not finite, or fewer than the classes of the data.
    """
    batches = loader(images, batch_size=batch_size) if isinstance(images, Images) else images
    shown = progress or Quiet()
    shown.start("Evaluating", len(images) if isinstance(images, Images) else None)
    place, dtype = pick_device(device), image_type(model)
    model.to(place)
    if classes is None and isinstance(images, Images) and len(images):
        classes = int(images.labels.max()) + 1
    confusion: NDArray[np.int64] | None = None
    loss = 0.0
    with evaluation_mode(model), torch.inference_mode():
        for pictures, labels in batches:
            logits = logits_of(model(pictures.to(place, dtype)), len(pictures), classes).values.float().cpu()
            width = logits.shape[1]
            if confusion is None:
                confusion = np.zeros((width, width), dtype=np.int64)
            if int(labels.max()) >= width:
                raise ModelError(
                    f"The net has {width} outputs, but the data has a class number {int(labels.max())}.",
                    "Build it with as many outputs as the data has classes.",
                )
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
            np.add.at(confusion, (labels.numpy(), logits.argmax(dim=1).numpy()), 1)
            shown.advance(len(labels))
    if confusion is None or not confusion.sum():
        raise DataError("There are no images to evaluate on.", "Give the data more images.")
    if not np.isfinite(loss):
        raise ModelError("The net's outputs are NaN or infinite.", "Train it again with a lower --learning-rate.")
    return scores(confusion, loss / int(confusion.sum()))


def scores(confusion: NDArray[np.int64], loss: float = float("nan")) -> Evaluation:
    """All scores from a confusion matrix (rows true, columns predicted).

    >>> found = scores(np.array([[3, 1], [0, 4]]))
    >>> found.recall, found.kappa
    (0.875, 0.75)
    """
    right = np.diag(confusion).astype(float)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    recall = np.divide(right, true, out=np.zeros_like(right), where=true > 0)
    precision = np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0)
    seen = (true + predicted) > 0
    accuracy = right.sum() / true.sum()
    by_chance = float((true.astype(float) * predicted).sum()) / float(true.sum()) ** 2
    return Evaluation(
        accuracy=float(accuracy),
        precision=float(precision[seen].mean()),
        recall=float(recall[seen].mean()),
        kappa=float((accuracy - by_chance) / (1 - by_chance)) if by_chance < 1 else 0.0,
        loss=loss,
        images=int(true.sum()),
        per_class=tuple(
            {"precision": float(p), "recall": float(r), "images": int(n)}
            for p, r, n in zip(precision, recall, true, strict=True)
        ),
        confusion=confusion,
    )
