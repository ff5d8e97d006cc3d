"""The oracles against numbers worked out by hand and against definitions written out in loops."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.errors import PlanError, UsageError
from cnngraph.measures.degree import class_degrees
from cnngraph.measures.entropy import entropy_of
from cnngraph.measures.leiden import modularity, shares_leaving
from cnngraph.measures.measure import Options
from cnngraph.measures.network_arrays import position_arrays
from cnngraph.measures.registry import MEASURES, find_measure, measure_network
from cnngraph.measures.shortest_paths import betweenness
from cnngraph.network.spec import check
from cnngraph.network.tables import Network
from tests.synthetic import small_network
from tests.unit.measures.networks import assemble, conv, feed, network, networks, toy_4x4

quick = settings(deadline=None, derandomize=True, max_examples=40)


def scores(name: str, net: Network, **options: object) -> list[float]:
    return MEASURES[name].oracle(net, Options(**options)).value.tolist()  # type: ignore[arg-type]


def weighted_arcs(net: Network) -> list[tuple[int, int, float]]:
    arrays = position_arrays(net)
    return list(zip(arrays.source.tolist(), arrays.target.tolist(), arrays.weight.tolist(), strict=True))


def test_the_networks_of_these_tests_are_valid() -> None:
    check(toy_4x4())


def test_degree_of_the_4x4_toy() -> None:
    value = scores("degree", toy_4x4())
    assert value[:4] == [9, 9, 9, 9]
    assert value[4:] == [1, 2, 2, 1, 2, 4, 4, 2, 2, 4, 4, 2, 1, 2, 2, 1]
    assert np.median(value) == 2
    assert np.mean(value) == 3.6
    result = measure_network(toy_4x4(), "degree")
    assert [(row.layer, row.value, row.theta) for row in result.layers] == [("conv1", 9.0, 4.5), ("conv2", 4.0, 2.0)]


def test_aggregates_of_the_class_degrees() -> None:
    net = network([1, 1], [(1, 2)], [[1.0, 2.0, 6.0]], classes=3)
    assert scores("degree", net, aggregate="mean") == [3.0, 3.0]
    assert scores("degree", net, aggregate="sum") == [9.0, 9.0]
    assert scores("degree", net, aggregate="median") == [2.0, 2.0]


@pytest.mark.parametrize(
    ("degrees", "bits"),
    [
        ((1, 3), 0.811278),
        ((1, 1, 1, 1), 2.0),
        ((5, 0), 0.0),
        ((2, 3, 5), 1.485475),
        ((0, 0), 0.0),
        ((1, -1), 0.0),  # sum 0
        ((3, -1), -0.877444),  # p = 1.5 keeps its negative term, p = -0.5 is dropped
    ],
)
def test_entropy_by_hand(degrees: tuple[float, ...], bits: float) -> None:
    assert entropy_of(np.array([degrees], dtype=float))[0] == pytest.approx(bits, abs=5e-7)


@quick
@given(networks(signed=True))
def test_class_degrees_are_sums_over_arcs(net: Network) -> None:
    arrays = position_arrays(net)
    expected = np.zeros_like(arrays.activation)
    for source, target in zip(arrays.source, arrays.target, strict=True):
        expected[source] += arrays.activation[source]
        expected[target] += arrays.activation[source]
    assert class_degrees(arrays, arrays.activation) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@quick
@given(networks())
def test_entropy_is_within_its_bounds_and_blind_to_scale_and_order(net: Network) -> None:
    arrays = position_arrays(net)
    degrees = class_degrees(arrays, arrays.activation)
    found = entropy_of(degrees)
    assert (found >= -1e-12).all()
    assert (found <= math.log2(degrees.shape[1]) + 1e-12).all()
    assert entropy_of(degrees * 7.3) == pytest.approx(found, abs=1e-9)
    assert entropy_of(degrees[:, ::-1]) == pytest.approx(found, abs=1e-9)


@quick
@given(networks(signed=True, known_all=True))
def test_single_equals_degree_where_classes_are_equally_large(net: Network) -> None:
    assert scores("single", net) == pytest.approx(scores("degree", net), rel=1e-12, abs=1e-12)


@quick
@given(networks(signed=True))
def test_pagerank_solves_its_equation(net: Network) -> None:
    n = net.positions.num_rows
    walk = np.zeros((n, n))
    for source, target, weight in weighted_arcs(net):
        walk[source, target] = abs(weight)
    out = walk.sum(axis=1, keepdims=True)
    walk = np.divide(walk, out, out=np.zeros_like(walk), where=out > 0)
    expected = np.linalg.solve(np.eye(n) - 0.85 * walk.T, np.full(n, 0.15))
    assert scores("pagerank", net) == pytest.approx(expected.tolist(), rel=1e-8)


@quick
@given(networks(signed=True), st.integers(1, 4), st.integers(0, 99))
def test_modularity_and_shares_of_any_division(net: Network, parts: int, seed: int) -> None:
    arrays = position_arrays(net)
    n = len(arrays.layer)
    community = np.random.default_rng(seed).integers(0, parts, n)
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from((a, b, abs(w)) for a, b, w in weighted_arcs(net))
    if graph.size("weight"):
        division = [set(np.flatnonzero(community == part).tolist()) for part in range(parts)]
        assert modularity(arrays, community) == pytest.approx(nx.community.modularity(graph, division), abs=1e-12)
    shares = shares_leaving(arrays, community)
    for node in range(n):
        total = graph.degree(node, weight="weight")
        crossing = sum(d["weight"] for other, d in graph[node].items() if community[other] != community[node])
        assert shares[node] == pytest.approx(crossing / total if total else 0.0, abs=1e-12)


@quick
@given(networks(signed=True))
def test_the_local_communities_are_connected_and_fit_their_claims(net: Network) -> None:
    found = MEASURES["leiden"].oracle(net, Options())
    community = found.extra["leidenCommunity"]
    arrays = position_arrays(net)
    assert found.claims["communities"] == len(set(community.tolist()))
    assert found.claims["modularity"] == pytest.approx(modularity(arrays, community))
    graph = nx.Graph((a, b) for a, b, w in weighted_arcs(net) if w != 0)
    graph.add_nodes_from(range(len(community)))
    for part in set(community.tolist()):
        assert nx.is_connected(graph.subgraph(np.flatnonzero(community == part).tolist()))


@quick
@given(networks(exact=True))
def test_betweenness_counts_shortest_paths(net: Network) -> None:
    graph = nx.Graph()
    graph.add_nodes_from(range(net.positions.num_rows))
    graph.add_weighted_edges_from((a, b, 1 / abs(w)) for a, b, w in weighted_arcs(net) if w != 0)
    expected = np.zeros(len(graph))
    for start in graph:
        for end in graph:
            if start < end and nx.has_path(graph, start, end):
                paths = list(nx.all_shortest_paths(graph, start, end, weight="weight"))
                for path in paths:
                    expected[path[1:-1]] += 1 / len(paths)
    assert scores("betweenness", net) == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-9)


def test_betweenness_reads_strength_as_nearness() -> None:
    """A square 1-2-4-3-1 whose arc 3-4 is weak: 2 lies between 1 and 4 and between 3 and 4, 1 between 3 and 2, 4."""
    net = network([1, 2, 1], [(1, 2), (1, 3), (2, 4), (3, 4)], [[1.0], [4.0], [0.1]], classes=1)
    assert scores("betweenness", net) == [2.0, 2.0, 0.0, 0.0]


def channel_network() -> Network:
    """Two convs of two maps, a sum and a linear layer; conv1's map 0 has a twin in conv2, its map 1 only in the sum."""
    maps = [
        ("conv1", 0, 2.0, (1.0, 3.0), 1.0, 4.0),
        ("conv1", 1, 3.0, (0.0, 1.0), 1.0, 5.0),
        ("conv2", 0, 1.0, (2.0, 2.0), 6.0, 0.5),
        ("conv2", 1, 5.0, (4.0, 0.0), 2.0, 0.5),
        ("add", 0, 0.0, (1.0, 1.0), 1.0, 1.0),
        ("add", 1, 0.0, (1.0, 1.0), 1.0, 1.0),
    ]
    names = ("layer", "channel", "l2", "activation", "strength_in", "strength_out")
    alike = [
        ("conv1", 0, "conv2", 1, -0.95, "across"),
        ("conv1", 0, "conv1", 1, 0.99, "within"),
        ("conv1", 1, "conv2", 0, 0.89, "across"),
        ("conv1", 1, "add", 0, 0.99, "across"),
    ]
    ends = ("source_layer", "source_channel", "target_layer", "target_channel", "correlation", "scope")
    return assemble(
        layers=[conv(0, "conv1"), conv(1, "conv2"), conv(2, "add", kind="Add")],
        feeds=[feed("conv1", "conv2"), feed("conv2", "add")],
        feature_maps=[dict(zip(names, row, strict=True)) | {"l1": 0.0, "apoz": 0.0} for row in maps],
        resembles=[dict(zip(ends, row, strict=True)) for row in alike],
        classes=[{"index": k, "name": str(k), "images": 1} for k in range(2)],
    )


