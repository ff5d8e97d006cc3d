"""Which feature maps are alike: the correlation of their responses, from running sums.

Within a layer two maps are compared over all places of all images; across layers, whose places differ, over each
image's mean response. Maps that are constant (dead ones) have no correlation. Where a net has too many maps for one
square matrix, the comparison across layers uses a uniform sample of the images, and says so (our choice).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from cnngraph.network.channels import Maps
from cnngraph.network.tables import SCHEMAS

__all__ = ["MOST_ALIKE", "Resemblance"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MOST_ALIKE = 10  # neighbours of each map, within its layer and across layers
LARGEST_SQUARE = 4096  # maps up to which all pairs have running sums
SAMPLE_BYTES = 256 * 2**20  # of the responses of the sampled images beyond
FEWEST_IMAGES = 3  # any two responses to two images correlate fully

_CONSTANT = 1e-12  # a variance under this share of the mean square is that of float32 rounding
_AT_ONCE = 256  # images whose responses enter the square sums together
_ROWS = 512  # maps whose correlations with all others are held at once


@dataclass
class _Moments:
    """Running count, means and co-moments of variables; merged as Chan, Golub and LeVeque (1983) do."""

    count: int
    mean: Tensor
    products: Tensor

    @classmethod
    def of(cls, count: int, mean: Tensor, products: Tensor) -> _Moments:
        return cls(count, mean.double(), products.double())

    def merge(self, other: _Moments) -> None:
        count = self.count + other.count
        shift = other.mean - self.mean
        self.products += other.products
        self.products.addr_(shift, shift, alpha=self.count * other.count / count)
        self.mean += shift * (other.count / count)
        self.count = count

    def standardised(self) -> tuple[Floats, Flags]:
        """Correlations, and which variables are alive; rows and columns of the others are 0."""
        products = self.products.cpu().numpy()
        scale, alive = _scale(np.diagonal(products), self.mean.cpu().numpy(), self.count)
        return products * scale[:, None] * scale, alive


def _scale(squares: Floats, means: Floats, count: int) -> tuple[Floats, Flags]:
    """1 / sqrt of the sums of squares, 0 where the variable is constant; and which are not."""
    variance = np.maximum(squares / count, 0.0)
    alive = variance > _CONSTANT * (variance + means**2)
    return np.divide(
        1.0, np.sqrt(squares, where=alive, out=np.ones_like(squares)), where=alive, out=np.zeros_like(squares)
    ), alive


class Resemblance:
    """Collects responses during the pass; :meth:`table` compares the maps afterwards."""

    def __init__(self, maps: Maps, seed: int) -> None:
        self._maps = maps
        self._within: dict[str, _Moments] = {}
        self._across = _Square() if maps.total <= LARGEST_SQUARE else _Sample(maps.total, seed)

    def see(self, layer: str, values: Tensor) -> None:
        """Take the maps of one layer: (images, channels, places). Layers of one place are compared by images."""
        images, _, places = values.shape
        if places == 1:
            return
        mean = values.mean((0, 2))
        centred = values - mean[:, None]
        products = torch.bmm(centred, centred.transpose(1, 2)).sum(0, dtype=torch.float64)
        _add(self._within, layer, _Moments.of(images * places, mean, products))

    def end_of_batch(self, means: Mapping[str, Tensor]) -> None:
        """Take each image's mean response of every map: layer -> (images, channels)."""
        self._across.add(torch.cat([means[layer].double() for layer in self._maps.sizes], dim=1).cpu())

    def table(self, note: Callable[[str], None]) -> pa.Table:
        """The most alike maps of each map: ``SCHEMAS["resembles"]``, by (source map, target map)."""
        pairs = [self._pairs_within(), self._pairs_of_responses(note)]
        first, second, correlation = (np.concatenate([part[i] for part in pairs]) for i in range(3))
        low, high = np.minimum(first, second), np.maximum(first, second)
        _, rows = np.unique(low * self._maps.total + high, return_index=True)
        return self._arrow(low[rows].astype(np.int64), high[rows].astype(np.int64), correlation[rows])

    def _pairs_within(self) -> tuple[Integers, Integers, Floats]:
        found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        for layer, moments in self._within.items():
            correlation, alive = moments.standardised()
            first, second, values = _most_alike(correlation, 0, alive[:, None] & alive)
            start = self._maps.first[layer]
            found.append((first + start, second + start, values))
        first, second, correlations = (np.concatenate([part[i] for part in found]) for i in range(3))
        return first, second, correlations

    def _pairs_of_responses(self, note: Callable[[str], None]) -> tuple[Integers, Integers, Floats]:
        """Pairs of different layers, and those within the layers of one place."""
        layer_of = self._maps.layer_of
        single = np.array([layer not in self._within for layer in self._maps.sizes])[layer_of]
        found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        self._across.finish()
        if self._across.used < self._across.images:
            used, images = self._across.used, self._across.images
            note(f"Maps of different layers are compared on a sample of {used:,} of {images:,} images.")
        if self._across.images >= FEWEST_IMAGES:
            for start in range(0, self._maps.total, _ROWS):
                rows = slice(start, min(start + _ROWS, self._maps.total))
                correlation, alive = self._across.correlations(rows)
                other = layer_of[rows, None] != layer_of
                both = alive[rows, None] & alive
                found.append(_most_alike(correlation, start, both & other))
                if single[rows].any():
                    found.append(_most_alike(correlation, start, both & ~other & single))
        first, second, correlations = (np.concatenate([part[i] for part in found]) for i in range(3))
        return first, second, correlations

    def _arrow(self, first: Integers, second: Integers, correlation: Floats) -> pa.Table:
        names = pa.array(list(self._maps.sizes))
        layer_of, channel_of = self._maps.layer_of, self._maps.channel_of
        columns = []
        for end in (first, second):
            places = layer_of[end].astype(np.int32)
            columns += [
                pa.DictionaryArray.from_arrays(places, names).cast(pa.string()),
                channel_of[end].astype(np.int32),
            ]
        scope = np.where(layer_of[first] == layer_of[second], "within", "across")
        return pa.table([*columns, np.clip(correlation, -1.0, 1.0), scope], schema=SCHEMAS["resembles"])


