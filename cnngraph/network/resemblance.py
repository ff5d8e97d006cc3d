"""Which feature maps are alike: the correlation of their responses, from running sums.

Within a layer two maps are compared over all places of all images; across layers, whose places differ, over each
image's mean response. Maps that are constant (dead ones) have no correlation. Where a net has too many maps for one
square matrix, the comparison across layers uses a uniform sample of the images, and says so (our choice).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from cnngraph.network.channels import Maps
from cnngraph.network.layer_names import names_column
from cnngraph.network.most_alike import most_alike
from cnngraph.network.tables import SCHEMAS

__all__ = ["MOST_ALIKE", "Resemblance"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Pairs = tuple[Integers, Integers, Floats]  # first map, second map, their correlation

MOST_ALIKE = 10  # neighbours of each map, within its layer and across layers
LARGEST_SQUARE = 4096  # maps up to which all pairs have running sums
SAMPLE_BYTES = 256 * 2**20  # of the responses of the sampled images beyond
FEWEST_IMAGES = 3  # any two responses to two images correlate fully

_CONSTANT = 1e-12  # a variance under this share of the mean square is that of float32 rounding
_VALUES_AT_ONCE = 4_000_000  # that are made float64 together
_AT_ONCE = 256  # images whose responses enter the square sums together
_ROWS = 512  # maps whose correlations with all others are held at once


class _Moments:
    """Running sums and products of variables, about the mean of the first values that come (shifted data).

    All sums are float64: in float32 the products of maps that answer few images alone would be off by 1e-5. Of the
    products one triangle is made and kept (LAPACK's rectangular full packed format).
    """

    def __init__(self) -> None:
        self.count = 0
        self._shift: Tensor = torch.empty(0)
        self._sums: Floats = np.empty(0)
        self._products: Floats = np.empty(0)

    def add(self, values: Tensor) -> None:
        """Take the values of (images, variables, places)."""
        from scipy.linalg import lapack

        values = values.cpu()
        images, size, places = values.shape
        if not self.count:
            self._shift = values.double().mean((0, 2))[:, None, None]
            self._sums, self._products = np.zeros(size), np.zeros(size * (size + 1) // 2)
        self.count += images * places
        for part in torch.split(values, max(1, _VALUES_AT_ONCE // (size * places))):
            ours = part.transpose(0, 1).to(torch.float64, copy=True, memory_format=torch.contiguous_format)
            rows = ours.sub_(self._shift).view(size, -1)
            self._sums += rows.sum(1).numpy()
            self._products = lapack.dsfrk(
                size, rows.shape[1], 1.0, rows.numpy().T, 1.0, self._products, trans="T", overwrite_c=1
            )

    def standardised(self) -> tuple[Floats, Flags]:
        """Correlations, and which variables are alive; rows and columns of the others are 0. The sums are used up."""
        lower, alive = self._lower()
        whole = lower + lower.T
        whole.diagonal().copy_(lower.diagonal())
        return whole.numpy(), alive

    def most_alike(self) -> Pairs:
        """The :data:`MOST_ALIKE` other variables of each variable. The sums are used up.

        They are found in float32, which is half as much to look through, and told in float64.
        """
        lower, alive = self._lower()
        strength = lower.float().abs_()
        strength = strength + strength.T
        strength.fill_diagonal_(-1.0)
        if not alive.all():
            dead = torch.from_numpy(~alive)
            strength[dead], strength[:, dead] = -1.0, -1.0
        best, columns = torch.topk(strength, min(MOST_ALIKE, len(strength)), dim=1)
        first, place = torch.nonzero(best >= 0, as_tuple=True)
        second = columns[first, place]
        values = lower[torch.maximum(first, second), torch.minimum(first, second)]
        return first.numpy(), second.numpy(), values.numpy()

    def _lower(self) -> tuple[Tensor, Flags]:
        """The lower triangle of the correlations, 0 above; and which variables are alive."""
        from scipy.linalg import lapack

        upper, _ = lapack.dtfttr(len(self._sums), self._products)
        self._products = np.empty(0)
        lower, sums = torch.from_numpy(upper.T), torch.from_numpy(self._sums)
        lower.addr_(sums, sums, alpha=-1 / self.count)
        means = self._sums / self.count + self._shift.flatten().numpy()
        scale, alive = _scale(lower.diagonal().numpy(), means, self.count)
        factors = torch.from_numpy(scale)
        return lower.mul_(factors[:, None]).mul_(factors).tril_(), alive


def _scale(squares: Floats, means: Floats, count: int) -> tuple[Floats, Flags]:
    """1 / sqrt of the sums of squares, 0 where the variable is constant; and which are not."""
    variance = np.maximum(squares / count, 0.0)
    alive = variance > _CONSTANT * (variance + means**2)
    return np.divide(
        1.0, np.sqrt(squares, where=alive, out=np.ones_like(squares)), where=alive, out=np.zeros_like(squares)
    ), alive


class Resemblance:
    """Collects responses during the pass; :meth:`table` compares the maps afterwards."""

    def __init__(self, maps: Maps, seed: int, *, across: bool = True) -> None:
        """Args: ``seed`` of a sample of images. ``across``: compare maps of different layers, too."""
        self._maps, self._compares_across = maps, across
        self._within: dict[str, _Moments] = {}
        self._across = _Square() if maps.total <= LARGEST_SQUARE else _Sample(maps.total, seed)

    def see(self, layer: str, values: Tensor) -> None:
        """Take the maps of one layer: (images, channels, places). Layers of one place are compared by images."""
        if values.shape[2] > 1 or not self._compares_across:
            self._within.setdefault(layer, _Moments()).add(values)

    def end_of_batch(self, means: Mapping[str, Tensor]) -> None:
        """Take each image's mean response of every map: layer -> (images, channels)."""
        if self._compares_across:
            self._across.add(torch.cat([means[layer] for layer in self._maps.sizes], dim=1).cpu())

    def table(self, note: Callable[[str], None]) -> pa.Table:
        """The most alike maps of each map: ``SCHEMAS["resembles"]``, by (source map, target map)."""
        first, second, correlation = _joined([self._pairs_within(), self._pairs_of_responses(note)])
        low, high = np.minimum(first, second), np.maximum(first, second)
        _, rows = np.unique(low * self._maps.total + high, return_index=True)
        return self._arrow(low[rows].astype(np.int64), high[rows].astype(np.int64), correlation[rows])

    def _pairs_within(self) -> Pairs:
        found: list[Pairs] = []
        for layer, moments in self._within.items():
            if not self._compares_across and moments.count < FEWEST_IMAGES:
                continue
            first, second, values = moments.most_alike()
            start = self._maps.first[layer]
            found.append((first + start, second + start, values))
        return _joined(found)

    def _pairs_of_responses(self, note: Callable[[str], None]) -> Pairs:
        """Pairs of different layers, and those within the layers of one place."""
        layer_of = self._maps.layer_of
        found: list[Pairs] = []
        if not self._compares_across:
            return _joined(found)
        self._across.finish()
        if self._across.used < self._across.images:
            used, images = self._across.used, self._across.images
            note(f"Maps of different layers are compared on a sample of {used:,} of {images:,} images.")
        if self._across.images >= FEWEST_IMAGES:
            found.append(self._across.most_alike(layer_of))
            found += [self._within_responses(layer) for layer in self._maps.sizes if layer not in self._within]
        return _joined(found)

    def _within_responses(self, layer: str) -> Pairs:
        """Pairs of one layer of one place, some rows of maps after the other."""
        first = self._maps.first[layer]
        own = slice(first, first + self._maps.sizes[layer])
        found: list[Pairs] = []
        for start in range(own.start, own.stop, _ROWS):
            rows = slice(start, min(start + _ROWS, own.stop))
            correlation, alive = self._across.correlations(rows, own)
            one, other, values = _most_alike(correlation, start - first, alive[rows, None] & alive[own])
            found.append((one + first, other + first, values))
        return _joined(found)

    def _arrow(self, first: Integers, second: Integers, correlation: Floats) -> pa.Table:
        names = list(self._maps.sizes)
        layer_of, channel_of = self._maps.layer_of.astype(np.int32), self._maps.channel_of.astype(np.int32)
        columns: list[Any] = []
        for end in (first, second):
            columns += [names_column(layer_of[end], names), channel_of[end]]
        scope = names_column((layer_of[first] == layer_of[second]).astype(np.int32), ["across", "within"])
        return pa.table([*columns, np.clip(correlation, -1.0, 1.0), scope], schema=SCHEMAS["resembles"])


def _joined(parts: list[Pairs]) -> Pairs:
    none = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    first, second, correlation = (np.concatenate([part[i] for part in [none, *parts]]) for i in range(3))
    return first, second, correlation


def _most_alike(correlation: Floats, start: int, allowed: Flags) -> Pairs:
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
        self._moments = _Moments()
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
            self._moments.add(torch.cat(self._waiting)[:, :, None])
            self._waiting.clear()

    @property
    def used(self) -> int:
        """How many images the correlations rest on."""
        return self.images

    def finish(self) -> None:
        self._flush()
        if self.images:
            self._correlations, self._alive = self._moments.standardised()

    def correlations(self, rows: slice, columns: slice) -> tuple[Floats, Flags]:
        """Of some maps with others, and which of all maps are alive."""
        return self._correlations[rows, columns], self._alive

    def most_alike(self, layer_of: Integers) -> Pairs:
        """For each map the most alike of other layers."""
        found: list[Pairs] = []
        everything = slice(0, len(layer_of))
        for start in range(0, len(layer_of), _ROWS):
            rows = slice(start, min(start + _ROWS, len(layer_of)))
            correlation, alive = self.correlations(rows, everything)
            other = layer_of[rows, None] != layer_of
            found.append(_most_alike(correlation, start, alive[rows, None] & alive & other))
        return _joined(found)


class _Sample:
    """A uniform sample of images (Vitter 1985, algorithm R), as large as :data:`SAMPLE_BYTES` allows."""

    def __init__(self, maps: int, seed: int) -> None:
        self._size = max(64, SAMPLE_BYTES // (8 * maps))
        self._rows: list[npt.NDArray[np.floating[Any]]] = []
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
        return min(self.images, self._size)

    def finish(self) -> None:
        responses = np.stack(self._rows, axis=1).astype(np.float64)
        self._rows = []
        means = responses.mean(axis=1)
        responses -= means[:, None]
        scale, self._alive = _scale(np.einsum("mi,mi->m", responses, responses), means, self.used)
        responses *= scale[:, None]
        self._scaled = responses

    def correlations(self, rows: slice, columns: slice) -> tuple[Floats, Flags]:
        """Of some maps with others, and which of all maps are alive."""
        return self._scaled[rows] @ self._scaled[columns].T, self._alive

    def most_alike(self, layer_of: Integers) -> Pairs:
        """For each map the most alike of other layers."""
        return most_alike(self._scaled, layer_of, MOST_ALIKE)
