"""Whole ``prune`` commands and ``cnngraph.load``, beside another build of cnngraph, whose checkout is named.

    python benchmarks/prune_commands.py BASE [--repeats 3] [--only resnet50 ...]        prints one JSON object

BASE is the root of that checkout, run by this Python. Both builds do the same work by turns, each in a process of its
own with one thread; CPU seconds (user and system, children included) are compared, medians. What must be reached is a
share of the time of BASE. The nets are untrained, the data are digits, 4 images a class.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

HERE = Path(__file__).resolve().parent.parent
LAYER = "features.9.conv.1.0"  # of mobilenet_v2
SIZE = 96


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        net: the torchvision net. plans: how many are in its recipe before.
        options: of ``prune``; none: the net is loaded instead. limit: share of BASE's time that must be reached.
    """

    net: str
    plans: int
    options: tuple[str, ...]
    limit: float


ROWS = {
    "resnet50": Row("resnet50", 0, ("--ratio", "0.3"), 0.5),
    "densenet121": Row("densenet121", 0, ("--ratio", "0.3"), 0.5),
    "layer": Row("mobilenet_v2", 0, ("--remove-layer", LAYER), 0.5),
    "four plans": Row("mobilenet_v2", 4, ("--ratio", "0.1"), 0.35),
    "load": Row("mobilenet_v2", 3, (), 0.5),
}

# argv: the net, how many plans, the folder.
MAKE = """
import sys
import cnngraph as cg
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut
net, plans, folder, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
model, shape = build("torchvision:" + net, classes=10, size=size), (3, size, size)
parts = (
    [Removal(layer="features.9.conv.1.0")],
    [Removal(layer="features.6.conv.0.0", kind="filters", filters=tuple(range(40)))],
    [Removal(layer="features.13", kind="block")],
    [Removal(layer="features.4.conv.0.0", kind="filters", filters=tuple(range(20)))],
)
for removes in parts[:plans]:
    model = cut(model, Plan(removes=tuple(removes)), input_shape=shape)
cg.save(
    model,
    folder,
    preprocessing=Preprocessing(size=(size, size), channels=3),
    classes=[str(digit) for digit in range(10)],
    dataset="digits",
    training={"data": {"name": "digits", "images_per_class": 4}},
    trained=False,
)
"""

LOAD = """
import json, sys, time
import torch, torchvision
import cnngraph as cg
from cnngraph.surgery import saved
began = time.process_time()
cg.load(sys.argv[1])
print(json.dumps(time.process_time() - began))
"""

PRUNE = "from cnngraph.cli.main import main; main()"


def run(base: Path, repeats: int, names: list[str]) -> dict[str, Any]:
    """The figures as a JSON object."""
    builds = {"base": base.resolve(), "this": HERE}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cnngraph-bench-") as place:
        room = Path(place)
        for name in names:
            row = ROWS[name]
            folder = room / name.replace(" ", "-")
            _python(builds["base"], room, MAKE, row.net, row.plans, folder, SIZE)
            time_one = _timer(row, folder, room)
            for build in builds.values():  # what is compiled or fetched once is there from here on
                time_one(build)
            seconds: dict[str, list[tuple[float, float]]] = {build: [] for build in builds}
            for _ in range(repeats):
                for build, root in builds.items():
                    seconds[build].append(time_one(root))
            found[name] = _figures(row, seconds)
    return {
        "benchmark": "prune_commands",
        "rows": found,
        "reached": all(row["reached"] for row in found.values()),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()},
        "versions": {"python": platform.python_version()},
    }


def _figures(row: Row, seconds: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Medians of CPU and of wall seconds, and the ratio of the CPU seconds."""
    cpu = {build: median(one for one, _ in values) for build, values in seconds.items()}
    wall = {build: median(one for _, one in values) for build, values in seconds.items()}
    ratio = cpu["this"] / cpu["base"]
    return {
        "cpu_seconds": {build: round(value, 2) for build, value in cpu.items()},
        "wall_seconds": {build: round(value, 2) for build, value in wall.items()},
        "ratio": round(ratio, 3),
        "wall_ratio": round(wall["this"] / wall["base"], 3),
        "limit": row.limit,
        "reached": ratio <= row.limit,
    }


def _timer(row: Row, folder: Path, room: Path) -> Callable[[Path], tuple[float, float]]:
    """What does the work of ``row`` once with a build, and says CPU and wall seconds."""

    def load(build: Path) -> tuple[float, float]:
        took = float(_python(build, room, LOAD, folder))
        return took, took

    def prune(build: Path) -> tuple[float, float]:
        bundle = room / "bundle"
        shutil.rmtree(bundle, ignore_errors=True)
        before, began = os.times(), perf_counter()
        _python(build, room, PRUNE, "prune", folder, *row.options, "--no-retrain", "--to-bundle", bundle, "--json")
        after, ended = os.times(), perf_counter()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return cpu, ended - began

    return prune if row.options else load


def _python(build: Path, room: Path, script: str, *arguments: object) -> str:
    """What ``script`` prints, run by this Python with that build of cnngraph."""
    threads = {"OMP_NUM_THREADS": "1"}
    env = os.environ | threads | {"PYTHONPATH": str(build), "CNNGRAPH_HOME": str(room / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], env=env, cwd=room, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{build}: {done.stderr.strip()[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=Path, help="root of the other checkout")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    options = parser.parse_args()
    print(json.dumps(run(options.base, options.repeats, options.only), indent=2))
