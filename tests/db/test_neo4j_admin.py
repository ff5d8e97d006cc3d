"""``export --format neo4j-admin``, imported by the real tool into a store of its own, compared element by element."""

from __future__ import annotations

import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database, connect
from cnngraph.database.embedded import server
from cnngraph.database.embedded.home import Home
from cnngraph.database.embedded.jars import locked_jars
from cnngraph.database.embedded.java import find_java
from cnngraph.database.embedded.releases import chosen_release
from cnngraph.database.writer import write_network
from cnngraph.settings import Settings, cache_dir
from tests.synthetic import small_network

pytestmark = pytest.mark.db

# What a person may put on nodes: every type, and texts that break a careless writer.
ODD = """
MATCH (m:Model {key: $key})
SET m.odd = $text, m.emptyText = '', m.flag = true, m.flags = [true, false], m.big = -9223372036854775808,
    m.tiny = 5e-324, m.endless = [1.0/0, -1.0/0], m.whole = [16777217.0], m.longs = [9007199254740993],
    m.texts = ['a;b', ' c ', 'd"e', ''], m.day = date('2026-11-28'),
    m.zoned = datetime('2026-11-28T01:02:03.123456789[Europe/Berlin]'),
    m.lone = [''], m.local = localdatetime('2026-11-28T01:02:03'), m.lasting = duration('P1DT2H'), m.nothing = []
WITH m
MATCH (l:Layer {model: m.key, layer: 'conv1'})
SET l:Mine, l.note = 1
WITH m, l
MATCH (k:Layer {model: m.key, layer: 'relu'})
SET k.note = 'a text here, a number there'
CREATE (r:PruningRun {key: 'by-hand', name: 'by hand', method: 'manual', owner: 'tester', createdAt: datetime()}),
       (r)-[:OF]->(m), (r)-[:REMOVES {reason: 'I "say" so,\\nloudly'}]->(l), (r)-[:REMOVES]->(l),
       (l)-[:LIKES {how: 'a lot'}]->(k)
WITH m
MATCH (f:FeatureMap {model: m.key, layer: 'conv1', channel: 0}), (c:Class {model: m.key, index: 1})
SET f.car = 0.25, f.carByClass = [0.5, 0.0 / 0.0]
CREATE (f)-[:SERVES {reduction: 0.5, rank: 1}]->(c)
WITH m
MATCH (other:Model {key: $other})
CREATE (m)-[:PRUNED_FROM]->(other), (other)-[:PRUNED_FROM]->(m)
WITH m, other
MATCH (l:Layer {model: m.key, layer: 'conv1'}), (theirs:Layer {model: other.key, layer: 'conv1'})
MATCH (r:PruningRun {key: 'by-hand'})
CREATE (c:Comparison {key: 'tester/compare/1', owner: 'tester', images: 8})-[:OF {side: 'a'}]->(m),
       (c)-[:OF {side: 'b'}]->(other), (l)-[:SIMILAR {comparison: c.key, value: 0.5}]->(theirs),
       (theirs)-[:SIMILAR {comparison: c.key, value: 0.25}]->(l), (l)-[:SIMILAR {comparison: 'own', value: 1.0}]->(l),
       (:Criticality {key: 'critical', model: m.key, value: 0.5})-[:OF]->(l),
       (:Step {run: r.key, child: other.key, number: 1, model: m.key})-[:OF]->(r),
       (:Review {key: 'review', model: m.key, choices: 0})-[:OF]->(m)
"""
TEXT = 'größe, "quoted"; 层\nsecond line\\ \t'


@pytest.fixture(scope="module")
def small(database: Database) -> Iterator[str]:
    keys = [write_network(database, small_network(0, kernels=True), name)["model"] for name in ("admin-a", "admin-b")]
    database.write(ODD, key=keys[0], other=keys[1], text=TEXT)
    yield keys[0]
    for key in keys:
        catalogue.delete(database, key)


