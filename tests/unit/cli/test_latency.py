"""The options of targets and of the latency table: checked before anything is looked up; a table without a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from cnngraph.cli.decide_options import Choice
from cnngraph.cli.latency import RUNTIMES, TargetLatency
from cnngraph.errors import UsageError
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.surgery.saved import save
from cnngraph.training import runtimes

Run = Callable[..., Any]

NOBODY = {"NEO4J_URI": "bolt://127.0.0.1:1", "NEO4J_PASSWORD": "secret"}


def test_runtimes_are_those_of_the_package_below() -> None:
    assert RUNTIMES == runtimes.RUNTIMES


def test_a_target_implies_layers_and_an_option_of_filters_filters() -> None:
    assert Choice(target_speedup=2.0).resolved(limit_needed=True) == "multilayer"
    assert Choice(target_macs=0.5, score="bn").resolved(limit_needed=True) == "filters"
    assert Choice(target_speedup=2.0, score="bn").decision().round_to == 8
    assert Choice(target_speedup=2.0, score="bn", round_to=1).decision().round_to == 1
    assert Choice(target_macs=0.5, score="bn").decision().round_to == 1


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(target_speedup=2.0, target_macs=0.5), "exclude"),
        (Choice(target_speedup=2.0, threshold=0.3), "exclude"),
        (Choice(target_speedup=2.0, ratio=0.3), "exclude"),
        (Choice(steps=3, threshold=0.3), "--steps belongs to --max-accuracy-drop"),
    ],
)
def test_options_that_contradict_each_other_are_refused(choice: Choice, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        choice.resolved(limit_needed=True)


def test_options_of_latency_belong_to_a_target(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="--runtime belongs to a target"):
        TargetLatency(runtime="eager").timing_for(None)
    with pytest.raises(typer.BadParameter, match="--latency-table belongs to --target-speedup"):
        TargetLatency(latency_table=tmp_path / "t.csv").timing_for(Choice(target_macs=0.5).target())
    timing = TargetLatency(batch=4, latency_table=tmp_path / "t.csv").timing_for(Choice(target_speedup=2.0).target())
    assert (timing.device, timing.runtime, timing.batch, timing.table) == ("cpu", "eager", 4, tmp_path / "t.csv")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no CUDA device"):
        TargetLatency(latency_on="cuda").timing_for(Choice(target_speedup=2.0).target())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "x", "--target-speedup", "1.0"], "makes nothing faster"),
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
