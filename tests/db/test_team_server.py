"""A team's server: profiles, TLS and routing, users, limits, and a database that can only be read.

One server of its own home, whose Bolt speaks TLS alone with a certificate of ``localhost``; at the end the same again,
read-only. The tests follow each other as a new server is set up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database.connection import Database, connect
from cnngraph.errors import DatabaseError
from cnngraph.settings import Settings, load_settings
from tests.forge import Forge
from tests.pages import carry_out
from tests.secured import READ_ONLY, TLS, Secured, make_certificates, running

pytestmark = pytest.mark.db
Run = Callable[..., Any]
ADA = "a-password-of-ada"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("team")


@pytest.fixture(scope="module")
def base(folder: Path, session_home: Path) -> Settings:
    """The settings of the home whose server is the team's."""
    make_certificates(folder / "home" / "server" / "certificates")
    return dataclasses.replace(load_settings(profile="embedded"), home=folder / "home")


@pytest.fixture(scope="module")
def team(base: Settings) -> Iterator[Secured]:
    with running(base, TLS) as server:
        yield server


@pytest.fixture(scope="module")
def ca(team: Secured) -> Path:
    return team.certificates / "ca.crt"


@pytest.fixture(scope="module")
def admin(team: Secured, ca: Path) -> Iterator[Database]:
    """The team's database, as its administrator."""
    with connect(settings_of(team, "neo4j+s", "localhost", ca)) as db:
        yield db


@pytest.fixture(scope="module")
def ada(team: Secured, admin: Database, folder: Path) -> Path:
    """A file with the password of the user ada."""
    with admin.driver.session(database="system") as session:
        session.run("CREATE OR REPLACE USER ada SET PASSWORD $password CHANGE NOT REQUIRED", password=ADA).consume()
    file = folder / "ada.password"
    file.touch(0o600)
    file.write_text(f"{ADA}\n")
    return file


class Laptop:
    """A home with profiles of the team's server, from which commands are run."""

    def __init__(self, command: Run, folder: Path, ca: Path, store: Path) -> None:
        self.config = folder / "config.toml"
        self._command = command
        self._env = {"CNNGRAPH_HOME": str(folder)}
        self._ca = ca
        self._store = store

    def add(self, name: str, port: int, *options: object) -> None:
        """Write the profile ``name`` for the server at ``port`` of this machine."""
        address = ("--uri", f"neo4j+s://localhost:{port}", "--ca", self._ca, "--store", self._store)
        done = self._command("profile", "add", name, *address, "--owner", "ada", "--replace", *options, env=self._env)
        assert done.code == 0 and "warning" not in done.err, done.err

    def run(self, *arguments: object, profile: str = "team", env: dict[str, str] | None = None) -> Any:
        """Run a command on the server of a profile."""
        named = () if arguments[0] == "profile" else ("--profile", profile)
        return self._command(*arguments, *named, env=self._env | (env or {}))


@pytest.fixture(scope="module")
def laptop(command: Run, team: Secured, ca: Path, ada: Path, folder: Path, session_home: Path) -> Laptop:
    made = Laptop(command, folder / "laptop", ca, session_home)  # the page's saved models are this one's too
    made.add("team", team.port, "--username", "ada", "--password-file", ada)
    return made


def settings_of(team: Secured, scheme: str, host: str, ca: Path | None = None) -> Settings:
    given = load_settings(uri=f"{scheme}://{host}:{team.port}", username=team.username, password=team.password)
    return dataclasses.replace(given, ca=ca)


