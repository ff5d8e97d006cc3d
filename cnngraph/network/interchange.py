"""A Network as an ordinary graph: its nodes and edges with resolved weights, networkx, data frames.

A position is the node ``number`` with ``x``, ``y`` and ``layer_name``, as the authors of `multilayer` publish it; a
feature map is the node ``LAYER:CHANNEL``, a layer ``LAYER:``. ``kind`` is the label or relationship type that the
element has in Neo4j. Every edge has a ``weight``; what it means is said once in the file and by
:mod:`cnngraph.network.edge_weights`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cnngraph.network.edge_weights import (
    EdgeWeights,
    choose_relationships,
    class_weights,
    describe_weights,
    require_known,
)
from cnngraph.network.parts import select_view
from cnngraph.network.tables import Network

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["Elements", "elements", "to_frames", "to_networkx"]


@dataclass(frozen=True)
class Elements:
    """Nodes and edges of one graph; a null attribute means that the element lacks it.

    Attributes:
        ids: of the nodes: a position's number, a feature map's ``LAYER:CHANNEL``, a layer's ``LAYER:``.
        nodes: the nodes' attributes, one row an id.
        source, target: the edges' ends as rows of ``nodes``.
        edges: the edges' attributes; ``weight`` is never null.
        directed: False where there is nothing but RESEMBLES, which has no direction.
        multigraph: whether two nodes may be joined more than once (feature maps and layers can).
        weights: what the weights mean, one entry a relationship type that was chosen.
    """

    ids: list[int | str]
    nodes: pa.Table
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    edges: pa.Table
    directed: bool
    multigraph: bool
    weights: tuple[EdgeWeights, ...]

    def node_rows(self) -> Iterator[tuple[int | str, dict[str, Any]]]:
        """(id, attributes) of every node."""
        return zip(self.ids, _attributes(self.nodes), strict=True)

    def edge_rows(self) -> Iterator[tuple[int | str, int | str, dict[str, Any]]]:
        """(source id, target id, attributes) of every edge."""
        ids = self.ids
        ends = zip(self.source, self.target, _attributes(self.edges), strict=True)
        return ((ids[source], ids[target], row) for source, target, row in ends)

    def meanings(self) -> dict[str, str]:
        """What ``weight`` means, by relationship type; for the head of a file."""
        return {weights.relationship: weights.meaning for weights in self.weights}


def _attributes(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=20_000):
        for row in batch.to_pylist():
            yield {name: value for name, value in row.items() if value is not None}


def elements(
    network: Network,
    class_: str | int = "mean",
    relationships: Sequence[str] | None = None,
    view: str = "both",
) -> Elements:
    """The nodes and edges of some relationship types, with the weights of one class.

    Args:
        relationships: of ARC, CONNECTS, FEEDS and RESEMBLES; default: see :func:`choose_relationships`. The nodes are
            those that these can join: positions, feature maps, layers.

    Raises:
        NotFoundError: the network has no such class.
        UsageError: there is no such view or relationship, or the view leaves it out.
        CnngraphError: an arc has no weight.
    """
    network = select_view(network, view)
    chosen = choose_relationships(network, view, relationships)
    groups = [group for make in (_positions, _feature_maps, _layers) if (group := make(network, class_, chosen)).edges]
    begins = np.cumsum([0, *(len(group.ids) for group in groups)])
    edges = [
        (begin + edge.source, begin + edge.target, edge)
        for begin, group in zip(begins, groups, strict=False)
        for edge in group.edges
    ]
    return Elements(
        ids=[identity for group in groups for identity in group.ids],
        nodes=pa.concat_tables([group.nodes for group in groups], promote_options="default"),
        source=np.concatenate([source for source, _, _ in edges]),
        target=np.concatenate([target for _, target, _ in edges]),
        edges=pa.concat_tables([edge.table for _, _, edge in edges], promote_options="default"),
        directed=chosen != ("RESEMBLES",),
        multigraph=not {"CONNECTS", "FEEDS"}.isdisjoint(chosen),
        weights=tuple(describe_weights(network, edge.kind, edge.table["weight"], class_) for _, _, edge in edges),
    )


@dataclass(frozen=True)
class _Edges:
    """Edges of one relationship type; ``source`` and ``target`` are rows of their group's nodes."""

    kind: str
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    table: pa.Table


@dataclass(frozen=True)
class _Group:
    """The nodes of one label with the edges between them; without edges of a chosen type it is left out."""

    ids: list[int | str]
    nodes: pa.Table
    edges: list[_Edges]


