"""A column of layer names, of which long stretches are the same name: as strings, in a fraction of their memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["names_column"]

_CHUNK = 8192  # rows


def names_column(places: npt.NDArray[np.integer[Any]], names: Sequence[str]) -> pa.ChunkedArray:
    """``names[place]`` of each place.

    Chunks that hold one name alone are slices of the same array: five million connections of fifty layers would
    otherwise write their names one by one, 200 MB of them.

    >>> names_column(np.array([0, 0, 1]), ["conv1", "fc"]).to_pylist()
    ['conv1', 'conv1', 'fc']
    """
    known = pa.array(names, pa.string())
    whole: dict[int, pa.Array] = {}
    chunks = []
    for start in range(0, len(places), _CHUNK):
        part = places[start : start + _CHUNK]
        first = int(part[0])
        if (part == first).all():
            if first not in whole:
                whole[first] = _strings(np.full(_CHUNK, first), known)
            chunks.append(whole[first].slice(0, len(part)))
        else:
            chunks.append(_strings(part, known))
    return pa.chunked_array(chunks, pa.string())


def _strings(places: npt.NDArray[np.integer[Any]], names: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(places.astype(np.int32), names).cast(pa.string())
