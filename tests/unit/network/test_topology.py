"""Positions and arcs: the published numbers, and nets whose receptive fields can be counted by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from defusedxml import ElementTree
from torch import Tensor, nn
from torchvision.models import vgg16

from cnngraph.network.graph import follow
from cnngraph.network.topology import Topology, positions_and_arcs
from tests.toynets import TOYS, toy, toy_shape


def topology_of(name: str) -> Topology:
    return positions_and_arcs(follow(toy(name), toy_shape(name)))


def degrees_in(topology: Topology, layer: str) -> list[int]:
    grid = topology.by_layer[layer]
    return [int(n) for n in np.bincount(topology.target, minlength=topology.positions + 1)[grid.numbers]]


@pytest.fixture(scope="module")
def vgg() -> nn.Module:
    with torch.device("meta"):
        net = vgg16()
    return net.to_empty(device="cpu").requires_grad_(False).apply(_zero)


def _zero(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.zero_()


def test_vgg16_at_224_has_the_published_positions_and_arcs(vgg: nn.Module) -> None:
    topology = positions_and_arcs(follow(vgg, (3, 224, 224)))
    assert [grid.count for grid in topology.grids] == [49284] * 2 + [12100] * 2 + [2916] * 3 + [676] * 3 + [144] * 2 + [
        196
    ]
    assert (topology.positions, len(topology.source)) == (134_028, 1_178_948)
    steps = np.diff(topology.source.astype(np.int64) * (topology.positions + 1) + topology.target)
    assert (steps > 0).all(), "arcs are sorted by (source, target) and none comes twice"


def test_vgg16_at_32_is_the_authors_network_edge_for_edge(vgg: nn.Module, shared: Path) -> None:
    topology = positions_and_arcs(follow(vgg, (3, 32, 32)))
    assert [grid.count for grid in topology.grids] == [900, 900, 196, 196, 36, 36, 36, 4, 4, 4, 1, 1, 4]
    with gzip.open(shared / "golden" / "cnn2multilayer-cifar10" / "graph.gexf.gz") as file:
        root = ElementTree.parse(file).getroot()
    space = "{http://www.gexf.net/1.2draft}"
    edges = {(int(e.attrib["source"]), int(e.attrib["target"])) for e in root.iter(f"{space}edge")}
    assert set(zip(topology.source.tolist(), topology.target.tolist(), strict=True)) == edges
    nodes = {
        int(node.attrib["id"]): tuple(int(value.attrib["value"]) for value in list(node.iter(f"{space}attvalue"))[:2])
        for node in root.iter(f"{space}node")
    }
    ours = {
        int(number): (int(x), int(y))
        for grid in topology.grids
        for number, x, y in zip(grid.numbers, grid.x, grid.y, strict=True)
    }
    assert ours == nodes


def test_plain_chain_of_the_papers_rule() -> None:
    topology = topology_of("plain")
    a, b = topology.grids
    assert list(zip(a.x.tolist(), a.y.tolist(), strict=True)) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert (a.count, b.count, len(topology.source)) == (4, 16, 36)
    assert (a.numbers.tolist(), int(b.numbers[0]), int(b.numbers[-1])) == ([1, 2, 3, 4], 5, 20)
    assert np.bincount(topology.source)[1:].tolist() == [9, 9, 9, 9]
    assert degrees_in(topology, "b") == [1, 2, 2, 1, 2, 4, 4, 2, 2, 4, 4, 2, 1, 2, 2, 1]
    assert (a.margin, a.patch, a.source) == ((1, 1), (3, 3), True)
    assert (b.margin, b.patch, b.source) == ((0, 0), (1, 1), False)


def test_pool_between_widens_the_field() -> None:
    topology = topology_of("pooled")
    assert [grid.count for grid in topology.grids] == [36, 16]
    assert len(topology.source) == 256
    assert degrees_in(topology, "features.4") == [9, 15, 15, 9, 15, 25, 25, 15, 15, 25, 25, 15, 9, 15, 15, 9]


def test_residual_stream_reaches_every_later_block_of_its_stage() -> None:
    topology = topology_of("residual")
    layer = np.concatenate([[""], *([grid.layer] * grid.count for grid in topology.grids)])
    pairs, counts = np.unique(np.stack([layer[topology.source], layer[topology.target]], 1), axis=0, return_counts=True)
    # Per axis between two 6 x 6 interiors: 6 + 2 * 5 = 16, hence 256; a stride-2 1x1 conv sees rows 2, 4, 6, hence 9.
    assert {(str(s), str(t)): int(n) for (s, t), n in zip(pairs, counts, strict=True)} == {
        ("stem.0", "layer1.0.conv1"): 256,
        ("stem.0", "layer1.1.conv1"): 256,
        ("stem.0", "layer2.0.downsample.0"): 9,
        ("stem.0", "layer2.0.conv1"): 36,
        ("layer1.0.conv1", "layer1.0.conv2"): 256,
        ("layer1.0.conv2", "layer1.1.conv1"): 256,
        ("layer1.0.conv2", "layer2.0.downsample.0"): 9,
        ("layer1.0.conv2", "layer2.0.conv1"): 36,
        ("layer1.1.conv1", "layer1.1.conv2"): 256,
        ("layer1.1.conv2", "layer2.0.downsample.0"): 9,
        ("layer1.1.conv2", "layer2.0.conv1"): 36,
        ("layer2.0.conv1", "layer2.0.conv2"): 36,
    }


def test_two_paths_make_a_cross_and_no_arc_twice() -> None:
    topology = topology_of("cross")
    # 16 inner places see 5, 16 on the edges 4, 4 in the corners 3.
    assert sorted(degrees_in(topology, "b")) == [3] * 4 + [4] * 16 + [5] * 16


def test_kernels_count_per_axis() -> None:
    topology = topology_of("concat")
    stem, row = topology.by_layer["stem"], topology.by_layer["row"]
    assert (stem.margin, stem.patch, stem.count) == ((1, 1), (3, 3), 36)  # the largest of 1x3 and 3x1 on each axis
    assert (row.margin, row.patch, row.count) == ((0, 0), (1, 1), 64)
    # Each of the six inner columns of ``row`` sees 3, 3, ... of the stem's columns 1..6: 1 2 3 3 3 3 2 1 over 6 rows.
    assert sum(degrees_in(topology, "row")) == 6 * 18


def test_gate_looks_at_the_whole_map_and_is_looked_at_by_it() -> None:
    topology = topology_of("gate")
    assert degrees_in(topology, "squeeze") == [36]
    assert degrees_in(topology, "excite") == [1]
    assert degrees_in(topology, "project") == [2] * 36  # its own place of ``conv``, and the gate


def test_stride_and_dilation() -> None:
    topology = topology_of("grouped")
    # ``depthwise`` at rows 0..3 sees rows 2t-1..2t+1, of which 1..6 are positions: 1, 3, 3, 2.
    assert degrees_in(topology, "depthwise") == [r * c for r in (1, 3, 3, 2) for c in (1, 3, 3, 2)]
    # ``dilated`` at t sees t-2, t, t+2, of which 1 and 2 are positions: t=0 sees 2, 1 sees 1, 2 sees 2, 3 sees 1.
    assert degrees_in(topology, "dilated") == [1] * 16


def test_a_map_smaller_than_its_margin_keeps_one_position() -> None:
    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(1, 1, 3, padding=1)
            self.b = nn.Conv2d(1, 1, 5, padding=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    for size, kept in ((1, 0), (2, 1), (3, 2), (4, 2)):
        grid = positions_and_arcs(follow(Tiny(), (1, size, size))).by_layer["a"]
        assert (grid.margin, grid.rows.tolist(), grid.columns.tolist()) == ((2, 2), [kept], [kept])


def test_a_single_conv_has_positions_and_no_arcs() -> None:
    topology = positions_and_arcs(follow(nn.Sequential(nn.Conv2d(1, 2, 3)), (1, 5, 6)))
    assert (topology.positions, len(topology.source), topology.grids[0].source) == (12, 0, False)


@pytest.mark.parametrize("name", TOYS)
def test_next_convs_agree_with_the_arcs(name: str) -> None:
    graph = follow(toy(name), toy_shape(name))
    topology = positions_and_arcs(graph)
    layer = np.concatenate([[""], *([grid.layer] * grid.count for grid in topology.grids)])
    linked = {(str(s), str(t)) for s, t in zip(layer[topology.source], layer[topology.target], strict=True)}
    assert linked == {(conv.layer, after.layer) for conv in graph.convs for after in graph.next_convs(conv.layer)}
    for conv in graph.convs:
        kernels = [after.kernel or (1, 1) for after in graph.next_convs(conv.layer)]
        grid = topology.by_layer[conv.layer]
        assert grid.patch == (max([k[0] for k in kernels], default=1), max([k[1] for k in kernels], default=1))
        assert grid.source == bool(kernels)
