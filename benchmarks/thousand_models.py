"""What ``list``, ``show``, ``lineage`` and ``push --dry-run`` cost in a database with a thousand models.

    python benchmarks/thousand_models.py [--models 1000] [--repeats 5]     prints one JSON object

Must reach: each under 1.5 s above a bare interpreter. The models are small (a hundred nodes each), every other one
pruned from the one before it; they are written into an embedded server of the benchmark's own. All commands are run in
turn; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cnngraph as cg  # noqa: E402 (the checkout is no installed package)
from benchmarks.report import machine  # noqa: E402
from cnngraph.database.lineage import store_produced, store_pruning_run  # noqa: E402
from cnngraph.plan import Plan, Removal  # noqa: E402
from tests.synthetic import small_network  # noqa: E402

LIMIT = 1.5
COMMAND = str(Path(sys.executable).with_name("cnngraph"))


def run(models: int, repeats: int) -> dict[str, Any]:
    """The figures as a JSON object."""
    with tempfile.TemporaryDirectory(prefix="cnngraph-thousand-") as home:
        os.environ |= {"CNNGRAPH_HOME": home, "CNNGRAPH_OWNER": "bench"}
        try:
            began = perf_counter()
            _fill(models)
            filled = perf_counter() - began
            name = f"net-{2 * (models // 4) + 1}"  # in the middle, and pruned
            commands = {
                "bare": [sys.executable, "-c", "pass"],
                "list": [COMMAND, "list"],
                "show": [COMMAND, "show", name],
                "lineage": [COMMAND, "lineage", name],
                "usage": [COMMAND, "db", "usage"],
            }
            seconds: dict[str, list[float]] = {what: [] for what in commands}
            for _ in range(repeats):
                for what, command in commands.items():
                    began = perf_counter()
                    subprocess.run(command, check=True, capture_output=True)
                    seconds[what].append(perf_counter() - began)
        finally:
            subprocess.run([COMMAND, "db", "down"], check=False, capture_output=True)
    above = {what: median(found) - median(seconds["bare"]) for what, found in seconds.items() if what != "bare"}
    return {
        "benchmark": "thousand_models",
        "models": models,
        "seconds_to_write": round(filled, 1),
        "seconds_above_bare": {what: round(value, 3) for what, value in above.items()},
        "limit": LIMIT,
        "reached": all(value < LIMIT for what, value in above.items() if what != "usage"),
        "machine": machine(),
    }


def _fill(models: int) -> None:
    networks = [small_network(seed) for seed in range(8)]
    with cg.connect() as graph:
        for number in range(models):
            key = graph.write(networks[number % 8], f"net-{number}", sha256=f"{number:064x}")["model"]
            if number % 2:
                parent = f"bench/net-{number - 1}"
                plan = Plan(model=parent, method="multilayer", removes=(Removal(layer="block.conv2"),))
                run_key = store_pruning_run(graph.database, plan)
                store_produced(graph.database, run_key, key, parent, {"conv1": "conv1"})


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(json.dumps(run(options.models, options.repeats), indent=2))


if __name__ == "__main__":
    main()
