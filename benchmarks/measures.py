"""Measures of VGG16 at 224 pixels, ten classes, in the database: 134,028 positions and 1,178,948 arcs.

    python benchmarks/measures.py [--repeats 3] [--all] [--keep]       prints one JSON object

Must reach: degree and entropy at most 15 s each (median), from the command to the stored run. ``--all`` times every
measure of positions; the reference is the same measure by its oracle on the graph read back (``--engine local``). Uses
the server of the settings, the embedded one by default, and deletes its model again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cnngraph.database import catalogue
from cnngraph.database.connection import connect
from cnngraph.database.writer import write_network
from cnngraph.measures.registry import MEASURES, measure
from cnngraph.settings import load_settings
from tests.synthetic import vgg16_224

LIMIT_SECONDS = 15.0
LIMITED = ("degree", "entropy")
NAME = "benchmark-vgg16-224"


def run(repeats: int = 3, everything: bool = False, keep: bool = False) -> dict[str, Any]:
    """The figures as a JSON object."""
    names = [one.name for one in MEASURES.values() if one.scores == "position"] if everything else list(LIMITED)
    with connect(load_settings()) as db:
        written = write_network(db, vgg16_224(), NAME)
        key = written["model"]
        try:
            found: dict[str, Any] = {}
            for name in names:
                seconds = [_seconds(db, key, name, "database") for _ in range(repeats)]
                found[name] = {"seconds": round(median(seconds), 2), "all": [round(one, 2) for one in seconds]}
                if name in LIMITED:
                    found[name] |= {
                        "reference_seconds": round(_seconds(db, key, name, "local"), 2),
                        "target_seconds": LIMIT_SECONDS,
                        "reached": median(seconds) <= LIMIT_SECONDS,
                    }
            versions = {"neo4j": db.server_version, "gds": db.gds_version, "python": platform.python_version()}
        finally:
            if not keep:
                catalogue.delete(db, key)
    sizes = {what: written[what] for what in ("positions", "arcs", "classes")}
    machine = {"processors": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "machine": platform.machine()}
    return {"measures": found, **sizes, **machine, "versions": versions}


def _seconds(db: Any, key: str, name: str, engine: str) -> float:
    began = perf_counter()
    measure(db, key, name, engine=engine, reference="mean")
    return perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="every measure of positions")
    parser.add_argument("--keep", action="store_true", help="leave the model in the database")
    chosen = parser.parse_args()
    print(json.dumps(run(chosen.repeats, chosen.all, chosen.keep), indent=2))
