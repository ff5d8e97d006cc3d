"""The mapping pass against hand-computed numbers and against the naive computation on random chains."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnngraph import trace
from cnngraph.errors import DataError, ModelError, NotFoundError, TraceError, UsageError
from cnngraph.network import observe, spec
from cnngraph.network.graph import follow
from cnngraph.network.patches import PATCHES
from cnngraph.network.tables import Network
from tests.toynets import TOYS, filled, toy, toy_shape
from tests.unit.network.chains import Chain, chains, naive_activation, naive_weights

Batches = list[tuple[Tensor, Tensor]]


def batches(shape: tuple[int, int, int], images: int = 6, classes: int = 2, batch: int = 4) -> Batches:
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(images, *shape, generator=generator)
    return list(zip(values.split(batch), (torch.arange(images) % classes).split(batch), strict=True))


def weights(network: Network, layer: str) -> list[list[float] | None]:
    rows = network.positions.to_pylist()
    return [row["activation"] for row in rows if row["layer"] == layer]


def degree(network: Network, layer: str) -> list[float]:
    """Sum of the weights of the arcs into and out of each position, for class 0."""
    weight = [row[0] if row else 0.0 for row in network.positions.column("activation").to_pylist()]
    total = [0.0] * (len(weight) + 1)
    for source, target in zip(*(network.arcs.column(i).to_pylist() for i in (0, 1)), strict=True):
        total[source] += weight[source - 1]
        total[target] += weight[source - 1]
    return [total[row["number"]] for row in network.positions.to_pylist() if row["layer"] == layer]


def test_all_ones_give_the_golden_degrees() -> None:
    net = filled(toy("plain"))
    image = torch.ones(1, 1, 4, 4)
    network = trace(net, [(image, torch.tensor([0]))], source="input", correlations=False)
    assert network.positions.num_rows == 4 + 16 and network.arcs.num_rows == 36
    assert degree(network, "a") == [9.0] * 4
    assert degree(network, "b") == [1, 2, 2, 1, 2, 4, 4, 2, 2, 4, 4, 2, 1, 2, 2, 1]


def test_the_last_conv_is_no_source() -> None:
    network = trace(toy("plain"), batches((1, 4, 4)))
    assert weights(network, "b") == [None] * 16
    assert network.positions.column("activation_all").null_count == 16
    assert None not in weights(network, "a")


@pytest.mark.parametrize("name", TOYS)
def test_every_toy_is_mapped_in_every_way(name: str) -> None:
    for source in spec.SOURCES:
        network = trace(toy(name), batches(toy_shape(name)), source=source, patch="max")
        assert network.details.source == source
        assert network.feature_maps.num_rows > 0 and network.positions.num_rows > 0


@settings(deadline=None, derandomize=True, max_examples=40)
@given(chains(), st.sampled_from(sorted(PATCHES)), st.sampled_from(spec.SOURCES))
def test_weights_equal_the_naive_computation(chain: Chain, patch: str, source: str) -> None:
    network = trace(chain.net, chain.loader(), source=source, patch=patch, correlations=False)
    names = ["input", *(name for name, _ in chain.net.named_children())]
    convs = [name for name, module in chain.net.named_children() if isinstance(module, nn.Conv2d)]
    graph = follow(chain.net, tuple(chain.images.shape[1:]))
    for conv, after in pairwise(convs):
        unit = graph.unit(conv)
        last = unit.activation or unit.norm or unit.conv
        read = {"input": names[names.index(conv) - 1], "output": conv, "activation": last.layer}[source]
        layer = graph.by_name[conv]
        places = [(row["x"], row["y"]) for row in network.positions.to_pylist() if row["layer"] == conv]
        kernel = graph.by_name[after].kernel
        assert kernel is not None and layer.out_height is not None and layer.out_width is not None
        expected = naive_weights(chain, read, places, kernel, patch, (layer.out_height, layer.out_width))
        rows = [row for row in network.positions.to_pylist() if row["layer"] == conv]
        found = [[*row["activation"], row["activation_all"]] for row in rows]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(chains())
def test_maps_equal_the_naive_computation(chain: Chain) -> None:
    network = trace(chain.net, chain.loader(), view="channels")
    graph = follow(chain.net, tuple(chain.images.shape[1:]))
    rows = network.feature_maps.to_pylist()
    for layer in graph.convs:
        unit = graph.unit(layer.layer)
        shown = (unit.activation or unit.norm or unit.conv).layer
        mine = [row for row in rows if row["layer"] == layer.layer]
        np.testing.assert_allclose([row["activation"] for row in mine], naive_activation(chain, shown).T, rtol=1e-9)
        values = chain.values()[shown]
        np.testing.assert_allclose([row["apoz"] for row in mine], (values <= 0).mean(axis=(0, 2, 3)), atol=1e-12)
        weight = chain.net.get_submodule(layer.layer).weight.detach().numpy()  # type: ignore[union-attr]
        np.testing.assert_allclose([row["l1"] for row in mine], np.abs(weight).sum(axis=(1, 2, 3)))
        np.testing.assert_allclose([row["l2"] for row in mine], np.sqrt((weight**2).sum(axis=(1, 2, 3))))


def test_few_whole_maps_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data, net = batches((3, 8, 8), images=9, classes=3), toy("residual").double()
    at_once = trace(net, data, patch="mean_filter")
    monkeypatch.setattr(observe, "MAPS_AT_ONCE", 1)
    one_by_one = trace(net, data, patch="mean_filter")
    for table, column in (("positions", "activation"), ("positions", "activation_all"), ("feature_maps", "activation")):
        one, other = (n.tables()[table].column(column).drop_null().to_pylist() for n in (at_once, one_by_one))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert at_once.details.inputs["images_sha256"] == one_by_one.details.inputs["images_sha256"]


def test_two_runs_are_identical_to_the_bit() -> None:
    data = batches((3, 8, 8))
    first, second = (trace(toy("residual"), data, patch="max") for _ in range(2))
    assert first.details == second.details
    for name, table in first.tables().items():
        assert table.equals(second.tables()[name]), name


def test_activation_all_weighs_images_not_classes() -> None:
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 4, 4)
    network = trace(toy("plain"), [(images, torch.tensor([0, 0, 1]))], source="input")
    row = network.positions.to_pylist()[0]
    assert row["activation"] == [0.5, 2.0] and row["activation_all"] == 1.0


@pytest.mark.parametrize("view", ["channels", "positions"])
def test_a_view_leaves_the_other_tables_empty(view: str) -> None:
    network = trace(toy("plain"), batches((1, 4, 4)), view=view)
    counts = network.counts()
    other = ("positions", "arcs") if view == "channels" else ("feature_maps", "connections")
    assert [counts[name] for name in other] == [0, 0]
    assert network.layers.num_rows and network.classes.num_rows == 2


def test_details_hold_everything_that_decided_the_values() -> None:
    network = trace(toy("plain"), batches((1, 4, 4)), images_per_class=2, only_classes=[1], seed=7)
    inputs = network.details.inputs
    assert inputs["seed"] == 7 and inputs["images_per_class"] == 2 and inputs["classes"] == ["1"]
    assert len(inputs["weights_sha256"]) == len(inputs["images_sha256"]) == 64
    other = trace(toy("plain", seed=1), batches((1, 4, 4)), images_per_class=2, only_classes=[1], seed=7)
    assert other.details.inputs["weights_sha256"] != inputs["weights_sha256"]
    assert other.details.inputs["images_sha256"] == inputs["images_sha256"]
    assert network.details.architecture == "tests.toynets.PlainChain"
    assert network.details.parameters == 20 + 57 + 8 and network.details.input_shape == (1, 4, 4)


def test_classes_can_be_named_and_chosen() -> None:
    data = batches((1, 4, 4), images=9, classes=3)
    network = trace(toy("plain"), data, classes=["ant", "bee", "cat"], only_classes=["cat", "ant"], images_per_class=2)
    assert network.classes.to_pylist() == [
        {"index": 0, "name": "ant", "images": 2},
        {"index": 1, "name": "cat", "images": 2},
    ]
    assert trace(toy("plain"), data).classes.column("name").to_pylist() == ["0", "1", "2"]


def test_the_net_is_the_same_afterwards() -> None:
    net = toy("residual").train()
    net.stem.eval()  # type: ignore[union-attr, operator]
    modes = [module.training for module in net.modules()]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = torch.random.get_rng_state()
    trace(net, batches((3, 8, 8)))
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_modes_are_restored_after_an_error() -> None:
    net = toy("plain").train()
    with pytest.raises(DataError):
        trace(net, [(torch.full((2, 1, 4, 4), float("nan")), torch.tensor([0, 1]))])
    assert all(module.training for module in net.modules())


def test_nan_activations_name_the_layer() -> None:
    class Divides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x) / 0.0)  # type: ignore[no-any-return]

    with pytest.raises(ModelError, match="layer b"):
        trace(Divides(), batches((1, 4, 4)))
    net = toy("plain")
    net.a.weight.data[0, 0, 0, 0] = float("inf")  # type: ignore[union-attr, index, operator]
    with pytest.raises(ModelError, match=r"a\.weight"):
        trace(net, batches((1, 4, 4)))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"source": "inputs"}, UsageError, "input"),
        ({"patch": "median"}, UsageError, "mean"),
        ({"view": "channel"}, UsageError, "channels"),
        ({"connections": "top:0"}, UsageError, "top:K"),
        ({"images_per_class": 0}, UsageError, "at least 1"),
        ({"images_per_class": 4}, DataError, "at most 3"),
        ({"only_classes": ["2"]}, NotFoundError, "Known: 0, 1"),
        ({"classes": ["a", "b", "c"]}, DataError, "'c' has no image"),
        ({"classes": ["a"]}, DataError, "label 1"),
        ({"classes": ["a", "a"]}, DataError, "named 'a'"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        trace(toy("plain"), batches((1, 4, 4)), **options)


@pytest.mark.parametrize(
    ("loader", "match"),
    [
        ([], "no image"),
        (iter(batches((1, 4, 4))), "only once"),
        ([torch.zeros(2, 1, 4, 4)], "images, labels"),
        ([(torch.zeros(2, 1, 4, 4), torch.zeros(2))], "labels have"),
        ([(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))], "batches of floats"),
        ([*batches((1, 4, 4)), *batches((1, 6, 6))], "1 x 6 x 6"),
    ],
)
def test_bad_loaders(loader: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        trace(toy("plain"), loader)


def test_images_of_a_wrong_size_are_refused_with_the_line() -> None:
    with pytest.raises(TraceError, match="toynets"):
        trace(toy("pooled"), batches((1, 6, 6)))
