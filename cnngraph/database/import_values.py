"""Values as ``neo4j-admin database import`` reads them out of CSV, each with the type that its header must name.

Seen with Neo4j 5.26: an unquoted empty field is no property, a quoted one the empty string; every whole number becomes
``long`` and every other ``double`` (which of lists only ``double[]`` is: ``float[]`` has 32 bits); an empty list has no
form, and neither has the list of one empty string; a delimiter inside a string of a list cannot be escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from neo4j.time import Date, DateTime, Duration, Time

from cnngraph.errors import CnngraphError

__all__ = ["can_be_written", "choose_delimiter", "field", "field_type", "quoted"]

# Between the elements of a list; the first that no string of a list holds is taken.
_DELIMITERS = (";", "|", "^", "\x1f", "\x1e", "\x1d", "\x1c")


def field_type(value: Any, where: str) -> str:
    """The type of a header for this value: ``long``, ``double[]`` ...

    Args:
        where: label and property, for the message.

    Raises:
        CnngraphError: neo4j-admin has no form for such a value.
    """
    if isinstance(value, bytes | bytearray):
        return "byte[]"
    if isinstance(value, list):
        return f"{field_type(value[0], where)}[]"
    found = next((name for kind, name in _TYPES if isinstance(value, kind)), None)
    if found is None:
        raise CnngraphError(
            f"{where} is a {type(value).__name__}: neo4j-admin's CSV files have no such value.",
            "Remove that property, or keep it as a text.",
        )
    if isinstance(value, DateTime | Time) and value.tzinfo is None:
        return f"local{found}"
    return found


# bool before int: a bool is one
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "long"),
    (float, "double"),
    (str, "string"),
    (DateTime, "datetime"),
    (Date, "date"),
    (Time, "time"),
    (Duration, "duration"),
)


def can_be_written(value: Any) -> bool:
    """Whether the CSV files have a form for it: none for no elements or no bytes, none for a list of one empty text."""
    return value != [""] and not (isinstance(value, list | bytes | bytearray) and not value)


def field(value: Any, delimiter: str) -> str:
    """One field; ``None`` is nothing at all.

    >>> field([0.1, float("inf")], ";"), field(b"\\x01\\xff", ";"), field(None, ";")
    ('0.1;Infinity', '1;-1', '')
    """
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray):
        return delimiter.join(map(str, np.frombuffer(value, np.int8).tolist()))
    if isinstance(value, list):
        if isinstance(value[0], str):
            return quoted(delimiter.join(value))
        return delimiter.join(map(_text(value[0]), value))
    return _text(value)(value)


def quoted(text: str) -> str:
    """A string in quotes, those inside doubled."""
    return '"' + text.replace('"', '""') + '"'


def _text(value: Any) -> Callable[[Any], str]:
    if isinstance(value, bool):
        return lambda flag: "true" if flag else "false"
    if isinstance(value, float):
        return _number
    if isinstance(value, str):
        return quoted
    return _moment if isinstance(value, DateTime) else _iso


def _number(value: float) -> str:
    """The shortest text that gives the same number again, in Java's words where it is none."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _moment(value: DateTime) -> str:
    """With the name of its time zone, where it has one beside its offset."""
    zone = getattr(value.tzinfo, "zone", None) or getattr(value.tzinfo, "key", None)
    return value.iso_format() + (f"[{zone}]" if zone and zone != "UTC" else "")


def _iso(value: Any) -> str:
    return str(value) if isinstance(value, int) else str(value.iso_format())


def choose_delimiter(lists: Collection[list[str]]) -> str:
    """The first delimiter that stands in no string of a list.

    Raises:
        CnngraphError: each stands in one.
    """
    free = [sign for sign in _DELIMITERS if not any(sign in text for texts in lists for text in texts)]
    if not free:
        raise CnngraphError("Every sign that could part the elements of a list stands in one.", "Rename some labels.")
    return free[0]
