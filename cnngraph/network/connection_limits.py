"""Which connections are kept: the policies auto, all, none and top:K."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnngraph.network.channels import Maps
from cnngraph.network.connection_blocks import Block, Flags, Weights
from cnngraph.network.graph import LayerGraph

__all__ = ["Limits"]

# What `auto` keeps (design: connections). Beyond, the strongest of each target, as many as fit; 64 of each dense unit.
MOST_BETWEEN_CONVS = 5_000_000
MOST_OF_A_DENSE_PAIR = 1_000_000
STRONGEST_OF_A_UNIT = 64


class Limits:
    """What a policy keeps. Summands of a sum are structure: only ``none`` leaves them out (our choice)."""

    def __init__(self, policy: str, blocks: list[Block], maps: Maps, graph: LayerGraph) -> None:
        self._policy = policy
        self._dense = np.array([graph.by_name[name].kind == "Linear" for name in maps.sizes])
        self._layer_of = maps.layer_of
        self._strongest: int | None = int(policy[4:]) if policy.startswith("top:") else None
        if policy == "auto":
            self._strongest = self._fitting(blocks)

    def count(self, block: Block) -> int:
        """How many connections of ``block`` are kept."""
        if self._policy == "none":
            return 0
        return sum(
            block.targets.shape[1]
            * int((mine.sum(axis=1) if most is None else np.minimum(mine.sum(axis=1), most)).sum())
            for mine, most in self._parts(block)
        )

    def keep(self, block: Block, weights: Weights) -> Flags | None:
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

    def _parts(self, block: Block) -> Iterator[tuple[Flags, int | None]]:
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

    def _with_dense(self, block: Block) -> Flags:
        if block.kind == "Linear":
            return np.ones(block.sources.shape, dtype=np.bool_)
        dense: Flags = self._dense[self._layer_of[block.sources]]
        return dense

    def _fitting(self, blocks: list[Block]) -> int | None:
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
