"""docs/push.md as it stands: two people with homes of their own, and the database between them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from tests.pages import blocks
from tests.two_servers import Address, everything, open_as, second_server, write_profile

pytestmark = pytest.mark.db


def test_the_page(
    command: Callable[..., Any],
    server: Any,
    database: Database,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    password = server.password if server is not None else os.environ["NEO4J_TEST_PASSWORD"]
    own = Address(database.uri, "neo4j", password)
    with second_server(tmp_path_factory.mktemp("team")) as team, open_as(team, "ada", tmp_path) as there:
        keys = ["ada/push-lenet", "ada/push-short", "bob/push-shorter"]
        (tmp_path / "store").mkdir()
        try:
            for owner, text in zip(
                ("ada", "bob"), (text for kind, text in blocks("docs/push.md") if kind == "sh"), strict=True
            ):
                write_profile(tmp_path / owner, "team", team, storage=str(tmp_path / "store"))
                home = {"CNNGRAPH_HOME": str(tmp_path / owner), "CNNGRAPH_OWNER": owner}
                for line in text.splitlines()[1:]:
                    program, *words = shlex.split(line, comments=True)
                    assert program == "cnngraph"
                    done = command(*words, cwd=tmp_path, env=home | own.environment)
                    assert done.code == 0, (line, done.err)
                if owner == "ada":
                    _forget(database, keys)  # bob has another database
            assert everything(there, *keys) == everything(database, *keys)
            assert [row["model"] for row in catalogue.list_models(there) if row["model"] in keys] == sorted(keys)
        finally:
            _forget(database, keys)
            _forget(there, keys)


def _forget(db: Database, keys: list[str]) -> None:
    for key in keys:
        if catalogue.properties(db, key):
            catalogue.delete(replace(db, owner=key.partition("/")[0]), key, yes=True)
