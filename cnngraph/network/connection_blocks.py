"""The connections into a layer, block by block: which maps its channels read, and how much each of them weighs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.network.channels import Maps, Wiring
from cnngraph.network.graph import LayerGraph
from cnngraph.network.tensors import regular_places

__all__ = ["Block", "Flags", "Floats", "Integers", "Weights", "blocks_of", "filters_of", "weights_of"]

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_AT_ONCE = 65_536  # values that are made float64 together: they stay in the processor's cache


@dataclass(frozen=True)
class Block:
    """Target channels that all read the same entries, g groups of t targets and e entries.

    ``channels`` and ``sources`` (g, e): input channel and map of each entry; ``targets`` (g, t). For a dense layer
    ``fold`` holds the features by entry and where each entry's features begin.
    """

    layer: str
    kind: str
    targets: Integers
    channels: Integers
    sources: Integers
    fold: tuple[Integers, Integers] | None = None

    @property
    def size(self) -> int:
        """How many connections."""
        return int(self.targets.size * self.sources.shape[1])


def blocks_of(graph: LayerGraph, maps: Maps, wiring: Wiring, name: str) -> Iterator[Block]:
    """The blocks of all connections into the layer ``name``."""
    layer = graph.by_name[name]
    operands = wiring.reads[name]
    if layer.kind == "Linear":
        yield from _dense_block(name, operands[0], maps.sizes[name])
        return
    size = maps.sizes[name]
    if layer.kind == "Add":
        groups, members = size, 1
        pairs = np.concatenate([reads + np.array([port * size, 0]) for port, reads in enumerate(operands)])
        group_of = pairs[:, 0] % size
        pairs = pairs[np.argsort(group_of, kind="stable")]
        group_of = np.sort(group_of)
    else:
        groups, pairs = layer.groups or 1, operands[0]
        members = size // groups
        group_of = pairs[:, 0] // ((layer.in_channels or 1) // groups)
    targets = np.arange(size, dtype=np.int64).reshape(groups, members)
    counts = np.bincount(group_of, minlength=groups)
    if not len(pairs):
        return
    if (counts == counts[0]).all():
        yield Block(name, layer.kind, targets, pairs[:, 0].reshape(groups, -1), pairs[:, 1].reshape(groups, -1))
        return
    for group in range(groups):
        mine = pairs[group_of == group]
        if len(mine):
            yield Block(name, layer.kind, targets[group : group + 1], mine[None, :, 0], mine[None, :, 1])


def _dense_block(name: str, pairs: Integers, units: int) -> Iterator[Block]:
    """Fold the features that stem from one map; its input channel is its place among the maps that are read."""
    if not len(pairs):
        return
    sources, seen, entry = np.unique(pairs[:, 1], return_index=True, return_inverse=True)
    order = np.argsort(seen, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    by_entry = np.argsort(rank[entry], kind="stable")
    starts = np.searchsorted(rank[entry][by_entry], np.arange(len(order)))
    yield Block(
        name,
        "Linear",
        np.arange(units, dtype=np.int64)[None],
        np.arange(len(order), dtype=np.int64)[None],
        sources[order][None],
        (pairs[by_entry, 0], starts),
    )


def weights_of(block: Block, weight: Tensor | None) -> Weights:
    """(groups, targets, entries): the weight of each connection of a block."""
    groups, members = block.targets.shape
    if block.kind == "Add":
        return np.ones((groups, members, block.sources.shape[1]))
    assert weight is not None
    if block.fold is None:
        norms = _kernel_norms(weight)
        local = block.channels % norms.shape[1]
        everything = block.targets.size == len(norms) and local.shape[1] == norms.shape[1]
        if everything and (local == np.arange(norms.shape[1])).all():
            return norms.reshape(groups, members, -1)
        found: Weights = norms[block.targets[:, :, None], local[:, None, :]]
        return found
    features, starts = block.fold
    return np.concatenate([_folded(rows, features, starts) for rows in _split(weight)])[None]


def _kernel_norms(weight: Tensor) -> Weights:
    """(targets, channels): the L2 norm of each kernel, exact in float32 where a kernel is one value of it."""
    kernels = weight.flatten(2)
    if kernels.shape[2] == 1 and kernels.dtype == torch.float32:
        single: Weights = kernels[:, :, 0].abs().cpu().numpy()
        return single
    return np.concatenate([torch.linalg.vector_norm(part.double(), dim=2).cpu().numpy() for part in _split(kernels)])


def _folded(rows: Tensor, features: Integers, starts: Integers) -> Floats:
    """The L2 norms of ``rows`` (targets, features) over the features of each entry."""
    places = regular_places(features, starts, rows.shape[1])
    if places:
        norms: Floats = torch.linalg.vector_norm(rows.double().view(-1, len(starts), places), dim=2).cpu().numpy()
    else:
        norms = np.sqrt(np.add.reduceat(rows.double().square().cpu().numpy()[:, features], starts, axis=1))
    return norms


def filters_of(wiring: Wiring, layer: str, size: int) -> tuple[Floats, Floats]:
    """L1 and L2 norm of the filter that makes each of the ``size`` maps of ``layer``; 0 where there is none."""
    weight = wiring.weights.get(layer)
    if weight is None:
        return np.zeros(size), np.zeros(size)
    norms = [_norms(part) for part in _split(weight.flatten(1))]
    l1, l2 = (np.concatenate(parts) for parts in zip(*norms, strict=True))
    return l1, l2


def _norms(rows: Tensor) -> tuple[Floats, Floats]:
    exact = rows.double()
    l1, l2 = (torch.linalg.vector_norm(exact, order, dim=1).cpu().numpy() for order in (1, 2))
    return l1, l2


def _split(rows: Tensor) -> tuple[Tensor, ...]:
    """``rows`` in parts that stay in the processor's cache as float64."""
    return torch.split(rows, max(1, _AT_ONCE // max(1, rows[0].numel())))
