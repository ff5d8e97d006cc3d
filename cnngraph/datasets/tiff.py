"""TIFF: what PIL reads rightly is read by PIL, the rest by tifffile (extra ``tiff``), or refused.

PIL drops bands beyond the colours, the lower 8 bits of 16-bit colours and the sign of 8-bit numbers without a word, and
reads unsigned numbers of 32 bits as signed ones.
"""

from __future__ import annotations

import io
import logging
import re
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from cnngraph.datasets.picture import Picture, from_numbers, from_pil
from cnngraph.errors import DataError, explain

__all__ = ["decode", "is_tiff"]

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUBFILE, _OLD_SUBFILE, _BITS, _PHOTOMETRIC, _DESCRIPTION = 254, 255, 258, 262, 270
_SAMPLES, _EXTRA, _FORMAT = 277, 338, 339
_REDUCED_OR_MASK = 0b101
_MOST_PAGES = 64  # a net with more channels than that reads no image
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_FORMATS = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "float"}
_WHITE_IS_ZERO = 0
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # by photometric interpretation
_ALPHA = (1, 2, 999)


@dataclass(frozen=True)
class _Layout:
    """What the tags of a page say of its numbers; ``bands`` without alpha."""

    bits: int
    form: int
    bands: int
    photometric: int

    @property
    def inverted(self) -> bool:
        return self.photometric == _WHITE_IS_ZERO

    @property
    def words(self) -> str:
        """
        >>> _Layout(16, 1, 13, 1).words
        '13 bands of 16-bit unsigned numbers'
        """
        numbers = f"{self.bits}-bit {_FORMATS.get(self.form, 'other')} numbers"
        return f"{self.bands} bands of {numbers}" if self.bands > 1 else numbers

    @property
    def known_to_pil(self) -> bool:
        """Whether PIL keeps every band and every bit."""
        if self.bands != _COLOURS.get(self.photometric):
            return False
        if self.bits <= 8:
            return self.form == _UNSIGNED or (self.form == _SIGNED and self.bands == 1)
        return self.bands == 1


def is_tiff(data: bytes) -> bool:
    """Whether the content begins as a TIFF does."""
    return data[:4] in _MAGIC


def decode(data: bytes) -> Picture:
    """The picture of a TIFF; its pages, if it has several of one size, become bands.

    Raises:
        DataError: it is of a kind that cannot be read, or that needs the extra; the message lacks the file's name.
        OSError, ValueError, ...: it is broken.
    """
    logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)  # it remarks on each file of many bands
    try:
        opened = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        layout = _layout_of_unknown(data)
        if layout is None:
            raise
        return _decode_by_tifffile(data, layout)
    with opened:
        assert isinstance(opened, TiffImagePlugin.TiffImageFile)
        places = _full_pages(opened)
        opened.seek(places[0])
        layout = _layout(opened.tag_v2)
        if not layout.known_to_pil:
            return _decode_by_tifffile(data, layout)
        pages = []
        for place in places:
            opened.seek(place)
            if _layout(opened.tag_v2) != layout:
                raise _several(len(places), "of several kinds")
            pages.append(_decode_page(opened, layout))
    return _stack(pages)


def _full_pages(opened: TiffImagePlugin.TiffImageFile) -> list[int]:
    """The pages that are neither smaller copies of another one (pyramids, thumbnails) nor masks."""
    count = opened.n_frames
    described = re.search(r"^images=(\d+)", str(opened.tag_v2.get(_DESCRIPTION, "")), re.MULTILINE)
    if described and count == 1 and int(described[1]) > 1:
        raise _several(int(described[1]), "written by ImageJ")  # one directory for the whole stack
    places = []
    for place in range(count):
        opened.seek(place)
        tags = opened.tag_v2
        if not int(tags.get(_SUBFILE, 0)) & _REDUCED_OR_MASK and tags.get(_OLD_SUBFILE) != 2:
            places.append(place)
    if len(places) > _MOST_PAGES:
        raise _several(len(places), "")
    return places or [0]


def _several(pages: int, of_what: str) -> DataError:
    what = f"holds {pages} pages {of_what}".rstrip()
    return DataError(f"{what}: a stack, not one image.", "Write each page into a file of its own.")


