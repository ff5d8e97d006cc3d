"""Which layers of two nets are the same layer, or stand at the same place.

A layer is found again by ``SURVIVES_AS`` where the graph says it, by its name, or, between nets of different designs,
by its depth: the share of the net's multiply-accumulates that are done when its output is there. Every pair says which
rule made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Protocol

from cnngraph.network.graph import Layer, LayerGraph

__all__ = ["Kinship", "LayerPair", "MatchRule", "Spot", "match_layers"]

MatchRule = Literal["survives_as", "name", "depth"]
_SKIPPED = 1.0  # what it costs to leave a layer without a partner: as much as the whole depth of a net
_CREDIBLE = 0.5  # share of the smaller net's compared layers whose names must agree before names of strangers count


class Spot(Protocol):
    """A layer that is compared: its name, its kind, and the share of the net's MACs up to and with it."""

    @property
    def layer(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def depth(self) -> float: ...


@dataclass(frozen=True)
class LayerPair:
    """A layer of one net and its counterpart in the other; by names of layers."""

    a: str
    b: str
    matched_by: MatchRule


@dataclass(frozen=True)
class Kinship:
    """What is known of two nets beside their layers.

    Attributes:
        related: one was made of the other, or both are built by the same architecture: a name means the same in both,
            and for a layer without counterpart, which was removed or is new, no other one stands.
        survives: layers of ``a`` by name, and as which layer of ``b`` each survives (or the other way round).
        gone: modules of which one net has something else in their place: the name says nothing there.
    """

    related: bool = False
    survives: Mapping[str, str] = field(default_factory=dict)
    gone: Collection[str] = frozenset()


def match_layers(
    a: LayerGraph, b: LayerGraph, spots: tuple[Sequence[Spot], Sequence[Spot]], kinship: Kinship | None = None
) -> tuple[LayerPair, ...]:
    """Pairs of layers, each layer in one at most, in the order of ``a``.

    All layers are matched by ``SURVIVES_AS`` and by name; of nets that are not related, those that are compared, and
    left, by depth.

    Args:
        spots: the layers of each net that are compared, in network order; the last one gives the logits.
    """
    known = kinship or Kinship()
    pairs: dict[str, tuple[str, MatchRule]] = {one: (other, "survives_as") for one, other in known.survives.items()}
    named = _by_name(a, b, known)
    taken = set(known.survives.values())
    if known.related or _are_credible(named, b, spots):
        pairs |= {one: (other, "name") for one, other in named.items() if one not in pairs and other not in taken}
    pairs |= {one: (other, "name") for one, other in named.items() if a.by_name[one].kind == "Input"}
    found = {one: other for one, (other, _) in pairs.items()}
    if not known.related:
        pairs |= {one: (other, "depth") for one, other in _by_depth(a, b, spots, found).items()}
    return tuple(LayerPair(layer.layer, *pairs[layer.layer]) for layer in a.layers if layer.layer in pairs)


def _done_by(layer: Layer) -> tuple[str | None, str]:
    """The module whose call a layer is; of a functional step the code that makes it, and its operation."""
    return (layer.module, "") if layer.module is not None else (layer.caller, layer.operation)


def _identities(graph: LayerGraph) -> dict[tuple[str, str], Layer]:
    """Layers by what names them in any net: the module's call; of a functional step the code that makes it, and the how
    manieth of its kind it is there, since its own name counts through the whole net.
    """
    found: dict[tuple[str, str], Layer] = {}
    met: Counter[tuple[str, str]] = Counter()
    for layer in graph.layers:
        if layer.module is not None or layer.kind == "Input":
            found["", layer.layer] = layer
            continue
        place = (layer.caller, layer.operation)
        met[place] += 1
        found[f"in {layer.caller}", f"{layer.operation} {met[place]}"] = layer
    return found


def _by_name(a: LayerGraph, b: LayerGraph, known: Kinship) -> dict[str, str]:
    """Layers of the same name and kind, but for what stands in the place of another."""
    others = _identities(b)
    survivors = {*known.survives, *known.survives.values()}
    calls, other_calls = (Counter(map(_done_by, graph.layers)) for graph in (a, b))
    found = {}
    for identity, layer in _identities(a).items():
        other = others.get(identity)
        if other is None or other.kind != layer.kind or layer.module in known.gone:
            continue
        # Names count the calls of a module or function: where one of several is gone they do not say which.
        if calls[_done_by(layer)] != other_calls[_done_by(other)]:
            continue
        # Where the graph knows which modules survive, one that it leaves out does not.
        if known.survives and layer.module is not None and layer.layer not in survivors:
            continue
        found[layer.layer] = other.layer
    return found


def _are_credible(named: Mapping[str, str], b: LayerGraph, spots: tuple[Sequence[Spot], Sequence[Spot]]) -> bool:
    """Whether names that two nets share mean the same in both: half of the smaller net, in the same order."""
    mine, theirs = ({spot.layer for spot in side} for side in spots)
    shared = [(one, other) for one, other in named.items() if one in mine and other in theirs]
    places = [b.by_name[other].index for _, other in shared]
    in_order = all(one < other for one, other in pairwise(places))
    return in_order and len(shared) >= _CREDIBLE * min(len(mine), len(theirs))


def _by_depth(
    a: LayerGraph, b: LayerGraph, spots: tuple[Sequence[Spot], Sequence[Spot]], found: Mapping[str, str]
) -> dict[str, str]:
    """Compared layers without a partner, matched between those that have one, so that no two pairs cross."""
    mine, theirs = spots
    taken = set(found.values())
    order_a, order_b = ({layer.layer: layer.index for layer in graph.layers} for graph in (a, b))
    anchors = [(order_a[spot.layer], order_b[found[spot.layer]]) for spot in mine if spot.layer in found]
    if any(one >= other for (_, one), (_, other) in pairwise(anchors)):
        return {}  # the order of the two nets differs: a depth says nothing then
    ends = [(-1, -1), *anchors, (len(a.layers), len(b.layers))]
    matched: dict[str, str] = {}
    for (from_a, from_b), (to_a, to_b) in pairwise(ends):
        ours = [one for one in mine if from_a < order_a[one.layer] < to_a and one.layer not in found]
        others = [one for one in theirs if from_b < order_b[one.layer] < to_b and one.layer not in taken]
        costs = [[_cost(one, other, (one is mine[-1], other is theirs[-1])) for other in others] for one in ours]
        matched |= {ours[i].layer: others[j].layer for i, j in _align(costs, len(others))}
    return matched


def _cost(one: Spot, other: Spot, outputs: tuple[bool, bool]) -> float | None:
    """How far two layers stand apart, 0..1; ``None``: they are no counterparts."""
    if outputs == (True, True):
        return 0.0
    return None if any(outputs) or one.kind != other.kind else abs(one.depth - other.depth)


def _align(costs: Sequence[Sequence[float | None]], width: int) -> list[tuple[int, int]]:
    """The pairs (row, column) in rising order that cost least together; a row or column left out costs 1.

    >>> _align([[0.0, 0.4], [0.5, 0.1]], 2), _align([[0.3], [0.1]], 1)
    ([(0, 0), (1, 1)], [(1, 0)])
    """
    rows = len(costs)
    best = [[_SKIPPED * (i + j) for j in range(width + 1)] for i in range(rows + 1)]
    taken = [[False] * (width + 1) for _ in range(rows + 1)]
    for i in range(1, rows + 1):
        for j in range(1, width + 1):
            best[i][j] = min(best[i - 1][j], best[i][j - 1]) + _SKIPPED
            pair = costs[i - 1][j - 1]
            if pair is not None and best[i - 1][j - 1] + pair <= best[i][j]:
                best[i][j], taken[i][j] = best[i - 1][j - 1] + pair, True
    pairs: list[tuple[int, int]] = []
    i, j = rows, width
    while i and j:
        if taken[i][j]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif best[i - 1][j] <= best[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]
