"""The images that a net is mapped with: any iterable of (images, labels), its classes, and which images count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.errors import DataError, NotFoundError, UsageError, nearest

__all__ = ["LabelledImages"]

Integers = npt.NDArray[np.int64]


class LabelledImages:
    """The chosen images of a loader, each with the place of its class among the chosen classes.

    Attributes:
        classes: names of the chosen classes, in the order of every per-class list.
        counts: images of each class that a pass has given; complete after the first whole pass.
        shape: (channels, height, width) of one image.
        total: how many images a pass will give, where that is known.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        *,
        classes: Sequence[str] | None = None,
        only_classes: Sequence[str | int] | None = None,
        images_per_class: int | None = None,
    ) -> None:
        """Look at the loader's first batch, and at all labels where ``classes`` is not given.

        ``classes[i]`` names label i; without it the classes are the labels that occur, named by their digits.
        ``only_classes`` picks some by name or label; images of other classes are then passed over everywhere.
        ``images_per_class`` takes that many of each class, the first ones that the loader gives.

        Raises:
            UsageError: ``images_per_class`` is under 1.
            NotFoundError: ``only_classes`` names a class that is not there.
            DataError: the loader is empty, can be read only once, or gives no (images, labels).
        """
        if images_per_class is not None and images_per_class < 1:
            raise UsageError(f"{images_per_class} images of each class are too few.", "Ask for at least 1.")
        if iter(loader) is loader:
            raise DataError("The loader can be read only once.", "Give a DataLoader or a list of (images, labels).")
        self._loader = loader
        self._most = images_per_class
        self.shape = self._first_shape()
        labels = self._labels() if classes is None else list(range(len(classes)))
        names = [str(label) for label in labels] if classes is None else [str(name) for name in classes]
        chosen = _chosen(names, labels, only_classes)
        self._known = None if classes is None else len(names)
        self._place = {labels[index]: place for place, index in enumerate(chosen)}
        self.classes = [names[index] for index in chosen]
        self.counts: Integers = np.zeros(len(chosen), dtype=np.int64)
        self._digest = 0

    @property
    def total(self) -> int | None:
        """How many images a pass will give, where that can be told beforehand."""
        if self._most is not None:
            return self._most * len(self.classes)
        images: Any = getattr(self._loader, "dataset", None)
        return len(images) if hasattr(images, "__len__") else None

    @property
    def sha256(self) -> str:
        """A hash over the images that were given and their classes, whatever their order."""
        return f"{self._digest:064x}"

    def batches(self, places: Sequence[int] | None = None) -> Iterator[tuple[Tensor, Integers]]:
        """One pass: (images, places of their classes), with ``places`` only images of these classes.

        Counts and hash grow by what is given: every class is to be given in one pass only.

        Raises:
            DataError: an image has another size than the first, a value that is NaN or infinite, or an unknown label.
        """
        wanted = set(range(len(self.classes)) if places is None else places)
        for images, labels in self._pairs():
            if all(self._is_full(place) for place in wanted) and self._known is not None:
                return
            taken = [i for i, label in enumerate(labels) if self._take(label, wanted)]
            if not taken:
                continue
            batch = images if len(taken) == len(labels) else images[torch.tensor(taken)]
            where = np.array([self._place[labels[i]] for i in taken], dtype=np.int64)
            self._hash(batch, where)
            yield batch, where

    def require_every_class(self) -> None:
        """Raise DataError where a chosen class had no image, or fewer than were asked for."""
        for name, count in zip(self.classes, self.counts.tolist(), strict=True):
            if not count:
                raise DataError(f"The class {name!r} has no image.", "Leave it out with only_classes, or add images.")
            if self._most is not None and count < self._most:
                raise DataError(
                    f"The class {name!r} has {count} images, fewer than the {self._most} that were asked for.",
                    f"Ask for at most {count} images of each class.",
                )

    def _is_full(self, place: int) -> bool:
        return self._most is not None and bool(self.counts[place] >= self._most)

    def _take(self, label: int, wanted: set[int]) -> bool:
        place = self._place.get(label)
        if place is None:
            if self._known is not None and not 0 <= label < self._known:
                raise DataError(f"There is a label {label}, but {self._known} classes.", "Name every class.")
            return False
        if place not in wanted or self._is_full(place):
            return False
        self.counts[place] += 1
        return True

    def _first_shape(self) -> tuple[int, int, int]:
        for images, _ in self._pairs(check=False):
            if images.dim() != 4 or not images.is_floating_point():
                raise DataError(
                    f"The loader gives images of shape {tuple(images.shape)} and type {images.dtype}.",
                    "Give batches of floats (images, channels, height, width).",
                )
            return int(images.shape[1]), int(images.shape[2]), int(images.shape[3])
        raise DataError("The loader gives no image.", "Give it at least one batch of (images, labels).")

    def _labels(self) -> list[int]:
        return sorted({label for _, labels in self._pairs() for label in labels})

    def _pairs(self, *, check: bool = True) -> Iterator[tuple[Tensor, list[int]]]:
        for batch in self._loader:
            if not isinstance(batch, tuple | list) or len(batch) < 2 or not isinstance(batch[0], Tensor):
                raise DataError("The loader gives no (images, labels).", "Give pairs of a tensor and its labels.")
            labels = torch.as_tensor(batch[1])
            if labels.dim() != 1 or len(labels) != len(batch[0]) or labels.is_floating_point():
                raise DataError(
                    f"The labels have shape {tuple(labels.shape)} and type {labels.dtype}.",
                    "Give one whole number an image: the index of its class.",
                )
            if check and tuple(batch[0].shape[1:]) != self.shape:
                size, first = (" x ".join(map(str, shape)) for shape in (batch[0].shape[1:], self.shape))
                raise DataError(f"One batch has images of {size}, the first of {first}.", "Resize all to one size.")
            if len(labels):
                yield batch[0], [int(label) for label in labels.tolist()]

    def _hash(self, images: Tensor, places: Integers) -> None:
        for image, place in zip(images.detach().cpu().contiguous().numpy(), places.tolist(), strict=True):
            if not np.isfinite(image.sum()) and not np.isfinite(image).all():
                raise DataError(f"An image of class {self.classes[place]!r} has values that are NaN or infinite.")
            digest = hashlib.sha256(image.tobytes() + self.classes[place].encode()).digest()
            self._digest = (self._digest + int.from_bytes(digest, "big")) % 2**256


def _chosen(names: list[str], labels: list[int], only: Sequence[str | int] | None) -> list[int]:
    """The places in ``names`` that ``only`` picks, in the order of ``names``."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"Two classes are named {repeated[0]!r}.", "Give every class a name of its own.")
    if only is None:
        return list(range(len(names)))
    picked = set()
    for one in only:
        if isinstance(one, str) and one in names:
            picked.add(names.index(one))
        elif isinstance(one, int) and one in labels:
            picked.add(labels.index(one))
        else:
            raise NotFoundError(f"There is no class {one!r}.", nearest(str(one), names))
    if not picked:
        raise UsageError("No class is chosen.", "Name at least one class.")
    return sorted(picked)
