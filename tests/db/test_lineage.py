"""Decisions and what came of them, ours and those that a person makes in Cypher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cnngraph.database import catalogue, queries
from cnngraph.database.connection import Database
from cnngraph.database.lineage import (
    evaluations_of,
    lineage,
    read_pruning_run,
    store_evaluation,
    store_produced,
    store_pruning_run,
)
from cnngraph.database.records import Evaluation
from cnngraph.database.writer import write_network
from cnngraph.errors import ConflictError, NotFoundError, PlanError, UsageError
from cnngraph.jobs.record import record
from cnngraph.plan import LayerScore, Plan, Removal, Step
from tests.synthetic import small_network

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
def parent(database: Database) -> Iterator[str]:
    key = write_network(database, small_network(0), "lineage-parent")["model"]
    yield key
    catalogue.delete(database, key)


@pytest.fixture(scope="module")
def child(database: Database, parent: str) -> Iterator[str]:
    key = write_network(database, small_network(1), "lineage-child")["model"]
    yield key
    catalogue.delete(database, key)


@pytest.fixture
def plan(parent: str) -> Plan:
    return Plan(
        model=parent,
        architecture="python:nets.small:build",
        method="multilayer",
        measure="degree",
        aggregate="mean",
        reference=2.0,
        threshold=1.5,
        layers=(LayerScore(layer="conv1", theta=4.5, value=9.0), LayerScore(layer="block.conv3", theta=1.2, value=2.4)),
        schedule=(Step(threshold=1.25, removed=("block.conv3",)),),
        removes=(Removal(layer="block.conv3", score=1.2, threshold=1.5, reason="theta under the threshold"),),
        init="inherit",
        correlations={"depth": 0.97, "activation": None},
        notes=("a note",),
    )


def test_a_stored_plan_comes_back_equal_under_one_key(database: Database, plan: Plan) -> None:
    key = store_pruning_run(database, plan)
    assert store_pruning_run(database, plan) == key
    assert read_pruning_run(database, key) == plan.model_copy(update={"run": key})


def test_a_decision_that_grows_is_kept_under_one_key(database: Database, plan: Plan, parent: str, child: str) -> None:
    first = plan.model_copy(update={"removes": (Removal(layer="conv1", reason="seen by ada"),)})
    more = first.model_copy(update={"removes": (*first.removes, Removal(layer="block.conv3"))})
    key = store_pruning_run(database, first, "review-1")
    assert key == f"{parent}/multilayer/review-1"
    assert store_pruning_run(database, more, "review-1") == key
    assert read_pruning_run(database, key) == more.model_copy(update={"run": key})
    assert store_pruning_run(database, more) != key  # without a name, a hash of what is decided names it
    store_produced(database, key, child, parent, {})
    assert store_pruning_run(database, more, "review-1") == key  # the same again says nothing new
    with pytest.raises(ConflictError, match="has come of the decision"):
        store_pruning_run(database, first, "review-1")
    with pytest.raises(UsageError, match="no valid name of a decision"):
        store_pruning_run(database, first, "a/b")
    database.write("MATCH (run:PruningRun {key: $key}) DETACH DELETE run", key=key)


def removed(db: Database, key: str) -> list[str]:
    rows = db.read("MATCH (l:Removed {model: $key}) RETURN l.layer AS layer ORDER BY l.index", key=key)
    return [row["layer"] for row in rows]


def test_the_layers_of_the_newest_run_are_marked_and_no_others(database: Database, plan: Plan, parent: str) -> None:
    store_pruning_run(database, plan.model_copy(update={"removes": (Removal(layer="conv1"),)}))
    assert removed(database, parent) == ["conv1"]
    store_pruning_run(database, plan)
    assert removed(database, parent) == ["block.conv3"]


def test_a_block_is_stored_as_its_layers(database: Database, plan: Plan, parent: str) -> None:
    block = Removal(layer="block", kind="block", reason="by hand")
    key = store_pruning_run(database, plan.model_copy(update={"removes": (block,)}))
    rows = database.read(
        "MATCH (:PruningRun {key: $key})-[:REMOVES]->(l) RETURN l.layer AS layer ORDER BY l.index", key=key
    )
    assert [row["layer"] for row in rows] == ["block.conv2", "block.conv3"]
    assert read_pruning_run(database, key).removes == (block,)


def test_a_block_that_is_no_module_is_removed_with_its_node(database: Database, plan: Plan, parent: str) -> None:
    block = Removal(layer="add", kind="block", score=0.5, reason="by hand")
    key = store_pruning_run(database, plan.model_copy(update={"removes": (block,)}))
    rows = database.read(
        "MATCH (:PruningRun {key: $key})-[r:REMOVES]->(one) "
        "RETURN coalesce(one.layer, one.name + ' (block)') AS gone, r.score AS score ORDER BY one:Layer, one.index",
        key=key,
    )
    assert [row["gone"] for row in rows] == ["add (block)", "block.conv2", "relu#2", "add"]
    assert {row["score"] for row in rows} == {0.5}
    assert read_pruning_run(database, key).removes == (block,)
    assert store_pruning_run(database, plan.model_copy(update={"removes": (block,)})) == key


def test_a_person_may_say_a_block(database: Database, parent: str) -> None:
    database.write(
        "MATCH (m:Model {key: $model}), (b:Block {model: $model, name: 'inner'}) "
        "CREATE (r:PruningRun {key: 'a-block'})-[:OF]->(m), (r)-[:REMOVES]->(b)",
        model=parent,
    )
    assert read_pruning_run(database, "a-block").removes == (Removal(layer="inner", kind="block"),)


def test_a_run_made_by_a_person_is_a_plan(database: Database, parent: str) -> None:
    database.write(
        "MATCH (m:Model {key: $model}), (l:Layer {model: $model, layer: 'block.conv2'}) "
        "CREATE (r:PruningRun {key: 'by-hand'})-[:OF]->(m), (r)-[:REMOVES {reason: 'I say so'}]->(l)",
        model=parent,
    )
    plan = read_pruning_run(database, "by-hand")
    assert (plan.model, plan.method, plan.run, plan.init) == (parent, "manual", "by-hand", "least-squares")
    assert plan.architecture == "python:nets.small:build"
    assert plan.removes == (Removal(layer="block.conv2", reason="I say so"),)
    assert store_pruning_run(database, plan) == "by-hand"
    assert removed(database, parent) == ["block.conv2"]
    assert store_pruning_run(database, plan.model_copy(update={"init": "inherit"})) != "by-hand"
    with pytest.raises(NotFoundError, match="by-hnd") as missing:
        read_pruning_run(database, "by-hnd")
    assert "by-hand" in missing.value.hint


FILTERS = (
    Removal(layer="conv1", kind="filters", filters=(0, 3), scores=(0.5, 0.25), score=0.5, threshold=0.75, reason="low"),
    Removal(layer="block.conv2", kind="filters", filters=(1,), reason="by hand"),
)


def test_filters_are_stored_as_their_feature_maps(database: Database, plan: Plan, parent: str) -> None:
    mixed = plan.model_copy(update={"method": "filters", "removes": (*FILTERS, *plan.removes)})
    key = store_pruning_run(database, mixed)
    rows = database.read(
        "MATCH (:PruningRun {key: $key})-[r:REMOVES]->(f:FeatureMap) "
        "RETURN f.layer AS layer, f.channel AS channel, r.score AS score, r.threshold AS threshold, r.reason AS reason "
        "ORDER BY layer DESC, channel",
        key=key,
    )
    assert [tuple(row.values()) for row in rows] == [
        ("conv1", 0, 0.5, 0.75, "low"),
        ("conv1", 3, 0.25, 0.75, "low"),
        ("block.conv2", 1, None, None, "by hand"),
    ]
    assert read_pruning_run(database, key) == mixed.model_copy(update={"run": key})
    assert store_pruning_run(database, mixed) == key
    assert removed(database, parent) == ["block.conv3"]  # the label is for whole layers
    (run,) = [row for row in lineage(database, parent).as_json()["pruning_runs"] if row["key"] == key]
    assert (run["removed"], run["filters"]) == (["block.conv3"], {"conv1": [0, 3], "block.conv2": [1]})


def test_filters_that_a_person_names_are_a_plan(database: Database, parent: str) -> None:
    database.write(
        "MATCH (m:Model {key: $model}) CREATE (r:PruningRun {key: 'maps-by-hand'})-[:OF]->(m) WITH r "
        "MATCH (f:FeatureMap {model: $model, layer: 'conv1'}) WHERE f.channel IN [1, 2] "
        "CREATE (r)-[:REMOVES {reason: 'twins'}]->(f)",
        model=parent,
    )
    plan = read_pruning_run(database, "maps-by-hand")
    assert plan.removes == (Removal(layer="conv1", kind="filters", filters=(1, 2), reason="twins"),)
    assert plan.filters == {"conv1": (1, 2)}
    assert store_pruning_run(database, plan) == "maps-by-hand"


def test_filters_that_are_not_there_are_refused(database: Database, plan: Plan) -> None:
    def store(layer: str) -> None:
        gone = Removal(layer=layer, kind="filters", filters=(1, 9))
        store_pruning_run(database, plan.model_copy(update={"removes": (gone,)}))

    with pytest.raises(PlanError, match="no filter 9") as refused:
        store("conv1")
    assert "0 to 3" in refused.value.hint
    with pytest.raises(PlanError, match=r"pool of .* has no filters"):
        store("pool")


def test_what_a_person_changes_counts(database: Database, plan: Plan) -> None:
    both = (*plan.removes, Removal(layer="block.conv2"))
    key = store_pruning_run(database, plan.model_copy(update={"removes": both}))
    database.write("MATCH (:PruningRun {key: $key})-[r:REMOVES]->(:Layer {layer: 'block.conv3'}) DELETE r", key=key)
    assert read_pruning_run(database, key).removed == ["block.conv2"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("CREATE (:PruningRun {key: 'odd'})", "of no model"),
        ("MATCH (m:Model {key: $model}) CREATE (:PruningRun {key: 'odd'})-[:OF]->(m)", "removes nothing"),
        (
            (
                "MATCH (m:Model {key: $model}), (l:Layer {model: $child, layer: 'conv1'}) "
                "CREATE (r:PruningRun {key: 'odd'})-[:OF]->(m), (r)-[:REMOVES]->(l)"
            ),
            "conv1 of another model",
        ),
        (
            (
                "MATCH (m:Model {key: $model}), (f:FeatureMap {model: $child, layer: 'conv1', channel: 0}) "
                "CREATE (r:PruningRun {key: 'odd'})-[:OF]->(m), (r)-[:REMOVES]->(f)"
            ),
            "conv1 of another model",
        ),
        (
            (
                "MATCH (m:Model {key: $model}), (l:Layer {model: $model, layer: 'conv1'}) "
                "CREATE (r:PruningRun {key: 'odd', parameters: '{\"init\": 3}'})-[:OF]->(m), (r)-[:REMOVES]->(l)"
            ),
            "no valid plan",
        ),
    ],
)
def test_an_odd_run_is_refused(database: Database, parent: str, child: str, made: str, message: str) -> None:
    database.write(made, model=parent, child=child)
    try:
        with pytest.raises(PlanError, match=message):
            read_pruning_run(database, "odd")
    finally:
        database.write("MATCH (r:PruningRun {key: 'odd'}) DETACH DELETE r")


def test_unknown_layers_are_refused_before_anything_is_stored(database: Database, plan: Plan) -> None:
    with pytest.raises(PlanError, match="no layer 'conv9'") as refused:
        store_pruning_run(database, plan.model_copy(update={"removes": (Removal(layer="conv9"),)}))
    assert "conv1" in refused.value.hint
    with pytest.raises(PlanError, match="no block 'blok'"):
        store_pruning_run(database, plan.model_copy(update={"removes": (Removal(layer="blok", kind="block"),)}))


def test_lineage_tells_the_story(database: Database, plan: Plan, parent: str, child: str) -> None:
    run = store_pruning_run(database, plan)
    surviving = {"conv1": "conv1", "block.conv2": "block.conv2", "fc": "fc"}
    store_produced(database, run, child, parent, surviving)
    store_produced(database, run, child, parent, surviving)
    (count,) = database.read(
        "MATCH (:Layer {model: $parent})-[r:SURVIVES_AS]->(:Layer {model: $child}) RETURN count(r) AS n",
        parent=parent,
        child=child,
    )
    assert count["n"] == 3
    told = lineage(database, child).as_json()
    assert told["ancestors"] == [
        {
            "model": parent,
            "became": child,
            "steps": 1,
            "relation": "PRUNED_FROM",
            "run": run,
            "method": "multilayer",
            "removed": ["block.conv3"],
            "replaced": [],
            "filters": {},
        }
    ]
    assert [row["model"] for row in lineage(database, parent).as_json()["descendants"]] == [child]
    listed = {row["model"]: row for row in catalogue.list_models(database)}
    assert listed[child]["pruned_from"] == parent
    with pytest.raises(ConflictError, match="1 of the 1"):
        store_produced(database, run, child, parent, {"conv1": "nowhere"})
    with pytest.raises(NotFoundError):
        store_produced(database, "no-run", child, parent, {})


def test_what_went_along_with_a_removed_layer_does_not_survive(
    database: Database, plan: Plan, parent: str, child: str
) -> None:
    """The child has every layer of the parent by name, as where an adapter stands in the place of each that went."""
    figures = {"accuracy": 0.5}
    known = {"name": "digits", "root": None, "images_per_class": 5}
    result = {"verified": {}, "before": figures, "after": figures, "control": None}
    other = write_network(database, small_network(2), "lineage-along")["model"]
    try:
        record(database, plan, other, result, gone=("block.conv3", "block.conv2"), data=known, seed=0, device="cpu")
        (judged,) = lineage(database, other).as_json()["evaluations"]
        assert (judged["child"], judged["data"], judged["images_per_class"]) == (other, "digits", 5)
        rows = queries.run_query(database, "survivors", other, {})
        assert {row["original"] for row in rows} == {parent}
        left = {row["layer"] for row in rows}
        assert left >= {"conv1", "fc"}
        assert not left & {"block.conv2", "block.conv3"}
    finally:
        catalogue.delete(database, other)


def test_evaluations_are_kept_one_a_kind(database: Database, child: str) -> None:
    figures = {
        "split": "test",
        "accuracy": 0.9,
        "epoch_seconds": 1.5,
        "seed": 0,
        "device": "cpu",
        "per_class": {"a": 1.0},
    }
    judged = {"part": "test", "images": 12, "taken_from": "val", "trained_on": "possibly"}
    better = figures | {"accuracy": 0.95, "images": 12, "images_from": judged}
    first = store_evaluation(database, child, Evaluation.of(figures))
    assert store_evaluation(database, child, Evaluation.of(better)) == first
    assert store_evaluation(database, child, Evaluation.of(figures | {"accuracy": 0.99}, control=True)) != first
    found = lineage(database, child).as_json()["evaluations"]
    assert [(row["accuracy"], row["control"]) for row in found] == [(0.95, False), (0.99, True)]
    assert found[0]["epoch_seconds"] == 1.5
    assert [row["images_from"] for row in found] == [judged, None]  # None as before figures said it
    assert found[1]["name"] == "test 99.0% (control)"
    listed = {row["model"]: row for row in catalogue.list_models(database)}
    assert listed[child]["accuracy"] == 0.95
    with pytest.raises(NotFoundError):
        store_evaluation(database, "nobody/nothing", Evaluation.of(figures))


def test_evaluations_of_other_data_and_of_other_children_stand_beside_each_other(database: Database) -> None:
    key = write_network(database, small_network(3), "lineage-judged")["model"]
    try:
        old = store_evaluation(database, key, Evaluation.of({"accuracy": 0.1}))  # before there were children, data
        assert evaluations_of(database, key, run=None, child="me/a")[0].figures["accuracy"] == 0.1
        own = database.read("MATCH (m:Model {key: $key}) RETURN m.dataset AS data", key=key)[0]["data"]
        figures: dict[str, Any] = {"split": "test", "seed": 0, "device": "cpu", "run": None}
        keys = {old}
        for child, data, accuracy in ((key, own, 0.9), ("me/a", own, 0.2), ("me/a", "other", 0.3), ("me/b", own, 0.4)):
            judged = Evaluation.of({"accuracy": accuracy}, **figures, child=child, data=data)
            keys.add(store_evaluation(database, key, judged))
        assert len(keys) == 5
        assert [one.figures["accuracy"] for one in evaluations_of(database, key, run=None, child="me/a")] == [0.2, 0.3]
        assert [one.figures["accuracy"] for one in evaluations_of(database, key, run=None, child="me/c")] == [0.1]
        listed = {row["model"]: row for row in catalogue.list_models(database)}
        assert listed[key]["accuracy"] == 0.9  # of its own making, on its own data
        told = lineage(database, key).as_json()["evaluations"]
        store_evaluation(database, key, Evaluation.of({"accuracy": 0.4}, **figures, child="me/b", data=own))
        assert lineage(database, key).as_json()["evaluations"] == told  # the same again: nothing, nor the time
    finally:
        catalogue.delete(database, key)
