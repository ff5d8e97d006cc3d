"""Pictures before preprocessing, in an array or in files that are decoded when they are wanted; and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnngraph.datasets.decoding import BrokenImageError, decode
from cnngraph.datasets.picture import Picture
from cnngraph.errors import DataError
from cnngraph.origin import Preprocessing

__all__ = ["ArrayPixels", "FilePixels", "Part", "Pixels", "Prepared", "RangeNeededError", "RawData", "prepare"]

Prepared = NDArray[Any]
_DIGEST_BYTES = 8  # among a million images two different ones have the same digest with a probability of 3e-8


class Pixels(Protocol):
    """A sequence of pictures of any size."""

    @property
    def channels(self) -> int:
        """1 where every picture is grey, else 3; files are taken as colour until they are read."""
        ...

    @property
    def in_files(self) -> bool:
        """Whether the numbers of pictures can be of any kind; those of an array are 8 bits, 0..255."""
        ...

    def __len__(self) -> int: ...

    def name(self, place: int) -> str:
        """What a person calls the picture at ``place``: its path, or its number."""
        ...

    def picture(self, place: int) -> Picture:
        """The picture at ``place``; raises DataError, naming the file, if it cannot be decoded."""
        ...


class ArrayPixels:
    """Pictures of one size in an array of uint8: (N, H, W) grey or (N, H, W, 3)."""

    in_files = False

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self._array = array

    @property
    def channels(self) -> int:
        return 1 if self._array.ndim == 3 else 3

    def __len__(self) -> int:
        return len(self._array)

    def name(self, place: int) -> str:
        return f"image {place}"

    def picture(self, place: int) -> Picture:
        content = self._array[place]
        return Picture(Image.fromarray(content), digest=_digest(content.tobytes()))


class FilePixels:
    """Pictures in files of any format that is read; taken as colour, since looking into every file takes long."""

    channels = 3
    in_files = True

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, place: int) -> str:
        return str(self._paths[place])

    def picture(self, place: int) -> Picture:
        path = Path(self._paths[place])
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BrokenImageError(
                f"{path} is no readable image: {error.strerror or type(error).__name__}.", "Mend or delete the file."
            ) from error
        return replace(decode(data, str(path)), digest=_digest(data))


def _digest(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=_DIGEST_BYTES).digest(), "little")


@dataclass(frozen=True)
class Part:
    """Pictures with their labels, int64 of shape (N,), and their names, by which the split knows them.

    A name is the path relative to the root of the data; ``None`` where there are no files: then it is the index.
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    names: Sequence[str] | None = None

    def names_as(self, part: str) -> Sequence[str]:
        """By which the split knows the pictures where they are ``part`` of a set: paths, or indices of that part."""
        if self.names is not None:
            return self.names
        before = "" if part == "train" else f"{part}/"
        return [f"{before}{at}" for at in range(len(self.labels))]


@dataclass(frozen=True)
class RawData:
    """What a source of data gives; a part that it does not have is ``None`` and is split off train.

    Attributes:
        classes: names in the order of the labels.
        train, validation, test: the parts.
        taken_from: of the parts that it has, the name of the folder; where one is not named, it is the set's own.
        warnings: sentences that a person should not miss. details: what was passed over as a matter of course.
    """

    classes: list[str]
    train: Part
    validation: Part | None = None
    test: Part | None = None
    taken_from: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


class RangeNeededError(DataError):
    """The type of the stored numbers does not say what they mean: ``--value-range`` must."""


def prepare(picture: Picture, wanted: Preprocessing, channels: int, name: str = "The image") -> Prepared:
    """The picture at the input size, of shape (``channels``, H, W): uint8 where it is stored in 8 bits and 0..255
    means 0..1, else float32 on the scale 0..1, computed without rounding.

    One band is repeated, colour becomes grey by the plain mean of the channels; other numbers of bands must be
    ``channels``. Resizing is bilinear with antialiasing.

    Raises:
        RangeNeededError: its numbers have no range of their own and ``wanted`` has none.
        DataError: its bands are not what the net reads.
    """
    _require_bands(picture, channels, name)
    as_held = wanted.value_range is None or (picture.step == 1 and tuple(wanted.value_range) == (0.0, 255.0))
    if isinstance(picture.content, Image.Image) and as_held:
        return _prepare_eight_bit(picture.content, wanted, channels)
    value_range = wanted.value_range or picture.full
    if value_range is None:
        raise RangeNeededError(
            f"{name} holds {picture.kind} numbers, whose type does not say what is black and what is white.",
            "Say it: --value-range LOW HIGH.",
        )
    low, high = value_range
    shares = ((picture.numbers.astype(np.float64) - low) / (high - low)).clip(0, 1).astype(np.float32)
    if picture.inverted:
        shares = 1 - shares
    if channels == 1 and picture.bands > 1:
        shares = shares.mean(axis=2, keepdims=True)
    bands = [np.asarray(_resize(Image.fromarray(shares[..., band]), wanted)) for band in range(shares.shape[2])]
    return np.broadcast_to(np.stack(bands), (channels, *bands[0].shape))


def _require_bands(picture: Picture, channels: int, name: str) -> None:
    bands = picture.bands
    if bands in (1, channels) or (bands == 3 and channels == 1):
        return
    reads = f"the net reads {channels} channel{'s' if channels > 1 else ''}"
    if picture.pages > 1:
        raise DataError(
            f"{name} holds {picture.pages} pages, and {reads}: a stack is not one image.",
            f"Write each page into a file of its own, or use a net that reads them all: --channels {picture.pages}.",
        )
    if bands == 3:
        raise DataError(f"{name} is a colour image, and {reads}.", "Use a net that reads 1 or 3: --channels 3.")
    raise DataError(
        f"{name} has {bands} bands, and {reads}.",
        f"Use a net that reads {bands} (--channels {bands}), or write images with the bands that it shall read.",
    )


def _prepare_eight_bit(picture: Image.Image, wanted: Preprocessing, channels: int) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = np.asarray(_resize(picture, wanted))
    if array.ndim == 2:
        return np.broadcast_to(array, (channels, *array.shape))
    if channels == 1:
        array = np.rint(array.mean(axis=2, keepdims=True)).astype(np.uint8)
    return array.transpose(2, 0, 1)


def _resize(picture: Image.Image, wanted: Preprocessing) -> Image.Image:
    height, width = wanted.size
    if wanted.resize is None:
        if picture.size == (width, height):
            return picture
        return picture.resize((width, height), Image.Resampling.BILINEAR)
    scale = wanted.resize / min(picture.size)
    scaled = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(scaled, Image.Resampling.BILINEAR)
    left, top = round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)
    return picture.crop((left, top, left + width, top + height))
