"""Images: the torch Dataset that training, evaluation and mapping read, held in memory where it fits."""

from __future__ import annotations

import contextlib
import math
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
from cnngraph.datasets.decoding import BrokenImageError
from cnngraph.datasets.picture import Kind, Picture
from cnngraph.datasets.pixels import Pixels, Prepared, RangeNeededError, prepare
from cnngraph.datasets.survey import Look, look_at, require_one_kind, require_range, sample_rows, turned
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
        digests: of the content of each image, equal for equal files; ``None`` until all of them were read.
        when_read: called once they were; for images that are not kept that is in the first pass over them.
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
        self._surveyed = False
        self.digests: NDArray[np.uint64] | None = None
        self.when_read: Callable[[], None] | None = None
        self._digests_so_far: NDArray[np.uint64] | None = None
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
        stored = self._decode(rows) if self._cache is None else self._cache[rows]
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
        part.when_read = part._digests_so_far = None
        part._surveyed = False
        return part

    def prepared(self, preprocessing: Preprocessing) -> Images:
        """The same images for another input; nothing is kept of what was decoded for the old one."""
        again = self._copy()
        again._cache, again._surveyed, again._moving = None, False, set()
        again.digests = again._digests_so_far = again.when_read = None
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

    def name(self, row: int) -> str:
        """What a person calls the image at ``row``."""
        return self._pixels.name(int(self._places[row]))

    @property
    def in_files(self) -> bool:
        """Whether each image is a file, whose path is its name."""
        return self._pixels.in_files

    def preload(
        self, what: str = "Reading images", progress: Progress | None = None, data: str = "the data"
    ) -> list[str]:
        """Decode every image once and keep it, if all of them fit in a gigabyte; nothing is done the second time.

        At most 64 of them are looked at first: what their numbers span, and whether they are of one kind.

        Args:
            what: for the progress. data: name of the data, for the messages.

        Returns:
            sentences for a person about what is odd but was read.

        Raises:
            DataError: images cannot be decoded (says how many and names the first), are of several kinds, have bands
                that the net does not read, or use under a tenth of the range that their numbers are read by.
        """
        if self._cache is not None or self._surveyed or not len(self):
            return []
        shown = progress or Quiet()
        shown.start(what, len(self))
        digests = np.zeros(len(self), dtype=np.uint64)
        prepared, remarks, broken = self._survey(digests, shown, data)
        first = next(iter(prepared.values()), np.empty(0, dtype=np.uint8))
        height, width = self.preprocessing.size
        shape = (len(self), self._stored_channels, height, width)
        if math.prod(shape) * first.itemsize > CACHE_BYTES:
            _refuse_broken(broken, len(self))
            self._surveyed, self._digests_so_far = True, digests
            return remarks
        cache = np.empty(shape, dtype=first.dtype)
        for row, image in prepared.items():
            cache[row] = _as_type(image, cache.dtype)

        def fill(row: int) -> None:
            cache[row] = _as_type(self._one(row, digests), cache.dtype)

        surveyed = set(sample_rows(len(self)))
        broken += self._each(fill, (row for row in range(len(self)) if row not in surveyed), shown)
        _refuse_broken(broken, len(self))
        self._cache = cache
        self._finish_digests(digests)
        if self._moving:
            remarks.append(f"{len(self._moving):,} images of {data} are animations: only their first frame is read.")
        return remarks

    def _survey(
        self, digests: NDArray[np.uint64], shown: Progress, data: str
    ) -> tuple[dict[int, Prepared], list[str], list[BrokenImageError]]:
        """Look at a sample of the images: what they become by row, sentences about them, and those that are broken."""
        looks: dict[int, Look] = {}
        prepared: dict[int, Prepared] = {}

        def look(row: int) -> None:
            picture = self._picture(row, digests)
            looks[row] = look_at(picture, self.name(row))
            with contextlib.suppress(RangeNeededError):  # said below, with the range that was seen
                prepared[row] = prepare(picture, self.preprocessing, self._stored_channels, self.name(row))

        broken = self._each(look, sample_rows(len(self)), shown)
        seen = [looks[row] for row in sorted(looks)]
        remarks: list[str] = []
        if seen and self._pixels.in_files:
            self._first = (seen[0].name, seen[0].kind)
            for other in seen:
                require_one_kind(self._first, (other.name, other.kind), self.preprocessing)
            remarks = [*require_range(seen, self.preprocessing, data), *turned(seen)]
        return prepared, remarks, broken

    def _each(self, work: Callable[[int], None], rows: Iterable[int], shown: Progress) -> list[BrokenImageError]:
        """Do ``work`` for every row, in threads; the images that are broken."""

        def attempt(row: int) -> BrokenImageError | None:
            try:
                work(row)
            except BrokenImageError as error:
                return error
            return None

        broken: list[BrokenImageError] = []
        rows = iter(rows)
        with ThreadPoolExecutor(_THREADS) as threads:
            while chunk := list(islice(rows, 1000)):
                broken += [error for error in threads.map(attempt, chunk) if error is not None]
                shown.advance(len(chunk))
        return broken

    def _decode(self, rows: NDArray[np.int64]) -> Prepared:
        digests = self._digests_so_far

        if len(rows) == 1:
            stored = np.array(self._one(int(rows[0]), digests))[None]
        else:
            with ThreadPoolExecutor(_THREADS) as threads:
                decoded = list(threads.map(lambda row: self._one(row, digests), rows.tolist()))
            # Some files of 8 bits have a range of their own: beside their shares of 1 bytes must not stay 0..255.
            dtype = np.result_type(*{image.dtype for image in decoded})
            stored = np.stack([_as_type(image, dtype) for image in decoded])
        if digests is not None and digests.all():
            self._finish_digests(digests)
        return stored

    def _finish_digests(self, digests: NDArray[np.uint64]) -> None:
        self.digests, self._digests_so_far = digests, None
        if self.when_read is not None:
            self.when_read()

    def _picture(self, row: int, digests: NDArray[np.uint64] | None) -> Picture:
        """Decode the image at ``row``, and remember what it is."""
        place = int(self._places[row])
        picture = self._pixels.picture(place)
        if self._first is not None:
            require_one_kind(self._first, (self.name(row), picture.kind), self.preprocessing)
        if digests is not None:
            digests[row] = picture.digest
        if picture.moving:
            self._moving.add(place)
        return picture

    def _one(self, row: int, digests: NDArray[np.uint64] | None) -> Prepared:
        return prepare(self._picture(row, digests), self.preprocessing, self._stored_channels, self.name(row))


def _refuse_broken(broken: list[BrokenImageError], images: int) -> None:
    if broken:
        more = f" {len(broken)} of {images} images are broken." if len(broken) > 1 else ""
        raise DataError(broken[0].message + more, broken[0].hint) from broken[0]


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
