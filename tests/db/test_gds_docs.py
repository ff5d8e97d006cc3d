"""docs/gds.md and docs/py2neo.md, as they stand, on a server that is named in the environment, as a team's is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.writer import WriteOptions, write_network
from tests.forge import Forge
from tests.pages import carry_out
from tests.synthetic import small_network

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
def nets(database: Database) -> Iterator[Database]:
    """A small net with a class named cat, of one's own and of ada."""
    network = small_network(3)
    names = pa.array(["cat", *(f"other {k}" for k in range(1, network.classes.num_rows))])
    place = network.classes.schema.get_field_index("name")
    network = replace(network, classes=network.classes.set_column(place, "name", names))
    keys = [
        write_network(opened, network, "mine", WriteOptions(replace=True))["model"]
        for opened in (database, replace(database, owner="ada"))
    ]
    yield database
    for key in keys:
        catalogue.delete(replace(database, owner=key.split("/")[0]), key)


@pytest.fixture
def named(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's server in the environment; that of NEO4J_TEST_URI is there already."""
    if server is not None:
        monkeypatch.setenv("NEO4J_URI", server.uri)
        monkeypatch.setenv("NEO4J_USERNAME", server.username)
        monkeypatch.setenv("NEO4J_PASSWORD", server.password)


@pytest.mark.usefixtures("named")
def test_the_page_of_gds(command: Callable[..., Any], forge: Forge, nets: Database, tmp_path: Path) -> None:
    if nets.gds_version is None:
        pytest.skip("the server has no Graph Data Science")
    assert len(carry_out("docs/gds.md", tmp_path, command, forge)) == 1
    assert nets.read("CALL gds.graph.list() YIELD graphName RETURN graphName") == []


@pytest.mark.usefixtures("named", "nets")
def test_the_page_of_py2neo(command: Callable[..., Any], forge: Forge, tmp_path: Path) -> None:
    pytest.importorskip("py2neo", reason="py2neo is an extra")
    assert carry_out("docs/py2neo.md", tmp_path, command, forge) == []  # scripts alone
