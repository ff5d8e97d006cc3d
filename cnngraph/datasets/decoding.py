"""The bytes of an image file -> a :class:`~cnngraph.datasets.picture.Picture`, whatever the format."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError

from cnngraph.datasets import dicom, pnm, tiff
from cnngraph.datasets.picture import Picture, from_numbers, from_pil
from cnngraph.errors import DataError, explain
from cnngraph.late_compiler import import_without_compiler

__all__ = ["BrokenImageError", "decode"]

# What the readers raise for broken files, depending on the format and on where the file is broken.
_BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    Image.DecompressionBombError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
_TURNED = 274  # the EXIF tag of the orientation; 1 is upright


class BrokenImageError(DataError):
    """A file that is no image, or is not whole."""


def decode(data: bytes, path: str, digest: int = 0) -> Picture:
    """Decode the content ``data`` of the file ``path``; alpha is dropped, no rotation is done.

    Raises:
        BrokenImageError: it is no image, or is broken; names the file.
        DataError: it is of a kind that cannot be read rightly, or needs a package that is not installed.
    """
    try:
        if dicom.is_dicom(path):
            picture = dicom.decode(data)
        elif tiff.is_tiff(data):
            picture = tiff.decode(data)
        else:
            picture = _decode_by_pil(data)
    except UnidentifiedImageError as error:
        raise BrokenImageError(
            f"{path} is no readable image: its format is unknown.", "Mend or delete the file."
        ) from error
    except DataError as error:
        raise DataError(f"{path} {error.message}", error.hint) from error
    except _BROKEN as error:
        reason = explain(error)
        raise BrokenImageError(f"{path} is no readable image: {reason}.", "Mend or delete the file.") from error
    return replace(picture, digest=digest)


def _decode_by_pil(data: bytes) -> Picture:
    """Every format but TIFF and DICOM."""
    with Image.open(io.BytesIO(data)) as opened:
        if opened.format == "PNG" and _is_deep_colour_png(data):
            return _decode_deep_png(data)
        if opened.format == "PPM":
            numbers = pnm.read_numbers(opened, data)
            if numbers is not None:
                return numbers
        moving = opened.format != "MPO" and bool(getattr(opened, "is_animated", False))
        step = _grey_step(opened)
        opened.load()
        turned = "exif" in opened.info and opened.getexif().get(_TURNED, 1) not in (0, 1)
        return from_pil(opened, moving=moving, turned=turned, step=step)


def _grey_step(opened: Image.Image) -> int:
    """What PIL multiplies greys of 1, 2 and 4 bits with, so that they fill 0..255."""
    if opened.mode == "1":
        return 255
    tiles: Any = getattr(opened, "tile", None)
    raw = str(tiles[0][3]) if tiles else ""
    return {"L;2": 85, "L;4": 17}.get(raw, 1) if opened.mode == "L" else 1


def _is_deep_colour_png(data: bytes) -> bool:
    """Whether the header says 16 bits a channel and more than one channel: PIL reads only 8 bits of each."""
    return len(data) > 25 and data[24] == 16 and data[25] != 0


def _decode_deep_png(data: bytes) -> Picture:
    try:  # torchvision 0.29 says that its decoders will go one day
        library = import_without_compiler("torchvision.io")
        decode, unchanged = library.decode_png, library.ImageReadMode.UNCHANGED
    except (ImportError, AttributeError) as error:
        raise DataError(
            "is a PNG of 16-bit colours, which this torchvision does not read.", "Convert it to TIFF."
        ) from error
    tensor = decode(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=unchanged)
    numbers = tensor.permute(1, 2, 0).numpy()
    return from_numbers(numbers[..., : 1 if numbers.shape[2] < 3 else 3])  # without alpha
