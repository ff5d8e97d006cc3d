"""Which part of a net is trained after a layer was simplified, and that nothing else moves a bit."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnngraph.datasets.registry import Data, Subset, open_data
from cnngraph.models.registry import build
from cnngraph.network.followed_net import FollowedNet
from cnngraph.origin import Preprocessing
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut
from cnngraph.surgery.freezing import (
    count_parameters_of,
    depthwise_layers,
    frozen,
    hash_tensors,
    named_tensors,
    trained_tensors,
)
from cnngraph.training.fit import Recipe, fit

SHAPE = (3, 32, 32)


def of_filters(layer: str, *filters: int) -> Plan:
    return Plan(removes=(Removal(layer=layer, kind="filters", filters=filters),))


def trained_of(followed: FollowedNet, layer: str) -> frozenset[str]:
    return trained_tensors(followed, layer, depthwise_layers(followed.graph))


def modules(names: frozenset[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


@pytest.fixture(scope="module")
def vgg16() -> nn.Module:
    return build("torchvision:vgg16", classes=1000, size=224, seed=0)


@pytest.fixture(scope="module")
def data() -> Data:
    pixels = Preprocessing(size=(32, 32), channels=3)
    return open_data("digits", preprocessing=pixels, subset=Subset(images_per_class=6))


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(("layer", "saved"), [("features.0", 604), ("features.28", 205_313)])
def test_what_one_kernel_of_vgg16_at_224_saves(vgg16: nn.Module, layer: str, saved: int) -> None:
    slim = cut(vgg16, of_filters(layer, 7), input_shape=(3, 224, 224))
    assert parameters(vgg16) - parameters(slim) == saved


def test_what_is_trained_of_vgg16_in_its_first_and_last_step(vgg16: nn.Module) -> None:
    followed = FollowedNet(vgg16, (3, 224, 224))
    first = trained_of(followed, "features.0")
    assert count_parameters_of(vgg16, first) == 38_720
    slim = cut(vgg16, of_filters("features.0", 1, 5), input_shape=(3, 224, 224))
    assert count_parameters_of(slim, trained_of(FollowedNet(slim, (3, 224, 224)), "features.0")) == 38_720 - 2 * 604
    last = modules(trained_of(followed, "features.28"))
    assert last == {path for path, module in vgg16.named_modules() if isinstance(module, nn.Conv2d)} | {"classifier.0"}


def test_on_a_residual_net_all_that_reads_the_layer_is_trained_and_what_is_coupled_with_it_is_not() -> None:
    net = build("cnngraph:resnet20", classes=10, size=32, width=0.25, seed=0)
    trained = modules(trained_of(FollowedNet(net, SHAPE), "conv1"))
    # The stream is read by the first conv of each block of its stage, and by both convs of the next one.
    readers = {f"layer1.{block}.conv1" for block in range(3)} | {"layer2.0.conv1", "layer2.0.downsample.0"}
    norms = {f"layer1.{block}.bn1" for block in range(3)} | {"layer2.0.bn1", "layer2.0.downsample.1"}
    assert trained == {"conv1", "bn1"} | readers | norms


def test_a_depthwise_conv_goes_with_what_it_reads() -> None:
    net = build("torchvision:mobilenet_v2", classes=10, size=32, seed=0)
    followed = FollowedNet(net, SHAPE)
    block, before = "features.2.conv", modules(trained_of(followed, "features.1.conv.1"))
    trained = modules(trained_of(followed, f"{block}.0.0"))
    assert trained - before == {f"{block}.{part}" for part in ("2", "3")}
    # The expansion was read by the step before; its depthwise conv went along then.
    assert {f"{block}.0.0", f"{block}.0.1", f"{block}.1.0", f"{block}.1.1"} <= before


def bits(net: nn.Module) -> dict[str, str]:
    return {
        name: hashlib.sha256(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
        for name, tensor in net.state_dict().items()
    }


@pytest.mark.parametrize(
    ("name", "options", "layers"),
    [
        ("cnngraph:vgg11_bn", {"width": 0.25}, ["features.0", "features.8"]),
        ("cnngraph:resnet20", {"width": 0.25}, ["conv1", "layer2.1.conv1"]),
        ("cnngraph:mobilenet_v2", {"width": 0.25}, ["features.0.0", "features.3.conv.0.0"]),
    ],
)
def test_everything_after_the_next_layer_stays_bit_for_bit(
    name: str, options: dict[str, Any], layers: list[str], data: Data
) -> None:
    net = build(name, classes=10, size=32, seed=0, **options)
    for layer in layers:
        net = cut(net, of_filters(layer, 0), input_shape=SHAPE)
        trained = trained_of(FollowedNet(net, SHAPE), layer)
        before, hashes = bits(net), hash_tensors(net, named_tensors(net).keys() - trained)
        flags = {name: parameter.requires_grad for name, parameter in net.named_parameters()}
        recipe = Recipe(epochs=1, batch_size=20, optimizer="sgd" if layer == layers[1] else "adamw", weight_decay=0.1)
        with frozen(net, trained):
            fit(net, data.train, None, **asdict(recipe), device="cpu", channels_last=False)
        changed = {name for name, value in bits(net).items() if value != before[name]}
        assert changed <= trained
        assert f"{layer}.weight" in changed
        assert any(name.endswith("running_mean") for name in changed)
        assert hash_tensors(net, hashes) == hashes
        assert flags == {name: parameter.requires_grad for name, parameter in net.named_parameters()}
        assert not any("train" in module.__dict__ for module in net.modules())


def test_a_copy_is_frozen_too_and_the_modes_come_back() -> None:
    net = build("cnngraph:resnet20", classes=10, size=32, width=0.25, seed=0)
    net.train()
    with frozen(net, trained_of(FollowedNet(net, SHAPE), "conv1")):
        pupil = copy.deepcopy(net).train()
        assert pupil.get_submodule("bn1").training
        assert not pupil.get_submodule("layer3.2.bn2").training
        pupil.eval().train()
        assert not pupil.get_submodule("layer3.2.bn2").training
        before = bits(pupil)
        pupil(torch.randn(4, *SHAPE))
        assert {name for name, value in bits(pupil).items() if value != before[name] and "layer3" in name} == set()
        assert {module.training for module in net.modules()} == {True, False}
    assert {module.training for module in net.modules()} == {True}


class Narrow(nn.Module):
    """Two parts of a net with a depthwise conv between, a buffer of its own and dropout by its own mode."""

    shift: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.depthwise = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.reader, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.later, self.late_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 10)
        self.register_buffer("shift", torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.reader(self.depthwise(self.first(x)).relu())).relu()
        x = self.late_norm(self.later(F.dropout(x, 0.5, training=self.training))).relu()
        return self.last(x.mean((2, 3)) + self.shift)  # type: ignore[no-any-return]


def test_a_depthwise_conv_of_one_channel_is_still_one() -> None:
    torch.manual_seed(0)
    whole = FollowedNet(Narrow(), SHAPE)
    slim = FollowedNet(cut(whole.model, of_filters("first", 0, 1, 2), input_shape=SHAPE), SHAPE)
    conv = slim.model.get_submodule("depthwise")
    assert isinstance(conv, nn.Conv2d)
    assert (conv.groups, conv.in_channels) == (1, 1)
    trained = trained_tensors(slim, "first", depthwise_layers(whole.graph))
    assert modules(trained) == modules(trained_of(whole, "first")) == {"first", "depthwise", "reader", "norm"}


def test_a_frozen_buffer_of_the_net_itself_turns_nothing_off_that_is_trained() -> None:
    torch.manual_seed(0)
    net = Narrow()
    trained = trained_of(FollowedNet(net, SHAPE), "first")
    assert "shift" not in trained
    with frozen(net, trained):
        net.train()
        assert (net.training, net.norm.training, net.late_norm.training) == (True, True, False)
        image = torch.randn(2, *SHAPE)
        assert not torch.equal(net(image), net(image))  # its dropout
    assert net.late_norm.training is True
