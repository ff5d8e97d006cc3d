"""``measure --measure car``: golden numbers out of the graph, interruptions, coupled filters, what travels, faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from cnngraph.api import Graph
from cnngraph.console import Quiet
from cnngraph.database.connection import Database
from cnngraph.errors import ConflictError, NotFoundError, OptionError, PlanError
from cnngraph.jobs import measure_car
from cnngraph.network.bundle import read_bundle
from cnngraph.settings import load_settings

pytestmark = pytest.mark.db
Run = Callable[..., Any]

# methods.md, section 2: features relu(x), W = I3, b = 0; a picture has one colour, 100 times these values.
GOLDEN = {"a": (5, (2, 1, 0)), "b": (3, (0, 2, 1)), "c": (2, (1, 0, 2))}
NETS = """
import torch
from torch import nn

def golden(classes, filters=3):
    conv, dense = nn.Conv2d(3, filters, 1, bias=False), nn.Linear(filters, classes)
    with torch.no_grad():
        conv.weight.copy_(torch.eye(filters, 3)[:, :, None, None])  # a fourth filter is dead
        dense.weight.copy_(torch.eye(classes, filters))
        dense.bias.zero_()
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense)

def dead(classes):
    return golden(classes, filters=4)

def tied(classes):
    return nn.Sequential(nn.Conv2d(3, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


class Notes(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def graph(database: Database) -> Graph:
    return Graph(database, load_settings())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Pictures of the golden data, all of which are judged; nets in a module found there, and by this process."""
    made = tmp_path_factory.mktemp("golden")
    (made / "golden_nets.py").write_text(NETS)
    draw(made / "data", GOLDEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made)
        yield made


def draw(folder: Path, classes: Mapping[str, tuple[int, tuple[int, ...]]], *, judged: str = "abcd") -> None:
    for name, (count, values) in classes.items():
        for part in ["train", "test", *(["val"] if name in judged else [])]:
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                colour = tuple(100 * value for value in values)
                Image.new("RGB", (4, 4), colour).save(folder / part / name / f"{number}.png")


def ingest(command: Run, folder: Path, net: str, data: str, name: str) -> None:
    arguments = ("--data", f"folder:{folder / data}", "--size", 4, "--mean", "0,0,0", "--std", "1,1,1")
    done = command("ingest", f"python:golden_nets:{net}", *arguments, "--name", name, cwd=folder)
    assert done.code == 0, done.err


def maps_of(database: Database, key: str) -> dict[tuple[str, int], tuple[float, list[float]]]:
    rows = database.read(
        "MATCH (f:FeatureMap {model: $key}) WHERE f.car IS NOT NULL "
        "RETURN f.layer AS layer, f.channel AS channel, f.car AS car, f.carByClass AS classes",
        key=key,
    )
    return {(row["layer"], row["channel"]): (row["car"], row["classes"]) for row in rows}


def test_golden_numbers_stand_in_the_graph(command: Run, graph: Graph, folder: Path) -> None:
    ingest(command, folder, "golden", "data", "car-golden")
    before = command("query", "filters-of-class", "--model", "car-golden")
    assert (before.code, before.out) == (0, "")
    assert "cnngraph measure car-golden --measure car" in before.err
    notes = Notes()
    found = graph.measure("car-golden", "car", progress=notes)
    assert [(row.layer, row.theta, row.car) for row in found.layers] == [("0", None, (0.5, 0.3, 0.2))]
    assert found.layers[0].value == pytest.approx(1 / 3)
    assert found.layers[0].by_class == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert (found.baseline, found.images, found.class_images) == (1.0, 10, {"a": 5, "b": 3, "c": 2})
    assert any("steps of 10 points" in note for note in notes.said)
    assert any("3 times without a filter" in note for note in notes.said)

    (run,) = graph.database.read(
        "MATCH (m:Model {key: $key})-[:CURRENT {measure: 'car'}]->(r)-[s:SCORED]->(l:Layer) "
        "RETURN r.key AS key, r.classImages AS images, l.layer AS layer, s.value AS value, s.theta AS theta",
        key=found.model,
    )
    assert run == {"key": found.key, "images": [5, 3, 2], "layer": "0", "value": found.layers[0].value, "theta": None}
    for car, by_class in maps_of(graph.database, found.model).values():
        mean = sum(n * one for n, one in zip(run["images"], by_class, strict=True)) / 10
        assert car == pytest.approx(mean, abs=1e-12)
    serves = graph.database.read(
        "MATCH (f:FeatureMap {model: $key})-[s:SERVES {rank: 1}]->(c) "
        "RETURN f.channel AS channel, c.name AS class, s.reduction AS reduction ORDER BY channel",
        key=found.model,
    )
    assert [tuple(row.values()) for row in serves] == [(0, "a", 1.0), (1, "b", 1.0), (2, "c", 1.0)]


def test_queries_and_json_say_the_same(command: Run, graph: Graph, folder: Path) -> None:
    ingest(command, folder, "dead", "data", "car-queries")
    done = command("measure", "car-queries", "--measure", "car", "--measure", "magnitude", "--json", cwd=folder)
    assert done.code == 0, done.err
    car, magnitude = done.json["runs"]
    assert (car["measure"], car["reference"], magnitude["layers"][0]["theta"]) == ("car", None, 1.0)
    assert car["layers"] == [{"layer": "0", "value": 0.25, "theta": None, "car": [0.5, 0.3, 0.2, 0.0]}]
    ask: Callable[..., Any] = lambda stem, **how: graph.query(stem, model="car-queries", parameters=how)  # noqa: E731
    (row,) = ask("filters-of-class", **{"class": "b"})
    assert row == {"class": "b", "layer": "0", "channel": 1, "reduction": 1.0, "car": 0.3, "rank": 1}
    served = ask("classes-of-filter", layer="0", channel=2)
    assert [(row["class"], row["reduction"], row["rank"]) for row in served] == [("c", 1, 1), ("a", 0, 2), ("b", 0, 2)]
    assert ask("classes-of-filter")[0]["channel"] == 0  # the filter of the largest CAR
    (row,) = ask("redundant-filters")
    assert (row["channel"], row["car"], row["twin_channel"]) == (3, 0.0, None)
    assert len(ask("redundant-filters", at_most=0.3)) == 3
    # The newest run has no thetas, so that another says how large a layer is drawn.
    assert [row["theta"] for row in ask("overview") if row["layer"] == "0"] == [1.0]
    refused = command("plan", "car-queries", "--measure", "car")
    assert (refused.code, refused.out) == (2, "")
    assert "has no theta" in refused.err and "--method car" in refused.err


def test_a_class_without_images_and_another_part(command: Run, graph: Graph, folder: Path) -> None:
    draw(folder / "partly" / "data", GOLDEN, judged="ab")
    ingest(command, folder, "golden", "partly/data", "car-partly")
    notes = Notes()
    found = graph.measure("car-partly", "car", layer="0", progress=notes)
    assert found.class_images == {"a": 5, "b": 3, "c": 0}
    assert found.layers[0].car == (0.625, 0.375, 0.0)
    assert found.layers[0].by_class == ((1, 0, None), (0, 1, None), (0, 0, None))
    assert any("no image of the class c" in note for note in notes.said)
    assert all(math.isnan(classes[2]) for _, classes in maps_of(graph.database, found.model).values())
    count = "MATCH (:FeatureMap {model: $key})-[s:SERVES]->(c) RETURN collect(DISTINCT c.name) AS names, count(s) AS n"
    (row,) = graph.database.read(count, key=found.model)
    assert (sorted(row["names"]), row["n"]) == (["a", "b"], 4)  # the last filter serves neither more
    assert graph.query("filters-of-class", model="car-partly", parameters={"class": "c"}) == []
    assert [row["class"] for row in graph.query("classes-of-filter", model="car-partly")] == ["a", "b"]

    out = folder / "partly" / "bundle"
    graph.export("car-partly", out, format="bundle")
    assert read_bundle(out).reductions["car_by_class"].to_pylist()[0] == [1.0, 0.0, None]
    graph.export("car-partly", folder / "partly" / "parquet", format="parquet")
    exported = pq.read_table(folder / "partly" / "parquet" / "FeatureMap.parquet").to_pylist()
    assert [row["carByClass"] for row in exported if row["car"] is not None] == [
        list(one) for one in found.layers[0].by_class
    ]

    other = graph.measure("car-partly", "car", judged_on="train")
    assert other.key != found.key
    assert other.layers[0].car == (0.5, 0.3, 0.2)
    assert all(not math.isnan(classes[2]) for _, classes in maps_of(graph.database, found.model).values())
    (row,) = graph.database.read(count, key=found.model)
    assert row["n"] == 9
    assert graph.measure("car-partly", "car").layers == found.layers  # measured again: what stood there went


def test_what_stood_there_goes_with_the_first_layer_of_another_run(command: Run, graph: Graph, folder: Path) -> None:
    ingest(command, folder, "golden", "data", "car-twice")
    found = graph.measure("car-twice", "car")
    before = maps_of(graph.database, found.model)
    with pytest.raises(PlanError, match="nothing was measured"):
        graph.measure("car-twice", "car", judged_on="train", minutes=1e-9)
    assert maps_of(graph.database, found.model) == before
    assert graph.measure("car-twice", "car").key == found.key

    state = measure_car.read_state(graph.database, found.model)
    other = graph.measure("car-twice", "car", judged_on="train")
    late = replace(found, layers=())
    with pytest.raises(ConflictError, match="is measured on other images now"):  # the first, still going on
        measure_car.store_layer(graph.database, late, state, found.layers[0], {}, begins=False)
    scored = "MATCH (:Model {key: $key})<-[:OF]-(r:MeasureRun)-[:SCORED]->() RETURN collect(DISTINCT r.key) AS keys"
    assert graph.database.read(scored, key=found.model) == [{"keys": [other.key]}]


def test_it_travels_in_a_bundle(command: Run, graph: Graph, folder: Path) -> None:
    ingest(command, folder, "golden", "data", "car-travels")
    bare = folder / "bare"
    graph.export("car-travels", bare, format="bundle")
    assert not (bare / "reductions.parquet").exists()  # what a bundle of an earlier version has
    found = graph.measure("car-travels", "car")
    full = folder / "full"
    assert command("export", "car-travels", "--format", "bundle", "--out", full, cwd=folder).code == 0
    done = command("ingest", full, "--name", "car-arrived", "--json", cwd=folder)
    assert done.code == 0, done.err
    arrived = done.json["model"]
    tables = graph.read("car-travels").tables()
    assert all(table.equals(tables[name]) for name, table in graph.read("car-arrived").tables().items())
    assert tables["serves"].num_rows == 9
    again = graph.measure("car-arrived", "car")
    assert (again.layers, again.key) == (found.layers, found.key.replace(found.model, arrived))

    # A model that is there already gets what was measured elsewhere; it stays the same model.
    assert command("ingest", bare, "--name", "car-later", cwd=folder).code == 0
    before = graph.show("car-later")
    assert command("ingest", full, "--name", "car-later", cwd=folder).code == 0
    assert graph.show("car-later") == before | {"measure_runs": 1}
    assert maps_of(graph.database, "tester/car-later") == maps_of(graph.database, found.model)


def test_coupled_filters_and_an_interruption(
    command: Run, graph: Graph, monkeypatch: pytest.MonkeyPatch, server: Any
) -> None:
    arguments = ("--width", 0.25, "--data", "digits", "--view", "channels", "--images-per-class", 20)
    for name in ("car-whole", "car-killed"):
        assert command("ingest", "cnngraph:resnet20", *arguments, "--name", name).code == 0
    whole = graph.measure("car-whole", "car")
    store, judge, stored, judged = measure_car.store_layer, measure_car._Work._judge, 0, []

    def interrupted(*given: Any, **how: Any) -> None:
        nonlocal stored
        if stored == 3:
            raise KeyboardInterrupt
        store(*given, **how)
        stored += 1

    def counted(work: Any, ablate: Any, layer: str, groups: Any) -> Any:
        judged.append(layer)
        return judge(work, ablate, layer, groups)

    monkeypatch.setattr(measure_car, "store_layer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        graph.measure("car-killed", "car")
    monkeypatch.setattr(measure_car, "store_layer", store)
    monkeypatch.setattr(measure_car._Work, "_judge", counted)
    found = graph.measure("car-killed", "car")
    done = {row.layer for row in whole.layers[:3]}
    assert judged and not done & set(judged)
    assert found.layers == whole.layers
    assert maps_of(graph.database, found.model) == maps_of(graph.database, whole.model)
    judged.clear()
    assert graph.measure("car-killed", "car", layer=["conv1"]).layers == whole.layers[:1]
    assert judged == []

    groups = graph.database.read(
        "MATCH (f:FeatureMap {model: $key})-[:COUPLED_IN]->(g) WHERE f.car IS NOT NULL "
        "RETURN g.index AS index, count(DISTINCT f.layer) AS layers, count(DISTINCT f.car) AS values",
        key=found.model,
    )
    assert {row["values"] for row in groups} == {1}
    assert max(row["layers"] for row in groups) > 3


def test_one_class_is_refused_before_there_is_a_model(command: Run, folder: Path, server: Any) -> None:
    draw(folder / "one", {"a": (4, (2, 1, 0))})
    done = command(
        "ingest", "python:golden_nets:golden", "--data", "folder:one", "--size", 4, "--name", "car-one", cwd=folder
    )
    assert (done.code, done.out) == (1, "")
    assert "has only one class: a" in done.err


def test_bad_input_is_said_in_a_line(command: Run, graph: Graph, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(command, folder, "golden", "data", "car-bad")
    for layer in ("9", "1", "4"):  # not there; no conv; the output
        with pytest.raises(NotFoundError, match=f"no layer '{layer}' with filters"):
            graph.measure("car-bad", "car", layer=layer)
    ingest(command, folder, "tied", "data", "car-tied")
    for layer in ((), ("0",)):
        with pytest.raises(PlanError, match=r"No filter of 0 can go: .*\. Name another layer"):
            graph.measure("car-tied", "car", layer=layer)
    for options, said in (
        ({"aggregate": "sum"}, "aggregate belongs to measures that rank layers, not to car"),
        ({"judged_on": "test"}, "no judged on 'test'"),
        ({"minutes": float("nan")}, "out of range"),
        ({"device": "tpu"}, "no device 'tpu'"),
        ({"layers": "0"}, "no option 'layers'"),
    ):
        with pytest.raises(OptionError, match=said):
            graph.measure("car-bad", "car", **options)  # type: ignore[call-overload]
    with pytest.raises(OptionError, match="layer belongs to the measure car"):
        graph.measure("car-bad", "degree", layer="0")  # type: ignore[call-overload]
    with pytest.raises(PlanError, match=r"do not reach for 0: nothing was measured"):
        graph.measure("car-bad", "car", minutes=1e-9)
    assert maps_of(graph.database, "tester/car-bad") == {}
    preview = graph.preview_measure("car-bad", "car")
    assert preview["would_write"] == {"measure_runs": 1, "scored": 1, "scores": 3, "serves_at_most": 9}
    store = measure_car.store_layer

    def replaced(database: Database, *given: Any, **how: Any) -> None:
        database.write("MATCH (m:Model {key: 'tester/car-bad'}) SET m.fingerprint = 'another'")
        store(database, *given, **how)

    monkeypatch.setattr(measure_car, "store_layer", replaced)
    with pytest.raises(ConflictError, match="replaced or deleted while it was measured"):
        graph.measure("car-bad", "car")
    assert maps_of(graph.database, "tester/car-bad") == {}
