"""One image as its file stores it: 8-bit pictures as PIL holds them, wider numbers as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["EIGHT_BIT", "Kind", "Picture", "from_numbers", "from_pil"]

Kind = Literal["8-bit", "signed 8-bit", "16-bit", "signed 16-bit", "32-bit", "signed 32-bit", "float", "DICOM"]
Numbers = NDArray[Any]

EIGHT_BIT: Kind = "8-bit"

_KINDS: dict[str, Kind] = {
    "uint8": "8-bit",
    "int8": "signed 8-bit",
    "uint16": "16-bit",
    "int16": "signed 16-bit",
    "uint32": "32-bit",
    "int32": "signed 32-bit",
    "float16": "float",
    "float32": "float",
    "float64": "float",
}
_LONGEST_KNOWN_RANGE = 2  # bytes: nobody uses all of 32 bits, so that their range says nothing


@dataclass(frozen=True)
class Picture:
    """An image before preprocessing.

    Attributes:
        content: a PIL image of mode ``L`` or ``RGB``; for everything else than 8 bits an array (H, W, bands).
        kind: of its numbers.
        full: the lowest and the highest number that can be stored; ``None`` where that says nothing (32 bits, floats).
        inverted: whether the lowest number is white.
        step: what the stored numbers were multiplied with in ``content`` (4-bit greys, 0..15, become 0..255 in PIL).
        pages: pages of the file that became the bands.
        moving: whether the file holds further frames of an animation.
        turned: whether its EXIF data ask for a rotation, which is not done.
        digest: of the bytes of the file: equal for equal content.
    """

    content: Image.Image | Numbers
    kind: Kind = EIGHT_BIT
    full: tuple[float, float] | None = (0, 255)
    inverted: bool = False
    step: int = 1
    pages: int = 1
    moving: bool = False
    turned: bool = False
    digest: int = 0

    @property
    def bands(self) -> int:
        """1 where it is grey, 3 where it has colours, else what the file holds."""
        if isinstance(self.content, Image.Image):
            return len(self.content.getbands())
        return int(self.content.shape[2])

    @property
    def numbers(self) -> Numbers:
        """The stored numbers, (H, W, bands)."""
        if not isinstance(self.content, Image.Image):
            return self.content
        array = np.asarray(self.content) // self.step
        return array[..., None] if array.ndim == 2 else array


def from_numbers(numbers: Numbers, *, full: tuple[float, float] | None = None, **facts: Any) -> Picture:
    """The picture of an array (H, W) or (H, W, bands); ``full`` where it is narrower than that of the array's type.

    Raises:
        ValueError: the type is none that images have, or a number is NaN or infinite.
    """
    native = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)
    kind = _KINDS.get(native.dtype.name)
    if kind is None:
        raise ValueError(f"it holds numbers of the type {native.dtype.name}")
    if kind == "float":
        missing = int(native.size - np.isfinite(native).sum())
        if missing:
            raise ValueError(f"{missing:,} of its {native.size:,} numbers are NaN or infinite")
    elif full is None and native.dtype.itemsize <= _LONGEST_KNOWN_RANGE:
        limits = np.iinfo(native.dtype)
        full = (int(limits.min), int(limits.max))
    return Picture(native[..., None] if native.ndim == 2 else native, kind, full, **facts)


def from_pil(opened: Image.Image, *, moving: bool = False, turned: bool = False, step: int = 1) -> Picture:
    """A picture that PIL has loaded: 8 bits as mode ``L`` or ``RGB``, wider numbers as they are."""
    mode = opened.mode
    if mode.startswith("I;16"):
        return from_numbers(np.asarray(opened))
    if mode in ("I", "F"):
        numbers = np.asarray(opened)
        deep = mode == "I" and opened.format == "PNG"  # older PIL opens 16-bit greys so
        return from_numbers(numbers.astype(np.uint16) if deep else numbers)
    if mode == "La":
        opened = opened.convert("LA")
    grey = mode in ("1", "L", "LA", "La")
    plain = opened.convert("L" if grey else "RGB")
    return Picture(plain, full=(0, 255 // step), moving=moving, turned=turned, step=step)
