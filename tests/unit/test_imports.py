"""What a working command imports beside torch: what takes long (torchvision as long as torch) only where it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOMS = (
    "cnngraph.cli.main, cnngraph.jobs.baseline, cnngraph.jobs.bench, "
    "cnngraph.jobs.compare, cnngraph.jobs.compare_layers, "
    "cnngraph.jobs.compare_judged, cnngraph.jobs.ingest, cnngraph.jobs.plan, "
    "cnngraph.jobs.execute, cnngraph.jobs.offline, cnngraph.jobs.filter_pictures, cnngraph.jobs.measure_car, "
    "cnngraph.jobs.review, cnngraph.jobs.criticality, cnngraph.jobs.push, cnngraph.evidence.record, "
    "cnngraph.network.trace, cnngraph.surgery.saved, cnngraph.surgery.verify, cnngraph.training.fit, "
    "cnngraph.shipping.export"
)
NEVER = {
    "torchvision",
    "timm",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "networkx",
    "onnx",
    "onnxruntime",
    "fastapi",
    "uvicorn",
}
COMPILER = {
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "triton",
}  # of torch: optimizers and fake tensors use it
DATA = """
import cnngraph as cg
from cnngraph.datasets.registry import Subset, open_data
data = open_data("digits", preprocessing=cg.Preprocessing(size=(32, 32), channels=1), subset=Subset(2))
"""
TRAIN = """
from cnngraph.models.registry import build
from cnngraph.network.graph import follow
from cnngraph.training.fit import fit
model = build("cnngraph:lenet5", classes=10, in_channels=1, width=0.25)
fit(model, data.train, None, epochs=1, device="cpu", channels_last=False)
follow(model, (1, 32, 32))
cg.save(model, "saved")
"""
JUDGE = """
from cnngraph.training.evaluate import evaluate
evaluate(cg.load("saved"), data.test, device="cpu")
"""


def loaded(code: str, folder: Path) -> set[str]:
    """Names of all modules that a new process has after ``code``."""
    code += "\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_rooms_alone(tmp_path: Path) -> None:
    assert sorted(loaded(f"import {ROOMS}", tmp_path) & (NEVER | COMPILER)) == []


def test_a_net_that_is_not_torchvisions_is_trained_followed_and_judged(tmp_path: Path) -> None:
    assert sorted(loaded(DATA + TRAIN, tmp_path) & NEVER) == []
    assert sorted(loaded(DATA + JUDGE, tmp_path) & (NEVER | COMPILER)) == []
