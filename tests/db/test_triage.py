"""docs/triage.md as it stands; what the graph and the page then say."""

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


def test_the_graph_says_what_each_block_is_worth(command: Run, page: Path, database: Any) -> None:
    rows = command("query", "criticality", "--model", "worth", "--json").json["rows"]
    assert {row["block"] for row in rows} == {"stage1", "stage2", "stage3", "stage4", "stage5"}
    assert all(-1 <= row["criticality"] <= 1 and row["theta"] is not None for row in rows)
    kinds = database.read(
        "MATCH (c:Criticality {model: 'tester/worth'})-[:OF]->(b:Block) RETURN b.kind AS kind, count(c) AS trials"
    )
    assert kinds == [{"kind": "stage", "trials": 2 * 3 + 5 * 2}]


def test_the_page_shows_curves_and_filters(page: Path) -> None:
    html = (page / "worth.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 1 + 5
    assert "fitted: the first 12 of 64 filters of features.24, the new layer." in html
