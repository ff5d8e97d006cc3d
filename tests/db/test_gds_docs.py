"""docs/gds.md, as it stands, on a small net with a class named cat."""

from __future__ import annotations

from collections.abc import Callable
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


def test_the_page(command: Callable[..., Any], forge: Forge, database: Database, tmp_path: Path) -> None:
    if database.gds_version is None:
        pytest.skip("the server has no Graph Data Science")
    network = small_network(3)
    names = pa.array(["cat", *(f"other {k}" for k in range(1, network.classes.num_rows))])
    place = network.classes.schema.get_field_index("name")
    network = replace(network, classes=network.classes.set_column(place, "name", names))
    key = write_network(database, network, "mine", WriteOptions(replace=True))["model"]
    try:
        assert len(carry_out("docs/gds.md", tmp_path, command, forge)) == 1
        assert database.read("CALL gds.graph.list() YIELD graphName RETURN graphName") == []
    finally:
        catalogue.delete(database, key)
