"""The measures of feature maps that rank filters: numbers worked out by hand, and networkx as a second oracle."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest

from cnngraph.errors import PlanError
from cnngraph.measures.measure import Options
from cnngraph.measures.registry import MEASURES
from cnngraph.network.tables import Network
from tests.synthetic import small_network
from tests.unit.measures.networks import assemble, conv, feed


def feature_map(layer: str, channel: int, l2: float = 1.0) -> dict[str, Any]:
    values = {"l1": l2, "l2": l2, "strength_in": 0.0, "strength_out": 0.0}
    return {"layer": layer, "channel": channel, **values}


def alike(first: int, second: int, correlation: float, scope: str = "within") -> dict[str, Any]:
    ends = {"source_layer": "a", "source_channel": first, "target_layer": "a", "target_channel": second}
    return ends | {"correlation": correlation, "scope": scope}


def connection(source: tuple[str, int], target: tuple[str, int], weight: float) -> dict[str, Any]:
    ends = {"source_layer": source[0], "source_channel": source[1], "target_layer": target[0]}
    return ends | {"target_channel": target[1], "channel": source[1], "weight": weight}


def net(l2: list[float], resembles: list[dict[str, Any]], connects: list[dict[str, Any]]) -> Network:
    maps = [feature_map("a", channel, norm) for channel, norm in enumerate(l2)] + [feature_map("b", 0)]
    return assemble(
        layers=[conv(0, "a"), conv(1, "b")],
        feeds=[feed("a", "b")],
        feature_maps=maps,
        resembles=resembles,
        connects=connects,
    )


def scores(name: str, network: Network) -> list[float]:
    return MEASURES[name].oracle(network, Options()).value.tolist()


def test_the_strongest_of_a_set_of_twins_keeps_its_place() -> None:
    twins = [alike(0, 1, -0.9), alike(0, 2, 0.8), alike(1, 2, 0.95), alike(2, 3, 1.0, scope="across")]
    # 1 is the strongest; 0 has it as a stand-in by -0.9, 2 by 0.95; 3 is like none within the layer
    assert scores("map-redundancy", net([2.0, 3.0, 1.0, 0.5], twins, [])) == pytest.approx([0.1, 1.0, 0.05, 1.0, 1.0])


def test_among_equally_strong_twins_the_first_stays() -> None:
    assert scores("map-redundancy", net([1.0, 1.0], [alike(0, 1, 0.75)], [])) == [1.0, 0.25, 1.0]


def test_pagerank_of_maps_by_hand() -> None:
    network = net([1.0, 1.0], [], [connection(("a", 0), ("b", 0), 3.0), connection(("a", 1), ("b", 0), 1.0)])
    assert scores("map-pagerank", network) == pytest.approx([0.15, 0.15, 0.15 + 0.85 * 0.3])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pagerank_of_maps_is_that_of_networkx(seed: int) -> None:
    """Up to the scale, and with what ends in maps without connections put back where networkx spreads it."""
    network = small_network(seed)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(
        zip(network.feature_maps["layer"].to_pylist(), network.feature_maps["channel"].to_pylist(), strict=True)
    )
    for row in network.connects.to_pylist():
        ends = [(row[f"{end}_layer"], row[f"{end}_channel"]) for end in ("source", "target")]
        graph.add_edge(*ends, weight=row["weight"])
    theirs = nx.pagerank(graph, alpha=0.85, tol=1e-14, max_iter=1000)
    convs = [row["layer"] for row in network.layers.to_pylist() if row["kind"] == "Conv"]
    expected = [value for (layer, _), value in theirs.items() if layer in convs]
    found = scores("map-pagerank", network)
    # A net has no cycles: spreading the dangling rank evenly scales every rank by the same factor.
    assert [value / found[0] for value in found] == pytest.approx([value / expected[0] for value in expected], rel=1e-6)


@pytest.mark.parametrize("name", ["map-redundancy", "map-pagerank"])
def test_what_was_not_mapped_is_said(name: str) -> None:
    with pytest.raises(PlanError, match=f"{name} needs"):
        scores(name, net([1.0], [], []))