def refused(done: Any, code: int, *said: str) -> None:
    """One line of what is wrong and one of what to do, after whatever was said on the way."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    *_, wrong, hint = done.err.splitlines()
    assert wrong.startswith("error: ") and hint.startswith("  "), done.err
    for text in said:
        assert text in wrong + hint, done.err
    assert ADA not in done.err + done.out


@pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
def test_certificates(team: Secured, ca: Path, scheme: str) -> None:
    for more, host, authority in (("+ssc", "127.0.0.1", None), ("+ssc", "localhost", None), ("+s", "localhost", ca)):
        with connect(settings_of(team, scheme + more, host, authority)) as db:
            assert db.read("RETURN 1 AS x") == db.write("RETURN 1 AS x") == [{"x": 1}]
    for more, host, authority, said in (
        ("+s", "localhost", None, "is not trusted"),
        ("+s", "127.0.0.1", ca, "is another host's"),
        ("", "localhost", None, f"Write {scheme}+s://localhost"),
    ):
        with pytest.raises(DatabaseError, match=r"certificate|TLS") as error:
            connect(settings_of(team, scheme + more, host, authority))
        assert said in str(error.value)
        assert "\n" not in str(error.value) and team.password not in str(error.value)


def test_a_server_without_our_schema(laptop: Laptop, admin: Database) -> None:
    refused(laptop.run("list"), 4, "has not the schema", "cnngraph db migrate --profile team")
    found = laptop.run("profile", "test", "team", "--json")
    refused(found, 4, "has not the schema")
    assert (found.json["schema_version"], found.json["ok"], found.json["may_write"]) == (0, False, True)


def test_a_database_with_nodes_of_somebody_else(laptop: Laptop, admin: Database) -> None:
    admin.write("CREATE (:Layer {whose: 'theirs'}), (:Layer {whose: 'theirs'})")
    refused(laptop.run("db", "migrate"), 1, "2 :Layer", "--share-database")
    assert admin.read("MATCH (n) RETURN count(n) AS n, labels(n)[0] AS label") == [{"n": 2, "label": "Layer"}]
    admin.write("MATCH (n:Layer) DELETE n")


def test_the_page(
    command: Run, forge: Forge, server: Any, team: Secured, ca: Path, ada: Path, folder: Path, admin: Database
) -> None:
    """docs/team.md, with the address and the certificate of the server here."""
    instead = {"neo4j+s://graph.example:7687": f"neo4j+s://localhost:{team.port}", "team-ca.pem": str(ca)}
    ran = carry_out("docs/team.md", folder, command, forge, instead=instead)
    assert len(ran) >= 8
    (row,) = admin.read("MATCH (m:Model {key: 'ada/team-lenet'}) RETURN m.status AS status, m.owner AS owner")
    assert row == {"status": "complete", "owner": "ada"}


def test_what_a_profile_is_said_to_be(laptop: Laptop, team: Secured) -> None:
    done = laptop.run("profile", "test", "team", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["uri"] == f"neo4j+s://localhost:{team.port}"
    assert (found["encrypted"], found["may_write"], found["ok"], found["problem"]) == (True, True, True, None)
    assert found["edition"] == "community" and found["server_version"] and found["gds"]
    assert found["schema_version"] == found["schema_newest"] > 0
    assert found["latency_ms"] > 0 and found["nodes"] > 200
    checks = {check["name"]: check for check in laptop.run("doctor", "--json").json["checks"]}
    assert checks["server"]["ok"] and "(profile team: --profile)" in checks["server"]["found"]


def test_a_user_who_is_refused(laptop: Laptop, team: Secured, admin: Database) -> None:
    laptop.add("no-password", team.port, "--username", "ada")
    done = laptop.run("profile", "test", "no-password", env={"NEO4J_PASSWORD": "not-the-one-of-ada"})
    refused(done, 4, "refuses the user name or the password", "cnngraph profile add no-password --replace")
    assert "not-the-one-of-ada" not in done.err
    assert laptop.run("profile", "test", "no-password", env={"NEO4J_PASSWORD": ADA}).code == 0
    with admin.driver.session(database="system") as session:
        session.run("CREATE OR REPLACE USER carl SET PASSWORD 'first-password' CHANGE REQUIRED").consume()
    laptop.add("expired", team.port, "--username", "carl")
    done = laptop.run("profile", "test", "expired", env={"NEO4J_PASSWORD": "first-password"})
    refused(done, 4, "password changed")


def test_a_newer_schema(laptop: Laptop, admin: Database) -> None:
    (row,) = admin.read("MATCH (d:DataModel {name: 'cnngraph'}) RETURN d.version AS version")
    admin.write("MATCH (d:DataModel {name: 'cnngraph'}) SET d.version = 999")
    try:
        refused(laptop.run("list"), 4, "version 999, newer", "pip install --upgrade")
        done = laptop.run("profile", "test", "team", "--json")
        refused(done, 4, "version 999, newer")
        assert done.json["schema_version"] == 999
    finally:
        admin.write("MATCH (d:DataModel {name: 'cnngraph'}) SET d.version = $version", **row)


def test_what_would_not_fit(laptop: Laptop, team: Secured, ada: Path, admin: Database) -> None:
    (there,) = admin.read("MATCH (n) RETURN count(n) AS n")
    allowed = there["n"] + 200
    laptop.add("small", team.port, "--username", "ada", "--password-file", ada, "--max-nodes", allowed)
    ingest = ("ingest", "cnngraph:lenet5", "--data", "digits", "--view", "channels", "--name", "too-large")
    prune = ("prune", "team-lenet", "--method", "filters", "--ratio", "0.1", "--epochs", "1")
    for words in (ingest, (*ingest, "--dry-run"), prune, (*prune, "--dry-run")):
        done = laptop.run(*words, profile="small")
        refused(done, 1, f"{there['n']:,} nodes are there", f"{allowed:,} are allowed", "--view channels")
        assert "Epoch" not in done.err
    assert admin.read("MATCH (n) RETURN count(n) AS n") == [there]


def test_no_password_is_anywhere(laptop: Laptop, admin: Database) -> None:
    assert ADA not in laptop.config.read_text()
    listed = laptop.run("profile", "list", "--json")
    assert ADA not in listed.out + listed.err
    kept = {row["name"]: row["password"] for row in listed.json["profiles"]}
    assert kept["team"] == "file" and kept["no-password"] is None
    found = "MATCH (n) WHERE any(key IN keys(n) WHERE toStringOrNull(n[key]) CONTAINS $text) RETURN n"
    assert admin.read(found, text=ADA) == []


@pytest.fixture(scope="module")
def read_only(laptop: Laptop, team: Secured, base: Settings, ada: Path) -> Iterator[Laptop]:
    """The laptop, where the server has come back and nothing can be written any more."""
    team.stop()
    with running(base, TLS | READ_ONLY) as server:
        laptop.add("team", server.port, "--username", "ada", "--password-file", ada)
        yield laptop


def test_a_server_that_is_gone_or_comes_back_read_only(read_only: Laptop, ada: Path) -> None:
    read_only.add("gone", 1, "--username", "ada", "--password-file", ada)
    refused(read_only.run("profile", "test", "gone"), 4, "No Neo4j server answers", "profile add gone --replace")
    done = read_only.run("profile", "test", "team", "--json")
    assert done.code == 0, done.err
    assert done.json["may_write"] is False
    assert done.json["advice"] == ["The database is read-only. Commands that only read work."]


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("show", "team-lenet"),
        ("lineage", "team-lenet"),
        ("query", "overview", "--model", "team-lenet"),
        ("plan", "team-lenet", "--method", "filters", "--ratio", "0.2"),
        ("ingest", "cnngraph:lenet5", "--data", "digits", "--view", "channels", "--name", "other", "--dry-run"),
        ("db", "migrate"),
    ],
    ids=lambda words: words[0],
)
def test_what_reads_works_on_a_read_only_database(read_only: Laptop, words: tuple[str, ...]) -> None:
    done = read_only.run(*words)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "words",
    [
        ("measure", "team-lenet", "-m", "strength"),
        ("prune", "team-lenet", "--method", "filters", "--ratio", "0.2", "--epochs", "1"),
        ("ingest", "cnngraph:lenet5", "--data", "digits", "--view", "channels", "--name", "other"),
        ("delete", "team-lenet", "--yes"),
    ],
    ids=lambda words: words[0],
)
def test_what_writes_says_so_on_a_read_only_database(read_only: Laptop, words: tuple[str, ...]) -> None:
    done = read_only.run(*words)
    refused(done, 4, "The database is read-only.", "Reading works")
    assert "Epoch" not in done.err
    assert read_only.run("show", "team-lenet", "--json").json["status"] == "complete"
