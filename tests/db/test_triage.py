"""docs/triage.md as it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.forge import Forge
from tests.pages import carry_out

pytestmark = pytest.mark.db
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out."""
    folder = tmp_path_factory.mktemp("triage")
    carry_out("docs/triage.md", folder, command, forge)
    return folder


def test_the_graph_says_what_each_block_is_worth(command: Run, page: Path) -> None:
    rows = command("query", "criticality", "--model", "worth", "--json").json["rows"]
    assert {row["block"] for row in rows} == {"layer2.1", "layer3.1"}
    assert all(-1 <= row["criticality"] <= 1 and row["theta"] is not None for row in rows)