def test_channel_measures_by_hand() -> None:
    net = channel_network()
    assert scores("strength", net) == [5.0, 6.0, 6.5, 2.5]
    assert scores("magnitude", net) == [2.0, 3.0, 1.0, 5.0]
    assert scores("activation", net) == [2.0, 0.5, 2.0, 2.0]
    assert scores("redundancy", net) == [0.5, 0.5]
    assert scores("depth", net) == [1.0, 0.0]


def test_activation_of_a_model_without_maps_is_that_of_its_positions() -> None:
    found = MEASURES["activation"].oracle(toy_4x4(classes=2), Options())
    assert (found.layers, found.value.tolist()) == (("conv1",), [1.0] * 4)


def test_random_is_seeded() -> None:
    net = channel_network()
    assert scores("random", net, seed=3) == scores("random", net, seed=3) != scores("random", net, seed=4)


@pytest.mark.parametrize("name", sorted(name for name in MEASURES if not MEASURES[name].of_net))
def test_every_measure_ranks_the_convs_of_a_small_network(name: str) -> None:
    result = measure_network(small_network(0), name, reference="mean")
    assert [row.layer for row in result.layers] == ["conv1", "block.conv2", "block.conv3"]
    assert result.measure == name
    assert all(math.isfinite(row.theta) for row in result.layers)


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_every_measure_explains_itself(name: str) -> None:
    module = __import__(
        f"cnngraph.measures.{'random_order' if name == 'random' else name.replace('-', '_')}", fromlist=["MEASURE"]
    )
    text = module.__doc__
    for word in ("direction", "weight", "normalisation", "low goes first"):
        assert word in text.lower()
    assert module.MEASURE is MEASURES[name]


