"""Which maps each layer reads, and the connections that come of it: literal rows on toy nets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnngraph.network import connection_limits as module
from cnngraph.network.channels import Maps, Wiring
from cnngraph.network.connection_blocks import filters_of
from cnngraph.network.connections import Links, connections_of, count_connections
from cnngraph.network.graph import LayerGraph, follow
from tests.toynets import TOYS, toy, toy_shape


def mapped(net: nn.Module, shape: tuple[int, int, int]) -> tuple[LayerGraph, Maps, Wiring]:
    graph = follow(net.eval(), shape)
    maps = Maps.of(graph)
    return graph, maps, Wiring.of(graph, maps)


def reads(net: nn.Module, shape: tuple[int, int, int], layer: str) -> list[list[tuple[int, str]]]:
    """For each operand: (input channel, "layer:channel")."""
    _, maps, wiring = mapped(net, shape)
    names = [f"{name}:{channel}" for name, size in maps.sizes.items() for channel in range(size)]
    return [[(int(channel), names[number]) for channel, number in pairs] for pairs in wiring.reads[layer]]


def links(net: nn.Module, shape: tuple[int, int, int], policy: str = "all", kernels: bool = False) -> Links:
    graph, maps, wiring = mapped(net, shape)
    found = connections_of(graph, maps, wiring, policy, kernels=kernels, note=lambda text: None)
    assert count_connections(graph, maps, wiring, policy) == found.table.num_rows
    return found


def rows(found: Links, target: str) -> list[tuple[str, int, int, float]]:
    """(source, target channel, input channel, weight) of the connections into ``target``."""
    return [
        (f"{r['source_layer']}:{r['source_channel']}", r["target_channel"], r["channel"], round(r["weight"], 6))
        for r in found.table.to_pylist()
        if r["target_layer"] == target
    ]


class Mixer(nn.Module):
    """Split, shuffle, pool, concat and flatten between convs whose kernels are all ones."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 1)
        self.shuffled = nn.Conv2d(4, 2, 1)
        self.part = nn.Conv2d(2, 2, 1)
        self.joined = nn.Conv2d(6, 1, 1)
        self.unshuffle = nn.PixelUnshuffle(2)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        n, c, h, w = x.shape
        y = self.shuffled(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))
        _, second = x.chunk(2, dim=1)
        z = F.max_pool2d(self.part(second), 3, 1, 1)
        x = self.joined(torch.cat([y, z, x[:, 1:3]], 1))
        return self.fc(self.unshuffle(F.adaptive_avg_pool2d(x, 2)).flatten(1))  # type: ignore[no-any-return]


def test_channels_are_followed_through_shuffle_chunk_pool_concat_and_flatten() -> None:
    shape = (1, 4, 4)
    stem = [f"stem:{i}" for i in range(4)]
    assert reads(Mixer(), shape, "shuffled") == [[(0, stem[0]), (1, stem[2]), (2, stem[1]), (3, stem[3])]]
    assert reads(Mixer(), shape, "part") == [[(0, stem[2]), (1, stem[3])]]
    joined = ["shuffled:0", "shuffled:1", "part:0", "part:1", stem[1], stem[2]]
    assert reads(Mixer(), shape, "joined") == [list(enumerate(joined))]
    assert reads(Mixer(), shape, "fc") == [[(i, "joined:0") for i in range(4)]]


def test_a_sum_has_maps_and_its_summands_connect_with_weight_one() -> None:
    found = links(toy("bottleneck"), toy_shape("bottleneck"))
    assert rows(found, "add")[:4] == [
        ("stem:0", 0, 0, 1.0),
        ("conv3:0", 0, 8, 1.0),
        ("stem:1", 1, 1, 1.0),
        ("conv3:1", 1, 9, 1.0),
    ]


def test_a_value_added_to_itself_connects_twice() -> None:
    found = links(toy("twice"), toy_shape("twice"))
    assert rows(found, "add") == [
        ("conv#2:0", 0, 0, 1.0),
        ("conv#2:0", 0, 2, 1.0),
        ("conv#2:1", 1, 1, 1.0),
        ("conv#2:1", 1, 3, 1.0),
    ]
    assert [source for source, *_ in rows(found, "conv#2")] == ["conv:0", "conv:1"] * 2


def test_a_product_stems_from_both_factors() -> None:
    pairs = reads(toy("gate"), toy_shape("gate"), "project")[0]
    assert pairs[:4] == [(0, "conv:0"), (0, "excite:0"), (1, "conv:1"), (1, "excite:1")]


def test_grouped_convs_read_their_own_channels_only() -> None:
    found = links(toy("grouped"), toy_shape("grouped"))
    assert [row[:3] for row in rows(found, "depthwise")] == [(f"stem:{i}", i, i) for i in range(4)]
    pairs = [(target, channel) for target in range(6) for channel in ((0, 1) if target < 3 else (2, 3))]
    assert [row[:3] for row in rows(found, "grouped")] == [(f"depthwise:{c}", t, c) for t, c in pairs]


def test_weights_are_the_norms_of_the_kernels() -> None:
    net = toy("grouped")
    found = links(net, toy_shape("grouped"))
    for layer in ("stem", "depthwise", "grouped", "dilated"):
        weight = net.get_parameter(f"{layer}.weight").detach().double()
        expected = weight.flatten(2).norm(dim=2).flatten()
        np.testing.assert_allclose([row[3] for row in rows(found, layer)], expected, atol=1e-6)


