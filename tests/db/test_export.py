"""Exports of a small net and of the golden import, read back by networkx and by pyarrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow.parquet as pq
import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.export import FORMATS, GraphPart, export
from cnngraph.database.reader import read_network
from cnngraph.database.writer import write_network
from cnngraph.errors import CnngraphError, ConflictError, NotFoundError, UsageError
from cnngraph.network.cnn2multilayer import read_gexf
from cnngraph.network.interchange import to_networkx
from tests.synthetic import small_network

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
def small(database: Database) -> Iterator[str]:
    yield from stored(database, "export-small", kernels=True)


@pytest.fixture(scope="module")
def twin(database: Database) -> Iterator[str]:
    """The same net under another name."""
    yield from stored(database, "export-twin", kernels=True)


def stored(database: Database, name: str, **options: Any) -> Iterator[str]:
    key = write_network(database, small_network(0, **options), name)["model"]
    yield key
    catalogue.delete(database, key)


def read_graph(format_: str, path: Path) -> Any:
    if format_ == "json":
        return nx.node_link_graph(json.loads(path.read_text()), edges="edges")
    return nx.read_gexf(path) if format_ == "gexf" else nx.read_graphml(path)


def as_text(graph: Any) -> tuple[dict[str, Any], list[Any]]:
    nodes = {str(name): {k: v for k, v in row.items() if k != "label"} for name, row in graph.nodes(data=True)}
    edges = [(str(a), str(b), {k: v for k, v in row.items() if k != "id"}) for a, b, row in graph.edges(data=True)]
    return nodes, sorted(edges, key=repr)


@pytest.mark.parametrize("format_", ["gexf", "graphml", "json"])
@pytest.mark.parametrize(("view", "class_"), [("positions", "1"), ("channels", "mean"), ("both", "mean")])
def test_round_trip(database: Database, small: str, tmp_path: Path, format_: str, view: str, class_: str) -> None:
    out = tmp_path / f"graph.{format_}"
    written = export(database, small, format_, out, GraphPart(view, class_))
    graph = read_graph(format_, out)
    assert as_text(graph) == as_text(to_networkx(read_network(database, small), view, class_))
    assert (written["nodes"], written["relationships"]) == (graph.number_of_nodes(), graph.number_of_edges())
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_parquet(database: Database, small: str, tmp_path: Path) -> None:
    export(database, small, "parquet", tmp_path / "out", GraphPart(class_="1"))
    network = read_network(database, small)
    tables = {path.stem: pq.read_table(path) for path in (tmp_path / "out").iterdir()}
    assert set(tables) == {
        "Model",
        "Layer",
        "FEEDS",
        "FeatureMap",
        "CONNECTS",
        "RESEMBLES",
        "Position",
        "ARC",
        "Class",
        "Block",
        "Tensor",
        "CouplingGroup",
    }
    assert tables["Block"]["layers"].to_pylist() == network.blocks["layers"].to_pylist()
    assert tables["Tensor"]["data"].to_pylist() == network.tensors["data"].to_pylist()
    assert tables["Position"]["activation"].to_pylist() == network.positions["activation"].to_pylist()
    assert tables["FeatureMap"]["strengthIn"].to_pylist() == network.feature_maps["strength_in"].to_pylist()
    assert tables["CONNECTS"]["kernel"].to_pylist() == network.connects["kernel"].to_pylist()
    weights = {row["number"]: row["activation"] for row in network.positions.to_pylist()}
    assert all(row["weight"] == weights[row["source"]][1] for row in tables["ARC"].to_pylist())
    assert tables["Model"].to_pylist()[0]["key"] == small


def test_nothing_but_names_depends_on_the_run(database: Database, small: str, twin: str, tmp_path: Path) -> None:
    for key, folder in ((small, "a"), (twin, "b")):
        export(database, key, "parquet", tmp_path / folder)
    first, second = ({path.name: path for path in (tmp_path / folder).iterdir()} for folder in "ab")
    assert set(first) == set(second)
    for name in first:
        if name != "Model.parquet":
            assert first[name].read_bytes() == second[name].read_bytes()
    models = [pq.read_table(folder["Model.parquet"]).to_pylist()[0] for folder in (first, second)]
    differing = {column for column in models[0] if models[0][column] != models[1][column]}
    assert differing <= {"key", "name", "createdAt", "savedSha256"}
    for format_ in ("gexf", "graphml", "json"):
        for key, name in ((small, "a"), (twin, "b")):
            export(database, key, format_, tmp_path / f"{name}.{format_}")
        assert (tmp_path / f"a.{format_}").read_bytes() == (tmp_path / f"b.{format_}").read_bytes()


def test_layers_between(database: Database, small: str, tmp_path: Path) -> None:
    export(database, small, "parquet", tmp_path / "out", GraphPart(layers="conv1..block.conv2"))
    names = pq.read_table(tmp_path / "out" / "Layer.parquet")["layer"].to_pylist()
    assert names == ["conv1", "relu", "pool", "block.conv2"]
    for table, ends in (("ARC", ()), ("FEEDS", ("source", "target")), ("CONNECTS", ("sourceLayer", "targetLayer"))):
        rows = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
        assert rows
        assert all(row[end] in names for row in rows for end in ends)


def test_the_import_equals_the_authors_file(database: Database, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "cnn2multilayer-cifar10"
    network = read_gexf(golden / "graph.gexf.gz", [str(golden / "class_*.csv")])
    key = write_network(database, network, "export-golden")["model"]
    export(database, key, "gexf", tmp_path / "graph.gexf")
    ours, theirs = nx.read_gexf(tmp_path / "graph.gexf"), nx.read_gexf(golden / "graph.gexf.gz")
    assert set(ours.edges) == set(theirs.edges)
    assert ours.number_of_edges() == theirs.number_of_edges() == 17877
    assert set(ours) == set(theirs)
    for name, row in theirs.nodes(data=True):
        assert row.items() <= ours.nodes[name].items()


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_that_is_there_is_replaced(database: Database, small: str, tmp_path: Path, format_: str) -> None:
    out = tmp_path / "deep" / "out"
    export(database, small, format_, out)
    export(database, small, format_, out, None if format_ == "neo4j-admin" else GraphPart("positions"))
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    if format_ == "parquet":
        assert not (out / "FeatureMap.parquet").exists()


def test_wrong_choices(database: Database, small: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="format 'gefx'"):
        export(database, small, "gefx", out)
    with pytest.raises(NotFoundError, match="no class"):
        export(database, small, "gexf", out, GraphPart(class_="dog"))
    with pytest.raises(NotFoundError, match="no layer"):
        export(database, small, "gexf", out, GraphPart(layers="conv1..conv9"))
    with pytest.raises(NotFoundError):
        export(database, "tester/absent", "gexf", out)
    assert not out.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for theirs in ("mine", "mine/thesis.txt"):
        with pytest.raises(ConflictError, match="is no export"):
            export(database, small, "parquet", tmp_path / theirs)
    with pytest.raises(CnngraphError, match="cannot be written"):
        export(database, small, "json", tmp_path / "mine" / "thesis.txt" / "below")


def test_relationships_are_chosen(database: Database, small: str, tmp_path: Path) -> None:
    """RESEMBLES only where it is asked for, its correlation as the weight; each type says what it means and counts."""
    network = read_network(database, small)
    for chosen in (None, ("RESEMBLES",), ("ARC", "RESEMBLES")):
        report = export(database, small, "graphml", tmp_path / "graph.graphml", GraphPart(relationships=chosen))
        graph = nx.read_graphml(tmp_path / "graph.graphml")
        kinds = [kind for _, _, kind in graph.edges(data="kind")]
        assert set(kinds) == set(chosen or ["ARC", "CONNECTS", "FEEDS"])
        assert all(isinstance(weight, float) for _, _, weight in graph.edges(data="weight"))
        assert [entry["edges"] for entry in report["weights"]] == [
            kinds.count(entry["relationship"]) for entry in report["weights"]
        ]
        assert graph.is_directed() == report["directed"] == (chosen != ("RESEMBLES",))
    correlations = sorted(weight for _, _, weight, kind in _kinds(graph) if kind == "RESEMBLES")
    assert correlations == sorted(network.resembles["correlation"].to_pylist())
    export(database, small, "parquet", tmp_path / "out", GraphPart(relationships=("CONNECTS",)))
    names = {path.stem for path in (tmp_path / "out").iterdir()}
    assert "CONNECTS" in names and not names & {"ARC", "FEEDS", "RESEMBLES"}


def _kinds(graph: Any) -> list[tuple[Any, Any, float, str]]:
    return [(a, b, row["weight"], row["kind"]) for a, b, row in graph.edges(data=True)]


def test_command(database: Database, command: Callable[..., Any], small: str, tmp_path: Path) -> None:
    out = tmp_path / "graph.gexf"
    chosen = ("--format", "gexf", "--view", "positions", "--class", "1", "--layers", "conv1..block.conv2")
    done = command("export", "export-small", *chosen, "--out", out, "--json")
    assert done.code == 0, done.err
    graph = nx.read_gexf(out)
    assert done.json["nodes"] == graph.number_of_nodes() > 0
    assert {row["layer_name"] for _, row in graph.nodes(data=True)} == {"conv1", "block.conv2"}
    assert [entry["relationship"] for entry in done.json["weights"]] == ["ARC"]
    said = command("export", "export-small", "--format", "json", "--relationships", "RESEMBLES,ARC", "--out", out)
    assert said.code == 0, said.err
    assert "weight of RESEMBLES: the correlation of the two maps" in said.err and "no direction" in said.err
    weights = [edge["weight"] for edge in json.loads(out.read_text())["edges"]]
    assert ("Weights that are negative" in said.err) == (min(weights) < 0)
    for wrong in (("--relationships", "RESEMBLE"), ("--format", "onnx", "--relationships", "ARC")):
        assert command("export", "export-small", *wrong, "--out", tmp_path / "no").code == 2
