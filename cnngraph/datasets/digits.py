"""``digits``: 1,797 handwritten digits of 8 x 8 px that come with scikit-learn (Alpaydin, Kaynak 1998)."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnngraph.datasets.pixels import ArrayPixels, Part, RawData

__all__ = ["read"]


def read(_root: Path | None = None) -> RawData:
    """The digits; nothing is downloaded. Grey values 0..16 become 0..255."""
    rows = _rows()
    grey = np.rint(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return RawData(
        classes=[str(digit) for digit in range(10)], train=Part(ArrayPixels(grey), rows[:, -1].astype(np.int64))
    )


def _rows() -> NDArray[np.float64]:
    """A row an image: 64 grey values 0..16, then its class.

    They are read from scikit-learn's file, since importing scikit-learn takes a second; where the file is not where it
    has been since 2010, scikit-learn is asked.
    """
    package = find_spec("sklearn")
    for place in (package.submodule_search_locations or ()) if package else ():
        file = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            with gzip.open(file, "rt", encoding="ascii") as lines:
                return np.loadtxt(lines, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])
