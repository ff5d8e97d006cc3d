"""Published class networks: the golden one, a hand-made one, and every way in which the files can be wrong."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from cnngraph.errors import DataError, NotFoundError
from cnngraph.network.cnn2multilayer import class_files, read_gexf

HEAD = """<?xml version='1.0' encoding='utf-8'?>
<gexf xmlns="http://www.gexf.net/1.2draft" version="1.2"><graph defaultedgetype="directed" mode="static">
<attributes mode="static" class="node"><attribute id="0" title="x" type="long" />
<attribute id="1" title="y" type="long" /><attribute id="2" title="layer_name" type="string" /></attributes>"""


def node(number: object, x: object, y: object, layer: str) -> str:
    cells = "".join(f'<attvalue for="{key}" value="{value}" />' for key, value in enumerate((x, y, layer)))
    return f'<node id="{number}" label="{number}"><attvalues>{cells}</attvalues></node>'


def edge(source: object, target: object) -> str:
    return f'<edge source="{source}" target="{target}" id="0" />'


NODES = [node(1, 1, 1, "a"), node(2, 1, 2, "a"), node(3, 0, 0, "b"), node(4, 0, 1, "b")]
EDGES = [edge(1, 3), edge(2, 3), edge(2, 4)]
WEIGHTS = ",mean_output\n1,0.5\n2,-2\n"


def gexf(nodes: list[str] = NODES, edges: list[str] = EDGES, head: str = HEAD) -> str:
    return f"{head}<nodes>{''.join(nodes)}</nodes><edges>{''.join(edges)}</edges></graph></gexf>"


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a topology and one class, whole or broken, and return their paths."""

    def write(topology: str | bytes | None = None, weights: str | bytes = WEIGHTS) -> tuple[Path, Path]:
        paths = tmp_path / "graph.gexf", tmp_path / "class_0.csv"
        for path, content in zip(paths, (gexf() if topology is None else topology, weights), strict=True):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return paths

    return write


