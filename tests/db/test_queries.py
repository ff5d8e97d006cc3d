"""Every saved query at the size of VGG16 at 224, on a small net, on an import, and the reading of a person's Cypher."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from neo4j.graph import Node, Path, Relationship

from cnngraph.database import catalogue, queries
from cnngraph.database.comparisons import SimilarLayers, StoredComparison, store_comparison
from cnngraph.database.connection import Database
from cnngraph.database.criticality import CriticalityRecord, store_criticality
from cnngraph.database.lineage import store_evaluation, store_produced, store_pruning_run
from cnngraph.database.records import Evaluation
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import DatabaseError, NotFoundError, UsageError
from cnngraph.measures.registry import measure
from cnngraph.network.tables import SCHEMAS, Network
from cnngraph.plan import Plan, Removal
from tests.synthetic import small_network, vgg16_224, vgg16_positions, with_car

pytestmark = pytest.mark.db

STEMS = [query.stem for query in queries.saved()]
MOST_NODES = 300
MOST_SECONDS = 15  # a second or two where the machine is free
ALIKE = 5


def with_channels(network: Network) -> Network:
    """Give a synthetic VGG16 maps, the 16 strongest connections of each, and five twins each within and across."""
    random = np.random.default_rng(0)
    layers = network.layers.to_pylist()
    widths = [row["out_channels"] for row in layers]
    names = [row["layer"] for row in layers]
    maps = [(place, channel) for place, width in enumerate(widths) for channel in range(width)]
    values = random.random((len(maps), network.classes.num_rows))
    connects = [
        (place - 1, before, place, channel, before)
        for place, channel in maps
        if place
        for before in sorted(random.choice(widths[place - 1], min(16, widths[place - 1]), replace=False).tolist())
    ]
    twins = sorted(
        {(place, c, place, c + step) for place, c in maps for step in range(1, ALIKE + 1) if c + step < widths[place]}
        | {
            (place, c, place + 1, (c + step) % widths[place + 1])
            for place, c in maps
            for step in range(min(ALIKE, widths[place]))
            if place + 1 < len(widths)
        }
    )
    return replace(
        network.with_details(view="both"),
        blocks=table(
            "blocks",
            [
                {"index": place, "name": name, "kind": "chain", "entry": before, "exit": name, "layers": [name]}
                | {"module": None, "parent": None}
                for place, (before, name) in enumerate(pairwise(names))
            ],
        ),
        coupling_groups=table(
            "coupling_groups",
            [
                {"index": 0, "layers": names[:1], "channels": [0], "fixed": "they are all that it has"},
                {"index": 1, "layers": [names[1]] * widths[1] + [names[13]] * 400, "fixed": None}
                | {"channels": [*range(widths[1]), *range(400)]},
            ],
        ),
        feature_maps=table(
            "feature_maps",
            [
                {"layer": names[place], "channel": channel, "l1": 1.0, "l2": 1.0, "activation": row, "apoz": 0.5}
                | {"strength_in": 1.0, "strength_out": 1.0}
                for (place, channel), row in zip(maps, values.tolist(), strict=True)
            ],
        ),
        connects=table(
            "connects",
            [ends(names, row[:4]) | {"channel": row[4], "weight": random.random()} for row in connects],
        ),
        resembles=table(
            "resembles",
            [
                ends(names, row)
                | {"correlation": random.uniform(-1, 1), "scope": "within" if row[0] == row[2] else "across"}
                for row in twins
            ],
        ),
    )


def ends(names: list[str], row: tuple[int, ...]) -> dict[str, Any]:
    keys = ("source_layer", "source_channel", "target_layer", "target_channel")
    return dict(zip(keys, (names[row[0]], row[1], names[row[2]], row[3]), strict=True))


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMAS[name])


def critical(model: str, block: str, layer: str = "") -> tuple[str, CriticalityRecord]:
    """A model, and that it does nearly as well without one of its blocks, which may have no node of its own."""
    figures = {"value": 0.05, "accuracy": 0.85, "kappa": 0.8, "parent_accuracy": 0.9, "curve": (0.5, 0.85)}
    costs = {"parameters_saved": 100, "macs_saved": 1000, "seconds": 2.0, "budget": "{}", "work": "criticality-0"}
    return model, CriticalityRecord(
        block, layer or block, "tuned", 0, None, None, epochs_to_95=None, **figures, **costs
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pruned(database: Database) -> Iterator[tuple[str, str]]:
    """VGG16 at 224 with measures, a run that removes two layers, the model that it produced, and evaluations; and a run
    that prunes weights.
    """
    parent = write_network(
        database,
        with_car(with_channels(vgg16_224()), ["features.0", "features.2"]),
        "queries-vgg",
        WriteOptions(yes=True),
    )["model"]
    child = write_network(database, small_network(0), "queries-small")["model"]
    masks = [{"round": one, "layers": {"features.2": {"alive": 36_864 // 2**one, "mask": "0" * 64}}} for one in (1, 2)]
    rounds = Plan(
        model=parent,
        method="imp",
        removes=(Removal(layer="features.2", kind="weights", mask="0" * 64, alive=9_216),),
        settings={"weights": {"features.2": 36_864}, "masks": masks},
    )
    store_pruning_run(database, rounds)
    measure(database, parent, "depth")
    plan = Plan(
        model=parent,
        method="multilayer",
        removes=(
            Removal(layer="features.28", score=0.07, threshold=0.3, reason="theta 0.07 < 0.3"),
            Removal(layer="features.26", score=0.2, threshold=0.3),
        ),
    )
    store_produced(database, store_pruning_run(database, plan), child, parent, {"features.0": "conv1"})
    similar = [
        SimilarLayers("features.0", "conv1", 0.9, 0.3, "unbiased", 800, 8, "survives_as"),
        SimilarLayers("features.2", "block.conv2", 0.4, 0.2, "unbiased", 800, 8, "depth"),
        SimilarLayers("features.0", "block.conv2", 0.1, 0.1, "unbiased", 8, 8),
    ]
    store_comparison(database, StoredComparison(parent, child, "cka", {}, {"images": 8}, similar))
    for key, record in (
        critical(parent, "features.28"),
        critical(parent, "features.26"),
        critical(child, "old", "conv1"),
    ):
        store_criticality(database, key, "", record)
        store_criticality(database, key, "", replace(record, scheme="fitted", accuracy=0.9, value=0.0, failed="NaN"))
        store_criticality(database, key, "", replace(record, scheme="z-equal"))
    for key, control in ((parent, False), (parent, True), (child, False)):
        store_evaluation(
            database, key, Evaluation.of({"split": "test", "accuracy": 0.9, "control": control, "device": "cpu"})
        )
    yield parent, child
    if not database.embedded:  # that one goes with the session
        for key in (parent, child):
            catalogue.delete(database, key)


@pytest.fixture(scope="module")
def imported(database: Database) -> Iterator[str]:
    """A model that has positions alone, as an import."""
    key = write_network(database, vgg16_positions(32, classes=1), "queries-positions")["model"]
    yield key
    if not database.embedded:
        catalogue.delete(database, key)


def drawn(value: Any) -> set[str]:
    """Ids of the nodes that Browser would draw for a value."""
    if isinstance(value, list):
        return set().union(*map(drawn, value))
    if isinstance(value, Node):
        return {value.element_id}
    if isinstance(value, Relationship | Path):
        return {node.element_id for node in value.nodes if node is not None}
    return set()


def test_every_saved_query_is_documented() -> None:
    assert len(STEMS) >= 12
    for query in queries.saved():
        assert query.title
        assert query.comment
        assert "$model" in query.body
        assert all(f"${name}" in query.body for name in query.defaults)


@pytest.mark.parametrize("stem", STEMS)
def test_at_the_size_of_vgg16(database: Database, pruned: tuple[str, str], stem: str) -> None:
    query = queries.find(stem)
    begun = time.monotonic()
    rows = database.read(query.body, **query.parameters(pruned[0], {}))
    assert time.monotonic() - begun < MOST_SECONDS
    nodes = set().union(*(drawn(value) for row in rows for value in row.values()))
    assert 1 <= len(nodes) <= MOST_NODES
    figures = queries.run_query(database, stem, pruned[0], {})
    assert len(figures) == len(rows)
    assert figures[0]
    assert not any(drawn(value) for row in figures for value in row.values())
    json.dumps(figures)


@pytest.mark.parametrize("stem", STEMS)
def test_on_what_other_models_have(database: Database, pruned: tuple[str, str], imported: str, stem: str) -> None:
    """Defaults fit a pruned model and one with a single view and class; the printed text is one statement that runs."""
    for key in (pruned[1], imported):
        rows = queries.run_query(database, stem, key, {})
        text = queries.query_text(stem, key, {})
        assert ";" not in text
        assert f'// :params {{"model": "{key}"' in text
        assert len(database.read(text)) == len(rows)
    assert queries.run_query(database, stem, "tester/absent", {}) == [] or stem == "models"


def test_what_the_queries_say(database: Database, pruned: tuple[str, str]) -> None:
    parent, child = pruned

    def run(stem: str, key: str = parent, **params: Any) -> list[dict[str, Any]]:
        return queries.run_query(database, stem, key, params)

    layers = run("overview")
    assert [row["layer"] for row in layers][:3] == ["input", "features.0", "features.2"]
    assert [row["layer"] for row in layers if row["fate"] == "removed"] == ["features.26", "features.28"]
    left = [(row["round"], row["layer"], row["alive"], row["share"]) for row in run("sparsity")]
    assert left == [(1, "features.2", 18_432, 0.5), (2, "features.2", 9_216, 0.25)]
    assert run("layers-by-theta", measure="depth")[0]["layer"] == "features.28"
    assert run("layers-by-theta", measure="degree") == []
    assert [row["steps"] for row in run("neighbourhood", layer="features.7")] == [-2, -1, 0, 1, 2]
    active = run("active-maps", top=3)
    assert len(active) == 6
    assert active[0]["activation"] > active[2]["activation"] > active[5]["activation"]
    into = run("arcs-into-position", layer="features.5", x=20, y=30)
    assert len(into) == 36
    assert {row["from_layer"] for row in into} == {"features.2"}
    lit = run("class-response", **{"class": 3, "top": 1})
    assert all(row["activation"] > row["mean"] for row in lit)
    assert {row["class"] for row in lit} == {run("class-response", **{"class": lit[0]["class"]})[0]["class"]}
    assert all(row["difference"] == row["first"] - row["second"] for row in run("class-difference", second=9))
    assert all(row["layer"] == row["other_layer"] for row in run("twins-within", correlation=0.5))
    assert all(row["layer"] != row["other_layer"] for row in run("twins-across", correlation=0.5))
    along = run("goes-with-filter")
    assert len(along) == 299
    assert along == run("goes-with-filter", layer=along[70]["layer"], channel=3)
    (alone,) = run("goes-with-filter", layer="input")
    assert alone == {"layer": "input", "channel": 0, "group": 0, "size": 1, "cannot_go": "they are all that it has"}
    assert run("goes-with-filter", layer="features.2", channel=1) == []
    assert len(run("strongest-connections", layer="features.7", top=1000)) == 140
    serving = run("filters-of-class", **{"class": 3, "layer": "features.2", "top": 5})
    assert [row["layer"] for row in serving] == ["features.2"] * 5
    assert [row["reduction"] for row in serving] == sorted((row["reduction"] for row in serving), reverse=True)
    served = run("classes-of-filter", layer="features.2", channel=serving[0]["channel"])
    assert [row["reduction"] for row in served if row["class"] == serving[0]["class"]] == [serving[0]["reduction"]]
    assert len(served) == 10
    assert [row["rank"] for row in served] == [1, 2, 3, None, None, None, None, 8, 9, 10]
    free = run("redundant-filters", correlation=0.5)
    assert {row["car"] for row in free} == {0.0}
    assert len(free) == 64
    assert all(abs(row["correlation"]) >= 0.5 for row in free if row["twin_channel"] is not None)
    assert any(row["twin_channel"] is not None for row in free)
    assert [(row["block"], row["best_scheme"], row["measure"]) for row in run("criticality")] == [
        ("features.26", "tuned", "depth"),
        ("features.28", "tuned", "depth"),
    ]
    assert [row["theta"] for row in run("criticality")] == [1 / 6, 0.0]
    assert [(row["block"], row["kind"], row["theta"]) for row in run("criticality", child)] == [("old", None, None)]
    for key in pruned:
        removed = run("removed", key)
        assert [row["layer"] for row in removed] == ["features.26", "features.28"]
        assert removed[1] | {"run_key": ""} == {
            "run_key": "",
            "method": "multilayer",
            "layer": "features.28",
            "filters": [],
            "score": 0.07,
            "threshold": 0.3,
            "reason": "theta 0.07 < 0.3",
            "new_model": child,
        }
        assert [row["model"] for row in run("lineage", key)] == [parent, child]
        assert [row["which"] for row in run("before-after", key)] == ["control", "before", "after"]
        assert [(row["layer"], row["became"]) for row in run("survivors", key)] == [("features.0", "conv1")]
    for key, columns in ((parent, ("layer", "other_layer")), (child, ("other_layer", "layer"))):
        pairs = [tuple(row[name] for name in columns) for row in run("similar-layers", key)]
        assert pairs == [("features.0", "conv1"), ("features.2", "block.conv2")]
    assert run("similar-layers", comparison="ada/compare/absent") == []
    least = run("least-similar", top=1)
    assert [(row["layer"], row["value"], row["null_value"]) for row in least] == [("features.2", 0.4, 0.2)]
    chosen = [row["name"] for row in run("models") if row["chosen"]]
    assert chosen == ["queries-vgg"]


def test_wrong_parameters(database: Database) -> None:
    with pytest.raises(NotFoundError, match="Did you mean overview"):
        queries.run_query(database, "overvew", "tester/x", {})
    with pytest.raises(UsageError, match=r"no parameter 'tops'.*top"):
        queries.run_query(database, "active-maps", "tester/x", {"tops": 3})
    for value in ("many", -1, float("nan"), True, None, [1]):
        with pytest.raises(UsageError, match="not a number from 0 on"):
            queries.query_text("active-maps", "tester/x", {"top": value})


def test_printed_values_are_literals() -> None:
    text = queries.query_text("neighbourhood", "me/net", {"layer": 'a"b\\c $model'})
    assert '{model: "me/net"}' in text
    assert 'toString("a\\"b\\\\c $model")' in text


def test_a_persons_cypher(database: Database, imported: str) -> None:
    pasted = f':params {{"key": "{imported}", "index": 1}};\nMATCH (l:Layer {{model: $key, index: $index}}) RETURN l;\n'
    (row,) = queries.run_cypher(database, pasted)
    assert row["l"]["labels"] == ["Conv", "Layer"]
    assert row["l"]["layer"] == "features.0"
    (row,) = queries.run_cypher(database, pasted, {"index": 0})
    assert row["l"]["layer"] == "input"
    feeds = "MATCH p = (:Layer {model: $key, index: 0})-[f:FEEDS]->() RETURN p, {f: f} AS f"
    (row,) = queries.run_cypher(database, feeds, {"key": imported})
    assert row["f"]["f"]["type"] == "FEEDS"
    assert [part.get("layer") for part in row["p"]] == ["input", "features.0", None]


def test_a_persons_cypher_changes_nothing_unless_allowed(database: Database) -> None:
    create = "CREATE (:CnngraphQueryTest {n: 1})"
    count = "MATCH (n:CnngraphQueryTest) RETURN count(n) AS n"
    with pytest.raises(DatabaseError, match="--write"):
        queries.run_cypher(database, create)
    assert queries.run_cypher(database, count) == [{"n": 0}]
    queries.run_cypher(database, create, write=True)
    assert queries.run_cypher(database, count) == [{"n": 1}]
    batched = ":auto MATCH (n:CnngraphQueryTest) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10 ROWS;"
    queries.run_cypher(database, batched, write=True)
    assert queries.run_cypher(database, count) == [{"n": 0}]


@pytest.mark.parametrize("text", ["", " \n", "// nothing\n;", ":params {not json}\nRETURN 1"])
def test_no_cypher(database: Database, text: str) -> None:
    with pytest.raises(UsageError):
        queries.run_cypher(database, text)
