"""A second Neo4j beside the session's, for what goes from one database into another, and a way to compare the two."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database.connection import Database, connect
from cnngraph.settings import load_settings

__all__ = ["Address", "everything", "second_server", "write_profile"]

_ALL = ("NEO4J_URI", "NEO4J_USERNAME", "NEO4J_PASSWORD", "NEO4J_DATABASE", "CNNGRAPH_STORAGE", "CNNGRAPH_PROFILE")


@dataclass(frozen=True)
class Address:
    """Where a server answers."""

    uri: str
    username: str
    password: str

    @property
    def environment(self) -> dict[str, str]:
        """That it is the server which commands use."""
        return {"NEO4J_URI": self.uri, "NEO4J_USERNAME": self.username, "NEO4J_PASSWORD": self.password}


@contextmanager
def second_server(home: Path) -> Iterator[Address]:
    """An embedded server of its own home; ``NEO4J_TEST_URI_2`` and ``NEO4J_TEST_PASSWORD_2`` name a running one."""
    given = os.environ.get("NEO4J_TEST_URI_2")
    if given:
        yield Address(given, "neo4j", os.environ["NEO4J_TEST_PASSWORD_2"])
        return
    from cnngraph.database.embedded import server as embedded

    with pytest.MonkeyPatch.context() as patch:
        for name in _ALL:
            patch.delenv(name, raising=False)
        patch.setenv("CNNGRAPH_HOME", str(home))
        settings = load_settings()
        running = embedded.up(settings)
    try:
        yield Address(running.uri, running.username, running.password)
    finally:
        embedded.down(settings)


def write_profile(home: Path, name: str, address: Address, **more: str) -> None:
    """Add a profile to the config file of a home."""
    home.mkdir(parents=True, exist_ok=True)
    values = {"uri": address.uri, "username": address.username, "password": address.password} | more
    path = home / "config.toml"
    text = path.read_text() if path.exists() else ""
    path.touch(0o600)
    lines = "".join(f'{key} = "{value}"\n' for key, value in values.items())
    path.write_text(f"{text}[profiles.{name}]\n{lines}")


def open_as(address: Address, owner: str, home: Path) -> Database:
    """A connection to a server as somebody with a home of their own."""
    from cnngraph.database import schema

    with pytest.MonkeyPatch.context() as patch:
        for name in _ALL:
            patch.delenv(name, raising=False)
        patch.setenv("CNNGRAPH_HOME", str(home))
        db = connect(load_settings(uri=address.uri, username=address.username, password=address.password, owner=owner))
    schema.migrate(db)
    return db


def everything(db: Database, *keys: str) -> Counter[str]:
    """Each node and relationship of some models as text, whatever its label: all of it but element ids and leases."""
    nodes = {}
    rows = db.read(
        "MATCH (n) WHERE n.key IN $keys OR n.model IN $keys OR n.run IN $runs "
        "OR EXISTS { (n)-[:OF]->(m) WHERE m.key IN $keys } "
        "RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS properties",
        keys=keys,
        runs=_runs(db, keys),
    )
    for row in rows:
        own = {name: value for name, value in row["properties"].items() if not name.startswith("lease")}
        nodes[row["id"]] = f"{sorted(row['labels'])} {_text(own)}"
    edges = db.read(
        "UNWIND $ids AS id MATCH (a)-[r]->(b) WHERE elementId(a) = id "
        "RETURN id AS a, type(r) AS type, properties(r) AS properties, elementId(b) AS b",
        ids=list(nodes),
    )
    return Counter(nodes.values()) + Counter(
        f"{nodes[edge['a']]} {edge['type']} {_text(edge['properties'])} {nodes.get(edge['b'], 'of another model')}"
        for edge in edges
    )


def _runs(db: Database, keys: tuple[str, ...]) -> list[str]:
    rows = db.read("MATCH (r:PruningRun)-[:OF]->(m:Model) WHERE m.key IN $keys RETURN r.key AS key", keys=keys)
    return [row["key"] for row in rows]


def _text(properties: dict[str, Any]) -> str:
    return repr(sorted((name, type(value).__name__, repr(value)) for name, value in properties.items()))
