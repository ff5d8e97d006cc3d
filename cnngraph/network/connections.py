"""Connections between feature maps: their weights, their sum at each map, and which of them are kept.

A weight is the L2 norm of the kernel that reads one input channel; a dense layer's places of one map fold into one
connection; into a sum every summand's weight is 1. What is left out is counted, with its share of the weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# What `auto` keeps (design: connections). Beyond, the strongest of each target, as many as fit; 64 of each dense unit.
MOST_BETWEEN_CONVS = 5_000_000
MOST_OF_A_DENSE_PAIR = 1_000_000
STRONGEST_OF_A_UNIT = 64

_ROWS = 256  # rows of a dense layer's weights that are squared at once, in float64


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
    parts = []
    seen: dict[str, Flags] = {}
    for block in blocks:
        weights = _weights(block, wiring.weights.get(block.layer))
        first = maps.first[block.layer]
        strength_in[first + block.targets] += weights.sum(axis=2)
        np.add.at(strength_out, block.sources, weights.sum(axis=1))
        keep = limits.keep(block, weights)
        for port, omitted, weight, whole in _left_out(block, weights, keep, maps.sizes[block.layer]):
            entry = left_out.setdefault((block.layer, port), [0, 0.0, 0.0])
            entry[:] = entry[0] + omitted, entry[1] + weight, entry[2] + whole
        raw = kernels_of(wiring.weights[block.layer], block.fold) if kernels and block.kind != "Add" else None
        parts.append(_rows(block, weights, keep, maps, raw))
        if raw is not None:
            mark = seen.setdefault(block.layer, np.zeros(raw.shape[:2], dtype=np.bool_))
            mark[parts[-1][0] - first, parts[-1][1] % raw.shape[1]] = True
    shares = {key: (int(n), min(1.0, part / whole) if whole else 0.0) for key, (n, part, whole) in left_out.items()}
    held = frozenset(layer for layer, mark in seen.items() if mark.all())
    return Links(_table(parts, maps, kernels), shares, strength_in, strength_out, held)


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
    rows = weight.flatten(1)
    norms = [_norms(part) for part in torch.split(rows, _ROWS)]
    l1, l2 = (np.concatenate(parts) for parts in zip(*norms, strict=True))
    return l1, l2


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


def _weights(block: _Block, weight: Tensor | None) -> Floats:
    """(groups, targets, entries): the weight of each connection of a block."""
    groups, members = block.targets.shape
    if block.kind == "Add":
        return np.ones((groups, members, block.sources.shape[1]))
    assert weight is not None
    if block.fold is None:
        norms = torch.linalg.vector_norm(weight.flatten(2).double(), dim=2).cpu().numpy()
        local = block.channels % norms.shape[1]
        found: Floats = norms[block.targets[:, :, None], local[:, None, :]]
        return found
    features, starts = block.fold
    return np.concatenate([_folded(rows, features, starts) for rows in torch.split(weight, _ROWS)])[None]


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

    def keep(self, block: _Block, weights: Floats) -> Flags | None:
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


def _strongest(weights: Floats, most: int) -> Flags:
    """The ``most`` largest along the last axis; of equal ones the first."""
    largest = torch.topk(torch.from_numpy(weights), most, dim=-1, sorted=False).values
    cut = largest.amin(-1, keepdim=True).numpy()
    kept: Flags = weights >= cut
    tied = kept.sum(axis=-1) > most
    if tied.any():
        among, level = weights[tied], weights[tied] == cut[tied]
        room = most - (among > cut[tied]).sum(axis=-1, keepdims=True)
        kept[tied] = (among > cut[tied]) | (level & (np.cumsum(level, axis=-1) <= room))
    return kept


def _left_out(block: _Block, weights: Floats, keep: Flags | None, size: int) -> Iterator[tuple[int, int, float, float]]:
    """For each operand: its port, how many connections were left out, their weight, and the weight of all."""
    if keep is None:
        return
    ports = block.channels // size if block.kind == "Add" else np.zeros_like(block.channels)
    for port in np.unique(ports).tolist():
        mine = (ports == port)[:, None, :]
        whole, kept = float(weights.sum(where=mine)), float(weights.sum(where=mine & keep))
        count = int(mine.sum()) * weights.shape[1] - int(np.count_nonzero(mine & keep))
        yield port, count, max(0.0, whole - kept) if count else 0.0, whole


Short = npt.NDArray[np.int32]
_Rows = tuple[Short, Short, Short, Floats, pa.Array]


def _rows(
    block: _Block, weights: Floats, keep: Flags | None, maps: Maps, kernels: npt.NDArray[np.float32] | None
) -> _Rows:
    """(target map, input channel, source map, weight, kernel) of each connection that is kept."""
    which = np.ones(weights.shape, dtype=np.bool_) if keep is None else keep
    group, member, entry = np.nonzero(which)
    targets, channels = block.targets[group, member], block.channels[group, entry]
    raw = pa.nulls(len(targets), KERNEL.type)
    if kernels is not None:
        chosen = kernels[targets, channels % kernels.shape[1]]
        offsets = np.arange(len(chosen) + 1, dtype=np.int32) * np.int32(kernels.shape[2])
        raw = pa.ListArray.from_arrays(pa.array(offsets), pa.array(chosen.reshape(-1)))
    numbers = maps.first[block.layer] + targets, channels, block.sources[group, entry]
    target, channel, source = (part.astype(np.int32) for part in numbers)
    return target, channel, source, weights.reshape(-1) if keep is None else weights[which], raw


def _table(parts: list[_Rows], maps: Maps, kernels: bool) -> pa.Table:
    schema = SCHEMAS["connects"].append(KERNEL) if kernels else SCHEMAS["connects"]
    if not parts:
        return schema.empty_table()
    target, channel, source = (np.concatenate([part[i] for part in parts]) for i in (0, 1, 2))
    names = pa.array(list(maps.sizes))

    layer_of, channel_of = maps.layer_of.astype(np.int32), maps.channel_of.astype(np.int32)

    def layers(numbers: Short) -> pa.Array:
        return pa.DictionaryArray.from_arrays(layer_of[numbers], names).cast(pa.string())

    columns = [
        layers(source),
        channel_of[source],
        layers(target),
        channel_of[target],
        channel,
        np.concatenate([part[3] for part in parts]),
    ]
    if kernels:
        columns.append(pa.concat_arrays([part[4] for part in parts]))
    return pa.table(columns, schema=schema)
