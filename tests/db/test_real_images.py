"""docs/real-images.md as it stands, on small subsets of MNIST, CIFAR-10 and CALTECH-101; what the graph then says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.forge import Forge
from tests.pages import carry_out
from tests.subsets import write_caltech, write_cifar10, write_mnist

pytestmark = pytest.mark.db
Run = Callable[..., Any]
DATA = ("mnist", "cifar", "caltech")


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out."""
    folder = tmp_path_factory.mktemp("real")
    for write in (write_mnist, write_cifar10, write_caltech):
        write(shared, folder / "data")
    carry_out("docs/real-images.md", folder, command, forge)
    return folder


@pytest.mark.parametrize("data", DATA)
def test_both_methods_are_in_the_lineage(command: Run, page: Path, data: str) -> None:
    for method in ("car", "progressive"):
        (parent,) = command("lineage", f"{data}-{method}", "--json").json["ancestors"]
        assert (parent["model"], parent["method"]) == (f"tester/{data}", method)
        assert parent["filters"]


@pytest.mark.parametrize("data", DATA)
def test_filters_serve_the_classes_of_the_data(page: Path, database: Any, data: str) -> None:
    rows = database.read(
        "MATCH (f:FeatureMap {model: $key})-[s:SERVES]->(c:Class {model: $key}) "
        "RETURN count(s) AS served, count(DISTINCT f) AS filters, min(s.rank) AS best, "
        "all(one IN collect(abs(s.reduction)) WHERE one <= 1) AS shares",
        key=f"tester/{data}",
    )
    assert rows[0]["served"] >= rows[0]["filters"] > 0
    assert (rows[0]["best"], rows[0]["shares"]) == (1, True)


def test_colours_are_counted_where_images_have_some(command: Run, page: Path) -> None:
    counted = command("report", "caltech-car", "--out", page / "again.html", "--json", cwd=page)
    assert [one["layer"] for one in counted.json["colour_selective"]] == ["features.0", "features.3"]
    # the folder of its images is a relative path
    elsewhere = command("report", "caltech-car", "--out", page / "again.html", "--json")
    assert elsewhere.json["colour_selective"] is None
    assert "is not known" in elsewhere.err
