"""Files for neo4j-admin: what does not need a database (see tests/db/test_neo4j_admin for the rest)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from cnngraph.database import catalogue, cypher
from cnngraph.database.connection import Database
from cnngraph.database.import_files import write_import_files
from cnngraph.errors import DatabaseError


class Lost:
    """A database that gives a model and is gone when its relationships are read."""

    def read(self, query: str, **_: Any) -> list[dict[str, Any]]:
        if query == cypher.load("read/whole_rest"):
            return [{"id": "1", "label": "Model", "identity": []}]
        if query == cypher.load("read/whole_nodes"):
            return [{"id": "1", "labels": ["Model"], "properties": {"key": "me/net", "name": "net"}}]
        if query == cypher.load("read/whole_many"):
            return []
        raise DatabaseError("The connection was lost.")


def test_no_file_stays_open_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "require_complete", lambda *_: None)
    with pytest.raises(DatabaseError) as caught:
        write_import_files(cast(Database, Lost()), "me/net", tmp_path)
    assert caught.value.message == "The connection was lost."
    assert (tmp_path / "Model.csv").read_text().startswith('":ID(Model)",":LABEL"')
    assert not [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]
