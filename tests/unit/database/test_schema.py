"""What a migration asks and says, without a server."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from neo4j.exceptions import Neo4jError

from cnngraph import __version__
from cnngraph.database import cypher, schema
from cnngraph.database.connection import Database
from cnngraph.errors import ConflictError, DatabaseError


class Recorder:
    """A database of canned answers that remembers every statement."""

    def __init__(self, *, version: int | None = None, labels: dict[str, int] | None = None, embedded: bool = False):
        self.version, self.labels, self.embedded = version, labels or {}, embedded
        self.uri, self.profile = "bolt://nowhere", None
        self.ran: list[str] = []

    def read(self, text: str, /, **params: Any) -> list[dict[str, Any]]:
        if text == cypher.load("schema/version"):
            return [] if self.version is None else [{"version": self.version, "program": "9.9.9"}]
        if text == cypher.load("schema/empty_lists"):  # no import of neo4j-admin left any
            return []
        if text == cypher.load("catalogue/saved_by_path"):  # nor did an earlier cnngraph leave models
            return []
        return [{"label": label, "nodes": nodes} for label, nodes in self.labels.items()]

    def write(self, text: str, /, **params: Any) -> list[dict[str, Any]]:
        (statement,) = cypher.statements(text)
        version, program = params["version"], params["program"]
        self.ran.append(statement.replace("$version", str(version)).replace("$program", f"'{program}'"))
        self.version = version
        return []

    def auto(self, text: str, /, **params: Any) -> list[dict[str, Any]]:
        self.ran.append(text)
        return []


def database(**options: Any) -> tuple[Recorder, Database]:
    recorder = Recorder(**options)
    return recorder, cast(Database, recorder)


def test_an_empty_database_is_migrated_and_the_version_recorded_last() -> None:
    recorder, db = database()
    assert [migration.version for migration in schema.migrate(db)] == [m.version for m in schema.migrations()]
    assert recorder.ran[0].startswith("CREATE CONSTRAINT cnngraph_model")
    assert recorder.ran[-1].startswith("MERGE (d:DataModel")
    assert schema.pending(db) == []


def test_strangers_with_our_labels_are_counted_and_refused() -> None:
    recorder, db = database(labels={"Layer": 12, "Model": 3})
    with pytest.raises(ConflictError, match="12 :Layer, 3 :Model") as refused:
        schema.migrate(db)
    assert "--share-database" in refused.value.hint
    assert recorder.ran == []
    assert schema.migrate(db, share_database=True)


def test_an_upgrade_counts_the_labels_that_are_new_with_it() -> None:
    labels = {"Block": 4, "Layer": 12, "Model": 3}
    recorder, db = database(version=1, labels=labels)
    with pytest.raises(ConflictError, match=r"uses: 4 :Block\.") as refused:
        schema.migrate(db)
    assert "--share-database" in refused.value.hint
    assert recorder.ran == []
    assert "in use by somebody else: 4 :Block." in schema.script(db)
    after = [migration.version for migration in schema.migrations()][1:]
    assert [migration.version for migration in schema.migrate(db, share_database=True)] == after
    assert schema.migrate(db) == []
    recorder, db = database(version=1, labels={"Layer": 12, "Model": 3})
    assert schema.migrate(db)


def test_an_upgrade_of_the_embedded_server_refuses_nothing() -> None:
    recorder, db = database(version=1, labels={"Block": 4}, embedded=True)
    schema.require_current(db)
    assert recorder.version == schema.migrations()[-1].version


def test_the_script_for_an_administrator_is_all_that_migrate_runs() -> None:
    recorder, db = database(labels={"Layer": 12})
    text = schema.script(db)
    assert recorder.ran == []
    assert "in use by somebody else: 12 :Layer" in text
    assert "$" not in text
    schema.migrate(db, share_database=True)
    assert cypher.statements(text) == recorder.ran
    assert f"'{__version__}'" in recorder.ran[-1]
    assert schema.script(db) == "// The schema is up to date.\n"


def test_every_label_of_ours_is_counted_and_styled() -> None:
    counted = re.findall(r"COUNT \{ \(:(\w+)\) \}", cypher.load("schema/label_counts"))
    assert counted == list(schema.LABELS)
    styled = re.findall(r"^node\.(\w+)", (cypher.folder() / "style.grass").read_text(), re.MULTILINE)
    assert set(styled) == set(schema.LABELS) - {"DataModel"}


def test_an_index_of_somebody_else_in_the_way_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, db = database()

    def refuse(text: str, /, **params: Any) -> list[dict[str, Any]]:
        cause = Neo4jError._hydrate_neo4j(code="Neo.ClientError.Schema.IndexAlreadyExists", message="there is one")
        raise DatabaseError("there is one") from cause

    monkeypatch.setattr(recorder, "auto", refuse)
    with pytest.raises(ConflictError, match="there is one"):
        schema.migrate(db)


def test_a_newer_schema_is_refused_with_the_version_to_install() -> None:
    _, db = database(version=99)
    with pytest.raises(DatabaseError, match="has version 99") as refused:
        schema.migrate(db)
    assert "9.9.9" in refused.value.hint


def test_only_the_embedded_server_migrates_itself() -> None:
    recorder, db = database()
    with pytest.raises(DatabaseError) as refused:
        schema.require_current(db)
    assert "cnngraph db migrate" in refused.value.hint
    assert recorder.ran == []
    recorder, db = database(embedded=True)
    schema.require_current(db)
    assert recorder.ran


def test_migrations_are_numbered_without_a_gap() -> None:
    versions = [migration.version for migration in schema.migrations()]
    assert versions == list(range(1, len(versions) + 1))
