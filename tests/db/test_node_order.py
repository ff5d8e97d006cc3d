"""The same net gives the same communities, scores, run keys and plans, in whatever order the store has its nodes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cnngraph.database import catalogue
from cnngraph.database.algorithm import Projecting
from cnngraph.database.connection import Database
from cnngraph.database.gds import projected
from cnngraph.database.writer import write_network
from cnngraph.measures.registry import MEASURES, measure
from cnngraph.network.tables import Network
from cnngraph.pruning.multilayer import Extent, Ranking, plan
from tests.synthetic import small_network
from tests.unit.measures.networks import network

pytestmark = pytest.mark.db

SIZES = (2400, 1800, 1300)
BY_GDS = ("leiden", "betweenness", "pagerank")


def large_network() -> Network:
    """5,500 positions, more than betweenness takes all of; few different weights, so that much is tied."""
    drawn = random.Random(7)
    first, second = SIZES[0], SIZES[0] + SIZES[1]
    arcs = [(a, first + drawn.randint(1, SIZES[1])) for a in range(1, first + 1) for _ in range(3)]
    arcs += [(a, second + drawn.randint(1, SIZES[2])) for a in range(first + 1, second + 1) for _ in range(3)]
    weights = [[drawn.choice((0.25, 0.5, 1.0, -0.5, 0.0)), drawn.choice((0.5, 1.0))] for _ in range(second)]
    return network(SIZES, arcs, weights, classes=2, activation_all=[1.0] * second)


def store_anew(db: Database, key: str, other: str, seed: int) -> None:
    """Make the positions, the maps and what joins them of ``other`` again out of those of ``key``, in a drawn order."""
    drawn = random.Random(seed)

    def shuffled(query: str) -> list[Any]:
        rows = [row["it"] for row in db.read(query, key=key)]
        drawn.shuffle(rows)
        return rows

    db.write("MATCH (n:Position|FeatureMap {model: $other}) DETACH DELETE n", other=other)
    db.write(
        "UNWIND $rows AS number MATCH (p:Position {model: $key, number: number}) "
        "CREATE (q:Position) SET q = p {.*, model: $other}",
        rows=shuffled("MATCH (p:Position {model: $key}) RETURN p.number AS it"),
        key=key,
        other=other,
    )
    db.write(
        "UNWIND $rows AS row MATCH (p:Position {model: $other, number: row[0]}), "
        "(q:Position {model: $other, number: row[1]}) CREATE (p)-[:ARC {weight: row[2]}]->(q)",
        rows=shuffled("MATCH (p:Position {model: $key})-[a:ARC]->(q) RETURN [p.number, q.number, a.weight] AS it"),
        other=other,
    )
    db.write(
        "UNWIND $rows AS row MATCH (f:FeatureMap {model: $key, layer: row[0], channel: row[1]}), "
        "(l:Layer {model: $other, layer: row[0]}) "
        "CREATE (l)-[:HAS_FEATURE_MAP]->(g:FeatureMap) SET g = f {.*, model: $other}",
        rows=shuffled("MATCH (f:FeatureMap {model: $key}) RETURN [f.layer, f.channel] AS it"),
        key=key,
        other=other,
    )
    for kind in ("CONNECTS", "RESEMBLES"):
        db.write(
            "UNWIND $rows AS row MATCH (f:FeatureMap {model: $other, layer: row[0], channel: row[1]}), "
            f"(g:FeatureMap {{model: $other, layer: row[2], channel: row[3]}}) CREATE (f)-[c:{kind}]->(g) "
            "SET c = row[4]",
            rows=shuffled(
                f"MATCH (f:FeatureMap {{model: $key}})-[c:{kind}]->(g) "
                "RETURN [f.layer, f.channel, g.layer, g.channel, properties(c)] AS it"
            ),
            other=other,
        )


@pytest.fixture(scope="module")
def twins(database: Database) -> Iterator[tuple[str, ...]]:
    """One net stored in two orders."""
    if database.gds_version is None:
        pytest.skip("the server has no Graph Data Science")
    keys = [write_network(database, large_network(), f"order-{i}")["model"] for i in range(2)]
    for seed, key in enumerate(keys[1:], 1):
        store_anew(database, keys[0], key, seed)
    yield tuple(keys)
    for key in keys:
        catalogue.delete(database, key)


def in_store(db: Database, key: str) -> list[int]:
    rows = db.read("MATCH (p:Position {model: $key}) RETURN p.number AS n ORDER BY elementId(p)", key=key)
    return [row["n"] for row in rows]


def on_positions(db: Database, key: str, name: str) -> list[Any]:
    rows = db.read("MATCH (p:Position {model: $key}) RETURN p[$name] AS v ORDER BY p.number", key=key, name=name)
    return [row["v"] for row in rows]


@pytest.mark.parametrize(("name", "seed"), [*((name, 0) for name in BY_GDS), ("leiden", 5), ("betweenness", 5)])
def test_positions(database: Database, twins: tuple[str, ...], name: str, seed: int) -> None:
    assert in_store(database, twins[0]) != in_store(database, twins[1])
    runs = [measure(database, key, name, seed=seed, reference="mean") for key in twins]
    assert len({run.key.partition(":")[2] for run in runs}) == 1
    first, second = [on_positions(database, key, MEASURES[name].property) for key in twins]
    np.testing.assert_allclose(second, first, rtol=1e-12, atol=1e-12)
    assert runs[0].layers == runs[1].layers and runs[0].reference == runs[1].reference
    if name == "leiden":
        communities = [on_positions(database, key, "leidenCommunity") for key in twins]
        assert communities[0] == communities[1]
        assert len(set(communities[0])) > 5


@pytest.mark.parametrize("name", ["degree", "entropy", "single", "activation", "random", "depth"])
def test_measures_by_cypher(database: Database, twins: tuple[str, ...], name: str) -> None:
    runs = [measure(database, key, name, reference="mean") for key in twins]
    assert len({run.key.partition(":")[2] for run in runs}) == 1
    for run in runs[1:]:
        assert run.layers == runs[0].layers and run.reference == runs[0].reference


@pytest.mark.parametrize("name", ["leiden", "betweenness"])
def test_the_graph_read_back(database: Database, twins: tuple[str, ...], name: str) -> None:
    runs = [measure(database, key, name, seed=2, engine="local", reference="mean") for key in twins]
    assert runs[0].layers == runs[1].layers


@pytest.mark.parametrize("name", BY_GDS)
def test_plans(database: Database, twins: tuple[str, ...], name: str) -> None:
    first, *others = [
        plan(database, key, ranking=Ranking(measure=name, seed=1, reference="mean"), extent=Extent(remove=1))
        for key in twins
    ]
    assert first.removed
    for other in others:
        assert (other.removes, other.layers, other.schedule) == (first.removes, first.layers, first.schedule)
        assert str(other.run).partition(":")[2] == str(first.run).partition(":")[2]


@pytest.fixture(scope="module")
def channels(database: Database) -> Iterator[tuple[str, ...]]:
    """One net with feature maps, stored in three orders."""
    if database.gds_version is None:
        pytest.skip("the server has no Graph Data Science")
    keys = [write_network(database, small_network(5), f"order-maps-{i}")["model"] for i in range(3)]
    for seed, key in enumerate(keys[1:], 1):
        store_anew(database, keys[0], key, seed)
    yield tuple(keys)
    for key in keys:
        catalogue.delete(database, key)


@pytest.mark.parametrize("name", ["map-pagerank", "strength", "map-redundancy", "redundancy", "magnitude"])
def test_feature_maps(database: Database, channels: tuple[str, ...], name: str) -> None:
    runs = [measure(database, key, name, reference="mean") for key in channels]
    assert len({run.key.partition(":")[2] for run in runs}) == 1
    for run in runs[1:]:
        assert run.layers == runs[0].layers and run.reference == runs[0].reference


def test_leiden_of_feature_maps_by_the_client(database: Database, channels: tuple[str, ...]) -> None:
    found = []
    for key in channels:
        with projected(database, key, Projecting("channels", undirected=True)) as mine:
            weighted = {"relationship_weight_property": "weight", "random_seed": 3, "concurrency": 1}
            found.append(mine.keyed(mine.gds.leiden.stream(mine.graph, **weighted)).values.tolist())
    assert found[0] == found[1] == found[2]
