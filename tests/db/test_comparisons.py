"""Comparisons in the graph: there once, never overwritten, whole or not at all, and nobody else's node changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cnngraph.database import catalogue
from cnngraph.database.comparisons import (
    SimilarLayers,
    StoredComparison,
    comparison_key,
    find_survivors,
    store_comparison,
)
from cnngraph.database.connection import Database, connect
from cnngraph.database.lineage import store_produced, store_pruning_run
from cnngraph.database.writer import write_network
from cnngraph.errors import ConflictError, NotFoundError
from cnngraph.plan import Plan, Removal
from cnngraph.settings import load_settings
from tests.synthetic import small_network

pytestmark = pytest.mark.db

LAYERS = (
    SimilarLayers("conv1", "conv1", 0.75, 0.25, "unbiased", 64, 8, "name"),
    SimilarLayers("relu", "relu", None, None, "unbiased", 64, 8, "name"),
    SimilarLayers("conv1", "block.conv2", 0.5, 0.25, "unbiased", 8, 8),
)


@pytest.fixture
def models(database: Database) -> Iterator[tuple[str, str]]:
    keys = [write_network(database, small_network(seed), f"compared-{seed}")["model"] for seed in (0, 1)]
    yield keys[0], keys[1]
    for key in keys:
        if catalogue.properties(database, key):
            catalogue.delete(database, key)


def found(models: tuple[str, str], **about: Any) -> StoredComparison:
    return StoredComparison(*models, "cka", about, {"images": 8, "seed": 0, "mean": None}, LAYERS)


def similar(db: Database, key: str) -> list[dict[str, Any]]:
    return db.read(
        "MATCH (a:Layer)-[s:SIMILAR {comparison: $key}]->(b:Layer) "
        "RETURN a.model AS a, a.layer AS layer_a, b.model AS b, b.layer AS layer_b, properties(s) AS s "
        "ORDER BY layer_a, layer_b",
        key=key,
    )


def node(db: Database, key: str) -> list[dict[str, Any]]:
    return db.read(
        "MATCH (c:Comparison {key: $key})-[of:OF]->(m:Model) "
        "RETURN properties(c) AS c, of.side AS side, m.key AS model ORDER BY side",
        key=key,
    )


def test_it_is_there_once_and_stays_as_it_is(database: Database, models: tuple[str, str]) -> None:
    key = store_comparison(database, found(models, images="x"))
    first = (node(database, key), similar(database, key))
    assert [(row["side"], row["model"]) for row in first[0]] == [("a", models[0]), ("b", models[1])]
    properties = first[0][0]["c"]
    assert properties["name"] == "cka compared-0 ~ compared-1"
    assert (properties["owner"], properties["images"], properties["seed"]) == ("tester", 8, 0)
    assert "mean" not in properties
    assert [(row["layer_a"], row["layer_b"], row["s"].get("value")) for row in first[1]] == [
        ("conv1", "block.conv2", 0.5),
        ("conv1", "conv1", 0.75),
        ("relu", "relu", None),
    ]
    assert first[1][1]["s"] == {
        "comparison": key,
        "measure": "cka",
        "value": 0.75,
        "null": 0.25,
        "estimator": "unbiased",
        "points": 64,
        "images": 8,
        "matchedBy": "name",
    }
    again = replace(found(models, images="x"), layers=[replace(LAYERS[0], value=0.1), *LAYERS[1:]])
    assert store_comparison(database, again) == key
    assert (node(database, key), similar(database, key)) == first
    later = store_comparison(database, found(models, images="y"))
    assert later != key
    assert similar(database, key) == first[1]
    assert len(similar(database, later)) == 3
    assert catalogue.show(database, models[0])["comparisons"] == 2


def test_nothing_half_stored(database: Database, models: tuple[str, str]) -> None:
    wrong = replace(found(models), layers=[*LAYERS, replace(LAYERS[0], b="absent")])
    with pytest.raises(ConflictError, match="other layers in the database"):
        store_comparison(database, wrong)
    assert node(database, comparison_key(database, wrong)) == []
    with pytest.raises(NotFoundError):
        store_comparison(database, found((models[0], "tester/absent")))
    database.write("MATCH (m:Model {key: $key}) SET m.status = 'loading'", key=models[1])
    with pytest.raises(ConflictError, match="not complete"):
        store_comparison(database, found(models))
    assert catalogue.show(database, models[0])["comparisons"] == 0


def test_somebody_elses_model_gets_relationships_alone(database: Database, models: tuple[str, str]) -> None:
    def nodes() -> list[dict[str, Any]]:
        return database.read(
            "MATCH (n) WHERE n.model IN $keys OR n.key IN $keys RETURN elementId(n) AS id, labels(n) AS labels, "
            "properties(n) AS p ORDER BY id",
            keys=list(models),
        )

    before = nodes()
    with connect(load_settings(owner="ada")) as hers:
        key = store_comparison(hers, found(models))
        assert key.startswith("ada/compare/")
        assert node(hers, key)[0]["c"]["owner"] == "ada"
    assert nodes() == before
    mine = store_comparison(database, found(models))
    assert mine != key
    assert len(similar(database, mine)) == len(similar(database, key)) == 3


def test_it_goes_with_either_model(database: Database, models: tuple[str, str]) -> None:
    key = store_comparison(database, found(models))
    assert catalogue.delete(database, models[1], dry_run=True)["comparisons"] == 1
    catalogue.delete(database, models[1])
    assert node(database, key) == similar(database, key) == []
    assert catalogue.show(database, models[0])["comparisons"] == 0


def test_what_survives_through_models_between(database: Database, models: tuple[str, str]) -> None:
    third = write_network(database, small_network(2), "compared-2")["model"]
    try:
        for parent, child, left in (
            (*models, {"conv1": "conv1", "relu": "relu", "block.conv2": "block.conv2"}),
            (models[1], third, {"conv1": "conv1", "relu": "relu"}),
        ):
            run = store_pruning_run(database, Plan(model=parent, removes=(Removal(layer="block.conv3"),)))
            store_produced(database, run, child, parent, left)
        assert find_survivors(database, models[0], third) == {"conv1": "conv1", "relu": "relu"}
        assert find_survivors(database, third, models[0]) == {}
    finally:
        catalogue.delete(database, third)
