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
from cnngraph.database.reader import read_network
from cnngraph.database.writer import write_network
from cnngraph.measures.registry import measure
from cnngraph.settings import load_settings
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
    assert "neo4j:5.26" in service["image"]
    assert service["environment"]["NEO4J_PLUGINS"] == '["graph-data-science"]'
    assert service["environment"]["NEO4J_AUTH"].startswith("neo4j/${NEO4J_PASSWORD:?")
    assert service["healthcheck"]["test"]
    assert {volume.split(":")[0] for volume in service["volumes"]} == set(content["volumes"])
    assert all(port.startswith("${NEO4J_BIND:-127.0.0.1}:") for port in service["ports"])


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
