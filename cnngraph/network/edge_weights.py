"""What the ``weight`` of an exported edge means, and what other programs make of zero and negative ones.

===============  =================================================================================================
``ARC``          the source position's activation, of one class or the mean over the classes
``CONNECTS``     the L2 norm of the kernel through which the source map is read; 1 into a sum
``FEEDS``        1: one edge for each way in which a layer reads another
``RESEMBLES``    the correlation of the two maps, -1 to 1
===============  =================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.errors import CnngraphError, NotFoundError, UsageError, nearest
from cnngraph.network.tables import Network

__all__ = [
    "RELATIONSHIPS",
    "EdgeWeights",
    "choose_relationships",
    "class_weights",
    "describe_weights",
    "find_class",
    "require_known",
]

# Each with the view that it belongs to; FEEDS joins layers, which stand above both.
RELATIONSHIPS = {"ARC": "positions", "CONNECTS": "channels", "FEEDS": "both", "RESEMBLES": "channels"}
_MEANINGS = {
    "ARC": "the activation of the source position, {of}",
    "CONNECTS": "the L2 norm of the kernel that reads the source map, 1 into a sum",
    "FEEDS": "1 an edge",
    "RESEMBLES": "the correlation of the two maps, -1 to 1",
}


@dataclass(frozen=True)
class EdgeWeights:
    """The weights of one relationship type in an export.

    Attributes:
        relationship: ARC, CONNECTS, FEEDS or RESEMBLES.
        meaning: what its weight is, in words.
        edges, zero, negative: how many there are, and how many of them weigh nothing or less than nothing.
    """

    relationship: str
    meaning: str
    edges: int
    zero: int
    negative: int


def choose_relationships(network: Network, view: str, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The relationship types of an export, in the order in which they are written.

    Args:
        wanted: by default those of the views that the network has, with both views FEEDS as well; never RESEMBLES,
            whose weight may be negative and has no direction.

    Raises:
        UsageError: a type that there is not, or that the view leaves out.
    """
    if wanted is None:
        views = {"positions": ("ARC",), "channels": ("CONNECTS",), "both": ("ARC", "CONNECTS", "FEEDS")}[view]
        there = {"ARC": network.positions.num_rows, "CONNECTS": network.feature_maps.num_rows}
        return tuple(name for name in views if there.get(name, there["CONNECTS"])) or views[:1]
    for name in wanted:
        if name not in RELATIONSHIPS:
            raise UsageError(f"There is no relationship {name!r}.", nearest(name, RELATIONSHIPS))
        if view not in ("both", RELATIONSHIPS[name]) and RELATIONSHIPS[name] != "both":
            raise UsageError(f"{name} is not in the view {view}.", f"Choose the view {RELATIONSHIPS[name]}, or both.")
    if not wanted:
        raise UsageError("No relationship was chosen.", f"Known: {', '.join(RELATIONSHIPS)}.")
    return tuple(name for name in RELATIONSHIPS if name in wanted)


def class_index(network: Network, class_: str | int) -> int | None:
    """The place of a class in every per-class list, by name or else by index; ``None`` for ``"mean"``.

    Raises:
        NotFoundError: the network has no such class.
    """
    return find_class(network.classes["name"].to_pylist(), class_)


def find_class(names: list[str], class_: str | int) -> int | None:
    """The same among ``names``.

    Raises:
        NotFoundError: none of them is it.
    """
    if str(class_) in names:
        return names.index(str(class_))
    if class_ == "mean":
        return None
    if str(class_).isdecimal() and int(class_) < len(names):
        return int(class_)
    raise NotFoundError(f"There is no class {class_!r}.", nearest(str(class_), ["mean", *names]))


def class_weights(network: Network, activation: pa.ChunkedArray, class_: str | int) -> pa.Array:
    """Per-class lists resolved for one class or their mean: float64, null where the list is null."""
    index = class_index(network, class_)
    lists = activation.combine_chunks()
    classes = network.classes.num_rows
    if not len(lists) or not classes:
        return pa.nulls(len(lists), pa.float64())
    known = np.asarray(lists.is_valid())
    values = np.full(len(lists), np.nan)
    matrix = lists.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, classes)
    values[known] = matrix.mean(axis=1) if index is None else matrix[:, index]
    return pa.array(values, pa.float64(), mask=~known)


def require_known(arcs: pa.Array) -> pa.Array:
    """The weights of the arcs, if all are known.

    Raises:
        CnngraphError: the activation of an arc's source is not known: no number would be true.
    """
    if arcs.null_count:
        raise CnngraphError(
            f"{arcs.null_count:,} of {len(arcs):,} arcs have no weight: the activation of their source is not known.",
            "Leave them out: --relationships CONNECTS,FEEDS.",
        )
    return arcs


def describe_weights(network: Network, relationship: str, weights: pa.Array, class_: str | int) -> EdgeWeights:
    """What the weights of one type mean, and how many are not above zero."""
    index = class_index(network, class_)
    of = "mean over the classes" if index is None else f"class {network.classes['name'][index].as_py()}"
    zero, negative = (pc.sum(test(weights, 0.0)).as_py() or 0 for test in (pc.equal, pc.less))
    return EdgeWeights(relationship, _MEANINGS[relationship].format(of=of), len(weights), zero, negative)
