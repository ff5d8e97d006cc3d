"""One database and several machines: saved models are found by their content, or it is said which one is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cnngraph as cg
from cnngraph.database import catalogue, cypher, schema
from cnngraph.database.connection import Database
from cnngraph.errors import ModelError, NotFoundError
from cnngraph.jobs import ingest
from cnngraph.jobs.session import Session
from cnngraph.network.trace_options import TraceOptions
from cnngraph.settings import load_settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import ModelChoice
from cnngraph.sources.stored import stored
from cnngraph.storage import Storage, content_sha256

pytestmark = pytest.mark.db

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def prepared() -> ingest.TracedModel:
    """A small net, mapped."""
    data = DataChoice(name="digits", images_per_class=2)
    return ingest.prepare(ModelChoice(name="cnngraph:vgg11", width=0.125), data, TraceOptions(view="channels"))


def write(db: Database, prepared: ingest.TracedModel, name: str) -> str:
    return str(ingest.store(Session(load_settings(), connected=db), prepared, name)["model"])


def content_of(db: Database, key: str) -> str:
    return str(catalogue.properties(db, key)["savedSha256"])


@pytest.fixture
def key(database: Database, prepared: ingest.TracedModel) -> Iterator[str]:
    made = write(database, prepared, "kept")
    yield made
    catalogue.delete(database, made)


def test_another_machine_says_which_saved_model_is_missing(
    command: Run, server: Any, database: Database, key: str, tmp_path: Path
) -> None:
    content, mine = content_of(database, key), database.storage.root
    there = {"CNNGRAPH_HOME": str(tmp_path / "there")}
    if server is not None:
        there |= {"NEO4J_URI": server.uri, "NEO4J_USERNAME": server.username, "NEO4J_PASSWORD": server.password}
    told = command("show", "kept", "--json", env=there)
    assert told.code == 0, told.err
    shown = told.json
    assert shown["artifact"] is None
    assert (shown["saved_sha256"], f"has no models/{content}" in shown["artifact_missing"]) == (content, True)
    plan = ("plan", "kept", "--method", "filters", "--ratio", 0.2)
    refused = command(*plan, env=there)
    assert refused.code == 1
    assert f"{tmp_path / 'there'} (which is not there itself) has no models/{content}." in refused.err
    assert str(mine) not in refused.err
    assert "Copy that folder" in refused.err
    # Either way that the message says.
    shared = command(*plan, env=there | {"CNNGRAPH_STORAGE": str(mine)})
    assert shared.code == 0, shared.err
    shutil.copytree(database.storage.place(content), tmp_path / "there" / "models" / content)
    assert stored(replace(database, storage=Storage(tmp_path / "there")), key).folder.name == content


def test_the_same_net_ingested_there_is_found_there(
    database: Database, prepared: ingest.TracedModel, key: str, tmp_path: Path
) -> None:
    there = replace(database, storage=Storage(tmp_path))
    with pytest.raises(ModelError, match="not on this machine"):
        _ = stored(there, key).folder
    assert ingest.store(Session(load_settings(), connected=there), prepared, "kept")["action"] == "nothing"
    assert stored(there, key).folder == tmp_path / "models" / content_of(database, key)
    assert stored(database, key).folder.is_relative_to(database.storage.root)


def test_models_of_one_content_share_it_and_a_delete_leaves_it(
    database: Database, prepared: ingest.TracedModel, tmp_path: Path
) -> None:
    db = replace(database, storage=Storage(tmp_path))
    first, second = (write(db, prepared, name) for name in ("kept-a", "kept-b"))
    assert content_of(db, first) == content_of(db, second)
    assert len(list((tmp_path / "models").iterdir())) == 1
    catalogue.delete(db, first)
    assert stored(db, second).folder.name == content_of(db, second)
    catalogue.delete(db, second)


def test_a_graph_of_an_earlier_version_is_migrated_where_its_files_are(
    command: Run, database: Database, prepared: ingest.TracedModel, key: str, tmp_path: Path
) -> None:
    """Two models as 0.x wrote them, by path: one whose folder is on this machine, one of somebody else's machine."""
    other = write(database, prepared, "kept-foreign")
    content, folder = content_of(database, key), tmp_path / "models" / "tester" / "kept" / "abc"
    shutil.move(database.storage.place(content), folder)
    old = "MATCH (m:Model {key: $key}) SET m.artifact = $path REMOVE m.savedSha256"
    database.write(old, key=key, path=str(folder))
    database.write(old, key=other, path="/home/nobody/models/tester/kept/abc")
    database.write(cypher.load("schema/record_version"), version=2, program="0.1.0")
    assert stored(database, key).folder == folder  # as it was, before anything is migrated
    done = command("db", "migrate", "--json")
    assert done.code == 0, done.err
    assert "saved_models_by_content" in done.json["migrations"]
    assert schema.pending(database) == []
    moved = catalogue.properties(database, key)
    assert (moved["savedSha256"], moved.get("artifact")) == (content, None)
    assert content_sha256(stored(database, key).folder) == content_sha256(folder) == content
    # The other stays as it is, and is said without its path.
    assert catalogue.properties(database, other)["artifact"] == "/home/nobody/models/tester/kept/abc"
    with pytest.raises(ModelError, match="not on this machine") as refused:
        _ = stored(database, other).folder
    assert "nobody" not in str(refused.value)
    # And ingested again it has a saved model here.
    assert ingest.store(Session(load_settings(), connected=database), prepared, "kept-foreign")["action"] == "nothing"
    assert stored(database, other).folder == database.storage.place(content)
    assert "artifact" not in catalogue.properties(database, other)
    catalogue.delete(database, other)


def test_a_network_of_ones_own_is_written_with_its_saved_model(prepared: ingest.TracedModel, server: Any) -> None:
    with cg.connect() as graph:
        graph.write(prepared.network, "kept-own", artifact=prepared.model, sha256=prepared.sha256)
        shown = graph.show("kept-own")
        assert cg.load(shown["artifact"])
        assert shown["saved_sha256"] == content_sha256(prepared.model)
        with pytest.raises(NotFoundError, match="There is no saved model in"):
            graph.write(prepared.network, "kept-not", artifact=Path("nowhere"))
        graph.delete("kept-own")


def test_nothing_is_written_where_the_root_is_not_there(
    database: Database, prepared: ingest.TracedModel, tmp_path: Path
) -> None:
    db = replace(database, storage=Storage(tmp_path / "disk", named=True))
    with pytest.raises(NotFoundError, match=r"The storage root .*disk is not there"):
        write(db, prepared, "kept-nowhere")
    assert not catalogue.properties(db, f"{db.owner}/kept-nowhere")


def test_a_saved_model_that_was_changed_is_not_used(
    database: Database, prepared: ingest.TracedModel, tmp_path: Path
) -> None:
    db = replace(database, storage=Storage(tmp_path))
    key = write(db, prepared, "kept-changed")
    weights = tmp_path / "models" / content_of(db, key) / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"of tester/kept-changed in .* is not what was stored"):
        _ = stored(db, key).folder
    catalogue.delete(db, key)
