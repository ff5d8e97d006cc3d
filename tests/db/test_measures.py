"""Measures in Neo4j against their oracles, and the runs that they leave behind."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings

from cnngraph.console import Quiet
from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.reader import read_network
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import ConflictError, DatabaseError, NotFoundError, PlanError, UsageError
from cnngraph.measures.database_scores import position_scores
from cnngraph.measures.leiden import modularity, shares_leaving
from cnngraph.measures.measure import Options, Scores
from cnngraph.measures.network_arrays import PositionArrays, position_arrays
from cnngraph.measures.registry import MEASURES, measure, preview
from cnngraph.network.tables import Network
from tests.synthetic import small_network
from tests.unit.measures.networks import networks

pytestmark = pytest.mark.db

ON_POSITIONS = [
    ("degree", Options()),
    ("degree", Options(aggregate="sum")),
    ("degree", Options(aggregate="median")),
    ("entropy", Options()),
    ("single", Options()),
    ("pagerank", Options()),
    ("betweenness", Options()),
]
ON_CHANNELS = ("strength", "redundancy", "map-redundancy", "map-pagerank", "depth", "activation", "magnitude", "random")


@pytest.fixture(scope="module")
def small(database: Database) -> Iterator[tuple[str, Network]]:
    network = small_network(3)
    key = write_network(database, network, "measured")["model"]
    yield key, network
    catalogue.delete(database, key)


def by_layer(scores: Scores) -> dict[str, list[float]]:
    return {name: sorted(scores.value[scores.layer == i].tolist()) for i, name in enumerate(scores.layers)}


def require_equal(found: Scores, expected: Scores, what: str) -> None:
    assert found.layers == expected.layers, what
    left, right = by_layer(found), by_layer(expected)
    for layer, values in right.items():
        assert left[layer] == pytest.approx(values, rel=1e-6, abs=1e-12), f"{what} of {layer}"


def require_equal_on_nodes(db: Database, key: str, name: str, network: Network, expected: Scores) -> None:
    """Each position carries its own score, not only each layer the right set of them."""
    rows = db.read("MATCH (p:Position {model: $key}) RETURN p.number AS number, p[$name] AS v", key=key, name=name)
    on_nodes = {row["number"]: row["v"] for row in rows}
    numbers = network.positions["number"].to_pylist()
    assert [on_nodes[number] for number in numbers] == pytest.approx(expected.value.tolist(), rel=1e-6, abs=1e-12)


@settings(deadline=None, derandomize=True, max_examples=4, phases=[Phase.generate])
@given(networks(signed=True, known_all=True))
def test_position_measures_equal_their_oracles(database: Database, network: Network) -> None:
    key = write_network(database, network, "random-positions", WriteOptions(replace=True))["model"]
    for name, options in ON_POSITIONS:
        found = MEASURES[name].database(database, key, options, Quiet())
        expected = MEASURES[name].oracle(network, options)
        require_equal(found, expected, f"{name} {options}")
        require_equal_on_nodes(database, key, name, network, expected)
    require_true_claims(database, key, position_arrays(network))


def require_true_claims(db: Database, key: str, arrays: PositionArrays) -> None:
    """Leiden: modularity, number of communities and shares follow from the communities on the nodes."""
    if not np.abs(arrays.weight).sum():
        with pytest.raises(PlanError, match="no communities"):
            MEASURES["leiden"].database(db, key, Options(), Quiet())
        return
    found = MEASURES["leiden"].database(db, key, Options(seed=1), Quiet())
    rows = db.read(
        "MATCH (p:Position {model: $key}) RETURN p.leidenCommunity AS c, p.leiden AS v ORDER BY p.number", key=key
    )
    community = np.array([row["c"] for row in rows])
    assert [row["v"] for row in rows] == pytest.approx(shares_leaving(arrays, community).tolist(), abs=1e-9)
    assert found.claims["communities"] == len(set(community.tolist()))
    assert found.claims["modularity"] == pytest.approx(modularity(arrays, community), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ON_CHANNELS)
def test_channel_measures_and_nulls_equal_their_oracles(database: Database, name: str, seed: int) -> None:
    network = small_network(seed)
    key = write_network(database, network, f"channels-{seed}")["model"]
    require_equal(
        MEASURES[name].database(database, key, Options(seed=seed), Quiet()),
        MEASURES[name].oracle(network, Options(seed=seed)),
        name,
    )


@pytest.mark.parametrize("name", sorted(name for name in MEASURES if not MEASURES[name].of_net))
def test_every_measure_runs_in_the_database_and_locally(
    database: Database, small: tuple[str, Network], name: str
) -> None:
    key, _ = small
    inside = measure(database, key, name, reference="median-positive")
    local = measure(database, key, name, reference="median-positive", engine="local")
    assert [row.layer for row in inside.layers] == [row.layer for row in local.layers]
    if name != "leiden":  # there the communities differ
        assert [row.theta for row in inside.layers] == pytest.approx([row.theta for row in local.layers], rel=1e-6)
    property_ = MEASURES[name].property
    if property_:
        nodes = {
            "position": "MATCH (n:Position {model: $key}) WHERE n[$p] IS NULL RETURN count(n) AS without",
            "map": "MATCH (:Layer:Conv {model: $key})-[:HAS_FEATURE_MAP]->(n) WHERE n[$p] IS NULL "
            "RETURN count(n) AS without",
        }
        (row,) = database.read(nodes[MEASURES[name].scores], key=key, p=property_)
        assert row["without"] == 0


def current_runs(db: Database, key: str, name: str) -> list[str]:
    rows = db.read(
        "MATCH (:Model {key: $key})-[:CURRENT {measure: $name}]->(run:MeasureRun) RETURN run.key AS run",
        key=key,
        name=name,
    )
    return [row["run"] for row in rows]


def test_a_run_is_stored_once_and_the_last_one_is_current(database: Database, small: tuple[str, Network]) -> None:
    key, _ = small
    mean = measure(database, key, "degree")
    again = measure(database, key, "degree")
    assert again == mean
    assert current_runs(database, key, "degree") == [mean.key]
    total = measure(database, key, "degree", aggregate="sum")
    assert current_runs(database, key, "degree") == [total.key] != [mean.key]
    rows = database.read(
        "MATCH (r:MeasureRun {key: $run})-[s:SCORED]->(l:Layer) "
        "RETURN r.reference AS reference, r.parameters AS parameters, l.layer AS layer, "
        "s.value AS value, s.theta AS theta ORDER BY l.index",
        run=mean.key,
    )
    assert [(row["layer"], row["value"], row["theta"]) for row in rows] == list(mean.layers)
    assert {(row["reference"], row["parameters"]) for row in rows} == {(mean.reference, '{"aggregate": "mean"}')}
    nodes = database.read("MATCH (p:Position {model: $key}) RETURN max(p.degree) AS largest", key=key)
    assert nodes[0]["largest"] == pytest.approx(max(row.value for row in total.layers))


def test_a_measure_that_dies_leaves_no_claim(
    database: Database, small: tuple[str, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = small
    measure(database, key, "entropy")

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cnngraph.measures.entropy.position_scores", die)
    with pytest.raises(KeyboardInterrupt):
        measure(database, key, "entropy")
    assert current_runs(database, key, "entropy") == []
    monkeypatch.undo()
    assert current_runs(database, key, "entropy") == [] != [measure(database, key, "entropy").key]


def test_a_model_that_is_replaced_while_it_is_measured_gets_no_run(
    database: Database, small: tuple[str, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = write_network(database, small_network(7), "replaced-meanwhile", WriteOptions(replace=True))["model"]

    def replaced(*arguments: Any) -> Scores:
        write_network(database, small_network(8), "replaced-meanwhile", WriteOptions(replace=True))
        return position_scores(database, small[0], "degree")

    measure(database, small[0], "degree")
    monkeypatch.setattr("cnngraph.measures.degree.position_scores", replaced)
    with pytest.raises(ConflictError, match="while it was measured"):
        measure(database, key, "degree")
    assert current_runs(database, key, "degree") == []
    assert database.read("MATCH (run:MeasureRun {model: $key}) RETURN run", key=key) == []
    catalogue.delete(database, key)


def test_the_graph_read_back_measures_the_same(database: Database, small: tuple[str, Network]) -> None:
    key, network = small
    back = read_network(database, key)
    for name in [name for name, found in MEASURES.items() if not found.of_net]:
        expected = MEASURES[name].oracle(network, Options())
        require_equal(MEASURES[name].oracle(back, Options()), expected, name)


def test_measuring_one_model_leaves_others_alone(database: Database, small: tuple[str, Network]) -> None:
    other = write_network(database, small_network(5), "not-measured")["model"]
    for name in [name for name, found in MEASURES.items() if not found.of_net]:
        measure(database, small[0], name, reference="median-positive")
    for label in ("Position", "FeatureMap", "Layer"):
        rows = database.read(f"MATCH (n:{label} {{model: $key}}) RETURN DISTINCT keys(n) AS names", key=other)
        left = {name for row in rows for name in row["names"]} & {m.property for m in MEASURES.values()}
        assert not left
    catalogue.delete(database, other)


def test_layers_are_marked_by_the_theta_of_the_newest_run(database: Database, small: tuple[str, Network]) -> None:
    key, _ = small
    for name in ("degree", "depth"):
        thetas = {row.layer: row.theta for row in measure(database, key, name, reference="mean").layers}
        rows = database.read(
            "MATCH (l:Layer {model: $key}) UNWIND labels(l) AS mark WITH l, mark WHERE mark STARTS WITH 'Theta' "
            "RETURN l.layer AS layer, collect(mark) AS marks",
            key=key,
        )
        expected = {layer: [f"Theta{1 + bisect_right([0.5, 1, 2, 4], theta)}"] for layer, theta in thetas.items()}
        assert {row["layer"]: row["marks"] for row in rows} == expected


@pytest.mark.parametrize("name", sorted(name for name in MEASURES if not MEASURES[name].of_net))
def test_a_preview_counts_exactly_and_writes_nothing(database: Database, name: str) -> None:
    key = write_network(database, small_network(6), f"previewed-{name}")["model"]
    everything = (
        "MATCH (n:Layer|FeatureMap|Position|MeasureRun {model: $key}) WITH n ORDER BY elementId(n) "
        "RETURN properties(n) AS properties, labels(n) AS labels"
    )
    before = database.read(everything, key=key)
    said = preview(database, key, name, reference="mean")
    assert database.read(everything, key=key) == before
    done = measure(database, key, name, reference="mean")
    written = {
        "measure_runs": 1,
        "scored": len(done.layers),
        "scores": database.read(
            "MATCH (n:Position|FeatureMap {model: $key}) WHERE n[$name] IS NOT NULL RETURN count(n) AS n",
            key=key,
            name=MEASURES[name].property or "",
        )[0]["n"],
    }
    if MEASURES[name].property is None:
        written["scores"] = 0
    assert said == {"key": done.key, "measure": name, "would_write": written}
    assert preview(database, key, name, reference="mean")["would_write"]["measure_runs"] == 0
    catalogue.delete(database, key)


def test_refusals(database: Database, small: tuple[str, Network]) -> None:
    key, _ = small
    owner = key.split("/")[0]
    with pytest.raises(UsageError, match="Did you mean pagerank"):
        measure(database, key, "pagerang")
    with pytest.raises(UsageError, match="engine"):
        measure(database, key, "degree", engine="fast")
    with pytest.raises(NotFoundError):
        measure(database, f"{owner}/nobody", "degree")


def test_without_gds_the_others_work_and_the_way_out_is_named(
    database: Database, small: tuple[str, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = small
    monkeypatch.setitem(vars(database), "gds_version", None)  # a cached property
    with pytest.raises(DatabaseError, match="--engine local"):
        measure(database, key, "pagerank")
    assert measure(database, key, "pagerank", engine="local").layers
    assert measure(database, key, "degree").layers


def test_a_model_without_positions_is_refused(database: Database) -> None:
    key = write_network(database, small_network(1, view="channels"), "no-positions")["model"]
    for name in ("degree", "entropy", "pagerank", "leiden", "betweenness"):
        with pytest.raises(PlanError, match="no positions"):
            measure(database, key, name)
    assert measure(database, key, "strength").layers
    catalogue.delete(database, key)
