"""Measures by Graph Data Science through its own client, nodes projected in our order, against the build before it.

    python benchmarks/gds.py [--repeats 3] [--keep]       prints one JSON object

VGG16 at 224 pixels, ten classes: 134,028 positions and 1,178,948 arcs. Must reach: each measure, from the command to
the stored run, at most 1.3 times the same by the calls of before, which stand here: a projection in the order of the
store, the bare procedure, and sums in the order of the store. Both take turns in one run. Uses the server of the
settings, the embedded one by default, and deletes its model again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cnngraph.database import catalogue, projections
from cnngraph.database.connection import Database, connect
from cnngraph.database.writer import write_network
from cnngraph.measures.database_scores import position_scores
from cnngraph.measures.measure import Options, Scores
from cnngraph.measures.registry import MEASURES, measure
from cnngraph.settings import load_settings
from tests.synthetic import vgg16_224

LIMIT = 1.3
NAME = "benchmark-gds-vgg16-224"
PROJECT = """
MATCH (source:Position {model: $model}) WHERE source.number IS NOT NULL
OPTIONAL MATCH (source)-[arc:ARC]->(target:Position) WHERE arc.weight <> 0
WITH gds.graph.project($name, source, target,
  {relationshipProperties: {weight: CASE WHEN $distance THEN 1.0 / abs(arc.weight) ELSE abs(arc.weight) END}},
  {undirectedRelationshipTypes: $undirected}) AS graph
RETURN graph.nodeCount AS nodes, graph.relationshipCount AS relationships
"""
SHARES = """
MATCH (p:Position {model: $model}) WHERE p.number IS NOT NULL
CALL (p) {
  OPTIONAL MATCH (p)-[arc:ARC]-(other:Position)
  WITH p, sum(abs(arc.weight)) AS total,
       sum(CASE WHEN other.leidenCommunity <> p.leidenCommunity THEN abs(arc.weight) ELSE 0.0 END) AS leaving
  SET p.leiden = CASE WHEN total > 0 THEN leaving / total ELSE 0.0 END
} IN 2 CONCURRENT TRANSACTIONS OF 5000 ROWS
"""
# what is projected, the procedure with its settings, and what follows
BEFORE: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "pagerank": (
        {"undirected": [], "distance": False},
        (
            "gds.pageRank.write($name, {relationshipWeightProperty: 'weight', dampingFactor: 0.85, "
            "maxIterations: 1000, tolerance: 1e-10, writeProperty: 'pagerank'})"
        ),
        None,
    ),
    "leiden": (
        {"undirected": ["*"], "distance": False},
        (
            "gds.leiden.write($name, {relationshipWeightProperty: 'weight', gamma: 1.0, randomSeed: 0, concurrency: 1, "
            "writeProperty: 'leidenCommunity'})"
        ),
        SHARES,
    ),
    "betweenness": (
        {"undirected": ["*"], "distance": True},
        (
            "gds.betweenness.write($name, {relationshipWeightProperty: 'weight', samplingSize: 64, samplingSeed: 0, "
            "writeProperty: 'betweenness'})"
        ),
        None,
    ),
}


def run(repeats: int = 3, keep: bool = False) -> dict[str, Any]:
    """The figures as a JSON object."""
    found: dict[str, Any] = {}
    with connect(load_settings()) as db:
        key = write_network(db, vgg16_224(), NAME)["model"]
        try:
            for name in BEFORE:
                found[name] = _compared(db, key, name, repeats)
            versions = {"neo4j": db.server_version, "gds": db.gds_version, "python": platform.python_version()}
        finally:
            if not keep:
                catalogue.delete(db, key)
    worst = max(one["ratio"] for one in found.values())
    machine = {"processors": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "machine": platform.machine()}
    target = {"ratio": worst, "target_ratio": LIMIT, "reached": worst <= LIMIT}
    return {"measures": found, **target, **machine, "versions": versions}


def _compared(db: Database, key: str, name: str, repeats: int) -> dict[str, Any]:
    """Both ways by turns; the first turn is not counted: the server compiles its queries, the client is imported."""
    now = MEASURES[name]
    ways = {"before": replace(now, database=_before(name)), "client": now}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats + 1):
        for way, chosen in ways.items():
            MEASURES[name] = chosen
            began = perf_counter()
            measure(db, key, name, reference="mean")
            seconds[way].append(perf_counter() - began)
    medians = {way: median(times[1:]) for way, times in seconds.items()}
    return {
        "ratio": round(medians["client"] / medians["before"], 2),
        "seconds": {way: round(time, 2) for way, time in medians.items()},
        "all": {way: [round(time, 2) for time in times[1:]] for way, times in seconds.items()},
    }


def _before(measured: str) -> Any:
    projected, call, then = BEFORE[measured]

    def compute(db: Database, key: str, options: Options, progress: object) -> Scores:  # noqa: ARG001
        projections.drop_stale(db)
        name = projections.new_name()
        try:
            db.write(PROJECT, model=key, name=name, **projected)
            db.auto(f"CALL {call} YIELD nodePropertiesWritten RETURN nodePropertiesWritten AS written", name=name)
        finally:
            projections.drop(db, name)
        if then is not None:
            db.auto(then, model=key)
        return position_scores(db, key, measured)

    return compute


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="leave the model in the database")
    chosen = parser.parse_args()
    print(json.dumps(run(chosen.repeats, chosen.keep), indent=2))
