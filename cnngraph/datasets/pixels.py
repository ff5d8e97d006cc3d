"""Pictures before preprocessing: in an array, or in files that are decoded when they are wanted."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnngraph.errors import DataError
from cnngraph.origin import Preprocessing

__all__ = ["ArrayPixels", "FilePixels", "Part", "Pixels", "RawData", "prepare"]

# What PIL raises for broken files, depending on the format and on where the file is broken.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class Pixels(Protocol):
    """A sequence of pictures of any size."""

    @property
    def channels(self) -> int:
        """1 where every picture is grey, else 3."""
        ...

    def __len__(self) -> int: ...

    def picture(self, place: int) -> Image.Image:
        """The picture at ``place``; raises DataError, naming the file, if it cannot be decoded."""
        ...


class ArrayPixels:
    """Pictures of one size in an array of uint8: (N, H, W) grey or (N, H, W, 3)."""

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self._array = array

    @property
    def channels(self) -> int:
        return 1 if self._array.ndim == 3 else 3

    def __len__(self) -> int:
        return len(self._array)

    def picture(self, place: int) -> Image.Image:
        return Image.fromarray(self._array[place])


class FilePixels:
    """Pictures in files of any format that PIL reads; taken as colour, since looking into every file takes long."""

    channels = 3

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def picture(self, place: int) -> Image.Image:
        path = Path(self._paths[place])
        try:
            with Image.open(path) as picture:
                picture.load()
                return picture
        except _BROKEN as error:
            reason = str(error).partition("\n")[0].replace(str(path), path.name)
            raise DataError(f"{path} is no readable image: {reason}.", "Mend or delete the file.") from error


@dataclass(frozen=True)
class Part:
    """Pictures with their labels, int64 of shape (N,), and their names, by which the split knows them.

    A name is the path relative to the root of the data; ``None`` where there are no files: then it is the index.
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    names: Sequence[str] | None = None


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


def prepare(picture: Image.Image, wanted: Preprocessing, channels: int) -> NDArray[np.uint8]:
    """The picture at the input size, uint8 of shape (``channels``, H, W) with 1 or 3 channels.

    Colour becomes grey by the plain mean of the channels; resizing is bilinear with antialiasing.
    """
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    grey = picture.mode in ("1", "L", "LA", "La")
    picture = _resize(picture.convert("L" if grey else "RGB"), wanted)
    array: NDArray[np.uint8] = np.asarray(picture)
    if grey:
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
