"""How large a net becomes in Neo4j, said before anything is written: exact counts, estimated bytes and minutes."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from cnngraph.network.tables import KERNEL, Network

if TYPE_CHECKING:
    from cnngraph.network.graph import LayerGraph

__all__ = ["LARGE_GB", "estimate"]

LARGE_GB = 2.0  # a store beyond that asks for --yes

# Neo4j 5, record format `aligned`: bytes of one record of each store.
_NODE, _RELATIONSHIP, _PROPERTIES = 16, 34, 41
_ARRAY_BLOCK, _ARRAY_PAYLOAD, _ARRAY_HEADER = 128, 118, 10
_INDEX_ENTRY = 80

# Rows a second on two cores, client and server together; a server of one's own is rather faster.
_NODES_A_SECOND, _RELATIONSHIPS_A_SECOND = 19_000, 58_000

# Each map names its 10 most alike within its layer and 10 across; about a third of the choices are mutual.
_RESEMBLES_A_MAP = 14

# What has a relationship each, which weighs nothing.
_WITHOUT_WEIGHT = ("layers", "feeds", "feature_maps", "classes", "contained", "coupled", "tensors")


def estimate(
    net: Network | LayerGraph,
    *,
    classes: int = 10,
    view: str = "both",
    connections: str = "auto",
    correlations: bool = True,
    kernels: bool = False,
    tensors: int = 0,
) -> dict[str, Any]:
    """Nodes, relationships, gigabytes and minutes that ``net`` will take in the database.

    Of a :class:`Network` everything is counted. Of a followed net, positions, arcs, maps and connections are exact too,
    without an image and without a look at the weights; ``resembles`` is an estimate. ``classes`` and the options are
    those that the net would be traced with, ``tensors`` with ``kernels`` those of its state; a Network has its own.
    The size of its kernels is then an estimate too.

    Returns:
        ``nodes``, ``relationships`` (whole numbers), ``gigabytes`` and ``minutes`` (estimates), and the counts
        that they come from (``layers, feeds, blocks, feature_maps, connections, positions, arcs, classes`` ...).
    """
    if isinstance(net, Network):
        counts, weights = _of_network(net), _weights_of_network(net)
    else:
        counts = _of_graph(net, view, connections, correlations, classes) | {"tensors": tensors}
        weights = _weights_of_graph(net, counts["connections"]) if kernels else 0
    many = ("layers", "feature_maps", "positions", "classes", "blocks", "tensors", "coupling_groups")
    nodes = 1 + sum(counts[what] for what in many)
    inner = sum(counts[what] for what in _WITHOUT_WEIGHT)
    weighted = counts["connections"] + counts["resembles"]
    relationships = inner + weighted + counts["arcs"]
    lists = ceil((_ARRAY_HEADER + 8 * counts["classes"]) / _ARRAY_PAYLOAD) * _ARRAY_BLOCK
    listed = counts["feature_maps"] + counts["positions"]
    stored = (
        nodes * (_NODE + 3 * _PROPERTIES + _INDEX_ENTRY)
        + listed * lists
        + relationships * _RELATIONSHIP
        + weighted * _PROPERTIES
        + weights
    )
    seconds = nodes / _NODES_A_SECOND + relationships / _RELATIONSHIPS_A_SECOND
    return {
        "nodes": nodes,
        "relationships": relationships,
        "gigabytes": stored / 1e9,
        "minutes": seconds / 60,
        **counts,
    }


def _of_network(network: Network) -> dict[str, int]:
    others = ("feeds", "resembles", "blocks", "tensors", "coupling_groups")
    inside = {"contained": network.blocks["layers"], "coupled": network.coupling_groups["layers"]}
    return (
        network.counts()
        | {name: getattr(network, name).num_rows for name in others}
        | {name: len(pc.list_flatten(lists)) for name, lists in inside.items()}
    )


def _weights_of_network(network: Network) -> int:
    """Bytes of the raw kernels and of all other tensors."""
    data = pc.binary_length(network.tensors["data"])
    found = int(pc.sum(data).as_py() or 0)
    if KERNEL.name in network.connects.column_names:
        values = len(pc.list_flatten(network.connects[KERNEL.name]))
        found += _bytes_of_kernels(network.connects.num_rows, values)
    return found


def _weights_of_graph(graph: LayerGraph, connections: int) -> int:
    return _bytes_of_kernels(connections, sum(layer.parameters for layer in graph.layers))


def _bytes_of_kernels(connections: int, values: int) -> int:
    """A list of doubles on each connection, as long as the mean one."""
    if not connections:
        return 0
    return connections * ceil((_ARRAY_HEADER + 8 * values / connections) / _ARRAY_PAYLOAD) * _ARRAY_BLOCK


def _of_graph(graph: LayerGraph, view: str, connections: str, correlations: bool, classes: int) -> dict[str, int]:
    # The database side asks about a Network alone, and has no use for torch.
    import torch

    from cnngraph.network.blocks import find_blocks
    from cnngraph.network.channels import Maps, Wiring
    from cnngraph.network.connections import count_connections
    from cnngraph.network.topology import positions_and_arcs

    counts = dict.fromkeys(("feature_maps", "connections", "resembles", "positions", "arcs"), 0)
    counts |= {"coupling_groups": 0, "coupled": 0}  # few beside the maps; the surgeon finds them
    if view != "channels":
        topology = positions_and_arcs(graph)
        counts |= {"positions": topology.positions, "arcs": len(topology.source)}
    if view != "positions":
        maps = Maps.of(graph)
        with torch.no_grad():
            wiring = Wiring.of(graph, maps)
        counts["feature_maps"] = maps.total
        counts["connections"] = count_connections(graph, maps, wiring, connections)
        counts["resembles"] = _RESEMBLES_A_MAP * maps.total if correlations else 0
    blocks = find_blocks(graph)
    counts |= {"blocks": len(blocks), "contained": sum(len(block.layers) for block in blocks)}
    return counts | {"layers": len(graph.layers), "feeds": len(graph.feeds), "classes": classes}
