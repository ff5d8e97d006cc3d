"""Nets leave and come in: every command and every script of docs/shipping.md, and the JSON of the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.forge import Forge
from tests.pages import carry_out

pytest.importorskip("onnxruntime", reason="needs the extra onnx")

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def shipped(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole page was carried out, from top to bottom."""
    folder = tmp_path_factory.mktemp("shipping")
    assert len(carry_out("docs/shipping.md", folder, command, forge)) >= 8
    return folder


@pytest.mark.db
def test_the_page_leaves_what_it_says(shipped: Path) -> None:
    names = {path.name for path in shipped.iterdir()}
    assert names == {
        "runs", "lenet.safetensors", "lenet.pt2", "lenet.onnx", "short.pt2", "again.pt2", "checkpoint.pt"
    }  # fmt: skip


@pytest.mark.db
def test_a_pruned_model_of_the_database_is_exported(shipped: Path, command: Run) -> None:
    done = command("export", "lenet-short", "--format", "pt2", "--out", "2.pt2", "--json", cwd=shipped)
    assert done.code == 0, done.err
    report = done.json
    assert set(report) >= {"format", "out", "bytes", "max_abs_diff", "opset", "dynamic_batch"}
    assert (report["format"], report["bytes"]) == ("pt2", (shipped / "2.pt2").stat().st_size)
    assert report["max_abs_diff"] <= 1e-5
    short = torch.export.load(shipped / "2.pt2").module()
    assert short(torch.zeros(3, 3, 32, 32)).shape == (3, 10)
    assert not any(name.startswith("features.3.") for name in short.state_dict())
    (shipped / "2.pt2").unlink()


@pytest.mark.db
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["lenet-shrot", "--format", "pt2", "--out", "new"], 3, "lenet-short"),
        (["lenet", "--format", "pt2", "--out", "lenet.pt2"], 1, "exists"),
        (["lenet", "--format", "parquet", "--dry-run", "--out", "new"], 0, "Would write new"),
    ],
)
def test_nothing_is_written(shipped: Path, command: Run, arguments: list[str], code: int, said: str) -> None:
    done = command("export", *arguments, cwd=shipped)
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (shipped / "new").exists()
