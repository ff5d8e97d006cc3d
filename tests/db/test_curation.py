"""Rename, note, tag, usage, and what needs --force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import cnngraph as cg
from cnngraph.database import catalogue, curation
from cnngraph.database.comparisons import SimilarLayers, StoredComparison, store_comparison
from cnngraph.database.connection import Database
from cnngraph.database.criticality import store_criticality
from cnngraph.database.fingerprint import fingerprint
from cnngraph.database.lease import lease
from cnngraph.database.lineage import lineage, store_evaluation, store_produced, store_pruning_run
from cnngraph.database.reader import read_network
from cnngraph.database.records import Evaluation
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import ConflictError, NotFoundError, UsageError
from cnngraph.measures.registry import measure
from cnngraph.plan import Plan, Removal
from tests.db.test_queries import critical
from tests.synthetic import small_network, with_car

pytestmark = pytest.mark.db

EVERYTHING = """
MATCH (n) WHERE n.model IN $keys OR n.key IN $keys OR EXISTS { (n)-[:OF]->(m:Model) WHERE m.key IN $keys }
  OR EXISTS { (n)-[:OF]->(:PruningRun)-[:OF]->(m:Model) WHERE m.key IN $keys }
OPTIONAL MATCH (n)-[r]->(other)
WITH n, collect([type(r), properties(r), labels(other), properties(other)]) AS out
RETURN labels(n) AS labels, properties(n) AS properties, out
"""


def told(db: Database, *keys: str) -> list[str]:
    """All that the database has about some models: nodes, and relationships with where they lead, as sorted text."""
    return in_order(json.dumps(db.read(EVERYTHING, keys=list(keys)), default=str))


def in_order(text: str) -> list[str]:
    rows = json.loads(text)
    for row in rows:
        row["out"] = sorted(json.dumps(one, sort_keys=True) for one in row["out"])
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


@pytest.fixture
def family(database: Database) -> Iterator[tuple[str, str]]:
    """A model of every kind of node that we know, and one that a prune has made of it."""
    network = with_car(small_network(5, kernels=True), ["conv1"])
    parent = write_network(database, network, "curated", sha256="ab")["model"]
    child = write_network(database, small_network(6), "curated-small", sha256="cd")["model"]
    measure(database, parent, "depth")
    run = store_pruning_run(
        database, Plan(model=parent, method="multilayer", removes=(Removal(layer="block.conv2", reason="no use"),))
    )
    store_produced(database, run, child, parent, {"conv1": "conv1"})
    similar = [SimilarLayers("conv1", "conv1", 0.9, 0.3, "unbiased", 800, 8, "survives_as")]
    store_comparison(database, StoredComparison(parent, child, "cka", {}, {"images": 8}, similar, weights=("ab", "cd")))
    key, trial = critical(parent, "block", "block.conv2")
    store_criticality(database, key, "ab", trial)
    for key in (parent, child):
        store_evaluation(database, key, Evaluation.of({"split": "test", "accuracy": 0.9, "run": run, "child": child}))
    database.write(
        """
        MATCH (run:PruningRun {key: $run}), (m:Model {key: $parent})
        MATCH (f:FeatureMap {model: $parent, layer: 'conv1', channel: 0})
        CREATE (:Step {run: run.key, child: $child, number: 1, name: 'step 1'})-[:OF]->(run),
               (r:Review {key: $parent + '/review/' + m.owner, model: $parent, owner: m.owner, choices: 1})-[:OF]->(m),
               (r)-[:JUDGED {review: r.key, id: 'one', decision: 'drop', number: 1}]->(f)
        """,
        run=run,
        parent=parent,
        child=child,
    )
    yield parent, child
    for key in (parent, child, f"{database.owner}/renamed"):
        if catalogue.properties(database, key):
            catalogue.delete(database, key, yes=True)


@pytest.mark.parametrize("which", [0, 1])
def test_a_renamed_model_is_the_same_but_for_its_name(database: Database, family: tuple[str, str], which: int) -> None:
    """The oracle: everything that is stored, as text, with the one name in the place of the other."""
    old, new = family[which], f"{database.owner}/renamed"
    before, network = json.dumps(database.read(EVERYTHING, keys=list(family)), default=str), read_network(database, old)
    found = curation.rename(database, old, "renamed")
    assert (found["model"], found["before"]) == (new, old)
    both = tuple(new if key == old else key for key in family)

    expected = before.replace(f'"name": "{old.split("/")[1]}"', '"name": "renamed"')
    for end in ('"', "/", "\\"):  # the end of a text, of the key in a key, of a text in JSON in JSON
        expected = expected.replace(old + end, new + end)
    assert told(database, *both) == in_order(expected)
    assert not told(database, old)
    assert fingerprint(read_network(database, new)) == fingerprint(network)
    assert {one["model"] for one in lineage(database, both[0]).as_json()["descendants"]} == {both[1]}
    curation.rename(database, new, old.split("/")[1])
    assert told(database, *family) == in_order(before)


def test_a_name_that_is_taken_no_name_and_a_model_in_use(database: Database, family: tuple[str, str]) -> None:
    parent, child = family
    with pytest.raises(ConflictError, match=r"is a model .*curated-small already"):
        curation.rename(database, parent, child.split("/")[1])
    with pytest.raises(UsageError, match="no valid model name"):
        curation.rename(database, parent, "some one/else")
    with lease(database, parent), pytest.raises(ConflictError, match="Another process writes"):
        curation.rename(database, parent, "renamed")
    assert curation.rename(database, parent, "curated")["nodes"] == 0
    assert not [name for name in catalogue.properties(database, parent) if name.startswith("lease")]


def test_notes_and_tags(database: Database, family: tuple[str, str], command: Any) -> None:
    assert command("tag", "curated", "paper", "reviewed", "--json").json["tags"] == ["paper", "reviewed"]
    assert command("tag", "curated", "paper", "x", "--remove", "reviewed", "--json").json["tags"] == ["paper", "x"]
    assert "for the talk" in command("note", "curated", "for the talk").out
    assert command("note", "curated").out.strip() == "for the talk"
    assert [row["name"] for row in command("list", "--tag", "paper", "--json").json["models"]] == ["curated"]
    assert "paper, x" in command("list", "--tag", "paper").out
    shown = command("show", "curated", "--json").json
    assert (shown["note"], shown["tags"]) == ("for the talk", ["paper", "x"])
    rows = command("query", "models", "--model", "curated", "--param", "tag=paper", "--json").json["rows"]
    assert [(row["name"], row["tags"], row["note"]) for row in rows] == [("curated", ["paper", "x"], "for the talk")]
    missing = command("tag", "curated", "--remove", "papers")
    assert (missing.code, "Did you mean paper" in missing.err) == (3, True)
    for bad in (("tag", "curated", "two words"), ("tag", "curated", "a", "--remove", "a"), ("note", "curated", "  ")):
        assert command(*bad).code == 2
    write_network(database, small_network(7), "curated", WriteOptions(replace=True, yes=True))
    assert curation.said_of(database, family[0])["tags"] == ["paper", "x"]  # what people said outlives a new net
    assert command("note", "curated", "--remove", "--json").json["note"] is None


def test_another_owners_model_wants_force(database: Database, family: tuple[str, str], command: Any) -> None:
    whose = family[0]
    as_eve = ("--owner", "eve")
    for words in (
        ("delete", whose, "--yes"),
        ("rename", whose, "mine"),
        ("note", whose, "mine"),
        ("tag", whose, "mine"),
    ):
        refused = command(*words, *as_eve)
        assert (refused.code, f"is {database.owner}'s; you write as eve" in refused.err) == (2, True)
    assert command("tag", whose, "seen", "--force", *as_eve, "--json").json["tags"] == ["seen"]
    assert command("list", *as_eve, "--json").json["models"] == []
    assert whose in {row["model"] for row in command("list", "--owner", database.owner, "--json").json["models"]}
    asked = command("delete", family[1], "--force", *as_eve)
    assert f"Delete {family[1]}, which is {database.owner}'s" in asked.err
    with cg.connect(owner="eve") as graph:
        with pytest.raises(UsageError, match="you write as eve"):
            graph.write(small_network(8), whose, replace=True)
        with pytest.raises(UsageError, match="you write as eve"):
            graph.write(small_network(8), f"{database.owner}/new", force=True)  # nothing there to replace
        assert graph.write(small_network(8), whose, replace=True, force=True, yes=True)["action"] == "replace"
        assert graph.show(whose)["owner"] == database.owner
        graph.delete(whose, force=True, yes=True)
    with pytest.raises(NotFoundError):
        catalogue.resolve(database, whose)


def test_usage_counts_every_node_once(database: Database, family: tuple[str, str]) -> None:
    found = curation.usage(database)
    (mine,) = [row for row in found["models"] if row["model"] == family[0]]
    rows = database.read(EVERYTHING, keys=[family[0]])
    # what the child brings along: the comparison counts with the first model, its relationships with where they begin
    assert mine["nodes"] == len(rows)
    assert mine["relationships"] == sum(1 for row in rows for one in row["out"] if one[0] is not None)
    (owner,) = [row for row in found["owners"] if row["owner"] == database.owner]
    models = [row for row in found["models"] if row["owner"] == database.owner]
    assert owner["models"] == len(models)
    assert owner["nodes"] == sum(row["nodes"] for row in models)
    assert found["nodes"] == sum(row["nodes"] for row in found["owners"])
