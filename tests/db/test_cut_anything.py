"""docs/cut-anything.md, as it stands: three nets, four kinds of removal, in Neo4j with lineage, run elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.forge import Forge
from tests.pages import carry_out

pytestmark = [pytest.mark.db, pytest.mark.timeout(1800)]  # one fixture carries out the whole page

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole page was carried out."""
    folder = tmp_path_factory.mktemp("cut-anything")
    shutil.copy(ROOT / "tests" / "examples" / "branches.py", folder)
    ran = carry_out("docs/cut-anything.md", folder, command, forge)
    pruned = [line for line in ran if " prune " in line]
    for option in ("--remove-layer", "--remove-block", "--ratio", "--target-speedup"):
        assert sum(option in line for line in pruned) == 3, option
    return folder


def test_the_lineage_of_four_removals(command: Run, page: Path) -> None:
    lineage = command("lineage", "res-faster", "--json").json
    assert [one["model"].split("/")[-1] for one in lineage["ancestors"]][-1] == "res"
    assert {path.name for path in page.iterdir()} >= {"res.pt2", "mobile.safetensors", "branches.pt2"}
