"""The embedded server: the first fetch into an empty cache, and starts and stops in a fresh home.

    python benchmarks/server.py [--starts 3] [--no-fetch]            prints one JSON object

Must reach: ready within 20 s (median); the first fetch within 90 s where the network gives 5 MB/s. The first start also
makes the home and its password, and is listed by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from cnngraph.database.embedded import plugin, server
from cnngraph.database.embedded.fetch import fetch
from cnngraph.database.embedded.jars import locked_jars
from cnngraph.database.embedded.releases import chosen_release
from cnngraph.settings import Settings, cache_dir

READY_SECONDS = 20.0
FETCH_SECONDS = 90.0
SLOW_NETWORK = 5e6  # bytes a second for which the fetch has its target


def _seconds(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def first_fetch(folder: Path) -> dict[str, Any]:
    """Every jar from the network into an empty folder, and the plugin merged from them."""
    release = chosen_release()
    jars = locked_jars(release)
    size = sum(jar.size for jar in jars)
    seconds = _seconds(lambda: fetch(jars, folder, release=release))
    merging = _seconds(lambda: plugin.merge(jars, folder))
    # a network that is faster than the target's would not have taken less than the bytes take at the target's speed
    at_target = max(seconds, size / SLOW_NETWORK) + merging
    return {
        "files": len(jars),
        "megabytes": round(size / 1e6, 1),
        "seconds": round(seconds, 2),
        "megabytes_per_second": round(size / 1e6 / seconds, 2),
        "merge_seconds": round(merging, 2),
        "seconds_at_5_megabytes_per_second": round(at_target, 1),
        "target_seconds": FETCH_SECONDS,
        "reached": at_target <= FETCH_SECONDS,
    }


def starts(folder: Path, repeats: int) -> dict[str, Any]:
    """Ready and stopped, ``repeats`` times after the first start in a fresh home."""
    settings = Settings(None, "neo4j", None, None, "benchmark", folder, cache_dir())
    ready, stopped = [], []
    try:
        server.up(settings)
        server.clean(settings)  # the jars are there and in the system's memory now: the first start is that of a home
        for _ in range(repeats + 1):
            ready.append(_seconds(lambda: server.up(settings)))
            stopped.append(_seconds(lambda: server.down(settings)))
    finally:
        server.clean(settings)
    return {
        "first_start_seconds": round(ready[0], 2),
        "ready_seconds": [round(seconds, 2) for seconds in ready[1:]],
        "median_ready_seconds": round(median(ready[1:]), 2),
        "median_stop_seconds": round(median(stopped), 2),
        "target_seconds": READY_SECONDS,
        "reached": median(ready[1:]) <= READY_SECONDS,
    }


def run(repeats: int = 3, *, fetching: bool = True) -> dict[str, Any]:
    """The figures as a JSON object."""
    with tempfile.TemporaryDirectory(prefix="cnngraph-bench-") as folder:
        release = chosen_release()
        result: dict[str, Any] = {
            "benchmark": "server",
            "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
            "versions": {"python": platform.python_version(), "neo4j": release.neo4j, "gds": release.gds},
        }
        if fetching:
            result["fetch"] = first_fetch(Path(folder, "cache"))
        result["server"] = starts(Path(folder, "home"), repeats)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="starts that are measured after the first")
    parser.add_argument("--no-fetch", action="store_true", help="leave the download out")
    options = parser.parse_args()
    print(json.dumps(run(options.starts, fetching=not options.no_fetch), indent=2))


if __name__ == "__main__":
    main()
