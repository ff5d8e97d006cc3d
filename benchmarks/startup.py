"""What a command costs above a bare interpreter, and what cnngraph's own imports cost above those of torch.

    python benchmarks/startup.py [--repeats 7]            prints one JSON object

Must reach: --help under 0.3 s, list on a warm server under 1.2 s above a bare interpreter; the rooms that train, map,
cut and prove a net under 0.5 s above ``import torch``. All are run in turn; medians. Beside it, without a limit:
the same with the driver of the database, which brings pandas along.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from cnngraph import __version__

COMMAND = str(Path(sys.executable).with_name("cnngraph"))
WORKING = (
    "cnngraph.cli.main, cnngraph.jobs.baseline, cnngraph.jobs.ingest, cnngraph.jobs.prune_job, cnngraph.jobs.execute, "
    "cnngraph.jobs.offline, cnngraph.network.trace, cnngraph.surgery.saved, cnngraph.surgery.verify, "
    "cnngraph.training.fit"
)
RUNS = {
    "bare": [sys.executable, "-c", "pass"],
    "help": [COMMAND, "--help"],
    "list": [COMMAND, "list"],
    "torch": [sys.executable, "-c", "import torch"],
    "working": [sys.executable, "-c", f"import torch, {WORKING}"],
    "with_database": [sys.executable, "-c", f"import torch, {WORKING}, cnngraph.database.connection"],
}
BESIDE = {"help": "bare", "list": "bare", "working": "torch", "with_database": "torch"}
LIMITS = {"help": 0.3, "list": 1.2, "working": 0.5}


def run(repeats: int) -> dict[str, Any]:
    """The figures as a JSON object."""
    subprocess.run([COMMAND, "list"], check=True, capture_output=True)  # the server is up from here on
    seconds: dict[str, list[float]] = {name: [] for name in RUNS}
    for _ in range(repeats):
        for name, command in RUNS.items():
            began = perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(perf_counter() - began)
    above = {name: median(seconds[name]) - median(seconds[than]) for name, than in BESIDE.items()}
    return {
        "benchmark": "startup",
        "seconds": {name: round(median(values), 3) for name, values in seconds.items()},
        "above": {name: round(value, 3) for name, value in above.items()},
        "above_what": BESIDE,
        "limits": LIMITS,
        "reached": all(above[name] < limit for name, limit in LIMITS.items()),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()},
        "versions": {"cnngraph": __version__, "python": platform.python_version()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    print(json.dumps(run(parser.parse_args().repeats), indent=2))
