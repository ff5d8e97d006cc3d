"""The measure that docs/measures.md adds in one file, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cnngraph.console import Quiet
from cnngraph.database.connection import Database
from cnngraph.database.writer import write_network
from cnngraph.measures.measure import Options
from cnngraph.measures.registry import MEASURES, measure
from cnngraph.pruning.multilayer import Extent, Ranking, plan
from cnngraph.vocabulary import FILTER_SCORES as SCORES
from tests.synthetic import small_network

pytestmark = pytest.mark.db

DOCS = Path(__file__).resolve().parents[2] / "docs" / "measures.md"


def test_the_documented_measure_works(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    written: dict[str, Any] = {}
    exec(compile(code, "fan_in.py", "exec"), written)
    monkeypatch.setitem(MEASURES, "fan_in", written["MEASURE"])
    network = small_network(6)
    key = write_network(database, network, "documented-measure")["model"]
    inside = MEASURES["fan_in"].database(database, key, Options(), Quiet())
    assert sorted(inside.value) == sorted(MEASURES["fan_in"].oracle(network, Options()).value)
    assert measure(database, key, "fan_in", reference="mean") == measure(
        database, key, "fan_in", reference="mean", engine="local"
    )
    assert plan(database, key, ranking=Ranking(measure="fan_in", reference="mean"), extent=Extent(remove=1)).removed


def test_the_docs_name_every_measure() -> None:
    listed, _, _ = DOCS.read_text(encoding="utf-8").partition("\n## Scores of filters")
    assert re.findall(r"^\| `([\w-]+)` \|", listed, flags=re.MULTILINE) == list(MEASURES)


def test_the_docs_name_every_score_of_filters() -> None:
    _, _, text = DOCS.read_text(encoding="utf-8").partition("\n## Scores of filters")
    assert set(re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE)) == set(SCORES)
