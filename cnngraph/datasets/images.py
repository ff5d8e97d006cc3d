"""Images: the torch Dataset that training, evaluation and mapping read, held in memory where it fits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from cnngraph.console import Progress, Quiet
from cnngraph.datasets.picture import Kind
from cnngraph.datasets.pixels import Pixels, Prepared, RangeNeededError, prepare
from cnngraph.datasets.survey import Look, look_at, require_one_kind, require_range, sample_rows
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
        self._cache: Prepared | None = None
        self._first: tuple[str, Kind] | None = None
        self._looks: list[Look] | None = None
        self.digests: NDArray[np.uint64] | None = None
        self.dark: str | None = None
        self._moving: set[int] = set()
        self._prepare_as(preprocessing)

    def _prepare_as(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self._stored_channels = _stored_channels(self._pixels, preprocessing)
        shape = (-1, 1, 1)
        self._mean = torch.tensor(preprocessing.mean, dtype=torch.float32).reshape(shape)
        self._std = torch.tensor(preprocessing.std, dtype=torch.float32).reshape(shape)
        self._mean_of_bytes, self._scale_of_bytes = 255 * self._mean, 1 / (255 * self._std)

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
        batch = torch.from_numpy(stored)
        if batch.dtype == torch.uint8:
            batch = (batch.float() - self._mean_of_bytes) * self._scale_of_bytes
        else:
            batch = (batch - self._mean) / self._std
        channels = self.preprocessing.channels
        return batch.expand(-1, channels, -1, -1).contiguous(), torch.from_numpy(self.labels[rows])

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Images:
        """The images at ``rows``, in that order, as an Images of its own."""
        chosen = np.asarray(rows, dtype=np.int64)
        part = self._copy()
        part._places, part.labels = self._places[chosen], self.labels[chosen]
        part._cache = None if self._cache is None else self._cache[chosen]
        part.digests = None if self.digests is None else self.digests[chosen]
        part._looks = None if self._cache is None else self._looks
        return part

    def prepared(self, preprocessing: Preprocessing) -> Images:
        """The same images for another input; nothing is kept of what was decoded for the old one."""
        again = self._copy()
        again._cache, again._looks, again._moving = None, None, set()
        again._prepare_as(preprocessing)
        return again

    def _copy(self) -> Images:
        copy = Images.__new__(Images)
        copy.__dict__ |= self.__dict__
        return copy

    @property
    def kind(self) -> tuple[str, Kind] | None:
        """The name of one image and the kind of its numbers; ``None`` before any was decoded."""
        return self._first

    @property
    def moving(self) -> int:
        """How many of the images that were decoded are the first frame of an animation."""
        return len(self._moving)

    @property
    def turned(self) -> int:
        """How many of the surveyed images ask for a rotation, which is not done."""
        return sum(look.turned for look in self._looks or ())

    def name(self, row: int) -> str:
        """What a person calls the image at ``row``."""
        return self._pixels.name(int(self._places[row]))

    def preload(self, what: str = "Reading images", progress: Progress | None = None, data: str = "the data") -> None:
        """Decode every image once and keep it, if all of them fit in a gigabyte; nothing is done the second time.

        At most 64 of them are looked at first: what their numbers span, and whether they are of one kind.

        Args:
            what: for the progress. data: name of the data, for the messages.

        Raises:
            DataError: images cannot be decoded (says how many and names the first), are of several kinds, or use
                under a tenth of the range that their numbers are read by.
        """
        if self._looks is not None or not len(self):
            return
        shown = progress or Quiet()
        shown.start(what, len(self))
        sample = sample_rows(len(self))
        digests = np.zeros(len(self), dtype=np.uint64)
        looked = self._survey(sample, digests, data)
        height, width = self.preprocessing.size
        bytes_each = self._stored_channels * height * width * looked[0].itemsize
        if len(self) * bytes_each > CACHE_BYTES:
            return
        cache = np.empty((len(self), self._stored_channels, height, width), dtype=looked[0].dtype)
        for row, prepared in zip(sample, looked, strict=True):
            cache[row] = _as_type(prepared, cache.dtype)
        shown.advance(len(sample))

        chosen = set(sample)

        def fill(row: int) -> None:
            cache[row] = _as_type(self._one(int(self._places[row]), digests, row), cache.dtype)

        self._each(fill, (row for row in range(len(self)) if row not in chosen), shown)
        self._cache, self.digests = cache, digests

    def _survey(self, sample: list[int], digests: NDArray[np.uint64], data: str) -> list[Prepared]:
        """Look at the images of ``sample``; returns them prepared."""
        looks: dict[int, Look] = {}
        prepared: dict[int, Prepared] = {}

        def look(row: int) -> None:
            place = int(self._places[row])
            picture = self._pixels.picture(place)
            name = self._pixels.name(place)
            digests[row] = picture.digest
            if picture.moving:
                self._moving.add(place)
            looks[row] = look_at(picture, name)
            with contextlib.suppress(RangeNeededError):  # said below, with the range that was seen
                prepared[row] = prepare(picture, self.preprocessing, self._stored_channels, name)

        self._each(look, iter(sample), Quiet())
        self._looks = [looks[row] for row in sample]
        first = self._looks[0]
        self._first = (first.name, first.kind)
        for other in self._looks:
            require_one_kind(self._first, (other.name, other.kind), self.preprocessing)
        if self._pixels.in_files:
            self.dark = require_range(self._looks, self.preprocessing, data)
        return [prepared[row] for row in sample]

    def _each(self, work: Callable[[int], None], rows: Iterable[int], shown: Progress) -> None:
        """Do ``work`` for every row, in threads; says how many are broken and names the first."""

        def attempt(row: int) -> DataError | None:
            try:
                work(row)
            except DataError as error:
                return error
            return None

        broken: list[DataError] = []
        rows = iter(rows)
        with ThreadPoolExecutor(_THREADS) as threads:
            while chunk := list(islice(rows, 1000)):
                broken += [error for error in threads.map(attempt, chunk) if error is not None]
                shown.advance(len(chunk))
        if broken:
            more = f" {len(broken)} of {len(self)} images are broken." if len(broken) > 1 else ""
            raise DataError(broken[0].message + more, broken[0].hint) from broken[0]

    def _decode(self, places: NDArray[np.int64]) -> Prepared:
        if len(places) == 1:
            return np.array(self._one(int(places[0])))[None]
        with ThreadPoolExecutor(_THREADS) as threads:
            return np.stack(list(threads.map(self._one, places.tolist())))

    def _one(self, place: int, digests: NDArray[np.uint64] | None = None, row: int = 0) -> Prepared:
        picture, name = self._pixels.picture(place), self._pixels.name(place)
        if self._first is not None:
            require_one_kind(self._first, (name, picture.kind), self.preprocessing)
        if digests is not None:
            digests[row] = picture.digest
        if picture.moving:
            self._moving.add(place)
        return prepare(picture, self.preprocessing, self._stored_channels, name)


def _as_type(prepared: Prepared, dtype: np.dtype[Any]) -> Prepared:
    """Bytes and shares of 1 in the type of the cache: some files of 8 bits (PGM) have a range of their own."""
    if prepared.dtype == dtype:
        return prepared
    return np.rint(prepared * 255) if dtype == np.uint8 else prepared / np.float32(255)


def _stored_channels(pixels: Pixels, preprocessing: Preprocessing) -> int:
    """How many channels must be kept: grey arrays are repeated only when they are handed out."""
    if pixels.in_files:  # their bands are known when they are read
        return preprocessing.channels
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
