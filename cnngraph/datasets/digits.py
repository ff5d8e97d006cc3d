"""``digits``: 1,797 handwritten digits of 8 x 8 px that come with scikit-learn (Alpaydin, Kaynak 1998)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnngraph.datasets.pixels import ArrayPixels, Part, RawData

__all__ = ["read"]


def read(_root: Path | None = None) -> RawData:
    """The digits; nothing is downloaded. Grey values 0..16 become 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return RawData(
        classes=[str(digit) for digit in range(10)], train=Part(ArrayPixels(grey), digits.target.astype(np.int64))
    )
