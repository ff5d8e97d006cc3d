"""A small network with both views as networkx, data frames, and files that networkx reads back."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa
import pytest
import torch

from cnngraph.errors import NotFoundError, UsageError
from cnngraph.network.graph_files import WRITERS
from cnngraph.network.interchange import elements, select_layers, select_view, to_frames, to_networkx
from cnngraph.network.spec import check
from cnngraph.network.tables import SCHEMAS, Details, Network, empty_table
from cnngraph.network.trace import trace
from tests.toynets import toy, toy_shape


def table(name: str, *rows: tuple[Any, ...]) -> pa.Table:
    columns = SCHEMAS[name].names
    return pa.Table.from_pylist([dict(zip(columns, row, strict=False)) for row in rows], schema=SCHEMAS[name])


def layer(index: int, name: str, kind: str) -> dict[str, Any]:
    return {"index": index, "layer": name, "kind": kind, "operation": kind, "parameters": 0, "macs": 0}


@pytest.fixture
def network() -> Network:
    """in -> a -> relu -> b "<&>"; a reads `in` twice (two channels of one map), two positions of a feed one of b."""
    kinds = [("in", "Input"), ("a", "Conv"), ("relu", "Activation"), ('b "<&>"', "Conv")]
    last = kinds[-1][0]
    return check(
        Network(
            details=Details("hand-made", (1, 2, 2)),
            layers=pa.Table.from_pylist(
                [layer(i, name, kind) for i, (name, kind) in enumerate(kinds)], schema=SCHEMAS["layers"]
            ),
            feeds=table("feeds", ("in", "a", 0, 0, 0.0), ("a", "relu", 0, 0, 0.0), ("relu", last, 0, 0, 0.0)),
            feature_maps=table(
                "feature_maps",
                ("in", 0, 0.0, 0.0, [0.5, 0.5], 0.0, 0.0, 3.0),
                ("a", 0, 1.0, 1.0, [1.0, 3.0], 0.25, 3.0, 0.5),
                ("a", 1, 1.0, 1.0, None, None, 0.0, 0.0),
                (last, 0, 1.0, 1.0, [0.0, 8.0], 0.5, 0.5, 0.0),
            ),
            connects=table("connects", ("in", 0, "a", 0, 0, 1.0), ("in", 0, "a", 0, 1, 2.0), ("a", 0, last, 0, 0, 0.5)),
            resembles=table("resembles", ("a", 0, "a", 1, -0.9, "within"), ("a", 0, last, 0, 0.95, "across")),
            positions=table(
                "positions",
                (1, "a", 0, 0, [1.0, 3.0], 2.5),
                (2, "a", 0, 1, [-4.0, 0.0], None),
                (3, last, 0, 0, None, None),
            ),
            arcs=table("arcs", (1, 3), (2, 3)),
            classes=table("classes", (0, "cat", 5), (1, "0", None)),
        )
    )


def test_positions_are_a_plain_graph(network: Network) -> None:
    graph = to_networkx(network, view="positions", class_="cat")
    assert type(graph) is nx.DiGraph
    assert graph.nodes[1] == {
        "kind": "Position",
        "layer_name": "a",
        "x": 0,
        "y": 0,
        "activation": 1.0,
        "activation_all": 2.5,
    }
    assert graph.nodes[3] == {"kind": "Position", "layer_name": 'b "<&>"', "x": 0, "y": 0}
    assert dict(graph.edges) == {(1, 3): {"kind": "ARC", "weight": 1.0}, (2, 3): {"kind": "ARC", "weight": -4.0}}


@pytest.mark.parametrize(
    ("class_", "weights"), [("mean", [2.0, -2.0]), ("cat", [1.0, -4.0]), ("0", [3.0, 0.0]), (1, [3.0, 0.0])]
)
def test_weights_of_a_class(network: Network, class_: str | int, weights: list[float]) -> None:
    """A class's name counts before its index: "0" is the name of class 1."""
    graph = network.to_networkx("positions", class_)
    assert [weight for _, _, weight in graph.edges(data="weight")] == weights


def test_channels_are_a_multigraph(network: Network) -> None:
    graph = to_networkx(network, view="channels")
    assert type(graph) is nx.MultiDiGraph
    assert list(graph) == ["in:0", "a:0", "a:1", 'b "<&>":0']
    assert graph.nodes["a:0"]["activation"] == 2.0
    assert "activation" not in graph.nodes["a:1"]
    assert list(graph["in:0"]["a:0"].values()) == [
        {"kind": "CONNECTS", "weight": 1.0, "channel": 0},
        {"kind": "CONNECTS", "weight": 2.0, "channel": 1},
    ]
    assert graph["a:0"]["a:1"][0] == {"kind": "RESEMBLES", "correlation": -0.9, "scope": "within"}


