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

from cnngraph import trace
from cnngraph.errors import CnngraphError, NotFoundError, UsageError
from cnngraph.network.graph_files import WRITERS
from cnngraph.network.interchange import elements, to_frames, to_networkx
from cnngraph.network.parts import select_layers, select_view
from cnngraph.network.spec import check
from cnngraph.network.tables import SCHEMAS, Details, Network, empty_table
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
    assert not graph.has_edge("a:0", "a:1")


def test_correlations_are_the_weight_where_they_are_asked_for(network: Network) -> None:
    """Alone they have no direction; beside others each is there once."""
    alone = network.to_networkx("channels", relationships=["RESEMBLES"])
    assert type(alone) is nx.Graph
    assert alone.edges["a:1", "a:0"] == {"kind": "RESEMBLES", "weight": -0.9, "scope": "within"}
    assert alone.graph["weight"] == {"RESEMBLES": "the correlation of the two maps, -1 to 1"}
    mixed = network.to_networkx(relationships=["RESEMBLES", "CONNECTS"])
    assert type(mixed) is nx.MultiDiGraph
    assert mixed["a:0"]["a:1"][0]["weight"] == -0.9 and not mixed.has_edge("a:1", "a:0")
    assert list(mixed.graph["weight"]) == ["CONNECTS", "RESEMBLES"]


def test_layers_are_nodes_where_both_views_are(network: Network) -> None:
    graph = network.to_networkx(relationships=["FEEDS"])
    assert list(graph) == ["in:", "a:", "relu:", 'b "<&>":']
    assert [weight for _, _, weight in graph.edges(data="weight")] == [1.0, 1.0, 1.0]
    assert {kind for _, kind in network.to_networkx().nodes(data="kind")} == {"Position", "FeatureMap", "Layer"}


def test_every_edge_has_a_weight_and_what_is_odd_is_counted(network: Network) -> None:
    found = elements(network, "0")
    assert found.edges["weight"].null_count == 0
    counted = {entry.relationship: (entry.edges, entry.zero, entry.negative) for entry in found.weights}
    assert counted == {"ARC": (2, 1, 0), "CONNECTS": (3, 0, 0), "FEEDS": (3, 0, 0)}
    (signed,) = elements(network, "cat", ["ARC"]).weights
    assert (signed.meaning, signed.negative) == ("the activation of the source position, class cat", 1)
    assert elements(network, relationships=["RESEMBLES"]).weights[0].negative == 1


def test_an_imported_class_network_stays_what_it_is(network: Network) -> None:
    """Layers and no feature maps: positions and arcs alone, as its authors publish it."""
    graph = select_view(network, "positions").to_networkx()
    assert type(graph) is nx.DiGraph and list(graph) == [1, 2, 3]


def test_frames(network: Network) -> None:
    nodes, edges = to_frames(network)
    maps = ["in:0", "a:0", "a:1", 'b "<&>":0']
    assert nodes["id"].tolist() == [1, 2, 3, *maps, "in:", "a:", "relu:", 'b "<&>":']
    assert edges.groupby("kind").size().to_dict() == {"ARC": 2, "CONNECTS": 3, "FEEDS": 3}
    assert edges["weight"].notna().all()
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
    with pytest.raises(UsageError, match=r"relationship 'FEED'.*FEEDS"):
        to_networkx(network, relationships=["FEED"])
    with pytest.raises(UsageError, match="CONNECTS is not in the view positions"):
        to_networkx(network, "positions", relationships=["CONNECTS"])
    with pytest.raises(UsageError, match="No relationship"):
        to_networkx(network, relationships=[])


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
    WRITERS[format_](elements(network, "cat", view=view), stream)
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
    """A number would be an invention, and an edge without one is NaN to igraph and 1 to networkx."""
    bare = Network(**network.tables() | {"details": network.details, "classes": empty_table("classes")})
    with pytest.raises(CnngraphError, match="2 of 2 arcs have no weight"):
        elements(bare)
    assert elements(bare, relationships=["CONNECTS", "FEEDS"]).edges.num_rows == 6


def test_a_part_keeps_the_blocks_and_the_weights_that_are_whole_in_it() -> None:
    images = torch.randn(4, *toy_shape("residual"), generator=torch.Generator().manual_seed(0))
    network = trace(toy("residual"), [(images, torch.tensor([0, 1, 0, 1]))], kernels=True, correlations=False)
    assert network.blocks["name"].to_pylist() == ["layer1.0", "layer1.1", "layer2.0"]
    part = select_layers(network, "layer1.0.conv1..layer1.1.conv1")
    assert part.blocks["name"].to_pylist() == ["layer1.0"]
    names = part.tensors["name"].to_pylist()
    assert names[0] == "layer1.0.conv1.weight" and names[-1] == "layer1.1.conv1.weight"
    assert select_view(network, "positions").tensors.num_rows == 0
