"""The files that leave, opened by other people's programs: networkx, igraph, infomap and, where it is, graph-tool."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa
import pytest

from cnngraph.network.graph_files import WRITERS
from cnngraph.network.interchange import elements
from cnngraph.network.spec import check
from cnngraph.network.tables import SCHEMAS, Details, Network

# Names that break a careless writer: a number as positions have, marks of XML, letters beyond ASCII, a bell.
FIRST, SECOND, LAST = "1", "größe \"1\" <&> '层'", "bell\x07"


def table(name: str, *rows: tuple[Any, ...]) -> pa.Table:
    columns = SCHEMAS[name].names
    return pa.Table.from_pylist([dict(zip(columns, row, strict=False)) for row in rows], schema=SCHEMAS[name])


@pytest.fixture
def network() -> Network:
    """1 -> größe -> bell, where bell reads größe twice (a*a); the arcs weigh 1, 0 and 2."""
    layers = [
        {"index": i, "layer": name, "kind": "Conv", "operation": "Conv2d", "parameters": 0, "macs": 0}
        for i, name in enumerate((FIRST, SECOND, LAST))
    ]
    one = (1.0, 1.0, [0.5], 0.0, 1.0, 1.0)
    return check(
        Network(
            details=Details("hand-made", (1, 2, 2)),
            layers=pa.Table.from_pylist(layers, schema=SCHEMAS["layers"]),
            feeds=table("feeds", (FIRST, SECOND, 0, 0, 0.0), (SECOND, LAST, 0, 0, 0.0), (SECOND, LAST, 1, 0, 0.0)),
            feature_maps=table("feature_maps", (FIRST, 0, *one), (SECOND, 0, *one), (SECOND, 1, *one), (LAST, 0, *one)),
            connects=table(
                "connects",
                (FIRST, 0, SECOND, 0, 0, 3.0),
                (SECOND, 0, LAST, 0, 0, 0.25),
                (SECOND, 0, LAST, 0, 1, 1e-300),
                (SECOND, 1, LAST, 0, 2, 0.5),
            ),
            resembles=table("resembles", (SECOND, 0, SECOND, 1, -0.5, "within"), (SECOND, 0, LAST, 0, 0.75, "across")),
            positions=table(
                "positions",
                (1, FIRST, 0, 0, [1.0], 1.0),
                (2, FIRST, 0, 1, [0.0], 0.0),
                (3, SECOND, 0, 0, [2.0], None),
                (4, LAST, 0, 0, None, None),
            ),
            arcs=table("arcs", (1, 3), (2, 3), (3, 4)),
            classes=table("classes", (0, 'Blast, no "lineage" <größe>', 5)),
        )
    )


def written(network: Network, folder: Path, format_: str, **choice: Any) -> Path:
    path = folder / f"graph.{format_}"
    with path.open("w", encoding="utf-8") as stream:
        WRITERS[format_](elements(network, **choice), stream)
    return path


def by_networkx(path: Path) -> Any:
    if path.suffix == ".json":
        return nx.node_link_graph(json.loads(path.read_text(encoding="utf-8")), edges="edges")
    return nx.read_gexf(path) if path.suffix == ".gexf" else nx.read_graphml(path)


CHOICES = {
    "all": ({}, 11, 10, True),
    "positions": ({"view": "positions"}, 4, 3, True),
    "channels": ({"view": "channels"}, 4, 4, True),
    "layers": ({"relationships": ["FEEDS"]}, 3, 3, True),
    "alike": ({"relationships": ["RESEMBLES"]}, 4, 2, False),
    "mixed": ({"relationships": ["RESEMBLES", "CONNECTS"]}, 4, 6, True),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("format_", sorted(WRITERS))
def test_networkx(network: Network, tmp_path: Path, format_: str, choice: str) -> None:
    options, nodes, edges, directed = CHOICES[choice]
    graph = by_networkx(written(network, tmp_path, format_, **options))
    assert (graph.number_of_nodes(), graph.number_of_edges(), graph.is_directed()) == (nodes, edges, directed)
    weights = [weight for _, _, weight in graph.edges(data="weight")]
    assert all(isinstance(weight, float) and math.isfinite(weight) for weight in weights)
    if min(weights) >= 0:
        assert sum(nx.pagerank(graph).values()) == pytest.approx(1)
    if choice == "all":
        quoted = "bell\x07" if format_ == "json" else "bell\\x07"
        assert {FIRST + ":0", SECOND + ":", f"{quoted}:0"} <= set(graph)
        assert len(graph.get_edge_data(f"{SECOND}:", f"{quoted}:")) == 2


@pytest.mark.parametrize("choice", CHOICES)
def test_igraph(network: Network, tmp_path: Path, choice: str) -> None:
    """igraph gives NaN for a weight that is not there, and its PageRank then stops."""
    igraph = pytest.importorskip("igraph")
    options, nodes, edges, directed = CHOICES[choice]
    graph = igraph.Graph.Read_GraphML(str(written(network, tmp_path, "graphml", **options)))
    assert (graph.vcount(), graph.ecount(), graph.is_directed()) == (nodes, edges, directed)
    assert not any(math.isnan(weight) for weight in graph.es["weight"])
    assert graph["weight"].startswith("weight: ")
    if min(graph.es["weight"]) >= 0:
        ranks = graph.pagerank(weights="weight")
        expected = nx.pagerank(elements_as_networkx(network, options), tol=1e-12, max_iter=1000)
        assert ranks == pytest.approx([expected[name] for name in elements(network, **options).ids], abs=1e-6)
    if choice == "all":
        assert graph.vs.find(kind="Position")["id"] == "1"
        assert SECOND in graph.vs["layer_name"]


def elements_as_networkx(network: Network, options: dict[str, Any]) -> Any:
    from cnngraph.network.interchange import to_networkx

    return to_networkx(network, **options)


def test_infomap(network: Network, tmp_path: Path) -> None:
    """What infomap leaves out and refuses is what the export counts as zero and negative."""
    infomap = pytest.importorskip("infomap")

    def nodes(**options: Any) -> int:
        graph = by_networkx(written(network, tmp_path, "graphml", **options))
        found = infomap.Infomap(silent=True, directed=graph.is_directed(), seed=1)
        found.add_networkx_graph(graph, weight="weight")
        found.run()
        return int(found.num_nodes)

    assert nodes(view="channels") == 4
    assert nodes(relationships=["FEEDS"]) == 3
    assert nodes(view="positions") == 4
    (arcs,) = elements(network, view="positions").weights
    assert arcs.zero == 1
    assert [entry.negative for entry in elements(network, relationships=["RESEMBLES"]).weights] == [1]


GRAPH_TOOL = """
import json, sys
import graph_tool.all as gt
g = gt.load_graph(sys.argv[1])
weight = g.ep["weight"]
rank = gt.pagerank(g, weight=weight)
print(json.dumps([g.num_vertices(), g.num_edges(), g.is_directed(), [float(x) for x in weight.a], float(rank.a.sum())]))
"""


@pytest.mark.parametrize("choice", ["all", "positions", "channels"])
def test_graph_tool(network: Network, tmp_path: Path, choice: str) -> None:
    """Debian's python3-graph-tool, in Debian's own Python."""
    python = Path("/usr/bin/python3")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if (
        not python.exists()
        or subprocess.run([python, "-c", "import graph_tool"], env=clean, capture_output=True).returncode
    ):
        pytest.skip("graph-tool is not here (Debian: apt-get install python3-graph-tool)")
    options, nodes, edges, directed = CHOICES[choice]
    path = written(network, tmp_path, "graphml", **options)
    done = subprocess.run([python, "-c", GRAPH_TOOL, path], env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found[:3] == [nodes, edges, directed]
    assert all(math.isfinite(weight) for weight in found[3]) and found[4] == pytest.approx(1)
