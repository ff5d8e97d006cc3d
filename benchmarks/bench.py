"""``bench`` of every method beside the same methods run one by one with ``prune``.

    python benchmarks/bench.py [--epochs 5] [--methods filters random ...]        prints one JSON object

A resnet20 (width 0.5) is trained on digits and ingested; then each method of the budget is run by ``cnngraph prune``,
a process each, and all of them by one ``cnngraph bench`` of another model with the same weights, so that nothing is
kept for it. What has no targets (``progressive``, ``imp``) gets a bound near the one that the bench finds, and the
same number of epochs; what ``triage`` goes by is found by ``criticality`` before, and counts. CPU seconds of one
thread are compared (user and system, children included, the database's server not). The bench has one control and a
net from scratch beside its methods; each ``prune`` has a control of its own: what the ratio is beside prunes that
share one is reckoned from the first method, run once more without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
AT_MOST = 1.15
BUDGET = ("macs", "0.5")
METHODS = ("multilayer", "car", "progressive", "imp", "similarity", "filters", "triage", "random")
RUN = "from cnngraph.cli.main import main; main()"
TRAINED_FOR = 5


def cnngraph(room: Path, *arguments: object) -> dict[str, float]:
    """Run a command in a process of its own; its CPU and wall seconds."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE), "CNNGRAPH_HOME": str(room / "home")}
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)], env=env, cwd=room, capture_output=True, text=True
    )
    after, ended = os.times(), time.perf_counter()
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))}: {done.stderr.strip()[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"cpu": cpu, "wall": ended - began}


def alone(method: str, epochs: int) -> list[str]:
    """The options by which ``prune`` does what the bench does."""
    kind, share = BUDGET
    trained = ["--epochs", str(epochs)]
    if method == "progressive":  # a layer a step; one epoch each is what a bench gives where there are more layers
        return ["--method", method, "--ratio", "0.3", "--epochs", "1"]
    if method == "imp":
        return [
            "--method",
            method,
            "--rounds",
            str(epochs),
            "--rate",
            f"{1 - 0.5 ** (1 / epochs):.6f}",
            "--epochs",
            "1",
        ]
    trained += ["--layer", "all"] if method == "car" else []
    return ["--method", method, f"--target-{kind}", share, *trained]


def run(room: Path, methods: list[str], epochs: int) -> dict[str, Any]:
    """The figures as a JSON object."""
    data = ("--data", "digits")
    cnngraph(room, "train", "cnngraph:resnet20", "--width", 0.5, *data, "--epochs", TRAINED_FOR, "--out", room / "net")
    for name in ("apart", "together"):  # nobody finds what the other has left
        cnngraph(room, "ingest", room / "net", *data, "--name", name)
    single = {}
    if "triage" in methods:
        single["criticality"] = cnngraph(room, "criticality", "apart", "--schemes", "join")
    for method in methods:
        single[method] = cnngraph(room, "prune", "apart", *alone(method, epochs), "--as", f"apart-{method}")
    first = methods[0]
    without = cnngraph(room, "prune", "apart", *alone(first, epochs), "--no-control", "--as", f"apart-{first}-alone")
    control = max(0.0, single[first]["cpu"] - without["cpu"])
    budget = ("--budget", "=".join(BUDGET), "--epochs", epochs)
    whole = cnngraph(room, "bench", "together", "--methods", ",".join(methods), *budget)
    sums = {kind: sum(one[kind] for one in single.values()) for kind in ("cpu", "wall")}
    ratio = whole["cpu"] / sums["cpu"]
    return {
        "benchmark": "bench",
        "epochs": epochs,
        "single": {name: {kind: round(value, 2) for kind, value in one.items()} for name, one in single.items()},
        "sum": sums,
        "bench": whole,
        "ratio": round(ratio, 3),
        "ratio_with_one_control": round(whole["cpu"] / (sums["cpu"] - (len(methods) - 1) * control), 3),
        "wall_ratio": round(whole["wall"] / sums["wall"], 3),
        "must_reach": AT_MOST,
        "reached": ratio <= AT_MOST,
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cnngraph-bench-") as place:
        try:
            print(json.dumps(run(Path(place), options.methods, options.epochs), indent=2))
        finally:
            cnngraph(Path(place), "db", "down")
