"""A Network into Neo4j and back: equal, idempotent, and never more than ours."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from neo4j.exceptions import TransientError

from cnngraph.database import batches, catalogue, schema
from cnngraph.database.connection import Database
from cnngraph.database.reader import frames, read_network
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import ConflictError, DatabaseError, SpecError, UsageError
from cnngraph.network.tables import KINDS, Network
from tests.synthetic import small_network, with_car

pytestmark = pytest.mark.db

COUNTS = {"layers": 11, "feature_maps": 23, "connections": 71, "positions": 56, "arcs": 392, "classes": 3}


def elements(db: Database, key: str) -> list[str]:
    """All that the database holds of a model, without what depends on the run (key, name, createdAt)."""
    queries = (
        "MATCH (n:Layer {model: $key}) RETURN 1 AS part, labels(n) AS labels, n {.*, model: 0} AS own",
        "MATCH (n:Class {model: $key}) WHERE n.index IS NOT NULL RETURN 2 AS part, n {.*, model: 0} AS own",
        "MATCH (n:FeatureMap {model: $key}) WHERE n.layer IS NOT NULL RETURN 3 AS part, n {.*, model: 0} AS own",
        "MATCH (n:Position {model: $key}) WHERE n.layer IS NOT NULL RETURN 4 AS part, n {.*, model: 0} AS own",
        "MATCH (n:Model {key: $key}) RETURN 5 AS part, n {.*, key: 0, name: 0, createdAt: 0} AS own",
        (
            "MATCH (a:Layer {model: $key})-[r]->(b) "
            "RETURN 6 AS part, a.layer AS a, type(r) AS type, properties(r) AS own, b.layer AS b, b.channel AS channel"
        ),
        (
            "MATCH (a:FeatureMap {model: $key})-[r]->(b) WHERE a.layer IS NOT NULL "
            "RETURN 7 AS part, a.layer, a.channel, type(r) AS type, properties(r) AS own, b.layer, b.channel"
        ),
        (
            "MATCH (a:Position {model: $key})-[r]->(b) WHERE a.number IS NOT NULL WITH a, r, b ORDER BY b.number "
            "RETURN 8 AS part, a.number AS a, collect([type(r), r.weight, size(keys(r)), b.number]) AS arcs"
        ),
        "MATCH (a:Block {model: $key})-[r]->(b) RETURN 10 AS part, a {.*, model: 0} AS own, type(r), b.layer AS b",
        "MATCH (a:Tensor {model: $key}) RETURN 11 AS part, a {.*, model: 0} AS own",
        "MATCH (a:FeatureMap {model: $key})-[:COUPLED_IN]->(b) RETURN 12 AS part, a.layer, a.channel, b {.*, model: 0}",
        "MATCH (a:Model {key: $key})-[r]->(b) RETURN 9 AS part, type(r) AS type, labels(b) AS labels, b.name AS b",
    )
    rows = [row for query in queries for row in db.read(query, key=key)]
    return sorted(repr([_ordered(row[name]) for name in row]) for row in rows)


def _ordered(value: Any) -> Any:
    """A value whose text does not depend on the order in which the server tells a map or the labels."""
    return sorted(value.items()) if isinstance(value, dict) else value


@pytest.fixture
def name(database: Database, request: pytest.FixtureRequest) -> Any:
    """A model name of this test's own; what is under it goes afterwards."""
    chosen = f"writer-{request.node.name}"[:100].translate(str.maketrans("[]:#", "----"))
    yield chosen
    key = f"{database.owner}/{chosen}"
    if catalogue.properties(database, key):
        catalogue.delete(database, key)


@pytest.mark.parametrize(
    "network",
    [
        small_network(0),
        small_network(1, kernels=True),
        small_network(2, view="channels", classes=1),
        small_network(3, view="positions"),
        with_car(small_network(4), ["conv1", "block.conv3"], unjudged=[1]),
    ],
    ids=["both", "kernels", "channels", "positions", "car"],
)
def test_what_is_read_is_what_was_written(database: Database, name: str, network: Network) -> None:
    written = write_network(database, network, name)
    assert {what: written[what] for what in COUNTS} == network.counts()
    assert (written["blocks"], written["tensors"]) == (network.blocks.num_rows, network.tensors.num_rows)
    back = read_network(database, f"{database.owner}/{name}")
    assert back.details == network.details
    for table, rows in network.tables().items():
        assert back.tables()[table].equals(rows), table


