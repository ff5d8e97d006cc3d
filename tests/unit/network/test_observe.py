"""The pass: values are reduced before anything can overwrite them, and the net is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnngraph.console import Quiet
from cnngraph.errors import ModelError, TraceError
from cnngraph.modes import evaluation_mode
from cnngraph.network.graph import follow
from cnngraph.network.images import LabelledImages
from cnngraph.network.observe import Observed, Probe, observe
from tests.toynets import toy, toy_shape


def seen(net: nn.Module, images: Tensor, probes: list[Probe], labels: Tensor | None = None) -> Observed:
    labels = torch.zeros(len(images), dtype=torch.long) if labels is None else labels
    loader = list(zip(images.split(2), labels.split(2), strict=True))
    with evaluation_mode(net), torch.no_grad():
        graph = follow(net, tuple(images.shape[1:]))
        return observe(graph.graph_module, LabelledImages(loader), channels=probes, places=probes, progress=Quiet())


def test_an_in_place_activation_does_not_change_the_conv_before_it() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(inplace=True))
    nn.init.constant_(net[0].weight, 1.0)  # type: ignore[arg-type]
    image = torch.tensor([[-1.0, 2.0], [-3.0, 4.0]]).view(1, 1, 2, 2)
    graph = follow(net, (1, 2, 2))
    nodes = {layer.layer: layer.node for layer in graph.layers}
    probes = [Probe("in", nodes["0"], before=True), Probe("out", nodes["0"]), Probe("relu", nodes["1"])]
    found = seen(net, image, probes)
    assert {name: value.tolist() for name, value in found.activation.items()} == {
        "in": [[0.5]],
        "out": [[0.5]],
        "relu": [[1.5]],
    }
    assert {name: value.tolist() for name, value in found.zeros.items()} == {"in": [0.5], "out": [0.5], "relu": [0.5]}
    assert found.places["out"].tolist() == [[[-1.0, 2.0], [-3.0, 4.0]]] * 2
    assert found.places["relu"].tolist() == [[[0.0, 2.0], [0.0, 4.0]]] * 2


def test_a_module_that_is_called_twice_is_two_steps() -> None:
    net, images = toy("twice"), torch.randn(3, *toy_shape("twice"))
    graph = follow(net, toy_shape("twice"))
    probes = [Probe(conv.layer, conv.node) for conv in graph.convs]
    found = seen(net, images, probes)
    with torch.no_grad():
        first = net.conv(images)  # type: ignore[operator]
        second = net.conv(torch.relu(first))  # type: ignore[operator]
    np.testing.assert_allclose(found.activation["conv"][0], first.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.activation["conv#2"][0], second.mean((0, 2, 3)), rtol=1e-5)


def test_classes_are_averaged_apart_whatever_the_batches() -> None:
    net = nn.Sequential(nn.Identity(), nn.Conv2d(1, 1, 1))
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 2, 2)
    graph = follow(net, (1, 2, 2))
    found = seen(net, images, [Probe("input", graph.layers[0].node)], torch.tensor([0, 1, 0, 1, 1]))
    assert found.activation["input"].tolist() == [[1.0], [8 / 3]]
    assert found.places["input"][:, 0, 0].tolist() == [1.0, 8 / 3, 2.0]
    assert found.zeros["input"].tolist() == [0.2]


def test_sums_do_not_lose_small_values_beside_large_ones() -> None:
    net = nn.Conv2d(1, 1, 1)
    graph = follow(net, (1, 1, 1))
    images = torch.full((4, 1, 1, 1), 1.0)
    images[0] = 2.0**26
    found = seen(net, images, [Probe("input", graph.layers[0].node)])
    assert found.activation["input"].tolist() == [[(2.0**26 + 3) / 4]]


def test_channels_that_come_last_are_found() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 2, 1), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).permute(0, 2, 3, 1))  # type: ignore[no-any-return]

    net, images = Last(), torch.randn(2, 1, 4, 5)
    node = follow(net, (1, 4, 5)).by_name["fc"].node
    found = seen(net, images, [Probe("fc", node, channel_dim=3)])
    with torch.no_grad():
        np.testing.assert_allclose(found.activation["fc"][0], net(images).mean((0, 1, 2)), rtol=1e-5)


def test_the_first_layer_that_is_not_finite_is_named_after_one_batch() -> None:
    class Explodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x) * 1e38 * 1e38)  # type: ignore[no-any-return]

    net, batches = Explodes(), []

    class Loader(list[tuple[Tensor, Tensor]]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for batch in super().__iter__():
                batches.append(1)
                yield batch

    loader = Loader([(torch.ones(1, 1, 2, 2), torch.tensor([0]))] * 9)
    graph = follow(net, (1, 2, 2))
    probes = [Probe(conv.layer, conv.node) for conv in graph.convs]
    images = LabelledImages(loader, classes=["x"])
    before = len(batches)
    with evaluation_mode(net), torch.no_grad(), pytest.raises(ModelError, match="layer b"):
        observe(graph.graph_module, images, channels=probes, progress=Quiet())
    assert len(batches) == before + 1


def test_half_precision_is_summed_in_float() -> None:
    net = nn.Conv2d(1, 1, 1, bias=False).to(torch.bfloat16)
    nn.init.ones_(net.weight)
    images = torch.ones(2, 1, 40, 40)
    images[:, :, 0, 0] = 3.0
    found = seen(net, images, [Probe("conv", follow(net, (1, 40, 40)).convs[0].node)])
    assert found.activation["conv"].tolist() == [[pytest.approx(1 + 2 / 1600, rel=1e-6)]]


class Windows(nn.Module):
    """Cuts its map into windows that lie beside the images of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.view(-1, 1, 2, 4)).view(-1, 1, 4, 4)


def test_places_that_lie_beside_images_are_refused() -> None:
    net = Windows()
    with pytest.raises(TraceError, match="inner has 4 rows for 2 images") as caught:
        seen(net, torch.ones(2, 1, 4, 4), [Probe("inner", follow(net, (1, 4, 4)).convs[0].node)])
    assert "\n" not in caught.value.message