def _positions(network: Network, class_: str | int, chosen: Sequence[str]) -> _Group:
    table = network.positions
    numbers = table["number"].to_numpy()
    activation = class_weights(network, table["activation"], class_)
    nodes = _labelled("Position", table, {"layer_name": "layer", "x": "x", "y": "y"})
    nodes = nodes.append_column("activation", activation).append_column("activation_all", table["activation_all"])
    edges = []
    if "ARC" in chosen:
        source, target = (_rows_of(numbers, network.arcs[end].to_numpy()) for end in ("source", "target"))
        weights = require_known(activation.take(pa.array(source)))
        edges.append(_Edges("ARC", source, target, _labelled("ARC", network.arcs, {}).append_column("weight", weights)))
    return _Group(numbers.tolist(), nodes, edges)


def _feature_maps(network: Network, class_: str | int, chosen: Sequence[str]) -> _Group:
    table = network.feature_maps
    columns = {"layer_name": "layer"} | {name: name for name in ("channel", "l1", "l2", "apoz")}
    nodes = (
        _labelled("FeatureMap", table, columns)
        .append_column("activation", class_weights(network, table["activation"], class_))
        .append_column("strength_in", table["strength_in"])
        .append_column("strength_out", table["strength_out"])
    )
    keys = _map_keys(network, table, "layer", "channel")

    def edges(kind: str, found: pa.Table, columns: dict[str, str]) -> _Edges:
        source, target = (
            _rows_of(keys, _map_keys(network, found, f"{end}_layer", f"{end}_channel")) for end in ("source", "target")
        )
        return _Edges(kind, source, target, _labelled(kind, found, columns))

    known = {
        "CONNECTS": (network.connects, {"weight": "weight", "channel": "channel"}),
        "RESEMBLES": (network.resembles, {"weight": "correlation", "scope": "scope"}),
    }
    names = zip(table["layer"].to_pylist(), table["channel"].to_pylist(), strict=True)
    ids: list[int | str] = [f"{layer}:{channel}" for layer, channel in names]
    return _Group(ids, nodes, [edges(kind, *of) for kind, of in known.items() if kind in chosen])


def _layers(network: Network, class_: str | int, chosen: Sequence[str]) -> _Group:  # noqa: ARG001 (as its siblings)
    table, feeds = network.layers, network.feeds
    columns = {"layer_name": "layer", "layer_kind": "kind"}
    columns |= {name: name for name in ("operation", "out_channels", "out_height", "out_width", "parameters", "macs")}
    places = table["layer"].combine_chunks()
    edges = []
    if "FEEDS" in chosen:
        source, target = (pc.index_in(feeds[end], value_set=places).to_numpy() for end in ("source", "target"))
        cells = _labelled("FEEDS", feeds, {name: name for name in ("port", "omitted", "omitted_share")})
        cells = cells.append_column("weight", pa.array(np.ones(feeds.num_rows)))
        edges.append(_Edges("FEEDS", source.astype(np.int64), target.astype(np.int64), cells))
    return _Group([f"{layer}:" for layer in table["layer"].to_pylist()], _labelled("Layer", table, columns), edges)


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
    network: Network,
    view: str = "both",
    class_: str | int = "mean",
    relationships: Sequence[str] | None = None,
) -> nx.Graph[Any]:
    """The network as a networkx graph: a DiGraph of positions, a MultiDiGraph with maps or layers.

    ``RESEMBLES`` has no direction: alone it is a Graph, beside others it is there once, from the map that comes first
    in network order. ``graph.graph["weight"]`` says what the weights mean.

    Args:
        relationships: see :func:`elements`.

    Raises:
        UsageError: an unknown view or relationship. NotFoundError: an unknown class.
    """
    import networkx as nx

    found = elements(network, class_, relationships, view)
    kinds = {
        (True, True): nx.MultiDiGraph,
        (True, False): nx.DiGraph,
        (False, False): nx.Graph,
    }
    graph: nx.Graph[Any] = kinds[found.directed, found.multigraph](weight=found.meanings())
    graph.add_nodes_from(found.node_rows())
    graph.add_edges_from(found.edge_rows())
    return graph


def to_frames(
    network: Network,
    view: str = "both",
    class_: str | int = "mean",
    relationships: Sequence[str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The network as two data frames: nodes (``id`` and attributes), edges (``source``, ``target`` and attributes).

    Args:
        relationships: see :func:`elements`.

    Raises:
        UsageError: an unknown view or relationship. NotFoundError: an unknown class.
    """
    found = elements(network, class_, relationships, view)
    nodes, edges = found.nodes.to_pandas(), found.edges.to_pandas()
    nodes.insert(0, "id", found.ids)
    edges.insert(0, "source", [found.ids[row] for row in found.source])
    edges.insert(1, "target", [found.ids[row] for row in found.target])
    return nodes, edges
