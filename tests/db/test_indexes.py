"""Every query finds its nodes by an index, however many models stand in the database: what the server plans to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cnngraph.database import catalogue, cypher, queries
from cnngraph.database.connection import Database
from cnngraph.database.lineage import store_evaluation, store_pruning_run
from cnngraph.database.records import Evaluation
from cnngraph.database.reviews import Choice, append, bind
from cnngraph.database.schema import KEYS
from cnngraph.database.writer import write_network
from cnngraph.measures.registry import measure
from cnngraph.plan import Plan, Removal
from tests.synthetic import small_network

pytestmark = pytest.mark.db

# In cypher/: everything but the migrations (schema commands have no plan).
STEMS = [
    path.relative_to(cypher.folder()).with_suffix("").as_posix()
    for path in sorted(cypher.folder().rglob("*.cypher"))
    if path.parent.name not in ("migrations", "queries")
]
SCANS = ("AllNodesScan", "NodeByLabelScan", "RelationshipTypeScan", "AllRelationshipsScan")
FEW = {"DataModel"}  # one node
LISTS = ("rows", "layers", "undirected", "tags")
MAPS = ("claims", "properties")
NUMBERS = ("factor", "classes", "first", "last", "size", "version", "seed", "sample", "damping", "iterations", "gamma")


class Anything(dict[str, Any]):
    """Parameters of a fitting type for any query; the planner looks at no value."""

    def __init__(self) -> None:
        names = ("model", "key", "owner", "name", "token", "host", "method", "parameters", "run", "child", "parent")
        names += ("measure", "fingerprint", "property", "rule", "engine", "prefix", "program", "file", "sha256")
        names += ("block", "new", "note")
        values: dict[str, Any] = dict.fromkeys(names, "x") | dict.fromkeys((*NUMBERS, "tolerance", "reference"), 1)
        values |= {"pid": 1, "started": 1.0, "atLeast": 0.9, "distance": False}
        values |= {"ids": [], "keys": KEYS, "order": list(KEYS)}
        super().__init__(values | {name: [] for name in LISTS} | {name: {} for name in MAPS})


def operators(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield plan["operatorType"].partition("@")[0], str(plan["args"].get("Details", ""))
    for child in plan.get("children", []):
        yield from operators(child)


def scans(db: Database, text: str, params: dict[str, Any]) -> list[tuple[str, str]]:
    with db.driver.session(database=db.database) as session:
        plan = session.run("EXPLAIN " + text, params).consume().plan
    assert plan is not None
    return [(kind, what) for kind, what in operators(plan) if kind in SCANS and what.rpartition(":")[2] not in FEW]


@pytest.fixture(scope="module", autouse=True)
def models(database: Database) -> Iterator[None]:
    """Some models: where there is but one node of a label, to look at all of them costs the least."""
    keys = [
        write_network(database, small_network(seed, kernels=True), f"indexed-{seed}", sha256=f"{seed}")["model"]
        for seed in range(8)
    ]
    for measured in keys:
        measure(database, measured, "depth")
        store_evaluation(database, measured, Evaluation.of({"accuracy": 0.5}))
        store_pruning_run(database, Plan(model=measured, removes=(Removal(layer="conv1"),)))
        append(database, bind(database, measured), [Choice("1", "conv1", 0, "drop", "ann")])
    database.auto("CALL db.prepareForReplanning(60)")
    yield
    for key in keys:
        catalogue.delete(database, key, yes=True)


@pytest.mark.parametrize("stem", STEMS)
def test_no_query_looks_at_everybodys_nodes(database: Database, stem: str) -> None:
    text = cypher.load(stem)
    if "gds." in text and database.gds_version is None:
        pytest.skip("the server has no Graph Data Science")
    if stem in (
        "catalogue/keys",
        "catalogue/list",
        "catalogue/usage",
        "copy/owners",
        "lineage/models_of_weights",
        "lineage/pruning_run_keys",
    ):
        return  # these are about everybody's
    if stem == "schema/restore_empty_lists":
        return  # once, after an import, whose one model is all that is there
    assert scans(database, text, Anything()) == []


@pytest.mark.parametrize("query", queries.saved(), ids=lambda query: query.stem)
def test_no_saved_query_does(database: Database, query: queries.SavedQuery) -> None:
    if query.stem != "models":
        assert scans(database, query.body, query.parameters("x/y", {})) == []
