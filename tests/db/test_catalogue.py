"""Find, show and delete."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import ConflictError, NotFoundError, UsageError
from tests.db.test_writer import COUNTS
from tests.synthetic import small_network

pytestmark = pytest.mark.db


@pytest.fixture
def key(database: Database) -> Iterator[str]:
    made = write_network(
        database, small_network(1), "catalogued", WriteOptions(yes=True), saved_sha256="cd", sha256="ab"
    )["model"]
    yield made
    if catalogue.properties(database, made):
        catalogue.delete(database, made)


def test_names_are_resolved(database: Database, key: str) -> None:
    assert catalogue.resolve(database, "catalogued") == key
    assert catalogue.resolve(database, key) == key
    with pytest.raises(NotFoundError, match="no model") as missing:
        catalogue.resolve(database, "catalogue")
    assert "Did you mean catalogued" in missing.value.hint
    with pytest.raises(UsageError):
        catalogue.resolve(database, "a/b/c")


def test_show_tells_counts_and_origin(database: Database, key: str) -> None:
    shown = catalogue.show(database, key)
    assert shown | COUNTS == shown
    assert (shown["status"], shown["dataset"], shown["owner"]) == ("complete", "digits", database.owner)
    assert shown["architecture"] == "python:nets.small:build"
    assert (shown["artifact"], shown["saved_sha256"], shown["sha256"]) == (None, "cd", "ab")
    assert f"the storage root {database.storage.root} has no models/cd." in shown["artifact_missing"]
    assert shown["preprocessing"] == {"size": [8, 8], "mean": [0.5], "std": [0.25]}
    assert shown["recipe"]["options"] == {"classes": 3}
    with pytest.raises(NotFoundError):
        catalogue.show(database, "nobody/nothing")


def test_list_has_the_keys_that_scripts_rely_on(database: Database, key: str) -> None:
    (row,) = [row for row in catalogue.list_models(database) if row["model"] == key]
    assert set(row) >= {
        *("name", "architecture", "dataset", "owner", "status", "pruned_from", "accuracy", "parameters", "macs"),
        "latency_ms",
    }
    assert (row["name"], row["parameters"], row["macs"]) == ("catalogued", 619, 23_456)


def test_the_latest_latency_stands_beside_the_macs(database: Database, key: str) -> None:
    assert catalogue.show(database, key)["latency_ms"] is None
    database.write(
        """
        MATCH (m:Model {key: $key})
        UNWIND [[1, 5.0, false], [2, 3.0, false], [3, 9.0, true]] AS row
        CREATE (:Evaluation {key: $key + row[0], split: 'test', createdAt: datetime({year: 2000 + row[0]}),
                             latencyMs: row[1], control: row[2]})-[:OF]->(m)
        """,
        key=key,
    )
    assert catalogue.show(database, key)["latency_ms"] == 3.0
    (row,) = [row for row in catalogue.list_models(database) if row["model"] == key]
    assert row["latency_ms"] == 3.0
    database.write("MATCH (e:Evaluation)-[:OF]->(:Model {key: $key}) DETACH DELETE e", key=key)


def test_delete_takes_all_of_it_in_batches_and_says_what(
    database: Database, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_BATCH", 5)
    database.write("MATCH (m:Model {key: $key}) CREATE (:Evaluation {key: 'cat-1', model: $key})-[:OF]->(m)", key=key)
    said = catalogue.delete(database, key, dry_run=True)
    assert said | COUNTS | {"evaluations": 1} == said
    assert catalogue.show(database, key)["status"] == "complete"
    assert catalogue.delete(database, key) == said
    labels = "Model|Layer|FeatureMap|Position|Class|Evaluation"
    left = database.read(f"MATCH (n:{labels}) WHERE n.model = $key OR n.key = $key RETURN count(n) AS n", key=key)
    assert left == [{"n": 0}]
    with pytest.raises(NotFoundError):
        catalogue.delete(database, key)


def test_somebody_elses_model_is_not_deleted(database: Database, key: str) -> None:
    stranger = dataclasses.replace(database, owner="stranger")
    with pytest.raises(UsageError, match="you write as stranger"):
        catalogue.delete(stranger, key)
    assert catalogue.show(database, key)["status"] == "complete"


def test_a_half_deleted_model_is_said_and_finished(database: Database, key: str) -> None:
    database.write("MATCH (m:Model {key: $key}) SET m.status = 'deleting'", key=key)
    database.write("MATCH (p:Position {model: $key}) WHERE p.number < 20 DETACH DELETE p", key=key)
    with pytest.raises(ConflictError, match="half deleted") as refused:
        catalogue.require_complete(database, key)
    assert f"cnngraph delete {key}" in refused.value.hint
    assert catalogue.delete(database, key)["positions"] == 37
    with pytest.raises(NotFoundError):
        catalogue.require_complete(database, key)
