"""What a few of the images say of all: whether their numbers fill the range that they are read by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnngraph.datasets.picture import EIGHT_BIT, Kind, Picture
from cnngraph.errors import DataError
from cnngraph.origin import Preprocessing

__all__ = ["SURVEYED", "Look", "look_at", "require_one_kind", "require_range", "sample_rows", "turned"]

SURVEYED = 64  # images of each part
_LEAST_SHARE = 0.1  # of the range that the numbers must span: what spans less is nearly one grey


@dataclass(frozen=True)
class Look:
    """One surveyed image: its name, the kind and range of its numbers, and what they span."""

    name: str
    kind: Kind
    full: tuple[float, float] | None
    lowest: float
    highest: float
    turned: bool


def sample_rows(count: int) -> list[int]:
    """At most 64 rows, spread evenly, always the same ones."""
    return np.unique(np.linspace(0, count - 1, min(SURVEYED, count)).astype(int)).tolist() if count else []


def look_at(picture: Picture, name: str) -> Look:
    """What the survey keeps of a picture."""
    numbers = picture.numbers
    return Look(name, picture.kind, picture.full, float(numbers.min()), float(numbers.max()), picture.turned)


def require_one_kind(one: tuple[str, Kind], other: tuple[str, Kind], preprocessing: Preprocessing) -> None:
    """Raise DataError where two images (name, kind) cannot be read by one rule.

    With a typed range, numbers of more than 8 bits mean the same whatever type stores them.
    """
    kinds = {one[1], other[1]}
    if len(kinds) == 1 or (preprocessing.value_range is not None and EIGHT_BIT not in kinds):
        return
    raise DataError(
        f"Images of different kinds cannot be read together: {one[0]} holds {one[1]} numbers, "
        f"{other[0]} {other[1]} ones.",
        "Convert them to one kind.",
    )


def require_range(looks: Sequence[Look], preprocessing: Preprocessing, data: str) -> list[str]:
    """Compare the range that the numbers are read by with what is seen of them.

    Returns a sentence for a person, where 8-bit images, which nobody gave a range, use under a tenth of theirs: they
    are dark, but whole.

    Raises:
        DataError: the range is not known, or other numbers use under a tenth of it: a net would see nearly one grey.
    """
    low, high = min(look.lowest for look in looks), max(look.highest for look in looks)
    seen = f"{_number(low)}..{_number(high)}"
    say = _advice(low, high)
    first = looks[0]
    ranges = [preprocessing.value_range or look.full for look in looks]
    known = [one for one in ranges if one is not None]
    if len(known) < len(ranges):
        raise DataError(
            f"The images of {data} hold {first.kind} numbers, {seen} in {len(looks)} of them, and their type does not "
            f"say which means black and which white (such as {first.name}).",
            say,
        )
    spans = [_span(look, one) for look, one in zip(looks, known, strict=True)]
    if max(top for _, top in spans) - min(bottom for bottom, _ in spans) < _LEAST_SHARE:
        whole = f"{_number(min(one[0] for one in known))}..{_number(max(one[1] for one in known))}"
        message = f"The images of {data} use values {seen} of {whole}, under a tenth of the range."
        if first.kind != EIGHT_BIT or preprocessing.value_range is not None:
            raise DataError(message, say)
        return [f"{message} {say}"]
    return []


def turned(looks: Sequence[Look]) -> list[str]:
    """A sentence where images of a camera say in their EXIF data that they are turned."""
    count = sum(look.turned for look in looks)
    if not count:
        return []
    asked = f"{count} of {len(looks)} images that were looked at ask in their EXIF data to be turned."
    return [f"{asked} They are read as they are stored, as torchvision does; turn the files if the net shall see so."]


def _advice(low: float, high: float) -> str:
    """
    >>> _advice(0, 4095)
    'Say which mean black and white; --value-range 0 4095 are those seen here.'
    """
    if low == high:
        return "Every one of their values is the same: check the files."
    if low >= 0 and high <= 1:
        return "Say which mean black and white: --value-range 0 1."
    return f"Say which mean black and white; --value-range {_number(low)} {_number(high)} are those seen here."


def _span(look: Look, value_range: tuple[float, float]) -> tuple[float, float]:
    """Where the numbers of an image lie on the scale 0..1."""
    low, high = value_range
    bottom, top = ((value - low) / (high - low) for value in (look.lowest, look.highest))
    return min(max(bottom, 0.0), 1.0), min(max(top, 0.0), 1.0)


def _number(value: float) -> str:
    """
    >>> _number(4095.0), _number(0.1234567)
    ('4095', '0.123457')
    """
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"
