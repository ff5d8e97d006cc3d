"""``cnngraph verify`` as it is typed, for saved models: what holds, and exit code 5 for what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cnngraph as cg
from cnngraph.models.registry import build
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut

Run = Callable[..., Any]
SHAPE = (3, 8, 8)
# Behind "only_eval" stands a net whose train mode is broken: it can be cut, saved and loaded all the same.
CODE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.b(self.a(x).relu()).relu().mean((2, 3)))

class OnlyEval(Net):
    def forward(self, x):
        if self.training:
            x = x[:, :2]
        return super().forward(x)
"""


@pytest.fixture
def slim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    (tmp_path / "verified_nets.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str) -> Path:
        model = build(f"python:verified_nets:{name}", classes=3)
        cg.save(model, tmp_path / "parent", input_shape=SHAPE)
        plan = Plan(removes=(Removal(layer="a", kind="filters", filters=(1, 2)),))
        return cg.save(cut(model, plan, input_shape=SHAPE), tmp_path / "slim", input_shape=SHAPE)

    return make


def test_a_proof_that_holds(command: Run, slim: Callable[[str], Path], tmp_path: Path) -> None:
    done = command("verify", slim("Net"), "--of", tmp_path / "parent", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json["ok"]
    assert done.json["parent"] == str(tmp_path / "parent")
    assert done.json["relative_diff"] <= 1e-9
    assert (done.json["train_forward"], done.json["save_load"], done.json["export"]) == (True, True, True)


def test_a_proof_that_fails_is_exit_code_5(command: Run, slim: Callable[[str], Path], tmp_path: Path) -> None:
    done = command("verify", slim("OnlyEval"), "--json", cwd=tmp_path)
    assert done.code == 5, done.err
    assert done.json["ok"] is False
    assert "failed its proof: " in done.err
