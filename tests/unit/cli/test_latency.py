"""The options of targets and of the latency table: checked before anything is looked up; a table without a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnngraph import save
from cnngraph.api.offline import check_latency
from cnngraph.errors import UsageError
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing

Run = Callable[..., Any]

NOBODY = {"NEO4J_URI": "bolt://127.0.0.1:1", "NEO4J_PASSWORD": "secret"}


def test_cuda_where_there_is_none_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no CUDA device"):
        check_latency("cuda", "eager")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "x", "--target-speedup", "1.0"], "is out of range: a number above 1"),
        (["latency", "x", "--runtime", "onxruntime"], "Did you mean onnxruntime?"),
    ],
)
def test_refused_without_a_server(command: Run, arguments: list[str], said: str) -> None:
    done = command(*arguments, env=NOBODY)
    assert done.code == 2, done.err
    assert said in done.err


def test_a_saved_model_is_timed_without_a_database(command: Run, tmp_path: Path) -> None:
    model = build("cnngraph:resnet20", classes=3, width=0.125, seed=0)
    preprocessing = Preprocessing(channels=3, size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    save(model, tmp_path / "net", preprocessing=preprocessing, classes=("a", "b", "c"), dataset="x", trained=False)
    done = command("latency", tmp_path / "net", "--out", tmp_path / "t.csv", "--batch", 2, "--json", env=NOBODY)
    assert done.code == 0, done.err
    found = done.json
    assert (found["runtime"], found["device"], found["batch"]) == ("eager", "cpu", 2)
    assert sum(row["milliseconds"] for row in found["layers"]) == pytest.approx(found["sum_ms"])
    assert {row["block"] for row in found["blocks"]} >= {"layer1.0", "layer3.2"}
    assert found["error"] == pytest.approx(found["sum_ms"] / found["whole_ms"] - 1)
    rows = (tmp_path / "t.csv").read_text().splitlines()
    assert len(rows) == 1 + len(found["layers"]) + 1
    assert "an error of" in found["statement"]
