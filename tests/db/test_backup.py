"""``db backup`` and ``db restore`` with real servers: from the default release onto the one that the tests run on.

So ``make test`` brings a database back, and ``make test-latest`` moves it to a newer Neo4j.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database.connection import Database, connect
from cnngraph.database.embedded import server
from cnngraph.database.embedded.releases import DEFAULT, chosen_release
from cnngraph.database.reviews import Choice, append, bind
from cnngraph.settings import Settings, cache_dir

pytestmark = pytest.mark.db

# What no command of ours makes: other people's nodes, and properties of every type.
MORE = """
CREATE (a:Guest {name: 'größe, "quoted"; 层', big: -9223372036854775808, tiny: 5e-324, endless: [1.0/0, -1.0/0],
                 none: 0.0/0, flags: [true, false], day: date('2026-11-28'), lasting: duration('P1DT2H'),
                 zoned: datetime('2026-11-28T01:02:03.123456789[Europe/Berlin]'), empty: '',
                 where: point({x: 1.5, y: 2.5}), bytes: 16777217.0})
CREATE (a)-[:KNOWS {since: localdatetime('2026-11-28T01:02:03')}]->(a)
"""


@dataclass(frozen=True)
class Place:
    """A home with a server of its own and the release that runs there."""

    settings: Settings
    release: str
    command: Callable[..., Any]

    @property
    def environment(self) -> dict[str, str]:
        return {"CNNGRAPH_HOME": str(self.settings.home), "CNNGRAPH_SERVER": self.release}

    def run(self, *words: object) -> Any:
        return self.command(*words, env=self.environment)

    def does(self, *words: object) -> Any:
        done = self.run(*words)
        assert done.code == 0, done.err
        return done


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, session_home: Path, command: Callable[..., Any]
) -> Iterator[tuple[Place, Place]]:
    """Where the backup is made, and where it is restored; neither is the tests' own server, which goes on running."""
    folder = tmp_path_factory.mktemp("backup")
    settings = Settings(None, "neo4j", None, None, "tester", folder / "first", cache_dir())
    second = replace(settings, home=folder / "second")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("NEO4J_")]:  # the server of NEO4J_TEST_URI
            patch.delenv(name)
        yield Place(settings, DEFAULT.name, command), Place(second, chosen_release().name, command)
    for one in (settings, second):
        server.down(one)


def elements(db: Database) -> tuple[Counter[str], Counter[str]]:
    """Every node and every relationship as a text: labels, types, typed properties, and the ends by what they are."""

    def text(properties: dict[str, Any]) -> str:
        return repr(sorted((name, type(value).__name__, repr(value)) for name, value in properties.items()))

    nodes = {
        row["id"]: f"{sorted(row['labels'])} {text(row['p'])}"
        for row in db.read("MATCH (n) RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS p")
    }
    edges = db.read("MATCH (a)-[r]->(b) RETURN elementId(a) AS a, elementId(b) AS b, type(r) AS t, properties(r) AS p")
    return Counter(nodes.values()), Counter(
        f"{nodes[edge['a']]} -{edge['t']} {text(edge['p'])}-> {nodes[edge['b']]}" for edge in edges
    )


def names_of_schema(db: Database) -> set[str]:
    rows = db.read("SHOW CONSTRAINTS YIELD name") + db.read("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP'")
    return {row["name"] for row in rows}


def connected(place: Place) -> Database:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNGRAPH_SERVER", place.release)
        return connect(place.settings)


def fill(place: Place, folder: Path) -> None:
    """A trained net, ingested, measured, pruned and judged: every kind of node that comes of it."""
    with connected(place):  # starts the server: in no command's time
        pass
    few = ("--data", "digits", "--images-per-class", 6)
    place.does("train", "cnngraph:lenet5", "--width", 0.5, *few, "--epochs", 1, "--out", folder / "net")
    place.does("ingest", folder / "net", *few, "--name", "moved")
    place.does("measure", "moved", "--measure", "degree")
    place.does("prune", "moved", "--remove-layer", "features.3", "--no-retrain", "--as", "moved-slim")
    with connected(place) as db:
        key = "tester/moved"
        append(db, bind(db, key), [Choice("one", "features.3", 1, "drop", "ann")])
        db.write(MORE)


def test_all_of_it_moves_and_nothing_goes_back(places: tuple[Place, Place], tmp_path: Path) -> None:
    first, second = places
    file = tmp_path / "a.backup"
    fill(first, tmp_path)
    with connected(first) as db:
        expected, schema = elements(db), names_of_schema(db)
        refused = first.run("db", "backup", file)  # this connection would break
        assert (refused.code, file.exists()) == (1, False)
        assert "1 other connection uses the embedded server" in refused.err
    made = first.does("db", "backup", file, "--json").json
    assert made["models"] == ["tester/moved", "tester/moved-slim"]
    assert (made["nodes"], made["relationships"]) == tuple(kind.total() for kind in expected)
    assert made["saved_models"] == 2
    assert server.status(first.settings) is not None  # it ran before, so it runs again
    server.down(first.settings)

    came = second.does("db", "restore", file, "--json").json
    assert (came["nodes"], came["relationships"]) == (made["nodes"], made["relationships"])
    assert (came["made_by"], came["neo4j"]) == (DEFAULT.neo4j, chosen_release().neo4j)
    with connected(second) as db:
        assert elements(db) == expected
        assert names_of_schema(db) == schema
        assert db.server_version == chosen_release().neo4j
    listed = second.does("list", "--json").json["models"]
    assert {model["name"] for model in listed} == {"moved", "moved-slim"}
    second.does("plan", "moved", "--method", "random", "--remove", 1)  # opens the saved model

    refused = second.run("db", "restore", file)  # nobody answers whether what is there shall go
    assert refused.code == 1 and "Replace the embedded database" in refused.err
    if second.release == first.release:
        return
    newer = tmp_path / "newer.backup"
    second.does("db", "backup", newer)
    refused = first.run("db", "restore", newer, "--yes")
    assert refused.code == 4
    assert f"is that of Neo4j {chosen_release().neo4j}; Neo4j {DEFAULT.neo4j} cannot read it" in refused.err
    assert "CNNGRAPH_SERVER=latest" in refused.err
    refused = second.command("list", env=first.environment | {"CNNGRAPH_HOME": str(second.settings.home)})
    assert refused.code == 4 and "CNNGRAPH_SERVER=default runs" in refused.err
