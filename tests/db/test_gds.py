"""Neo4j's client of Graph Data Science over our connection: projections, memory, errors, and the calls to paste."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import cnngraph as cg
from cnngraph.database import catalogue, queries
from cnngraph.database.algorithm import Algorithm, Projecting, Size
from cnngraph.database.connection import Database
from cnngraph.database.gds import Memory, client_errors, connect_client, estimate, projected, require_memory
from cnngraph.database.lineage import lineage
from cnngraph.database.writer import write_network
from cnngraph.errors import CnngraphError, DatabaseError, NotFoundError, PlanError, UsageError
from cnngraph.measures.measure import Scores
from cnngraph.measures.network_arrays import position_arrays
from cnngraph.measures.pagerank import ranks
from cnngraph.measures.registry import MEASURES, measure
from cnngraph.measures.runs import begin_run, finish_run, run_key
from cnngraph.pruning.multilayer import Extent, Ranking, plan
from tests.synthetic import small_network

pytestmark = pytest.mark.db

NET = small_network(4)


@pytest.fixture(scope="module")
def key(database: Database) -> Iterator[str]:
    if database.gds_version is None:
        pytest.skip("the server has no Graph Data Science")
    found = write_network(database, NET, "for-gds")["model"]
    yield found
    catalogue.delete(database, found)


@pytest.fixture(scope="module")
def graph(database: Database, key: str) -> Iterator[cg.Graph]:
    with cg.connect() as opened:
        yield opened


def server_password(server: Any) -> str:
    return server.password if server is not None else os.environ.get("NEO4J_TEST_PASSWORD", "")


def projections(db: Database) -> set[str]:
    return {row["name"] for row in db.read("CALL gds.graph.list() YIELD graphName RETURN graphName AS name")}


def test_a_users_graph_and_client_by_our_keys(graph: cg.Graph, database: Database) -> None:
    before = projections(database)
    with graph.gds("for-gds") as mine:
        G, gds = mine  # noqa: N806  the client's own way to write it
        assert G.node_count() == NET.positions.num_rows == mine.size.nodes
        ranked = gds.page_rank.stream(
            G, relationship_weight_property="weight", damping_factor=0.85, max_iterations=1000, tolerance=1e-10
        )
        keyed = mine.keyed(ranked)
        arcs = mine.keyed(gds.graph.relationships.stream(G, relationship_properties=["weight"]))
    assert projections(database) == before
    assert keyed["number"].tolist() == NET.positions["number"].to_pylist()  # in our order
    for name in ("layer", "x", "y"):
        assert keyed[name].tolist() == NET.positions[name].to_pylist()
    arrays = position_arrays(NET)
    expected = ranks(len(arrays.layer), arrays.source, arrays.target, np.abs(arrays.weight))
    assert keyed["score"].tolist() == pytest.approx(expected.tolist(), rel=1e-9)
    pairs = set(zip(arcs["source_number"], arcs["target_number"], strict=True))
    known = zip(NET.arcs["source"].to_pylist(), NET.arcs["target"].to_pylist(), arrays.weight, strict=True)
    assert pairs == {(a, b) for a, b, w in known if w != 0}


@pytest.mark.parametrize("class_", [1, "1", "name"])
def test_the_weights_of_one_class(graph: cg.Graph, class_: str | int) -> None:
    chosen = NET.classes["name"].to_pylist()[1] if class_ == "name" else class_
    with graph.gds("for-gds", class_=chosen) as mine:
        G, gds = mine  # noqa: N806
        arcs = mine.keyed(gds.graph.relationships.stream(G, relationship_properties=["weight"]))
    own = dict(zip(NET.positions["number"].to_pylist(), NET.positions["activation"].to_pylist(), strict=True))
    assert len(arcs)
    assert arcs["weight"].tolist() == [abs(own[number][1]) for number in arcs["source_number"]]


def test_feature_maps_by_layer_and_channel(graph: cg.Graph) -> None:
    with graph.gds("for-gds", view="channels", undirected=True) as mine:
        G, gds = mine  # noqa: N806
        found = mine.keyed(gds.wcc.stream(G))
        similar = mine.keyed(gds.node_similarity.stream(G))
    names = list(zip(found["layer"], found["channel"], strict=True))
    assert names == list(
        zip(NET.feature_maps["layer"].to_pylist(), NET.feature_maps["channel"].to_pylist(), strict=True)
    )
    assert {"first_layer", "first_channel", "second_layer", "second_channel", "similarity"} == set(similar.columns)


def test_a_users_mistake_drops_the_projection_and_stays_the_users(graph: cg.Graph, database: Database) -> None:
    before = projections(database)
    with pytest.raises(DatabaseError, match="dampingFactor"), graph.gds("for-gds") as (net, gds):
        gds.page_rank.stream(net, damping_factor=7)
    with pytest.raises(UsageError, match="node ids"), graph.gds("for-gds") as mine:
        mine.keyed(mine.gds.graph.relationships.stream(mine.graph).drop(columns=["sourceNodeId", "targetNodeId"]))
    with pytest.raises(ZeroDivisionError), graph.gds("for-gds") as mine:
        mine.graph.drop()  # twice is no failure
        raise ZeroDivisionError
    with graph.gds("for-gds") as mine:
        mine.gds.close()  # does not close our connection
    assert projections(database) == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"view": "both"}, UsageError),
        ({"view": "maps"}, UsageError),
        ({"view": "channels", "class_": 0}, UsageError),
        ({"class_": "nobody"}, NotFoundError),
        ({"class_": 99}, NotFoundError),
        ({"class_": -1}, NotFoundError),
    ],
)
def test_refusals(graph: cg.Graph, options: dict[str, Any], error: type[CnngraphError]) -> None:
    with pytest.raises(error), graph.gds("for-gds", **options):
        pass


def test_refusals_by_name_and_view(graph: cg.Graph, database: Database) -> None:
    with pytest.raises(NotFoundError), graph.gds("no-such-net"):
        pass
    other = write_network(database, small_network(1, view="channels"), "gds-channels")["model"]
    with pytest.raises(PlanError, match="no positions"), graph.gds("gds-channels"):
        pass
    catalogue.delete(database, other)


def test_without_gds(graph: cg.Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(graph.database), "gds_version", None)  # a cached property
    with pytest.raises(DatabaseError, match="no Graph Data Science"), graph.gds("for-gds"):
        pass


@pytest.mark.parametrize(
    "query",
    [
        # It is made, and then the client gives up, since the answer is not the bare call.
        "MATCH (p:Position {model: $model}) WITH gds.graph.project($name, p, null) AS g RETURN g.nodeCount, 1 AS one",
        "MATCH (p:Position {model: $model + '-not-there'}) RETURN gds.graph.project($name, p, null)",
        "MATCH (p:Position {model: $model}) RETURN gds.graph.project($name, p, null), 1 / 0",
    ],
)
def test_what_the_client_leaves_behind_is_dropped(
    database: Database, key: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = projections(database)
    monkeypatch.setattr(Projecting, "query", query)
    with pytest.raises(DatabaseError), projected(database, key, Projecting()):
        pass
    assert projections(database) == before


def test_a_server_that_is_gone_is_said_at_once(database: Database) -> None:
    import neo4j

    with neo4j.GraphDatabase.driver("bolt://127.0.0.1:1", auth=None, max_transaction_retry_time=1) as driver:
        gone = replace(database, driver=driver, uri="bolt://127.0.0.1:1")
        vars(gone)["gds_version"] = "2.13.9"
        with pytest.raises(DatabaseError, match=r"lost|answers"):
            connect_client(gone).graph.list()


def test_the_database_is_the_clients_own_choice(database: Database, key: str) -> None:
    other = replace(database, database="no-such-database")
    vars(other)["gds_version"] = database.gds_version
    with pytest.raises(DatabaseError, match="no such database"):
        connect_client(other).graph.list()


ALGORITHMS = [
    None,
    Algorithm("leiden", settings={"relationship_weight_property": "weight", "concurrency": 1}),
    Algorithm("betweenness", settings={"sampling_size": 64, "sampling_seed": 1}),
    Algorithm("page_rank", settings={"tolerance": 1e-10}),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_memory_is_estimated_before_anything_is_made(database: Database, key: str, algorithm: Algorithm | None) -> None:
    client = connect_client(database)
    heap = client.debug.sys_info().heap_max_in_bytes
    assert heap is not None
    for undirected in (False, True):
        little = estimate(client, Projecting(undirected=undirected), Size(1000, 5000), algorithm)
        assert 10_000 < little.required < heap
        require_memory(little, key)
        much = estimate(client, Projecting(undirected=undirected), Size(10**10, 10**11), algorithm)
        assert much.required > 10**11
        assert little.available == much.available == heap
        with pytest.raises(DatabaseError, match=r"needs about \d+\.\d GB .* has \d+\.\d GB") as caught:
            require_memory(much, key)
        assert "--engine local" in caught.value.hint and "\n" not in str(caught.value)


def test_a_measure_that_would_not_fit_projects_nothing(
    database: Database, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnngraph.database.gds.measured_size", lambda *_: Size(10**10, 10**11))
    monkeypatch.setattr(Projecting, "query", "this is never sent")
    with pytest.raises(DatabaseError, match="of memory for tester/for-gds"):
        measure(database, key, "leiden")
    monkeypatch.undo()
    assert measure(database, key, "leiden", reference="mean").layers


def test_projections_of_others_are_taken_off_what_there_is(database: Database, key: str) -> None:
    client = connect_client(database)
    free = estimate(client, Projecting(), Size(10**8, 10**9), None)
    with projected(database, key, Projecting()):
        assert estimate(client, Projecting(), Size(10**8, 10**9), None).available < free.available
    assert free == Memory(free.required, free.available)


def test_the_version_of_gds_stands_on_the_run(database: Database, key: str) -> None:
    runs = {
        "pagerank": measure(database, key, "pagerank", reference="mean").key,
        "local": measure(database, key, "pagerank", reference="mean", engine="local").key,
        "degree": measure(database, key, "degree", reference="mean").key,
    }
    seen = {
        name: database.read("MATCH (r:MeasureRun {key: $key}) RETURN r.gdsVersion AS v", key=run)[0]["v"]
        for name, run in runs.items()
    }
    assert seen == {"pagerank": database.gds_version, "local": None, "degree": None}
    assert len(set(runs.values())) == 3


def test_an_algorithm_that_would_not_fit_is_one_line(graph: cg.Graph) -> None:
    with (
        pytest.raises(DatabaseError, match=r"FastRP needs about \d+.\d GB .* has \d.\d GB") as caught,
        graph.gds("for-gds") as (net, gds),
    ):
        gds.fast_rp.stats(net, embedding_dimension=500_000_000)
    assert "heap" in caught.value.hint


def test_a_run_of_before_stays_and_is_not_taken_for_a_new_one(database: Database, key: str) -> None:
    new = measure(database, key, "leiden", seed=11, reference="mean")
    old_parameters = {name: value for name, value in new.parameters.items() if name != "order"}
    old = replace(new, key=run_key(key, "leiden", old_parameters, "mean"), parameters=old_parameters)
    assert old.key != new.key
    finish_run(
        database,
        old,
        "database",
        Scores((), np.array([], np.int64), np.array([])),
        begin_run(database, key, MEASURES["leiden"]),
    )
    assert (
        plan(database, key, ranking=Ranking(measure="leiden", seed=11, reference="mean"), extent=Extent(remove=1)).run
        == new.key
    )
    stored = {run["key"]: run for run in lineage(database, key).as_json()["measure_runs"]}
    assert {old.key, new.key} <= set(stored)
    database.write("MATCH (r:MeasureRun {key: $run}) DETACH DELETE r", run=new.key)
    again = plan(database, key, ranking=Ranking(measure="leiden", seed=11, reference="mean"), extent=Extent(remove=1))
    assert again.run == new.key and [row.theta for row in again.layers] == [row.theta for row in new.layers]


def test_the_order_stands_in_the_parameters_of_what_gds_computed(database: Database, key: str) -> None:
    inside = measure(database, key, "leiden", reference="mean")
    local = measure(database, key, "leiden", reference="mean", engine="local")
    assert inside.parameters["order"] == "number" and "order" not in local.parameters
    assert measure(database, key, "map-pagerank").parameters["order"] == "layer, channel"


@pytest.mark.parametrize("name", ["leiden", "betweenness", "pagerank"])
def test_the_printed_calls_give_what_the_measure_gives(
    command: Callable[..., Any], server: Any, database: Database, key: str, name: str
) -> None:
    property_ = "leidenCommunity" if name == "leiden" else name

    def on_nodes() -> list[Any]:
        rows = database.read(
            "MATCH (p:Position {model: $key}) RETURN p[$name] AS v, p.leiden AS share ORDER BY p.number",
            key=key,
            name=property_,
        )
        return [(row["v"], row["share"] if name == "leiden" else None) for row in rows]

    measure(database, key, name, seed=3, reference="mean")
    expected = on_nodes()
    printed = command("measure", "for-gds", "-m", name, "--seed", 3, "--print", "--json")
    assert printed.code == 0, printed.err
    (texts,) = printed.json["calls"]
    clear = "MATCH (p:Position {model: $key}) SET p[$name] = null, p.leiden = null"

    database.write(clear, key=key, name=property_)
    env = os.environ | {"NEO4J_PASSWORD": server_password(server)}
    done = subprocess.run([sys.executable, "-c", texts["python"]], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert on_nodes() == expected

    database.write(clear, key=key, name=property_)
    before = projections(database)
    for statement in texts["cypher"].split(";\n"):
        if statement.strip():
            queries.run_cypher(database, statement, write=True)
    assert on_nodes() == expected
    assert projections(database) == before


def test_print_computes_nothing(command: Callable[..., Any], server: Any, database: Database, key: str) -> None:
    everything = "MATCH (n {model: $key}) RETURN count(n) AS n, sum(size(keys(n))) AS keys"
    before = database.read(everything, key=key)
    done = command("measure", "for-gds", "-m", "leiden", "-m", "map-pagerank", "--print")
    assert done.code == 0 and done.out.count("GraphDataScience(") == 2 and "gds.pageRank.stream(" in done.out
    password = server_password(server)
    assert ("NEO4J_PASSWORD" in done.out) == bool(password)
    assert not password or password not in done.out
    assert database.read(everything, key=key) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-m", "degree"), "cypher/measures/degree.cypher"),
        (("-m", "depth"), "by itself"),
        (("-m", "leiden", "--engine", "local"), "--engine local"),
    ],
)
def test_print_refuses_what_gds_does_not_compute(
    command: Callable[..., Any], key: str, arguments: tuple[str, ...], says: str
) -> None:
    done = command("measure", "for-gds", *arguments, "--print")
    assert done.code == 2 and says in done.err and "Traceback" not in done.err


def test_a_measure_shows_nothing_of_the_client(command: Callable[..., Any], key: str) -> None:
    done = command("measure", "for-gds", "-m", "pagerank", "--reference", "mean", "--json")
    assert done.code == 0 and json.loads(done.out)["runs"][0]["measure"] == "pagerank"
    assert "%|" not in done.err and "arning" not in done.err


def test_errors_of_the_client_are_one_line() -> None:
    for error in (ValueError("first\nsecond"), TypeError("first"), KeyError("first")):
        with pytest.raises(DatabaseError, match="first") as caught, client_errors():
            raise error
        assert "second" not in str(caught.value)