def test_the_graph_is_the_one_of_the_design(database: Database, name: str) -> None:
    key = write_network(database, small_network(1), name)["model"]
    (layer,) = database.read("MATCH (l:Layer:Conv {model: $key, layer: 'block.conv2'}) RETURN l {.*} AS l", key=key)
    assert layer["l"] == {
        "model": key,
        "name": "block.conv2",
        "layer": "block.conv2",
        "index": 4,
        "kind": "Conv",
        "operation": "Conv2d",
        "module": "block.conv2",
        "inChannels": 4,
        "outChannels": 4,
        "kernel": [3, 3],
        "stride": [1, 1],
        "padding": [1, 1],
        "dilation": [1, 1],
        "groups": 1,
        "outHeight": 4,
        "outWidth": 4,
        "parameters": 148,
        "macs": 2304,
    }
    (arc,) = database.read(
        (
            "MATCH (a:Position {model: $key, number: 1})-[r:ARC]->() "
            "RETURN r.weight AS weight, a.activation AS activation, a.name AS name LIMIT 1"
        ),
        key=key,
    )
    assert arc["weight"] == pytest.approx(sum(arc["activation"]) / 3, rel=1e-12)
    assert arc["name"] == "1,1"
    ports = database.read(
        "MATCH (:Layer {model: $key, layer: 'add'})-[r:FEEDS]->() RETURN r.port AS p ORDER BY p", key=key
    )
    assert [row["p"] for row in ports] == [0, 1]
    kinds = database.read("MATCH (l:Layer {model: $key}) UNWIND labels(l) AS label RETURN DISTINCT label", key=key)
    assert {row["label"] for row in kinds} <= {"Layer", *KINDS}
    (model,) = database.read("MATCH (m:Model {key: $key}) RETURN m {.*} AS m", key=key)
    assert not [name for name in model["m"] if name.startswith("lease")]
    assert model["m"]["inputShape"] == [3, 8, 8]


def test_the_second_time_nothing_is_written(database: Database, name: str) -> None:
    first = write_network(database, small_network(), name)
    stamp = catalogue.properties(database, first["model"])
    before = elements(database, first["model"])
    second = write_network(database, small_network(), name)
    assert second["action"] == "nothing"
    assert {what: second[what] for what in COUNTS} == COUNTS == {what: first[what] for what in COUNTS}
    assert catalogue.properties(database, first["model"]) == stamp
    assert elements(database, first["model"]) == before


def test_other_inputs_need_replace_and_replace_takes_only_ours(database: Database, name: str) -> None:
    other = f"{name}-other"
    key = write_network(database, small_network(0), name)["model"]
    untouched = write_network(database, small_network(2), other)["model"]
    try:
        before = elements(database, untouched)
        with pytest.raises(ConflictError, match="other inputs") as refused:
            write_network(database, small_network(1), name)
        assert "--replace" in refused.value.hint
        dry = write_network(database, small_network(1), name, WriteOptions(replace=True, dry_run=True))
        assert dry["action"] == "replace"
        assert dry["deletes"] | COUNTS == dry["deletes"]
        assert read_network(database, key).details.inputs["seed"] == 0
        assert write_network(database, small_network(1), name, WriteOptions(replace=True))["action"] == "replace"
        assert read_network(database, key).positions.equals(small_network(1).positions)
        assert elements(database, untouched) == before
    finally:
        catalogue.delete(database, untouched)


def test_a_dry_run_says_the_exact_counts_and_writes_nothing(database: Database, name: str) -> None:
    said = write_network(database, small_network(), name, WriteOptions(dry_run=True))
    assert {what: said[what] for what in COUNTS} == COUNTS
    assert said["action"] == "new"
    assert not catalogue.properties(database, said["model"])


def test_a_model_that_is_loading_is_finished_by_the_same_inputs_only(database: Database, name: str) -> None:
    network = small_network()
    key = write_network(database, network, name)["model"]
    whole = elements(database, key)
    database.write("MATCH (m:Model {key: $key}) SET m.status = 'loading'", key=key)
    database.write("MATCH (p:Position {model: $key}) WHERE p.number < 30 DETACH DELETE p", key=key)
    # A position that lost its targets has lost arcs: only sources are written as a whole.
    database.write("MATCH (:Position {model: $key})-[r:ARC]->() DELETE r", key=key)
    with pytest.raises(ConflictError, match="still loading"):
        write_network(database, small_network(1), name)
    with pytest.raises(ConflictError, match="not complete"):
        read_network(database, key)
    assert write_network(database, network, name)["action"] == "resume"
    assert elements(database, key) == whole


def test_a_model_of_an_older_schema_stays_complete_and_readable(database: Database, name: str) -> None:
    network = small_network()
    key = write_network(database, network, name)["model"]
    database.write("MATCH (n:Block|CouplingGroup {model: $key}) DETACH DELETE n", key=key)
    for constraint in ("cnngraph_block", "cnngraph_tensor", "cnngraph_coupling_group"):
        database.auto(f"DROP CONSTRAINT {constraint}")
    database.write("MATCH (d:DataModel {name: 'cnngraph'}) SET d.version = 1")
    assert schema.migrate(database) == schema.migrations()[1:]
    assert write_network(database, network, name)["action"] == "nothing"
    back = read_network(database, key)
    assert back.blocks.num_rows == back.coupling_groups.num_rows == 0 and back.layers.equals(network.layers)
    assert catalogue.delete(database, key)["blocks"] == 0


def test_blocks_and_tensors_go_with_their_model(database: Database, name: str) -> None:
    key = write_network(database, small_network(kernels=True), name)["model"]
    gone = catalogue.delete(database, key)
    assert (gone["blocks"], gone["tensors"], gone["coupling_groups"]) == (2, 3, 3)
    assert database.read("MATCH (n:Block|Tensor|CouplingGroup {model: $key}) RETURN n", key=key) == []


