"""Every promised net, every conv, every block, a share of all filters: what can go leaves a net that works."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.coverage.nets import EVERY_NET, TORCHVISION
from tests.coverage.record import COLUMNS, as_record
from tests.coverage.survey import survey

TABLE = Path(__file__).resolve().parents[2] / "docs" / "coverage.csv"
# Six that are quick, for every run: a chain, sums, concat, split and shuffle, depthwise units, fire modules.
QUICK = (
    "cnngraph:lenet5",
    "cnngraph:vgg11_bn",
    "cnngraph:resnet20",
    "cnngraph:mobilenet_v2",
    "squeezenet1_1",
    "shufflenet_v2_x0_5",
)


def _table() -> dict[str, dict[str, str]]:
    if not TABLE.is_file():
        return {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["net"]: row for row in csv.DictReader(file)}


def _holds(name: str, **options: int) -> None:
    row = survey(name, **options)
    assert row.failures == {}
    expected = _table().get(name)
    if expected is not None:
        found = as_record(row)
        counts = [column for column in COLUMNS if column.endswith(("_eval", "_train"))]
        assert {column: found[column] for column in counts} == {column: expected[column] for column in counts}


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_net(name: str) -> None:
    _holds(name, samples=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_NET)
def test_every_net(name: str) -> None:
    _holds(name)


@pytest.mark.slow
def test_the_table_is_complete() -> None:
    rows = _table()
    assert set(EVERY_NET) == set(rows)
    assert len(TORCHVISION) == 45
    for row in rows.values():
        assert "FAILED" not in row["reasons"], row["net"]
        counted = [row[column] for column in COLUMNS if column.endswith(("_eval", "_train"))]
        short = [count for count in counted if count.split("/")[0] != count.split("/")[1] or count == "0/0"]
        assert bool(short) <= bool(row["reasons"]), row["net"]