def elements(db: Database, key: str) -> tuple[Counter[str], Counter[str]]:
    """All nodes and relationships of a model as texts: labels, types, typed properties, ends by what they are."""

    def text(properties: dict[str, Any]) -> str:
        return repr(
            sorted((name, type(value).__name__, repr(value)) for name, value in properties.items() if value != [])
        )

    nodes = {
        row["id"]: f"{sorted(row['labels'])} {text(row['p'])}"
        for row in db.read(
            "MATCH (n) WHERE n.model = $key OR n.key = $key OR EXISTS { (n)-[:OF]->(:Model {key: $key}) } "
            "RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS p",
            key=key,
        )
    }
    edges = db.read("MATCH (a)-[r]->(b) RETURN elementId(a) AS a, elementId(b) AS b, type(r) AS t, properties(r) AS p")
    kept = [edge for edge in edges if edge["a"] in nodes and edge["b"] in nodes]
    return Counter(nodes.values()), Counter(
        f"{nodes[edge['a']]} -{edge['t']} {text(edge['p'])}-> {nodes[edge['b']]}" for edge in kept
    )


def test_the_real_tool_reads_all_of_it(
    database: Database, command: Callable[..., Any], small: str, tmp_path: Path
) -> None:
    out = tmp_path / "bulk"
    assert command("measure", "admin-a", "--measure", "degree").code == 0
    done = command("export", "admin-a", "--format", "neo4j-admin", "--out", out, "--json")
    assert done.code == 0, done.err
    assert done.json["left_out"] == {"PRUNED_FROM": 2, "SIMILAR": 2, "OF": 1}
    again = command("export", "admin-a", "--format", "neo4j-admin", "--out", out)
    assert again.code == 0 and "sh " in again.err and "neo4j-admin database import full neo4j" in again.err
    assert done.json["command"] in (out / "README.txt").read_text(encoding="utf-8")

    settings = Settings(None, "neo4j", None, None, "tester", tmp_path / "home", cache_dir())
    folder = settings.home / "server"
    for name in ("conf", "data", "import", "logs", "run"):
        (folder / name).mkdir(parents=True)
    release = chosen_release()
    classes = Home(folder, release, locked_jars(release), settings.cache / "server")._class_path()
    main = "org.neo4j.server.startup.Neo4jAdminCommand"
    tool = tmp_path / "neo4j-admin"
    java = shlex.join([str(find_java(release.java)), "-Xmx256m", "-cp", classes, f"-Dbasedir={folder}", main])
    tool.write_text(f'#!/bin/sh\nexec env NEO4J_HOME={shlex.quote(str(folder))} {java} "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    imported = subprocess.run(
        ["sh", out / "import.sh"],
        env={"NEO4J_ADMIN": str(tool), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert imported.returncode == 0, imported.stdout + imported.stderr
    assert f"{done.json['nodes'] + 1} nodes" in imported.stdout  # and the schema's record
    assert f"{done.json['relationships']} relationships" in imported.stdout
    try:
        home = {"CNNGRAPH_HOME": str(settings.home)}
        listed = command("list", "--json", env=home)
        assert listed.code == 0, listed.err
        assert len(listed.json["models"]) == 1
        with connect(settings) as copy:
            for ours, theirs in zip(elements(copy, small), elements(database, small), strict=True):
                assert ours - theirs == theirs - ours == Counter()
        here, there = (
            command("plan", "admin-a", "--method", "multilayer", "--measure", "degree", "--json", env=env)
            for env in ({}, home)
        )
        assert there.code == 0, there.err
        assert there.json["layers"] == here.json["layers"]
        with connect(settings) as copy:
            constraints = copy.read("SHOW CONSTRAINTS YIELD name RETURN collect(name) AS names")[0]["names"]
            assert {"cnngraph_model", "cnngraph_position", "cnngraph_tensor"} <= set(constraints)
    finally:
        server.down(settings)


def test_a_part_is_refused(command: Callable[..., Any], small: str, tmp_path: Path) -> None:
    done = command("export", "admin-a", "--format", "neo4j-admin", "--view", "positions", "--out", tmp_path / "x")
    assert done.code == 2 and "whole graph" in done.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.csv").touch()
    done = command("export", "admin-a", "--format", "neo4j-admin", "--out", tmp_path / "mine")
    assert done.code == 1 and "is no export" in done.err
