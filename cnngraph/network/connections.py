"""Connections between feature maps: their weights, their sum at each map, and which of them are kept.

A weight is the L2 norm of the kernel that reads one input channel; a dense layer's places of one map fold into one
connection; into a sum every summand's weight is 1. What is left out is counted, with its share of the weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from cnngraph.network.channels import Maps, Wiring
from cnngraph.network.graph import LayerGraph
from cnngraph.network.tables import KERNEL, SCHEMAS
from cnngraph.network.tensors import kernels_of, regular_places

__all__ = ["Links", "connections_of", "count_connections", "filters_of"]

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# What `auto` keeps (design: connections). Beyond, the strongest of each target, as many as fit; 64 of each dense unit.
MOST_BETWEEN_CONVS = 5_000_000
MOST_OF_A_DENSE_PAIR = 1_000_000
STRONGEST_OF_A_UNIT = 64

_AT_ONCE = 65_536  # values that are made float64 together: they stay in the processor's cache


@dataclass(frozen=True)
class Links:
    """The connections of a net.

    Attributes:
        table: ``SCHEMAS["connects"]``, with the column ``kernel`` where it was asked for.
        omitted: (target layer, port) -> how many were left out there, and their share of the weight.
        strength_in, strength_out: for each map the sum of *all* weights that enter and leave it.
        held: layers whose weight the kernels hold to the last value (none without kernels).
    """

    table: pa.Table
    omitted: dict[tuple[str, int], tuple[int, float]]
    strength_in: Floats
    strength_out: Floats
    held: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Block:
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


def connections_of(
    graph: LayerGraph, maps: Maps, wiring: Wiring, policy: str, *, kernels: bool, note: Callable[[str], None]
) -> Links:
    """All connections, weighed, and those that ``policy`` (auto, all, none, top:K) keeps."""
    for step in wiring.lost:
        note(f"The channels could not be followed through {step}: what reads it has no connections to what it reads.")
    blocks = [block for name in wiring.reads for block in _blocks(graph, maps, wiring, name)]
    limits = _Limits(policy, blocks, maps, graph)
    strength_in, strength_out = np.zeros(maps.total), np.zeros(maps.total)
    left_out: dict[tuple[str, int], list[float]] = {}
    rows = _Rows(sum(limits.count(block) for block in blocks), maps)
    seen: dict[str, Flags] = {}
    for block in blocks:
        weights = _weights(block, wiring.weights.get(block.layer))
        strength_in[maps.first[block.layer] + block.targets] += weights.sum(axis=2, dtype=np.float64)
        np.add.at(strength_out, block.sources, weights.sum(axis=1, dtype=np.float64))
        keep = limits.keep(block, weights)
        raw = kernels_of(wiring.weights[block.layer], block.fold) if kernels and block.kind != "Add" else None
        kept = rows.add(block, weights, keep, raw)
        for port, omitted, weight, whole in _left_out(block, weights, keep, rows.weight[kept], maps.sizes[block.layer]):
            entry = left_out.setdefault((block.layer, port), [0, 0.0, 0.0])
            entry[:] = entry[0] + omitted, entry[1] + weight, entry[2] + whole
        if raw is not None:
            mark = seen.setdefault(block.layer, np.zeros(raw.shape[:2], dtype=np.bool_))
            mark[rows.target_channel[kept], rows.channel[kept] % raw.shape[1]] = True
    shares = {key: (int(n), min(1.0, part / whole) if whole else 0.0) for key, (n, part, whole) in left_out.items()}
    held = frozenset(layer for layer, mark in seen.items() if mark.all())
    return Links(rows.table(kernels), shares, strength_in, strength_out, held)


def count_connections(graph: LayerGraph, maps: Maps, wiring: Wiring, policy: str) -> int:
    """How many connections ``policy`` keeps; no weight is looked at."""
    blocks = [block for name in wiring.reads for block in _blocks(graph, maps, wiring, name)]
    limits = _Limits(policy, blocks, maps, graph)
    return sum(limits.count(block) for block in blocks)


def filters_of(wiring: Wiring, layer: str, size: int) -> tuple[Floats, Floats]:
    """L1 and L2 norm of the filter that makes each of the ``size`` maps of ``layer``; 0 where there is none."""
    weight = wiring.weights.get(layer)
    if weight is None:
        return np.zeros(size), np.zeros(size)
    norms = [_norms(part) for part in _split(weight.flatten(1))]
    l1, l2 = (np.concatenate(parts) for parts in zip(*norms, strict=True))
    return l1, l2


def _split(rows: Tensor) -> tuple[Tensor, ...]:
    """``rows`` in parts that stay in the processor's cache as float64."""
    return torch.split(rows, max(1, _AT_ONCE // max(1, rows[0].numel())))


def _norms(rows: Tensor) -> tuple[Floats, Floats]:
    exact = rows.double()
    l1, l2 = (torch.linalg.vector_norm(exact, order, dim=1).cpu().numpy() for order in (1, 2))
    return l1, l2


def _blocks(graph: LayerGraph, maps: Maps, wiring: Wiring, name: str) -> Iterator[_Block]:
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
        yield _Block(name, layer.kind, targets, pairs[:, 0].reshape(groups, -1), pairs[:, 1].reshape(groups, -1))
        return
    for group in range(groups):
        mine = pairs[group_of == group]
        if len(mine):
            yield _Block(name, layer.kind, targets[group : group + 1], mine[None, :, 0], mine[None, :, 1])


def _dense_block(name: str, pairs: Integers, units: int) -> Iterator[_Block]:
    """Fold the features that stem from one map; its input channel is its place among the maps that are read."""
    if not len(pairs):
        return
    sources, seen, entry = np.unique(pairs[:, 1], return_index=True, return_inverse=True)
    order = np.argsort(seen, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    by_entry = np.argsort(rank[entry], kind="stable")
    starts = np.searchsorted(rank[entry][by_entry], np.arange(len(order)))
    yield _Block(
        name,
        "Linear",
        np.arange(units, dtype=np.int64)[None],
        np.arange(len(order), dtype=np.int64)[None],
        sources[order][None],
        (pairs[by_entry, 0], starts),
    )


def _weights(block: _Block, weight: Tensor | None) -> Weights:
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


class _Limits:
    """What a policy keeps. Summands of a sum are structure: only ``none`` leaves them out (our choice)."""

    def __init__(self, policy: str, blocks: list[_Block], maps: Maps, graph: LayerGraph) -> None:
        self._policy = policy
        self._dense = np.array([graph.by_name[name].kind == "Linear" for name in maps.sizes])
        self._layer_of = maps.layer_of
        self._strongest: int | None = int(policy[4:]) if policy.startswith("top:") else None
        if policy == "auto":
            self._strongest = self._fitting(blocks)

    def count(self, block: _Block) -> int:
        """How many connections of ``block`` are kept."""
        if self._policy == "none":
            return 0
        return sum(
            block.targets.shape[1]
            * int((mine.sum(axis=1) if most is None else np.minimum(mine.sum(axis=1), most)).sum())
            for mine, most in self._parts(block)
        )

    def keep(self, block: _Block, weights: Weights) -> Flags | None:
        """(groups, targets, entries): which are kept; ``None`` where all are."""
        if self._policy == "none":
            return np.zeros(weights.shape, dtype=np.bool_)
        kept: Flags | None = None
        for mine, most in self._parts(block):
            if most is None or most >= int(mine.sum(axis=1).max()):
                continue
            # Outside of `mine` nothing is a candidate, and everything is left to the other parts.
            here = _strongest(weights if mine.all() else np.where(mine[:, None, :], weights, -1.0), most)
            here |= ~mine[:, None, :]
            kept = here if kept is None else kept & here
        return kept

    def _parts(self, block: _Block) -> Iterator[tuple[Flags, int | None]]:
        """The entries (groups, entries) that are limited together, and how many of them each target keeps."""
        everything = np.ones(block.sources.shape, dtype=np.bool_)
        if self._policy != "auto" or block.kind == "Add":
            yield everything, None if block.kind == "Add" else self._strongest
            return
        layers = self._layer_of[block.sources]
        dense = self._with_dense(block)
        if not dense.all():
            yield ~dense, self._strongest
        for layer in np.unique(layers[dense]).tolist():
            mine = dense & (layers == layer)
            pair = int(mine.sum()) * block.targets.shape[1]
            yield mine, STRONGEST_OF_A_UNIT if pair > MOST_OF_A_DENSE_PAIR else None

    def _with_dense(self, block: _Block) -> Flags:
        if block.kind == "Linear":
            return np.ones(block.sources.shape, dtype=np.bool_)
        dense: Flags = self._dense[self._layer_of[block.sources]]
        return dense

    def _fitting(self, blocks: list[_Block]) -> int | None:
        """The largest K with which the connections between convs fit; ``None`` where all of them do."""
        room = MOST_BETWEEN_CONVS
        targets, entries = [], []
        for block in blocks:
            if block.kind == "Add":
                room -= block.size
            elif block.kind == "Conv":
                read = (~self._with_dense(block)).sum(axis=1)
                entries.append(read)
                targets.append(np.full(len(read), block.targets.shape[1]))
        if not entries:
            return None
        counts, width = np.concatenate(entries), np.concatenate(targets)
        if int((counts * width).sum()) <= room:
            return None
        low, high = 1, int(counts.max())
        while low < high:
            middle = (low + high + 1) // 2
            fits = int((np.minimum(counts, middle) * width).sum()) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return low


def _strongest(weights: Weights, most: int) -> Flags:
    """The ``most`` largest along the last axis; of equal ones the first."""
    place = weights.shape[-1] - most
    cut = np.partition(weights, place, axis=-1)[..., place : place + 1]
    kept: Flags = weights >= cut
    if np.count_nonzero(kept) > most * (weights.size // weights.shape[-1]):
        tied = kept.sum(axis=-1) > most
        among, level = weights[tied], weights[tied] == cut[tied]
        room = most - (among > cut[tied]).sum(axis=-1, keepdims=True)
        kept[tied] = (among > cut[tied]) | (level & (np.cumsum(level, axis=-1) <= room))
    return kept


def _left_out(
    block: _Block, weights: Weights, keep: Flags | None, kept: Floats, size: int
) -> Iterator[tuple[int, int, float, float]]:
    """For each operand: its port, how many connections were left out, their weight, and the weight of all.

    ``kept`` are the weights of those that ``keep`` keeps.
    """
    if keep is None:
        return
    if block.kind != "Add":
        whole, count = float(weights.sum(dtype=np.float64)), weights.size - len(kept)
        yield 0, count, max(0.0, whole - float(kept.sum())) if count else 0.0, whole
        return
    ports = block.channels // size
    for port in np.unique(ports).tolist():
        mine = (ports == port)[:, None, :]
        whole, rest = float(weights.sum(where=mine)), float(weights.sum(where=mine & keep))
        count = int(mine.sum()) * weights.shape[1] - int(np.count_nonzero(mine & keep))
        yield port, count, max(0.0, whole - rest) if count else 0.0, whole


class _Rows:
    """The connections that are kept, in arrays that are as long from the beginning as all of them need.

    Attributes:
        target_channel, channel: channel of the target's output, and of its input, of each connection.
        weight: of each connection.
    """

    def __init__(self, count: int, maps: Maps) -> None:
        self._maps = maps
        self._filled = 0
        self._layers: list[tuple[int, int]] = []  # place of the target's layer, how many connections
        self._kernels: list[pa.Array] = []
        self.target_channel, self.channel, self._source = (np.empty(count, dtype=np.int32) for _ in range(3))
        self.weight = np.empty(count)

    def add(
        self, block: _Block, weights: Weights, keep: Flags | None, kernels: npt.NDArray[np.float32] | None
    ) -> slice:
        """Append the connections of ``block`` that ``keep`` keeps; return where they are."""
        if keep is None:
            shape = weights.shape
            target, channel, source = (
                np.broadcast_to(part, shape).reshape(-1)
                for part in (block.targets[:, :, None], block.channels[:, None], block.sources[:, None])
            )
            values = weights.reshape(-1)
        else:
            target, channel, source, values = _chosen(block, weights, keep)
        where = slice(self._filled, self._filled + len(values))
        self.target_channel[where], self.channel[where], self._source[where] = target, channel, source
        self.weight[where] = values
        self._filled = where.stop
        self._layers.append((int(self._maps.layer_of[self._maps.first[block.layer]]), len(values)))
        if kernels is None:
            self._kernels.append(pa.nulls(len(values), KERNEL.type))
        else:
            chosen = kernels[target, channel % kernels.shape[1]]
            offsets = np.arange(len(chosen) + 1, dtype=np.int32) * np.int32(kernels.shape[2])
            self._kernels.append(pa.ListArray.from_arrays(pa.array(offsets), pa.array(chosen.reshape(-1))))
        return where

    def table(self, kernels: bool) -> pa.Table:
        """``SCHEMAS["connects"]``, with the column ``kernel`` where ``kernels`` asks for it."""
        assert self._filled == len(self.weight)
        schema = SCHEMAS["connects"].append(KERNEL) if kernels else SCHEMAS["connects"]
        if not self._filled:
            return pa.Table.from_batches([], schema=schema)
        names = pa.array(list(self._maps.sizes))

        def layers(places: npt.NDArray[np.int32]) -> pa.Array:
            return pa.DictionaryArray.from_arrays(places, names).cast(pa.string())

        places, counts = np.array(self._layers).T
        columns = [
            layers(self._maps.layer_of.astype(np.int32)[self._source]),
            self._maps.channel_of.astype(np.int32)[self._source],
            layers(np.repeat(places.astype(np.int32), counts)),
            self.target_channel,
            self.channel,
            self.weight,
        ]
        if kernels:
            columns.append(pa.concat_arrays(self._kernels))
        return pa.table(columns, schema=schema)


def _chosen(block: _Block, weights: Weights, keep: Flags) -> tuple[Integers, Integers, Integers, Weights]:
    """Target and input channel, source map and weight of each connection that ``keep`` (groups, targets, entries) has."""
    _, members, entries = weights.shape
    flat = np.flatnonzero(keep)
    counts = np.diff(np.searchsorted(flat, np.arange(block.targets.size + 1) * entries))
    row = np.repeat(np.arange(block.targets.size), counts)
    entry = flat - row * entries
    if len(block.targets) > 1:
        entry += row // members * entries
    target, channel, source = block.targets.reshape(-1), block.channels.reshape(-1), block.sources.reshape(-1)
    return target[row], channel[entry], source[entry], weights.reshape(-1)[flat]