def test_an_interrupted_ingest_finishes_blocks_and_tensors(database: Database, name: str) -> None:
    network = small_network(1, kernels=True)
    key = write_network(database, network, name)["model"]
    whole = elements(database, key)
    database.write("MATCH (m:Model {key: $key}) SET m.status = 'loading'", key=key)
    database.write("MATCH (b:Block {model: $key, name: 'inner'})-[r]->() WITH r LIMIT 1 DELETE r", key=key)
    database.write("MATCH (t:Tensor {model: $key}) WHERE t.index > 0 DETACH DELETE t", key=key)
    database.write("MATCH (g:CouplingGroup {model: $key, index: 1}) DETACH DELETE g", key=key)
    database.write("MATCH (g:CouplingGroup {model: $key, index: 0})<-[r]-() WITH r LIMIT 1 DELETE r", key=key)
    assert write_network(database, network, name)["action"] == "resume"
    assert elements(database, key) == whole


def test_counts_are_checked_before_the_model_is_complete(database: Database, name: str) -> None:
    network = small_network()
    key = write_network(database, network, name)["model"]
    database.write("MATCH (m:Model {key: $key}) SET m.status = 'loading'", key=key)
    database.write("MATCH (:Position {model: $key, number: 1})-[r:ARC]->() WITH r LIMIT 1 DELETE r", key=key)
    with pytest.raises(ConflictError, match="391 arcs instead of 392"):
        write_network(database, network, name)
    assert catalogue.properties(database, key)["status"] == "loading"


def test_batches_halve_when_the_server_is_short_of_memory(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    auto = Database.auto

    def poor(self: Database, cypher: str, /, **params: Any) -> list[dict[str, Any]]:
        rows = params.get("rows", [])
        if len(rows) > 7:
            cause = TransientError("no memory")
            cause._neo4j_code = "Neo.TransientError.General.MemoryPoolOutOfMemoryError"
            raise DatabaseError("The server is short of memory.") from cause
        sent.append(len(rows))
        return auto(self, cypher, **params)

    monkeypatch.setattr(Database, "auto", poor)
    key = write_network(database, small_network(), name)["model"]
    monkeypatch.undo()
    assert max(sent) <= 7
    assert read_network(database, key).arcs.equals(small_network().arcs)


def test_other_peoples_nodes_stay(database: Database, name: str) -> None:
    database.write("CREATE (:Layer {whose: 'theirs', test: $name}), (:Model {key: $name, test: $name})", name=name)
    try:
        key = write_network(database, small_network(), name)["model"]
        catalogue.delete(database, key)
        (left,) = database.read("MATCH (n {test: $name}) RETURN count(n) AS nodes", name=name)
        assert left["nodes"] == 2
        assert name not in [row["name"] for row in catalogue.list_models(database)]
    finally:
        database.write("MATCH (n {test: $name}) DETACH DELETE n", name=name)


def test_frames_hold_what_measures_added(database: Database, name: str) -> None:
    key = write_network(database, small_network(), name)["model"]
    database.write("MATCH (p:Position {model: $key, number: 1}) SET p.degree = 2.5", key=key)
    nodes, edges = frames(database, key)
    assert nodes.loc["conv1(1,1)", "degree"] == 2.5
    assert nodes["label"].value_counts().to_dict() == {"Position": 56, "FeatureMap": 23, "Layer": 11}
    assert edges["type"].value_counts().to_dict() == {"ARC": 392, "CONNECTS": 71, "FEEDS": 12, "RESEMBLES": 3}
    assert set(edges["source"]) | set(edges["target"]) <= set(nodes.index)


def test_bad_input_writes_nothing(database: Database, name: str) -> None:
    network = small_network()
    with pytest.raises(UsageError, match="no valid model name"):
        write_network(database, network, "no good")
    with pytest.raises(UsageError, match="is somebody's"):
        write_network(database, network, f"somebody/{name}")
    broken = dataclasses.replace(network, arcs=network.arcs.slice(0).append_column("x", network.arcs.column("source")))
    with pytest.raises(SpecError):
        write_network(database, broken, name)
    assert not catalogue.properties(database, f"{database.owner}/{name}")


def test_a_large_store_asks_for_yes(database: Database, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnngraph.network.sizes.LARGE_GB", 0.0)
    with pytest.raises(UsageError, match="GB") as refused:
        write_network(database, small_network(), name)
    assert "--yes" in refused.value.hint
    assert write_network(database, small_network(), name, WriteOptions(yes=True))["action"] == "new"


def test_the_lease_is_checked_before_every_batch(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    send = batches.send

    def counting(*args: Any, **kwargs: Any) -> None:
        before = kwargs["before_each"]
        kwargs["before_each"] = lambda: (calls.append(1), before())
        send(*args, **kwargs)

    monkeypatch.setattr("cnngraph.database.writer.send", counting)
    write_network(database, small_network(), name)
    assert len(calls) == 10
