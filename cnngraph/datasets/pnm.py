"""PGM and PPM with a highest number other than 255, which PIL stretches to 8 or 16 bits: the numbers themselves."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from cnngraph.datasets.picture import Picture, from_numbers

__all__ = ["read_numbers"]

_PLAIN = 255  # the highest number of 8 bits, of which PIL changes nothing
_BANDS = {b"P2": 1, b"P3": 3, b"P5": 1, b"P6": 3}
_HEADER = re.compile(rb"P[2356](?:\s|#[^\r\n]*[\r\n])+?(\d+)(?:\s|#[^\r\n]*[\r\n])+(\d+)(?:\s|#[^\r\n]*[\r\n])+(\d+)")


def read_numbers(opened: Image.Image, data: bytes) -> Picture | None:
    """The picture as numbers 0..maxval; ``None`` where PIL reads the file as it is.

    Raises:
        ValueError: the file is broken.
    """
    bands, header = _BANDS.get(data[:2]), _HEADER.match(data)
    if bands is None or header is None:
        return None
    highest = int(header[3])
    if highest == _PLAIN:
        return None
    width, height = opened.size
    wide = highest > _PLAIN
    count = width * height * bands
    if data[:2] in (b"P5", b"P6"):
        numbers = np.frombuffer(data, ">u2" if wide else "u1", count, header.end() + 1)
    else:
        text = re.sub(rb"#[^\r\n]*", b" ", data[header.end() :])
        numbers = np.array(text.split()[:count], dtype=np.uint16 if wide else np.uint8)
        if len(numbers) < count:
            raise ValueError(f"it holds {len(numbers):,} of its {count:,} numbers")
    if int(numbers.max(initial=0)) > highest:
        raise ValueError(f"it holds {numbers.max()}, more than the {highest} that its header says")
    return from_numbers(numbers.reshape(height, width, bands), full=(0, highest))
