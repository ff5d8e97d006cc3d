"""Images: the torch Dataset that training, evaluation and mapping read, held in memory as uint8 where it fits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from cnngraph.console import Progress, Quiet
from cnngraph.datasets.pixels import Pixels, prepare
from cnngraph.errors import DataError
from cnngraph.origin import Preprocessing

__all__ = ["Images", "Loader", "loader"]

CACHE_BYTES = 1_000_000_000
_THREADS = min(8, os.cpu_count() or 1)

Loader = DataLoader[tuple[torch.Tensor, torch.Tensor]]


class Images(Dataset[tuple[torch.Tensor, torch.Tensor | int]]):
    """Preprocessed images with their labels.

    ``images[3]`` is one image, float32 of shape (C, H, W), and its label; ``images[[3, 5]]`` is a batch of both.

    Attributes:
        labels: int64 of shape (N,).
        preprocessing: size, channels, mean and std that the tensors have.
    """

    def __init__(
        self,
        pixels: Pixels,
        labels: NDArray[np.int64],
        preprocessing: Preprocessing,
        places: NDArray[np.int64] | None = None,
    ) -> None:
        """Args: ``pixels`` and ``labels`` (one a picture in ``pixels``), and which ``places`` of them are taken."""
        self._pixels = pixels
        self._places = np.arange(len(pixels)) if places is None else places
        self.labels = labels[self._places]
        self.preprocessing = preprocessing
        self._stored_channels = _stored_channels(pixels, preprocessing)
        self._cache: NDArray[np.uint8] | None = None
        shape = (-1, 1, 1)
        self._mean = 255 * torch.tensor(preprocessing.mean, dtype=torch.float32).reshape(shape)
        self._scale = 1 / (255 * torch.tensor(preprocessing.std, dtype=torch.float32).reshape(shape))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]: ...

    @overload
    def __getitem__(self, index: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]: ...

    def __getitem__(self, index: int | Sequence[int]) -> tuple[torch.Tensor, torch.Tensor | int]:
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"image {index} of {len(self)}")
            batch, labels = self[[int(index)]]
            return batch[0], int(labels[0])
        rows = np.asarray(index, dtype=np.int64)
        stored = self._decode(self._places[rows]) if self._cache is None else self._cache[rows]
        batch = (torch.from_numpy(stored).float() - self._mean) * self._scale
        channels = self.preprocessing.channels
        return batch.expand(-1, channels, -1, -1).contiguous(), torch.from_numpy(self.labels[rows])

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Images:
        """The images at ``rows``, in that order, as an Images of its own."""
        chosen = np.asarray(rows, dtype=np.int64)
        part = Images.__new__(Images)
        part.__dict__ |= self.__dict__
        part._places, part.labels = self._places[chosen], self.labels[chosen]
        part._cache = None if self._cache is None else self._cache[chosen]
        return part

    def preload(self, what: str = "Reading images", progress: Progress | None = None) -> None:
        """Decode every image once and keep it, if all of them fit in a gigabyte; nothing is done the second time.

        Raises:
            DataError: images cannot be decoded; says how many and names the first.
        """
        height, width = self.preprocessing.size
        if self._cache is not None or len(self) * self._stored_channels * height * width > CACHE_BYTES:
            return
        shown = progress or Quiet()
        shown.start(what, len(self))
        cache = np.empty((len(self), self._stored_channels, height, width), dtype=np.uint8)
        broken: list[DataError] = []

        def fill(row: int) -> DataError | None:
            try:
                cache[row] = self._one(int(self._places[row]))
            except DataError as error:
                return error
            return None

        with ThreadPoolExecutor(_THREADS) as threads:
            rows = iter(range(len(self)))
            while chunk := list(islice(rows, 1000)):
                broken += [error for error in threads.map(fill, chunk) if error is not None]
                shown.advance(len(chunk))
        if broken:
            more = f" {len(broken)} of {len(self)} images are broken." if len(broken) > 1 else ""
            raise DataError(broken[0].message + more, broken[0].hint) from broken[0]
        self._cache = cache

    def _decode(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        if len(places) == 1:
            return np.array(self._one(int(places[0])))[None]
        with ThreadPoolExecutor(_THREADS) as threads:
            return np.stack(list(threads.map(self._one, places.tolist())))

    def _one(self, place: int) -> NDArray[np.uint8]:
        return prepare(self._pixels.picture(place), self.preprocessing, self._stored_channels)


def _stored_channels(pixels: Pixels, preprocessing: Preprocessing) -> int:
    """How many channels must be kept: grey images are repeated only when they are handed out."""
    if preprocessing.channels == 1 or pixels.channels == 1:
        return 1
    if preprocessing.channels == 3:
        return 3
    raise DataError(
        f"Colour images cannot be given to a net that reads {preprocessing.channels} channels.",
        "Use a net that reads 1 or 3.",
    )


def loader(
    images: Images, *, batch_size: int = 128, shuffle: bool = False, seed: int = 0, for_training: bool = False
) -> Loader:
    """Batches (float32 of shape (N, C, H, W), int64 of shape (N,)); it can be iterated as often as one likes.

    Args:
        images: what to batch.
        batch_size: images a batch.
        shuffle: a new random order each time it is iterated, the same sequence of orders for the same ``seed``.
        seed: of the orders.
        for_training: leave out a last batch of a single image, on which batch norm would fail.
    """
    if shuffle:
        order: RandomSampler | SequentialSampler = RandomSampler(images, generator=torch.Generator().manual_seed(seed))
    else:
        order = SequentialSampler(images)
    single = for_training and len(images) > batch_size > 1 and len(images) % batch_size == 1
    # The batch sampler stands where single indices usually do, so that a whole batch is one indexing of the cache.
    # A batch sampler asks for lists alone, so batches are all that comes out.
    return DataLoader(
        cast(Dataset[tuple[torch.Tensor, torch.Tensor]], images),
        sampler=BatchSampler(order, batch_size, drop_last=single),
        batch_size=None,
    )