def test_hand_made(files: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    topology, first = files()
    second = tmp_path / "second.csv.gz"
    second.write_bytes(gzip.compress(b"id,mean_output\n2,4\n1,3e-1\n"))
    network = read_gexf(topology, [second, first])
    assert network.classes.to_pylist() == [
        {"index": 0, "name": "second", "images": None},
        {"index": 1, "name": "class_0", "images": None},
    ]
    assert network.positions.select(["number", "layer", "x", "y", "activation"]).to_pylist() == [
        {"number": 1, "layer": "a", "x": 1, "y": 1, "activation": [0.3, 0.5]},
        {"number": 2, "layer": "a", "x": 1, "y": 2, "activation": [4.0, -2.0]},
        {"number": 3, "layer": "b", "x": 0, "y": 0, "activation": None},
        {"number": 4, "layer": "b", "x": 0, "y": 1, "activation": None},
    ]
    assert network.arcs.to_pylist() == [
        {"source": 1, "target": 3},
        {"source": 2, "target": 3},
        {"source": 2, "target": 4},
    ]
    assert network.layers.select(["index", "layer", "kind"]).to_pylist() == [
        {"index": 0, "layer": "a", "kind": "Conv"},
        {"index": 1, "layer": "b", "kind": "Conv"},
    ]
    assert network.feeds.select(["source", "target"]).to_pylist() == [{"source": "a", "target": "b"}]
    assert network.details.view == "positions"


def test_golden(shared: Path) -> None:
    folder = shared / "golden" / "cnn2multilayer-cifar10"
    network = read_gexf(folder / "graph.gexf.gz", [str(folder / "class_*.csv")])
    assert network.counts() == {
        "layers": 13,
        "feature_maps": 0,
        "connections": 0,
        "positions": 2318,
        "arcs": 17877,
        "classes": 10,
    }
    assert network.classes["name"].to_pylist() == [f"class_{index}" for index in range(10)]
    theirs = nx.read_gexf(folder / "graph.gexf.gz", node_type=int)
    ours = network.to_networkx()
    assert set(ours.edges) == set(theirs.edges)
    kept = ("x", "y", "layer_name")
    assert {n: [row[key] for key in kept] for n, row in ours.nodes(data=True)} == {
        n: [row[key] for key in kept] for n, row in theirs.nodes(data=True)
    }


def test_golden_degree_schedule_reference(shared: Path) -> None:
    """The mean over the classes of the weighted degree, and theta of every layer, as the data's README says."""
    folder = shared / "golden" / "cnn2multilayer-cifar10"
    network = read_gexf(folder / "graph.gexf.gz", [str(folder / "class_*.csv")])
    rows = network.positions["activation"].to_pylist()
    weight = np.array([0.0 if row is None else np.mean(row) for row in rows])
    source, target = (network.arcs[end].to_numpy() - 1 for end in ("source", "target"))
    degree = np.bincount(source, weight[source], len(rows)) + np.bincount(target, weight[source], len(rows))
    reference = float(np.median(degree))
    assert reference == pytest.approx(0.342350, abs=5e-7)
    layer = np.array(network.positions["layer"].to_pylist())
    thetas = [degree[layer == name].max() / reference for name in network.layers["layer"].to_pylist()]
    expected = "1130.3432 1087.9515 606.1157 84.9759 96.8071 17.9203 5.2695 7.8913 1.0518 0.3207 0.2702 0.3456 0.0686"
    assert thetas == pytest.approx([float(value) for value in expected.split()], abs=5e-5)


def test_classes_in_the_order_of_their_number(tmp_path: Path) -> None:
    for name in ("class_10", "class_9", "class_8"):
        (tmp_path / f"{name}.csv").touch()
    found = class_files([str(tmp_path / "class_*.csv")])
    assert [path.stem for path in found] == ["class_8", "class_9", "class_10"]
    assert class_files([str(found[1]), found[0]]) == [found[1], found[0]]


def test_missing_class(tmp_path: Path) -> None:
    for name in ("class_0", "class_1", "class_3"):
        (tmp_path / f"{name}.csv").touch()
    with pytest.raises(DataError, match=r"class_1\.csv and then class_3\.csv"):
        class_files([str(tmp_path / "class_*.csv")])
    for absent in ("class_2.csv", "other_*.csv"):
        with pytest.raises(NotFoundError):
            class_files([str(tmp_path / absent)])


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE gexf [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<gexf><graph><nodes>&b;</nodes></graph></gexf>"
)
OUTSIDE = '<!DOCTYPE gexf [<!ENTITY x SYSTEM "file:///etc/hostname">]><gexf><graph><nodes>&x;</nodes></graph></gexf>'
BAD_TOPOLOGIES = {
    "empty": (b"", "truncated"),
    "no XML": (b"id,x,y\n1,2,3\n", "broken"),
    "truncated": (gexf()[:-40], "truncated"),
    "bytes": (gexf().encode().replace(b"layer_name", b"\xff\xfe\xfa"), "broken"),
    "broken gzip": (gzip.compress(gexf().encode())[:-20], "truncated gzip"),
    "damaged gzip": (b"\x1f\x8b" + b"\x00" * 40, "broken or truncated gzip"),
    "other XML": ("<svg />", "no GEXF"),
    "no nodes": (gexf([], []), "holds no node"),
    "undirected": (gexf(head=HEAD.replace('"directed"', '"undirected"')), "undirected"),
    "entity bomb": (BOMB, "document type or entities"),
    "outside entity": (OUTSIDE, "document type or entities"),
    "unknown source": (gexf(edges=[*EDGES, edge(9, 3)]), "names the node '9'"),
    "unknown target": (gexf(edges=[*EDGES, edge(1, "")]), "names the node ''"),
    "id no number": (gexf([*NODES, node("five", 0, 2, "b")]), "'five', not a whole number"),
    "id too large": (gexf([*NODES, node("9" * 5000, 0, 2, "b")]), "not a whole number"),
    "id skipped": (gexf([*NODES, node(7, 0, 2, "b")]), "7 comes where 5 is missing"),
    "id twice": (gexf([*NODES, node(4, 0, 2, "b")]), "4 is used more than once"),
    "x no number": (gexf([*NODES, node(5, "nan", 2, "b")]), "x of node 5 is 'nan'"),
    "y negative": (gexf([*NODES, node(5, 1, -1, "b")]), "y of node 5 is '-1'"),
    "y missing": (gexf([*NODES, node(5, 1, "", "b")]), "node '5' has no y"),
    "attributes missing": (gexf(head=HEAD.replace("layer_name", "layer")), "has no layer_name"),
    "place twice": (gexf([*NODES, node(5, 0, 1, "b")]), "node 5 .* out of order"),
    "layers mixed": (gexf([*NODES, node(5, 9, 9, "a")]), "node 5 .* out of order"),
    "arc back": (gexf(edges=[*EDGES, edge(3, 1)]), "3 -> 1 does not lead to a later layer"),
    "arc twice": (gexf(edges=[*EDGES, edge(1, 3)]), "1 -> 3 is there more than once"),
}


@pytest.mark.parametrize("case", BAD_TOPOLOGIES)
def test_bad_topology(files: Callable[..., tuple[Path, Path]], case: str) -> None:
    content, message = BAD_TOPOLOGIES[case]
    topology, sheet = files(content)
    with pytest.raises(DataError, match=message) as caught:
        read_gexf(topology, [sheet])
    assert "\n" not in str(caught.value)
    assert caught.value.hint


BAD_CLASSES = {
    "empty": (b"", "header"),
    "no text": (b",mean_output\n1,\xff\n", "UTF-8"),
    "NUL": (b",mean_output\n1,0\x00\n2,1\n", "line 2"),
    "header missing": ("1,0.5\n2,1\n", "header"),
    "other header": (",median_output\n1,0.5\n2,1\n", "header"),
    "truncated in a row": (",mean_output\n1,0.5\n2", "line 3: 1 columns"),
    "truncated after a row": (",mean_output\n1,0.5\n", "no row for the node 2"),
    "broken gzip": (gzip.compress(WEIGHTS.encode())[:-9], "truncated gzip"),
    "weight no number": (",mean_output\n1,0.5\n2,high\n", "'high' is not a finite number"),
    "weight empty": (",mean_output\n1,0.5\n2,\n", "'' is not a finite number"),
    "weight NaN": (",mean_output\n1,nan\n2,1\n", "'nan' is not a finite number"),
    "weight infinite": (",mean_output\n1,-inf\n2,1\n", "'-inf' is not a finite number"),
    "weight with _": (",mean_output\n1,1_0\n2,1\n", "'1_0' is not a finite number"),
    "id no number": (",mean_output\none,0.5\n2,1\n", "'one', not a whole number"),
    "unknown id": (",mean_output\n1,0.5\n2,1\n77,1\n", "names the node 77"),
    "last layer": (",mean_output\n1,0.5\n2,1\n3,1\n", "no arc leaves its layer b"),
    "id twice": (",mean_output\n1,0.5\n2,1\n2,1\n", "node 2 is there more than once"),
}


@pytest.mark.parametrize("case", BAD_CLASSES)
def test_bad_class(files: Callable[..., tuple[Path, Path]], case: str) -> None:
    content, message = BAD_CLASSES[case]
    topology, sheet = files(weights=content)
    with pytest.raises(DataError, match=message) as caught:
        read_gexf(topology, [sheet])
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_row_missing_in_one_class(files: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    topology, whole = files()
    short = tmp_path / "short.csv"
    short.write_text(",mean_output\n1,0.5\n")
    with pytest.raises(DataError, match=r"short\.csv has no row for the node 2"):
        read_gexf(topology, [whole, short])


def test_bad_choice_of_files(files: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    topology, sheet = files()
    with pytest.raises(DataError, match="without any class"):
        read_gexf(topology, [])
    with pytest.raises(DataError, match="class_0 is given more than once"):
        read_gexf(topology, [sheet, sheet])
    with pytest.raises(DataError, match="is no file"):
        read_gexf(tmp_path, [sheet])
    with pytest.raises(NotFoundError, match=r"absent\.gexf"):
        read_gexf(tmp_path / "absent.gexf", [sheet])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable(files: Callable[..., tuple[Path, Path]]) -> None:
    topology, sheet = files()
    topology.chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        read_gexf(topology, [sheet])
