"""The CSV of a bench holds every digit of its points, and what is not such a file is refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnngraph.errors import DataError, NotFoundError
from cnngraph.reporting.bench_points import COLUMNS, BenchPoint, read_points, write_points
from tests.benches import full_result, point
from tests.conftest import ROOT

# Scripts read these by name and spreadsheets by place: a new one comes last.
DOCUMENTED = (
    "method,budget,seed,meets,why,new_model,accuracy,precision,recall,kappa,latency_ms,parent_latency_ms,speedup,"
    "parameters,nonzero,macs,epochs,seconds,decide_seconds,train_seconds"
)


def test_what_is_written_is_read_again_digit_by_digit(tmp_path: Path) -> None:
    points = full_result()["points"]
    points.append(point("car", "macs=0.5", 3, why='commas, "quotes"\nand lines', meets=False, speedup=1 / 3))
    path = write_points(tmp_path / "new" / "points.csv", points)
    assert [one.as_json() for one in read_points(path)] == points
    head, *rows = path.read_text(encoding="utf-8").split("\n")
    assert head == DOCUMENTED == ",".join(COLUMNS)
    assert rows[0].startswith("multilayer,macs=0.5,0,true,,ada/multilayer-macs-0.5-0,0.9")


def test_the_page_of_the_documentation_names_the_columns_in_their_order() -> None:
    text = " ".join((ROOT / "docs" / "bench.md").read_text(encoding="utf-8").split())
    assert ", ".join(f"`{name}`" for name in COLUMNS) in text


def test_an_older_file_stays_where_the_new_one_fails(tmp_path: Path) -> None:
    path = write_points(tmp_path / "points.csv", [point("car", None, 0)])
    before = path.read_bytes()
    with pytest.raises(KeyError):
        write_points(path, (one[missing] for one in [point("imp", None, 0)] for missing in ("no such key",)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_are_none_are_not_known() -> None:
    read = BenchPoint.read(point("car", None, 0, accuracy=float("nan"), speedup=float("inf"), later="more"))
    assert (read.accuracy, read.speedup) == (None, None)
    assert BenchPoint.read(point("imp", None, 0, nonzero=7)).weights == 7
    assert BenchPoint.read(point("car", None, 0)).weights == 130_000


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace("method,", "name,", 1), "missing or unknown: method, name"),
        (lambda text: text + "car,macs=0.5\n", "row 2 has more or fewer cells"),
        (lambda text: text.rstrip("\n") + ",7\n", "row 1 has more or fewer cells"),
        (lambda text: text.replace("true", "perhaps"), "row 1: meets"),
        (lambda text: text.replace("0.94,", "high,"), "row 1: accuracy"),
        (lambda text: "", "missing or unknown: accuracy"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, change: Any, why: str) -> None:
    path = write_points(tmp_path / "points.csv", [point("car", "macs=0.5", 0)])
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DataError, match=why):
        read_points(path)


def test_a_file_that_is_missing_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        read_points(tmp_path / "points.csv")
    (tmp_path / "points.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="holds no points"):
        read_points(tmp_path / "points.csv")