def test_the_places_of_a_map_fold_into_one_dense_connection() -> None:
    net = toy("pooled")
    found = links(net, toy_shape("pooled"))
    weight = net.get_parameter("classifier.weight").detach().double()
    expected = weight.view(3, 4, 16).norm(dim=2)
    assert [row[:3] for row in rows(found, "classifier")] == [
        (f"features.4:{channel}", unit, channel) for unit in range(3) for channel in range(4)
    ]
    np.testing.assert_allclose([row[3] for row in rows(found, "classifier")], expected.flatten(), atol=1e-6)


def test_features_out_of_order_fold_alike() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 3, 1), nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).permute(0, 2, 3, 1).flatten(1))  # type: ignore[no-any-return]

    net = Turned()
    expected = net.fc.weight.detach().double().view(2, 4, 3).norm(dim=1).flatten()
    np.testing.assert_allclose([row[3] for row in rows(links(net, (1, 2, 2)), "fc")], expected, atol=1e-6)


def test_a_functional_conv_is_read_from_its_parameter() -> None:
    net = toy("functional")
    graph, _, wiring = mapped(net, toy_shape("functional"))
    name = graph.convs[1].layer
    l1, l2 = filters_of(wiring, name, 3)
    np.testing.assert_allclose(l1, net.get_parameter("weight").detach().abs().sum((1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(l2, net.get_parameter("weight").detach().flatten(1).norm(dim=1), rtol=1e-6)
    assert [values.tolist() for values in filters_of(wiring, "input", 1)] == [[0.0], [0.0]]


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("policy", ["auto", "none", "top:1", "top:2"])
def test_strengths_count_what_is_left_out(name: str, policy: str) -> None:
    whole, part = links(toy(name), toy_shape(name)), links(toy(name), toy_shape(name), policy)
    np.testing.assert_allclose(part.strength_in, whole.strength_in)
    np.testing.assert_allclose(part.strength_out, whole.strength_out)
    left_out = sum(count for count, _ in part.omitted.values())
    assert left_out == whole.table.num_rows - part.table.num_rows
    assert whole.strength_in.sum() == pytest.approx(sum(whole.table.column("weight").to_pylist()))
    assert not any(count for count, _ in whole.omitted.values())


def test_top_k_keeps_the_strongest_of_each_target_and_says_the_share() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, -3.0, 2.0], [4.0, 4.0, 4.0]]).view(2, 3, 1, 1))  # type: ignore[union-attr, operator]
    found = links(net, (1, 1, 1), "top:2")
    assert rows(found, "1") == [("0:1", 0, 1, 3.0), ("0:2", 0, 2, 2.0), ("0:0", 1, 0, 4.0), ("0:1", 1, 1, 4.0)]
    assert found.omitted["1", 0] == (2, pytest.approx(5 / 18))
    assert found.strength_in[4:6].tolist() == [6.0, 12.0]
    assert links(net, (1, 1, 1), "none").omitted["1", 0] == (6, 1.0)


def test_auto_takes_the_largest_k_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 1, 1), nn.Flatten(), nn.Linear(1, 2))
    complete = 8 + 24 + 6
    for room, kept in ((complete, complete), (complete - 1, 8 + 24 + 5), (29, 8 + 18 + 3), (28, 8 + 12 + 2)):
        monkeypatch.setattr(module, "MOST_BETWEEN_CONVS", room)
        found = links(net, (2, 1, 1), "auto")
        assert found.table.num_rows == kept + 2, room


def test_auto_limits_each_pair_with_a_dense_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_A_DENSE_PAIR", 20)
    monkeypatch.setattr(module, "STRONGEST_OF_A_UNIT", 2)
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5))
    found = links(net, (1, 1, 1), "auto")
    assert len(rows(found, "2")) == 20 and len(rows(found, "4")) == 10
    assert ("2", 0) not in found.omitted and found.omitted["4", 0][0] == 15


def test_summands_are_kept_but_for_none() -> None:
    assert len(rows(links(toy("bottleneck"), toy_shape("bottleneck"), "top:1"), "add")) == 16
    assert not rows(links(toy("bottleneck"), toy_shape("bottleneck"), "none"), "add")


def test_kernels_are_kept_on_demand() -> None:
    net = toy("grouped")
    table = links(net, toy_shape("grouped"), kernels=True).table
    row = next(r for r in table.to_pylist() if r["target_layer"] == "dilated" and r["channel"] == 3)
    np.testing.assert_array_equal(row["kernel"], net.get_parameter("dilated.weight").detach()[0, 3].flatten())
    assert {len(r["kernel"]) for r in table.to_pylist()} == {1, 9}


def test_what_cannot_be_followed_is_said() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).sum(1, keepdim=True))  # type: ignore[no-any-return]

    graph, maps, wiring = mapped(Mixed(), (1, 2, 2))
    notes: list[str] = []
    found = connections_of(graph, maps, wiring, "all", kernels=False, note=notes.append)
    assert not rows(found, "b") and "sum" in notes[0]


class Squeezed(nn.Module):
    """``squeeze`` without a dimension, as nets of a single place write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 3, 1), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).mean((2, 3), keepdim=True).squeeze())


def test_a_squeeze_takes_places_and_no_images() -> None:
    assert reads(Squeezed(), (1, 4, 4), "fc") == [[(0, "conv:0"), (1, "conv:1"), (2, "conv:2")]]