def test_frames(network: Network) -> None:
    nodes, edges = to_frames(network)
    assert nodes["id"].tolist() == [1, 2, 3, "in:0", "a:0", "a:1", 'b "<&>":0']
    assert edges.groupby("kind").size().to_dict() == {"ARC": 2, "CONNECTS": 3, "RESEMBLES": 2}
    assert edges.loc[edges["kind"] == "ARC", ["source", "target", "weight"]].to_numpy().tolist() == [
        [1, 3, 2.0],
        [2, 3, -2.0],
    ]


def test_layers_between(network: Network) -> None:
    part = select_layers(network, "a..relu")
    assert part.layers["layer"].to_pylist() == ["a", "relu"]
    assert part.feeds.num_rows == 1
    assert part.positions["number"].to_pylist() == [1, 2]
    assert part.arcs.num_rows == part.connects.num_rows == 0
    assert part.resembles["scope"].to_pylist() == ["within"]
    assert select_layers(network, "..").counts() == network.counts()
    assert select_layers(network, "a..").counts()["arcs"] == 2
    assert select_layers(network, "..a").counts()["connections"] == 2
    assert select_layers(network, "a").layers["layer"].to_pylist() == ["a"]


def test_wrong_choices(network: Network) -> None:
    with pytest.raises(NotFoundError, match="layer 'c'"):
        select_layers(network, "a..c")
    with pytest.raises(UsageError, match="relu comes after a"):
        select_layers(network, "relu..a")
    with pytest.raises(UsageError, match=r"view 'chanels'.*channels"):
        select_view(network, "chanels")
    for class_ in ("dog", "2", -1):
        with pytest.raises(NotFoundError, match="no class"):
            to_networkx(network, class_=class_)


def read_back(format_: str, text: str, folder: Path) -> Any:
    path = folder / f"graph.{format_}"
    path.write_text(text, encoding="utf-8")
    if format_ == "json":
        return nx.node_link_graph(json.loads(text), edges="edges")
    return nx.read_gexf(path) if format_ == "gexf" else nx.read_graphml(path)


@pytest.mark.parametrize("view", ["positions", "channels", "both"])
@pytest.mark.parametrize("format_", sorted(WRITERS))
def test_files_read_back(network: Network, tmp_path: Path, format_: str, view: str) -> None:
    stream = StringIO()
    WRITERS[format_](elements(select_view(network, view), "cat"), stream)
    found = read_back(format_, stream.getvalue(), tmp_path)
    expected = to_networkx(network, view, "cat")
    assert found.is_directed()
    assert found.is_multigraph() == expected.is_multigraph()
    assert {str(n): row for n, row in expected.nodes(data=True)} == {
        str(n): {key: value for key, value in row.items() if key != "label"} for n, row in found.nodes(data=True)
    }

    def edges(graph: Any) -> list[tuple[str, str, Any]]:
        rows = ((str(a), str(b), {k: v for k, v in row.items() if k != "id"}) for a, b, row in graph.edges(data=True))
        return sorted(rows, key=repr)

    assert edges(found) == edges(expected)


def test_no_classes_no_weights(network: Network) -> None:
    bare = Network(**network.tables() | {"details": network.details, "classes": empty_table("classes")})
    assert elements(bare).edges["weight"].to_pylist()[:2] == [None, None]


def test_a_part_keeps_the_blocks_and_the_weights_that_are_whole_in_it() -> None:
    images = torch.randn(4, *toy_shape("residual"), generator=torch.Generator().manual_seed(0))
    network = trace(toy("residual"), [(images, torch.tensor([0, 1, 0, 1]))], kernels=True, correlations=False)
    assert network.blocks["name"].to_pylist() == ["layer1.0", "layer1.1", "layer2.0"]
    part = select_layers(network, "layer1.0.conv1..layer1.1.conv1")
    assert part.blocks["name"].to_pylist() == ["layer1.0"]
    names = part.tensors["name"].to_pylist()
    assert names[0] == "layer1.0.conv1.weight" and names[-1] == "layer1.1.conv1.weight"
    assert select_view(network, "positions").tensors.num_rows == 0
