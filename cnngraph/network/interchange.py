"""A Network as an ordinary graph: parts of it, its nodes and edges with resolved weights, networkx, data frames.

A position is the node ``number`` with ``x``, ``y`` and ``layer_name``, as the authors of `multilayer` publish it; a
feature map is the node ``LAYER:CHANNEL``. ``kind`` is the label or relationship type that the element has in Neo4j.
Weights of arcs are those of one class, or the mean over the classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cnngraph.errors import NotFoundError, UsageError, nearest
from cnngraph.network.tables import Network

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = [
    "VIEWS",
    "Elements",
    "class_weights",
    "elements",
    "find_class",
    "select_layers",
    "select_view",
    "to_frames",
    "to_networkx",
]

VIEWS = ("channels", "positions", "both")


def select_view(network: Network, view: str) -> Network:
    """The network with only one of its views, or both; layers, feeds, blocks and classes stay.

    Raises:
        UsageError: ``view`` is none of channels, positions, both.
    """
    if view not in VIEWS:
        raise UsageError(f"There is no view {view!r}.", nearest(view, VIEWS))
    dropped = {
        "channels": ("positions", "arcs"),
        "positions": ("feature_maps", "connects", "resembles", "tensors"),
        "both": (),
    }[view]
    return replace(network, **{name: getattr(network, name).slice(0, 0) for name in dropped})


def select_layers(network: Network, layers: str) -> Network:
    """The part of the network between two layers, both included, in network order.

    Args:
        layers: ``A..B``, ``A..`` (to the last), ``..B`` (from the first) or ``A`` alone.

    Raises:
        NotFoundError: a layer is not there.
        UsageError: A comes after B.
    """
    names = network.layers["layer"].to_pylist()
    first, dots, last = layers.partition("..")
    begin = _index(names, first, 0)
    end = _index(names, last, len(names) - 1) if dots else begin
    if begin > end:
        raise UsageError(f"The layer {first} comes after {last}.", f"Write {last}..{first}.")
    kept = pa.array(names[begin : end + 1], pa.string())

    def inside(table: pa.Table, *columns: str) -> pa.Table:
        for column in columns:
            table = table.filter(pc.is_in(table[column], value_set=kept))
        return table

    positions = inside(network.positions, "layer")
    numbers = positions["number"].combine_chunks()
    arcs = network.arcs
    for column in ("source", "target"):
        arcs = arcs.filter(pc.is_in(arcs[column], value_set=numbers))
    return replace(
        network,
        layers=inside(network.layers, "layer"),
        feeds=inside(network.feeds, "source", "target"),
        feature_maps=inside(network.feature_maps, "layer"),
        connects=inside(network.connects, "source_layer", "target_layer"),
        resembles=inside(network.resembles, "source_layer", "target_layer"),
        positions=positions,
        arcs=arcs,
        blocks=_blocks_inside(network.blocks, set(kept.to_pylist())),
        tensors=inside(network.tensors, "layer"),
    )


def _blocks_inside(blocks: pa.Table, layers: set[str]) -> pa.Table:
    """The blocks that are wholly made of ``layers``; one whose parent is not has none."""
    rows = [row for row in blocks.to_pylist() if layers.issuperset(row["layers"])]
    names = {row["name"] for row in rows}
    for row in rows:
        row["parent"] = row["parent"] if row["parent"] in names else None
    return pa.Table.from_pylist(rows, schema=blocks.schema)


def _index(names: list[str], name: str, default: int) -> int:
    if not name:
        return default
    if name not in names:
        raise NotFoundError(f"There is no layer {name!r}.", nearest(name, names))
    return names.index(name)


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


@dataclass(frozen=True)
class Elements:
    """Nodes and edges of one graph; a null attribute means that the element lacks it.

    Attributes:
        ids: of the nodes: a position's number, a feature map's ``LAYER:CHANNEL``.
        nodes: the nodes' attributes, one row an id.
        source, target: the edges' ends as rows of ``nodes``.
        edges: the edges' attributes.
        multigraph: whether two nodes may be joined more than once (feature maps can).
    """

    ids: list[int | str]
    nodes: pa.Table
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    edges: pa.Table
    multigraph: bool

    def node_rows(self) -> Iterator[tuple[int | str, dict[str, Any]]]:
        """(id, attributes) of every node."""
        return zip(self.ids, _attributes(self.nodes), strict=True)

    def edge_rows(self) -> Iterator[tuple[int | str, int | str, dict[str, Any]]]:
        """(source id, target id, attributes) of every edge."""
        ids = self.ids
        ends = zip(self.source, self.target, _attributes(self.edges), strict=True)
        return ((ids[source], ids[target], row) for source, target, row in ends)


def _attributes(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=20_000):
        for row in batch.to_pylist():
            yield {name: value for name, value in row.items() if value is not None}


def elements(network: Network, class_: str | int = "mean") -> Elements:
    """Both views' nodes and edges with the weights of one class.

    Raises:
        NotFoundError: the network has no such class.
    """
    positions, maps = network.positions, network.feature_maps
    weights = class_weights(network, positions["activation"], class_)
    numbers = positions["number"].to_numpy()
    arcs = [_rows_of(numbers, network.arcs[end].to_numpy()) for end in ("source", "target")]
    keys = _map_keys(network, maps, "layer", "channel")
    links = [
        [
            len(numbers) + _rows_of(keys, _map_keys(network, table, f"{end}_layer", f"{end}_channel"))
            for end in ("source", "target")
        ]
        for table in (network.connects, network.resembles)
    ]
    nodes = [
        _labelled("Position", positions, {"layer_name": "layer", "x": "x", "y": "y"})
        .append_column("activation", weights)
        .append_column("activation_all", positions["activation_all"]),
        _labelled(
            "FeatureMap", maps, {"layer_name": "layer"} | {name: name for name in ("channel", "l1", "l2", "apoz")}
        )
        .append_column("activation", class_weights(network, maps["activation"], class_))
        .append_column("strength_in", maps["strength_in"])
        .append_column("strength_out", maps["strength_out"]),
    ]
    edges = [
        _labelled("ARC", network.arcs, {}).append_column("weight", weights.take(pa.array(arcs[0]))),
        _labelled("CONNECTS", network.connects, {"weight": "weight", "channel": "channel"}),
        _labelled("RESEMBLES", network.resembles, {"correlation": "correlation", "scope": "scope"}),
    ]
    names = zip(maps["layer"].to_pylist(), maps["channel"].to_pylist(), strict=True)
    return Elements(
        ids=[*numbers.tolist(), *(f"{layer}:{channel}" for layer, channel in names)],
        nodes=pa.concat_tables(nodes, promote_options="default"),
        source=np.concatenate([arcs[0], *(ends[0] for ends in links)]),
        target=np.concatenate([arcs[1], *(ends[1] for ends in links)]),
        edges=pa.concat_tables(edges, promote_options="default"),
        multigraph=maps.num_rows > 0,
    )


def _labelled(kind: str, table: pa.Table, columns: dict[str, str]) -> pa.Table:
    cells = {"kind": pa.array([kind] * table.num_rows, pa.string())}
    return pa.table(cells | {name: table[column] for name, column in columns.items()})


def _rows_of(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of each wanted key; the spec of a Network makes sure that every one is there."""
    order = np.argsort(keys, kind="stable")
    return order[np.searchsorted(keys, wanted, sorter=order)] if len(wanted) else np.empty(0, np.int64)


