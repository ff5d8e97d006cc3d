"""Several people at once on one database: they ingest, measure, prune, review and delete, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.reader import read_network
from tests.synthetic import small_network

pytestmark = pytest.mark.db

ROUNDS = 4

# One person's work, in a process of its own: what it makes is its own, but it measures and judges the common model too.
PERSON = """
import sys
import cnngraph as cg
from cnngraph.database.curation import rename, set_tags
from cnngraph.database.lineage import store_produced, store_pruning_run
from cnngraph.plan import Plan, Removal
from tests.synthetic import small_network

owner, rounds = sys.argv[1], int(sys.argv[2])
with cg.connect(owner=owner) as graph:
    db = graph.database
    for number in range(rounds):
        parent = graph.write(small_network(number), f"net-{number}")["model"]
        for model in (parent, "tester/together"):
            for measure in ("depth", "magnitude"):
                graph.measure(model, measure)
        graph.query(
            "MATCH (m:Model {key: 'tester/together'})<-[:OF]-(r:MeasureRun) RETURN count(r) AS runs", cypher=True
        )
        child = graph.write(small_network(number + 10), f"net-{number}-small")["model"]
        run = store_pruning_run(db, Plan(model=parent, method="multilayer", removes=(Removal(layer="block.conv2"),)))
        store_produced(db, run, child, parent, {"conv1": "conv1"})
        set_tags(db, child, ["made-together"])
        rename(db, child, f"net-{number}-tiny")
        if number % 2:
            graph.delete(parent)
"""


def test_four_at_once_lose_nothing(database: Database) -> None:
    from cnngraph.database.writer import write_network

    common = write_network(database, small_network(3), "together")["model"]
    before = catalogue.counts(database, common)
    owners = [f"person-{number}" for number in range(4)]
    people = [
        subprocess.Popen(
            [sys.executable, "-c", PERSON, owner, str(ROUNDS)],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        for owner in owners
    ]
    errors = [person.communicate(timeout=300)[1] for person in people]
    assert [person.returncode for person in people] == [0] * 4, errors
    for owner in owners:
        found = {row["name"]: row for row in catalogue.list_models(database, owner)}
        kept = {f"net-{number}" for number in range(0, ROUNDS, 2)}
        assert set(found) == kept | {f"net-{number}-tiny" for number in range(ROUNDS)}
        assert {row["status"] for row in found.values()} == {"complete"}
        for number in range(ROUNDS):
            child = found[f"net-{number}-tiny"]
            parent = None if number % 2 else f"{owner}/net-{number}"
            assert (child["pruned_from"], child["tags"]) == (parent, ["made-together"])
            assert read_network(database, child["model"]).counts() == small_network(number + 10).counts()
    shown = _shown(database, common)
    assert shown == before | {"runs": 2, "currents": 2, "thetas": 3, "leases": 0}
    for owner in owners:
        for row in catalogue.list_models(database, owner):
            catalogue.delete(database, row["model"], force=True)
    catalogue.delete(database, common)


def _shown(database: Database, key: str) -> dict[str, Any]:
    (row,) = database.read(
        """
        MATCH (m:Model {key: $key})
        RETURN COUNT { (m)<-[:OF]-(:MeasureRun) } AS runs, COUNT { (m)-[:CURRENT]->() } AS currents,
               COUNT { (m)-[:HAS_LAYER]->(:Theta1|Theta2|Theta3|Theta4|Theta5) } AS thetas,
               CASE WHEN m.leaseToken IS NULL THEN 0 ELSE 1 END AS leases
        """,
        key=key,
    )
    return catalogue.counts(database, key) | row
