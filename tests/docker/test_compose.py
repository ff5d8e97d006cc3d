"""The compose file's server, and the whole import through it; with NEO4J_TEST_URI the same against a given server."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cnngraph.database import catalogue, queries, schema
from cnngraph.database.connection import Database, connect
from cnngraph.database.embedded.home import Home, Ports
from cnngraph.database.embedded.jars import locked_jars
from cnngraph.database.embedded.releases import DEFAULT
from cnngraph.database.reader import read_network
from cnngraph.database.writer import write_network
from cnngraph.measures.registry import measure
from cnngraph.settings import load_settings
from tests.secured import TLS
from tests.synthetic import small_network

FOLDER = Path(__file__).resolve().parents[2] / "docker"


def no_engine() -> str | None:
    """Why no container can be started here; ``None`` where one can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    for words in (("version", "--format", "{{.Server.Version}}"), ("compose", "version")):
        done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            return f"docker {words[0]}: {(done.stderr or done.stdout).strip().splitlines()[0]}"
    return None


@pytest.fixture(scope="module")
def address() -> Iterator[dict[str, str | None]]:
    """uri, username, password and database of a given server, else of the compose file's."""
    given = os.environ.get("NEO4J_TEST_URI")
    if given:
        values = {name: os.environ.get(f"NEO4J_TEST_{name.upper()}") for name in ("username", "password", "database")}
        yield {"uri": given} | values
        return
    reason = no_engine()
    if reason:
        pytest.skip(f"no Docker engine answers and NEO4J_TEST_URI is not set ({reason})")
    from testcontainers.compose import DockerCompose

    password = secrets.token_urlsafe(16)
    ports = {"NEO4J_BOLT_PORT": "0", "NEO4J_HTTP_PORT": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ports | {"NEO4J_PASSWORD": password}).items():
            patch.setenv(name, value)
        compose = DockerCompose(FOLDER, compose_file_name="compose.yaml", wait=True, keep_volumes=False)
        with compose:
            host, port = compose.get_service_host_and_port("neo4j", 7687)
            yield {"uri": f"bolt://{host}:{port}", "username": "neo4j", "password": password, "database": None}


@pytest.fixture(scope="module")
def served(address: dict[str, str | None]) -> Iterator[Database]:
    with connect(load_settings(**address, owner="docker-test")) as database:
        schema.migrate(database)
        yield database


@pytest.mark.docker
def test_store_measure_and_ask(served: Database) -> None:
    """What a team does on a server of its own: migrate, write, measure, read back, ask, delete."""
    assert served.gds_version is not None
    network = small_network(0)
    key = write_network(served, network, "compose")["model"]
    try:
        assert all(read_network(served, key).tables()[name].equals(table) for name, table in network.tables().items())
        assert len(measure(served, key, "degree").layers) == 3
        assert len(measure(served, key, "pagerank").layers) == 3
        assert len(queries.run_query(served, "overview", key, {})) == network.layers.num_rows
    finally:
        catalogue.delete(served, key)


def test_compose_file() -> None:
    """Version, plugin, health check and volume are there; no password is, and the ports are this machine's alone."""
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    service = content["services"]["neo4j"]
    for one in content["services"].values():
        assert one["image"] == f"${{NEO4J_IMAGE:-neo4j:{DEFAULT.neo4j}-community}}"
    assert service["environment"]["NEO4J_PLUGINS"] == '["graph-data-science"]'
    assert service["environment"]["NEO4J_AUTH"].startswith("neo4j/${NEO4J_PASSWORD:?")
    assert service["healthcheck"]["test"]
    assert {volume.split(":")[0] for volume in service["volumes"]} == set(content["volumes"])
    assert all(port.startswith("${NEO4J_BIND:-127.0.0.1}:") for port in service["ports"])


def settings_of(file: str) -> dict[str, str]:
    """Neo4j's settings in a compose file: the image reads NEO4J_a_b__c as a.b_c."""
    service = yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))["services"]["neo4j"]
    names = {name: name.removeprefix("NEO4J_") for name in service["environment"]}
    return {
        short.replace("__", "\0").replace("_", ".").replace("\0", "_"): service["environment"][name]
        for name, short in names.items()
        if short.islower()
    }


def test_its_settings_are_the_embedded_servers(tmp_path: Path) -> None:
    """Those were tried by real servers; a misspelt one keeps a container from starting."""
    home = Home(tmp_path, DEFAULT, locked_jars(DEFAULT), tmp_path)
    home.conf.parent.mkdir()
    (tmp_path / "run").mkdir()
    home.configure(Ports(bolt=7687, http=7474))
    embedded = dict(line.split("=", 1) for line in home.conf.read_text().splitlines())
    ours = settings_of("compose.yaml")
    sized = {name for name in ours if name.startswith("server.memory.")}
    assert {name: embedded.get(name) for name in ours.keys() - sized} == {
        name: ours[name] for name in ours.keys() - sized
    }
    assert sized - embedded.keys() == {"server.memory.heap.initial_size"}


def test_tls_is_that_of_the_tests_with_a_real_server() -> None:
    """The same names and values as there, but for the folder; unencrypted ways in are closed."""
    found = settings_of("compose.tls.yaml")
    folder = "dbms.ssl.policy.bolt.base_directory"
    assert {name: found[name] for name in TLS if name != folder} == {n: v for n, v in TLS.items() if n != folder}
    assert found["server.http.enabled"] == "false"
    service = yaml.safe_load((FOLDER / "compose.tls.yaml").read_text(encoding="utf-8"))["services"]["neo4j"]
    assert {volume.rpartition("}:")[2] for volume in service["volumes"]} == {f"{found[folder]}:ro"}
    assert all(port.startswith("${NEO4J_BIND:-127.0.0.1}:") for port in service["ports"])
    assert "bolt+ssc://" in service["healthcheck"]["test"][1]


def test_backup_runs_on_demand_and_on_the_same_data() -> None:
    content = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    service = content["services"]["backup"]
    assert service["profiles"] == ["backup"]
    assert service["command"].startswith("neo4j-admin database dump neo4j --to-path=/backups")
    data = {volume for volume in content["services"]["neo4j"]["volumes"] if volume.endswith(":/data")}
    assert data < set(service["volumes"])
    assert any(volume.endswith(":/backups") for volume in service["volumes"])


def test_image_has_what_the_wheel_needs() -> None:
    """Every file that the build copies is there, and is let through by the ignore file."""
    copied = [
        word
        for line in (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    allowed = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied
    for name in copied:
        assert (FOLDER.parent / name).exists()
        assert f"!{name}" in allowed
