"""Connections between feature maps: their weights, their sum at each map, and which of them are kept.

A weight is the L2 norm of the kernel that reads one input channel; a dense layer's places of one map fold into one
connection; into a sum every summand's weight is 1. What is left out is counted, with its share of the weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cnngraph.network.channels import Maps, Wiring
from cnngraph.network.connection_blocks import Block, Flags, Floats, Integers, Weights, blocks_of, weights_of
from cnngraph.network.connection_limits import Limits
from cnngraph.network.graph import LayerGraph
from cnngraph.network.layer_names import names_column
from cnngraph.network.tables import KERNEL, SCHEMAS
from cnngraph.network.tensors import Kernels, kernels_of

__all__ = ["Links", "connections_of", "count_connections"]


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


def connections_of(
    graph: LayerGraph, maps: Maps, wiring: Wiring, policy: str, *, kernels: bool, note: Callable[[str], None]
) -> Links:
    """All connections, weighed, and those that ``policy`` (auto, all, none, top:K) keeps."""
    for step in wiring.lost:
        note(f"The channels could not be followed through {step}: what reads it has no connections to what it reads.")
    blocks = [block for name in wiring.reads for block in blocks_of(graph, maps, wiring, name)]
    limits = Limits(policy, blocks, maps, graph)
    strength_in, strength_out = np.zeros(maps.total), np.zeros(maps.total)
    left_out: dict[tuple[str, int], list[float]] = {}
    rows = _Rows(sum(limits.count(block) for block in blocks), maps)
    seen: dict[str, Flags] = {}
    for block in blocks:
        weights = weights_of(block, wiring.weights.get(block.layer))
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
    blocks = [block for name in wiring.reads for block in blocks_of(graph, maps, wiring, name)]
    limits = Limits(policy, blocks, maps, graph)
    return sum(limits.count(block) for block in blocks)


def _left_out(
    block: Block, weights: Weights, keep: Flags | None, kept: Floats, size: int
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
        self._targets: list[tuple[int, int]] = []  # place of the target's layer, how many connections
        self._kernels: list[pa.Array] = []
        self._source_layer, self._source_channel, self.target_channel, self.channel = (
            np.empty(count, dtype=np.int32) for _ in range(4)
        )
        self.weight = np.empty(count)

    def add(self, block: Block, weights: Weights, keep: Flags | None, kernels: Kernels | None) -> slice:
        """Append the connections of ``block`` that ``keep`` keeps; return where they are."""
        of_entry = (
            (self._source_layer, self._maps.layer_of[block.sources]),
            (self._source_channel, self._maps.channel_of[block.sources]),
            (self.channel, block.channels),
        )
        count = weights.size if keep is None else int(np.count_nonzero(keep))
        where = slice(self._filled, self._filled + count)
        if keep is None:
            for column, values in of_entry:
                column[where].reshape(weights.shape)[:] = values[:, None]
            self.target_channel[where].reshape(weights.shape)[:] = block.targets[:, :, None]
            self.weight[where].reshape(weights.shape)[:] = weights
        else:
            flat, target, entry = _places(keep)
            for column, values in of_entry:
                column[where] = values.reshape(-1).astype(np.int32)[entry]
            self.target_channel[where] = block.targets.reshape(-1)[target]
            self.weight[where] = weights.reshape(-1)[flat]
        self._filled = where.stop
        self._targets.append((int(self._maps.layer_of[self._maps.first[block.layer]]), count))
        self._kernels.append(self._lists(kernels, where))
        return where

    def _lists(self, kernels: Kernels | None, where: slice) -> pa.Array:
        """The kernel of each of these connections; nulls without ``kernels``."""
        if kernels is None:
            return pa.nulls(where.stop - where.start, KERNEL.type)
        chosen = kernels[self.target_channel[where], self.channel[where] % kernels.shape[1]]
        offsets = np.arange(len(chosen) + 1, dtype=np.int32) * np.int32(kernels.shape[2])
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(chosen.reshape(-1)))

    def table(self, kernels: bool) -> pa.Table:
        """``SCHEMAS["connects"]``, with the column ``kernel`` where ``kernels`` asks for it."""
        assert self._filled == len(self.weight)
        schema = SCHEMAS["connects"].append(KERNEL) if kernels else SCHEMAS["connects"]
        if not self._filled:
            return pa.Table.from_batches([], schema=schema)
        names = list(self._maps.sizes)
        places, counts = np.array(self._targets, dtype=np.int32).T
        columns = [
            names_column(self._source_layer, names),
            self._source_channel,
            names_column(np.repeat(places, counts), names),
            self.target_channel,
            self.channel,
            self.weight,
        ]
        if kernels:
            columns.append(pa.concat_arrays(self._kernels))
        return pa.table(columns, schema=schema)


def _places(keep: Flags) -> tuple[Integers, Integers, Integers]:
    """Where ``keep`` (groups, targets, entries) is true: in all of it, among the targets, among the entries."""
    groups, members, entries = keep.shape
    flat = np.flatnonzero(keep)
    ends = np.searchsorted(flat, np.arange(1, groups * members + 1) * entries)
    target = np.repeat(np.arange(groups * members), np.diff(ends, prepend=0))
    entry = flat - target * entries
    if groups > 1:
        entry += target // members * entries
    return flat, target, entry