def _layout(tags: Any) -> _Layout:
    photometric = int(tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO))
    samples = int(tags.get(_SAMPLES, 1))
    extra = tuple(tags.get(_EXTRA, ()))
    colours = _COLOURS.get(photometric, 1)
    unnamed = samples - colours - len(extra)  # a fourth sample of RGB without a word is alpha
    alpha = sum(kind in _ALPHA for kind in extra) + (1 if unnamed == 1 and colours == 3 and not extra else 0)
    bits, forms = tags.get(_BITS, (1,)), tags.get(_FORMAT, (_UNSIGNED,))
    form = int(forms[0]) if forms[0] in _FORMATS else _UNSIGNED
    return _Layout(max(bits), form, max(1, samples - alpha), photometric)


def _layout_of_unknown(data: bytes) -> _Layout | None:
    """From the tags alone, where PIL knows no mode for them; ``None`` where they cannot be read either."""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2:3] in b"+" or data[3:4] == b"+" else 8])
        stream = io.BytesIO(data)
        stream.seek(directory.next)
        directory.load(stream)
        return _layout(directory) if _BITS in directory else None
    except Exception:  # noqa: BLE001  whatever a broken file makes PIL raise: it is then said to be unknown
        return None


def _decode_page(opened: TiffImagePlugin.TiffImageFile, layout: _Layout) -> Picture:
    """The page that PIL stands at."""
    opened.load()
    array = np.asarray(opened)
    if layout.bits <= 8 and layout.form == _SIGNED:
        return from_numbers(array.view(np.int8), inverted=layout.inverted)
    if layout.bits <= 8:
        step = {1: 255, 2: 85, 4: 17}.get(layout.bits, 1) if opened.mode in ("1", "L") else 1
        return from_pil(opened, step=step)
    if layout.bits < 16:
        return from_numbers(array, full=(0, 2**layout.bits - 1), inverted=layout.inverted)
    if layout.form == _SIGNED and layout.bits == 16:
        array = array.astype(np.int16)
    if layout.form == _UNSIGNED and layout.bits == 32:
        array = array.view(np.uint32)
    return from_numbers(array, inverted=layout.inverted)


def _stack(pages: list[Picture]) -> Picture:
    if len(pages) == 1:
        return pages[0]
    bands = [page.numbers for page in pages]
    if len({band.shape for band in bands}) > 1:
        raise _several(len(pages), "of several sizes")
    if bands[0].shape[2] > 1:
        raise _several(len(pages), "of colour images")
    first = pages[0]
    return replace(first, content=np.concatenate(bands, axis=2), step=1, pages=len(pages))


def _decode_by_tifffile(data: bytes, layout: _Layout) -> Picture:
    if find_spec("tifffile") is None:
        raise DataError(f"is a TIFF of {layout.words}, which needs tifffile.", 'Run: pip install "cnngraph[tiff]"')
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it remarks is said by its exceptions
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            pages: Any = file.pages  # whole pages, not frames, unless one asks for frames
            full = [page for page in pages if not int(page.subfiletype or 0) & _REDUCED_OR_MASK]
            if len(full) > 1:
                raise _several(len(full), f"of {layout.words}")
            page = pages[0]
            _require_plausible(page, len(data))
            numbers, extra = page.asarray(), tuple(page.extrasamples)
            bands_first = page.axes.startswith("S")
    except DataError:
        raise
    except Exception as error:
        reason = explain(error)
        raise ValueError(f"tifffile says: {reason}") from error
    if numbers.ndim == 2:
        numbers = numbers[..., None]
    if bands_first:
        numbers = np.moveaxis(numbers, 0, -1)
    if numbers.ndim != 3:
        raise _several(int(np.prod(numbers.shape[:-3])), "")
    alpha = [numbers.shape[2] - len(extra) + place for place, kind in enumerate(extra) if int(kind) in _ALPHA]
    if not extra and layout.bands < numbers.shape[2]:
        alpha = [numbers.shape[2] - 1]
    return from_numbers(np.delete(numbers, alpha, axis=2), inverted=layout.inverted)


def _require_plausible(page: Any, size: int) -> None:
    """Raise ValueError for an image that a broken header makes so large that it would take all memory."""
    numbers = page.imagewidth * page.imagelength * page.imagedepth * page.samplesperpixel
    most = 2 * (Image.MAX_IMAGE_PIXELS or numbers)  # where PIL refuses
    if not 0 < numbers <= most or len(page.dataoffsets) > size or len(page.dataoffsets) != len(page.databytecounts):
        raise ValueError(f"its header speaks of {numbers:,} numbers in {len(page.dataoffsets):,} pieces")
