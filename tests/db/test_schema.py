"""Constraints before any load, migrations that can be repeated, and schemas from the future."""

from __future__ import annotations

import dataclasses

import pytest

from cnngraph.database import schema
from cnngraph.database.connection import Database
from cnngraph.errors import DatabaseError

pytestmark = pytest.mark.db

KEYS = {
    "Model": ["key"],
    "Layer": ["model", "layer"],
    "FeatureMap": ["model", "layer", "channel"],
    "Position": ["model", "number"],
    "Class": ["model", "index"],
    "Block": ["model", "name"],
    "CouplingGroup": ["model", "index"],
    "Tensor": ["model", "name"],
    "MeasureRun": ["key"],
    "PruningRun": ["key"],
    "Evaluation": ["key"],
    "Step": ["run", "child", "number"],
    "Review": ["key"],
    "JUDGED": ["review", "id"],
    "Comparison": ["key"],
    "Criticality": ["key"],
}


def test_every_key_is_unique_and_every_layer_is_found_by_an_index(database: Database) -> None:
    schema.migrate(database)
    unique = database.auto(
        "SHOW CONSTRAINTS YIELD name, type, labelsOrTypes, properties WHERE name STARTS WITH 'cnngraph_' "
        "RETURN labelsOrTypes[0] AS label, properties, type"
    )
    assert {row["label"]: row["properties"] for row in unique} == KEYS
    indexes = database.auto(
        "SHOW INDEXES YIELD name, state, labelsOrTypes, properties, owningConstraint "
        "WHERE name STARTS WITH 'cnngraph_' AND owningConstraint IS NULL "
        "RETURN labelsOrTypes[0] AS label, properties, state"
    )
    assert {row["label"]: row["properties"] for row in indexes} == {
        "Criticality": ["model"],
        "FeatureMap": ["model", "layer"],
        "Position": ["model", "layer"],
    }
    assert {row["state"] for row in indexes} == {"ONLINE"}


def test_a_current_schema_needs_nothing(database: Database) -> None:
    assert schema.pending(database) == []
    assert schema.migrate(database) == []
    schema.require_current(database)
    (row,) = database.read("MATCH (d:DataModel {name: 'cnngraph'}) RETURN d.version AS version, count(*) AS n")
    assert row == {"version": schema.migrations()[-1].version, "n": 1}


def test_a_newer_schema_is_refused_with_the_version_to_install(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = [dataclasses.replace(schema.migrations()[0], version=0)]
    monkeypatch.setattr(schema, "migrations", lambda: older)
    with pytest.raises(DatabaseError, match="newer than the 0") as refused:
        schema.require_current(database)
    assert "pip install" in refused.value.hint


def test_the_labels_in_use_are_counted(database: Database) -> None:
    from cnngraph.database import cypher

    database.write("CREATE (:Concat {whose: 'theirs'}), (:Concat {whose: 'theirs'})")
    try:
        found = {row["label"]: row["nodes"] for row in database.read(cypher.load("schema/label_counts"))}
        assert found["Concat"] >= 2
        assert set(found) <= set(schema.LABELS)
    finally:
        database.write("MATCH (n:Concat {whose: 'theirs'}) DELETE n")