def _map_keys(network: Network, table: pa.Table, layer: str, channel: str) -> NDArray[np.int64]:
    """(layer, channel) of each row as one whole number."""
    index = pc.index_in(table[layer], value_set=network.layers["layer"].combine_chunks())
    keys: NDArray[np.int64] = index.to_numpy().astype(np.int64) * 2**31 + table[channel].to_numpy()
    return keys


def to_networkx(
    network: Network, view: str = "both", class_: str | int = "mean"
) -> nx.DiGraph[Any] | nx.MultiDiGraph[Any]:
    """The network as a networkx graph: a DiGraph of positions, or a MultiDiGraph where there are feature maps.

    ``RESEMBLES`` has no direction: it is there once, from the map that comes first in network order.

    Raises:
        UsageError: an unknown view. NotFoundError: an unknown class.
    """
    import networkx as nx

    found = elements(select_view(network, view), class_)
    graph: nx.DiGraph[Any] | nx.MultiDiGraph[Any] = nx.MultiDiGraph() if found.multigraph else nx.DiGraph()
    graph.add_nodes_from(found.node_rows())
    graph.add_edges_from(found.edge_rows())
    return graph


def to_frames(network: Network, view: str = "both", class_: str | int = "mean") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The network as two data frames: nodes (``id`` and attributes), edges (``source``, ``target`` and attributes).

    Raises:
        UsageError: an unknown view. NotFoundError: an unknown class.
    """
    found = elements(select_view(network, view), class_)
    nodes, edges = found.nodes.to_pandas(), found.edges.to_pandas()
    nodes.insert(0, "id", found.ids)
    edges.insert(0, "source", [found.ids[row] for row in found.source])
    edges.insert(1, "target", [found.ids[row] for row in found.target])
    return nodes, edges
