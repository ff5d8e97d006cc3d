"""The comparisons that the spec of a Network is made of: vectorised, and the first row that breaks one is named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.errors import SpecError

__all__ = [
    "Flags",
    "Integers",
    "among",
    "counted",
    "distinct",
    "fail",
    "integers",
    "lengths",
    "per_class",
    "require",
    "unique",
]

_HINT = "Make it again with cnngraph ingest, or fetch an undamaged copy."

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def fail(table: str, column: str, row: object, what: str) -> SpecError:
    """The error that names the first row that breaks a rule."""
    return SpecError(f"The network contradicts itself: table {table}, column {column}, row {row}: {what}.", _HINT)


def require(good: Flags, table: str, column: str, what: str) -> None:
    """Refuse a table unless every row is ``good``."""
    if not good.all():
        raise fail(table, column, int(np.argmin(good)), what)


def integers(table: pa.Table, column: str) -> Integers:
    """A column without nulls as whole numbers."""
    values: Integers = table.column(column).to_numpy().astype(np.int64)
    return values


def among(column: pa.ChunkedArray, values: tuple[str, ...]) -> Flags:
    """For each row whether its value is one of ``values``."""
    found: Flags = pc.is_in(column, value_set=pa.array(values)).to_numpy()
    return found


def counted(counts: Integers) -> Integers:
    """0, 1, ... n-1 for every n of ``counts``, one after the other."""
    starts = np.cumsum(counts) - counts
    places: Integers = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    return places


def distinct(column: pa.ChunkedArray, table: str, name: str) -> None:
    """Refuse a value that is there twice."""
    seen: set[str] = set()
    for row, value in enumerate(column.to_pylist()):
        if value in seen:
            raise fail(table, name, row, f"{value!r} is there twice")
        seen.add(value)


def unique(parts: Sequence[Integers], table: str, column: str, *, ordered: bool) -> None:
    """Refuse keys, whose ``parts`` are columns of whole numbers from 0 on, that repeat or, ``ordered``, do not rise."""
    key = _one_number(parts)
    rows = None if ordered else np.argsort(key, kind="stable")
    key = key if rows is None else key[rows]
    above = key[1:] > key[:-1]
    if not above.all():
        row = int(np.argmin(above)) + 1
        what = "the key is there twice, or the rows are out of order" if ordered else "the key is there twice"
        raise fail(table, column, row if rows is None else int(rows[row]), what)


def _one_number(parts: Sequence[Integers]) -> Integers:
    """Keys as one number each that sorts as they do: no more memory than one column, however many rows there are."""
    spans = [int(part.max(initial=0)) + 1 for part in parts]
    if math.prod(spans) >= 2**63:
        return np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    key = parts[0].astype(np.int64)
    for part, span in zip(parts[1:], spans[1:], strict=True):
        key *= span
        key += part
    return key


def lengths(column: pa.ChunkedArray, length: int, table: str, name: str) -> None:
    """Refuse a list that is there and has not ``length`` values."""
    found = pc.fill_null(pc.list_value_length(column), length).to_numpy()
    require(found == length, table, name, f"the list has not {length} values")


def per_class(column: pa.ChunkedArray, classes: int, table: str) -> None:
    """Refuse a list of activations that has not one finite value a class."""
    lengths(column, classes, table, "activation")
    values: Any = pc.fill_null(pc.is_finite(pc.list_flatten(column)), False).to_numpy()
    if not values.all():
        parents = pc.list_parent_indices(column).to_numpy()
        raise fail(table, "activation", int(parents[int(np.argmin(values))]), "a value is missing or not finite")
