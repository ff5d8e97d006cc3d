"""Online ingest of VGG16 at 224 (134,028 positions, 1,178,948 arcs, ten classes), beside plain ``UNWIND`` of pairs.

Both write the same arcs between the same kind of nodes into the same server, by turns; each is repeated and the median
is reported. Prints one JSON object with machine and versions:

    python benchmarks/ingest.py [--repeats 3] [--side 224] > ingest.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import neo4j
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cnngraph import __version__
from cnngraph.database import catalogue
from cnngraph.database.connection import Database, connect
from cnngraph.database.schema import require_current
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.network.tables import Network
from cnngraph.settings import load_settings
from tests.synthetic import vgg16_positions

NAME = "benchmark-ingest"
MUST_REACH = {"relationships_per_second": 50_000, "times_plain_unwind": 1.3, "client_gb": 2.0}

PLAIN = """
UNWIND $rows AS row
MATCH (source:Position {model: $model, number: row[0]})
MATCH (target:Position {model: $model, number: row[1]})
CREATE (source)-[:ARC {weight: row[2]}]->(target)
"""


def plain_unwind(db: Database, network: Network, batch: int = 20_000) -> float:
    """Relationships a second of the reference: one row a pair, both ends looked up, one transaction a batch.

    The nodes are those of a finished ingest, whose arcs are deleted first.
    """
    key = f"{db.owner}/{NAME}"
    db.auto(
        "MATCH (:Position {model: $key})-[arc:ARC]->() CALL (arc) { DELETE arc } IN TRANSACTIONS OF 50000 ROWS", key=key
    )
    source, target = network.arcs.column("source").to_numpy(), network.arcs.column("target").to_numpy()
    begun = time.perf_counter()
    for start in range(0, len(source), batch):
        part = slice(start, start + batch)
        rows = [[a, b, 0.5] for a, b in zip(source[part].tolist(), target[part].tolist(), strict=True)]
        db.write(PLAIN, rows=rows, model=key)
    return len(source) / (time.perf_counter() - begun)


def measure(db: Database, network: Network, repeats: int) -> dict[str, Any]:
    """Both ways by turns; medians of relationships a second."""
    ours, plain, runs = [], [], []
    for _ in range(repeats):
        written = write_network(db, network, NAME, WriteOptions(replace=True, yes=True))
        ours.append(written["relationships_per_second"])
        runs.append(written["seconds"])
        plain.append(plain_unwind(db, network))
        catalogue.delete(db, f"{db.owner}/{NAME}")
    return {
        "relationships_per_second": round(statistics.median(ours)),
        "plain_unwind_per_second": round(statistics.median(plain)),
        "times_plain_unwind": round(statistics.median(ours) / statistics.median(plain), 2),
        "client_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "runs": [round(rate) for rate in ours],
        "plain_runs": [round(rate) for rate in plain],
        "seconds": runs,
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=224)
    options = parser.parse_args()
    network = vgg16_positions(options.side)
    with connect(load_settings()) as db:
        require_current(db)
        result = {
            "benchmark": "ingest",
            "network": {"architecture": "VGG16", "side": options.side, **network.counts()},
            "must_reach": MUST_REACH,
            "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()},
            "versions": {
                "cnngraph": __version__,
                "python": platform.python_version(),
                "neo4j": db.server_version,
                "driver": neo4j.__version__,
                "pyarrow": pa.__version__,
            },
            "repeats": options.repeats,
            **measure(db, network, options.repeats),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