def test_what_a_model_lacks_is_named() -> None:
    with pytest.raises(PlanError, match="join needs the net itself"):
        measure_network(toy_4x4(), "join")
    with pytest.raises(PlanError, match="no feature maps"):
        measure_network(toy_4x4(), "strength")
    with pytest.raises(PlanError, match="no positions"):
        measure_network(channel_network(), "degree")
    with pytest.raises(PlanError, match="correlations"):
        measure_network(toy_4x4(), "redundancy")
    with pytest.raises(PlanError, match="over all images"):
        measure_network(network([1, 1], [(1, 2)], [[1.0]], classes=1), "single")


def test_wrong_options_are_refused_with_the_right_spelling() -> None:
    with pytest.raises(UsageError, match="Did you mean degree"):
        find_measure("degre")
    with pytest.raises(UsageError, match="Did you mean median"):
        find_measure("degree", aggregate="medan")
    with pytest.raises(UsageError, match="aggregate goes with: degree"):
        find_measure("entropy", aggregate="sum")
    with pytest.raises(UsageError, match="Did you mean median"):
        measure_network(toy_4x4(), "degree", reference="medain")


@quick
@given(networks(exact=True))
def test_betweenness_of_a_sample_is_a_plain_sum_over_its_sources(net: Network) -> None:
    arrays = position_arrays(net)
    n, arc = len(arrays.layer), arrays.weight != 0
    ends = (arrays.source[arc], arrays.target[arc], 1 / np.abs(arrays.weight[arc]))
    each = [betweenness(n, *ends, np.array([start])) for start in range(n)]
    assert sum(each) == pytest.approx(betweenness(n, *ends, np.arange(n)), abs=1e-12)