def _most_alike(correlation: Floats, start: int, allowed: Flags) -> tuple[Integers, Integers, Floats]:
    """The :data:`MOST_ALIKE` columns of largest absolute value of each row, among those allowed, never itself."""
    strength = torch.from_numpy(np.where(allowed, np.abs(correlation), -1.0))
    rows = torch.arange(len(strength))
    strength[rows, rows + start] = -1.0
    best, columns = torch.topk(strength, min(MOST_ALIKE, strength.shape[1]), dim=1)
    first, place = np.nonzero(best.numpy() >= 0)
    second: Integers = columns.numpy()[first, place]
    return first + start, second, correlation[first, second]


class _Square:
    """Running sums of all pairs of responses."""

    def __init__(self) -> None:
        self._moments: dict[str, _Moments] = {}
        self._waiting: list[Tensor] = []
        self._correlations: Floats = np.empty((0, 0))
        self._alive: Flags = np.empty(0, dtype=np.bool_)
        self.images = 0

    def add(self, responses: Tensor) -> None:
        self.images += len(responses)
        self._waiting.append(responses)
        if sum(map(len, self._waiting)) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            responses = torch.cat(self._waiting)
            self._waiting.clear()
            mean = responses.mean(0)
            centred = responses - mean
            _add(self._moments, "all", _Moments.of(len(responses), mean, centred.T @ centred))

    @property
    def used(self) -> int:
        """How many images the correlations rest on."""
        return self.images

    def finish(self) -> None:
        self._flush()
        if self.images:
            self._correlations, self._alive = self._moments["all"].standardised()

    def correlations(self, rows: slice) -> tuple[Floats, Flags]:
        return self._correlations[rows], self._alive


class _Sample:
    """A uniform sample of images (Vitter 1985, algorithm R), as large as :data:`SAMPLE_BYTES` allows."""

    def __init__(self, maps: int, seed: int) -> None:
        self._size = max(64, SAMPLE_BYTES // (8 * maps))
        self._rows: list[Floats] = []
        self._random = np.random.default_rng(seed)
        self._scaled: Floats = np.empty((0, 0))
        self._alive: Flags = np.empty(0, dtype=np.bool_)
        self.images = 0

    def add(self, responses: Tensor) -> None:
        for response in responses.numpy():
            if self.images < self._size:
                self._rows.append(response.copy())
            else:
                place = int(self._random.integers(self.images + 1))
                if place < self._size:
                    self._rows[place] = response.copy()
            self.images += 1

    @property
    def used(self) -> int:
        """How many images the correlations rest on."""
        return len(self._rows)

    def finish(self) -> None:
        responses = np.stack(self._rows)
        means = responses.mean(axis=0)
        responses -= means
        scale, self._alive = _scale(np.einsum("im,im->m", responses, responses), means, len(responses))
        self._scaled = responses * scale

    def correlations(self, rows: slice) -> tuple[Floats, Flags]:
        return self._scaled[:, rows].T @ self._scaled, self._alive


def _add(moments: dict[str, _Moments], key: str, new: _Moments) -> None:
    if key in moments:
        moments[key].merge(new)
    else:
        moments[key] = new
