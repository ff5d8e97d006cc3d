"""A data set that a small net learns in a second: two classes, a bright bar standing or lying."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from cnngraph.datasets.images import Images
from cnngraph.datasets.pixels import ArrayPixels
from cnngraph.origin import Preprocessing


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small lose more by waiting for a second thread on a busy machine than they gain by it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bars(count: int, seed: int) -> Images:
    chance = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    array = chance.integers(0, 60, (count, 12, 12)).astype(np.uint8)
    for picture, label in zip(array, labels, strict=True):
        place = chance.integers(1, 11)
        if label:
            picture[place] = 250
        else:
            picture[:, place] = 250
    images = Images(ArrayPixels(array), labels, Preprocessing(size=(12, 12), channels=1))
    images.preload()
    return images


@pytest.fixture(scope="session")
def train() -> Images:
    return bars(97, 0)


@pytest.fixture(scope="session")
def validation() -> Images:
    return bars(40, 1)
