"""How far two nets agree on the same images: the answer, the probabilities and the logits of the one and of the other.

A cut net that equals the masked one, trains and exports may still have nothing to do with the net that it was cut from:
its classifier was replaced, or the layers at a gap could not be joined. That shows before any training on real images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cnngraph.console import Progress, Quiet
from cnngraph.datasets.images import Images
from cnngraph.errors import DataError, ModelError
from cnngraph.models.outputs import logits_of
from cnngraph.modes import evaluation_mode
from cnngraph.training.execution import image_type, pick_device

__all__ = ["MOST_IMAGES", "Agreement", "agreement", "compare"]

MOST_IMAGES = 2000
_BATCH = 64
_STANDARD_ERRORS = 2.0
_UNRELATED = 0.2  # a correlation below it says that the new logits do not follow the old ones
_CONSTANT = 1e-6  # spread of logits as a share of their size, below which they are one number but for rounding


@dataclass(frozen=True)
class Agreement:
    """What two nets have in common on the same images.

    Attributes:
        images: how many.
        same_class: share of the images to which both give the same class.
        kl: mean over the images of the Kullback-Leibler divergence, in nats, from the old net's probabilities (softmax)
            to the new net's: sum over classes of p_old (log p_old - log p_new); 0 where they are the same.
        correlation: Pearson's, of the old and the new logits over all images and classes, after each image's mean was
            taken off, since a softmax does not see it; ``None`` where the logits of one net are one number an image.
        chance: share of images on which a net agrees that always gives the class which the old net gives most often.
    """

    images: int
    same_class: float
    kl: float
    correlation: float | None
    chance: float

    @property
    def by_chance(self) -> bool:
        """Whether the classes agree no more often than by chance, but for two standard errors; not where all agree."""
        error = math.sqrt(self.chance * (1 - self.chance) / self.images)
        return self.same_class < 1 and self.same_class <= self.chance + _STANDARD_ERRORS * error

    @property
    def unrelated(self) -> bool:
        """Whether the new net's answers or logits have nothing to do with the old net's."""
        return self.by_chance or self.correlation is None or self.correlation < _UNRELATED

    def as_json(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        return {
            "images": self.images,
            "same_class": self.same_class,
            "kl": self.kl,
            "correlation": self.correlation,
            "chance": self.chance,
            "unrelated": self.unrelated,
        }

    @property
    def words(self) -> str:
        """
        >>> Agreement(200, 0.93, 0.214, 0.981, 0.12).words
        'the same class for 93.0 % of them (12.0 % by chance), KL 0.214 nats, correlation of the logits 0.98'
        """
        related = "-" if self.correlation is None else f"{self.correlation:.2f}"
        return (
            f"the same class for {100 * self.same_class:.1f} % of them "
            f"({100 * self.chance:.1f} % by chance), KL {self.kl:.3g} nats, correlation of the logits {related}"
        )


class _Sums:
    """What is summed over the images; float64."""

    def __init__(self) -> None:
        self.images, self.same, self.kl = 0, 0, 0.0
        self.products = np.zeros(3)  # old x old, new x new, old x new, of centred logits
        self.squares = np.zeros(2)  # of the logits as they are
        self.answers: Tensor | None = None  # how often the old net gives each class

    def add(self, old: Tensor, new: Tensor) -> None:
        """Add the logits (images, classes) of a batch."""
        both = torch.stack((old, new)).double()
        if not bool(torch.isfinite(both).all()):
            which = "old" if not bool(torch.isfinite(both[0]).all()) else "new"
            raise ModelError(
                f"The logits of the {which} net are NaN or infinite.", "Check its weights and the preprocessing."
            )
        answers = both.argmax(2)
        logs = both.log_softmax(2)
        centred = both - both.mean(2, keepdim=True)
        flat = centred.flatten(1)
        products = flat @ flat.T
        counts = torch.bincount(answers[0], minlength=old.shape[1])
        self.answers = counts if self.answers is None else self.answers + counts
        self.images += len(old)
        self.same += int((answers[0] == answers[1]).sum())
        self.kl += float((logs[0].exp() * (logs[0] - logs[1])).sum())
        self.products += np.array([float(products[0, 0]), float(products[1, 1]), float(products[0, 1])])
        self.squares += both.square().flatten(1).sum(1).cpu().numpy()

    def result(self) -> Agreement:
        assert self.answers is not None
        spread = self.products[:2]
        constant = bool((spread <= _CONSTANT**2 * self.squares).any())
        correlation = None if constant else float(self.products[2] / math.sqrt(spread[0]) / math.sqrt(spread[1]))
        return Agreement(
            images=self.images,
            same_class=self.same / self.images,
            kl=max(0.0, self.kl / self.images),  # below by rounding alone
            correlation=correlation if correlation is None else min(1.0, max(-1.0, correlation)),
            chance=int(self.answers.max()) / self.images,
        )


def compare(batches: Iterable[tuple[Tensor, Tensor]]) -> Agreement:
    """The agreement of (old, new) logits, batch by batch, each of shape (images, classes); no batch is kept.

    >>> same = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> found = compare([(same, same)])
    >>> found.same_class, found.kl, round(found.correlation, 12), found.chance
    (1.0, 0.0, 1.0, 0.5)

    Raises:
        DataError: there is no image. ModelError: logits are NaN or infinite, or of different shapes.
    """
    sums = _Sums()
    for old, new in batches:
        if old.shape != new.shape:
            raise ModelError(f"The old net's logits have shape {tuple(old.shape)}, the new net's {tuple(new.shape)}.")
        sums.add(old, new)
    if not sums.images:
        raise DataError("There are no images to compare the nets on.", "Give the data more images.")
    return sums.result()


def agreement(
    old: nn.Module,
    new: nn.Module,
    images: Images,
    *,
    classes: int | None = None,
    most: int = MOST_IMAGES,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
) -> Agreement | None:
    """Compare two nets in eval mode on at most ``most`` of ``images``, evenly spread over their order.

    One pass, both nets over the same batch; memory does not depend on the number of images. Modes are restored, the
    nets stay on ``device``.

    Args:
        classes: of the data, by which the logits are found among several outputs; by default as the labels say.

    Returns:
        ``None`` where there are no images.

    Raises:
        ModelError: a net gives no logits, or NaN or infinite ones.
    """
    if not len(images):
        return None
    rows = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(np.int64)
    count = int(images.labels.max()) + 1 if classes is None else classes
    shown = progress or Quiet()
    shown.start("Comparing the logits of the old and the new net", len(rows))
    place = pick_device(device)
    nets = [(net.to(place), image_type(net)) for net in (old, new)]

    def logits(net: nn.Module, pictures: Tensor) -> Tensor:
        return logits_of(net(pictures), len(pictures), count).values

    def pairs() -> Iterable[tuple[Tensor, Tensor]]:
        for start in range(0, len(rows), _BATCH):
            pictures, _ = images[rows[start : start + _BATCH].tolist()]
            first, second = (logits(net, pictures.to(place, dtype)) for net, dtype in nets)
            yield first, second
            shown.advance(len(pictures))

    with evaluation_mode(old), evaluation_mode(new), torch.inference_mode():
        return compare(pairs())
