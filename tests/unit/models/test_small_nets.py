"""The small nets: literal sizes, any input size, one ReLU module a place."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from cnngraph.errors import ModelError
from cnngraph.models.registry import build, default_preprocessing
from cnngraph.models.small.zoo import ZOO


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def conv_sides(model: nn.Module, channels: int, size: int) -> list[int]:
    """Height of every conv's output, in the order of the calls."""
    sides: list[int] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: sides.append(output.shape[-1]))
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]
    model.eval()(torch.zeros(1, channels, size, size))
    for hook in hooks:
        hook.remove()
    return sides


def test_vgg16_has_the_maps_of_the_reference() -> None:
    model = build("cnngraph:vgg16", classes=10)
    assert conv_sides(model, 3, 32) == [32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2]


def test_vgg16_convs_have_the_published_number_of_parameters() -> None:
    model = build("cnngraph:vgg16", classes=10)
    assert sum(p.numel() for n, p in model.named_parameters() if n.startswith("features")) == 14_714_688


def test_vgg16_is_named_like_torchvisions() -> None:
    model = build("cnngraph:vgg16", classes=10, width=0.1)
    convs = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    assert convs == [f"features.{number}" for number in numbers]
    dense = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert dense == ["classifier.0", "classifier.3", "classifier.6"]


def test_lenet5_has_the_classic_number_of_parameters() -> None:
    assert parameters(build("cnngraph:lenet5", classes=10, in_channels=1)) == 61_706
    assert parameters(build("cnngraph:lenet5", classes=10, in_channels=1, size=28)) == 61_706


def test_the_nets_of_ansuini_have_their_published_numbers_of_parameters() -> None:
    lenet = build("cnngraph:lenet5_avg", classes=10, in_channels=1)
    assert parameters(lenet) == 44_426
    assert default_preprocessing("cnngraph:lenet5_avg").size == (28, 28)
    assert conv_sides(lenet, 1, 28) == [24, 8]
    assert {"relu1", "pool1", "relu2", "pool2", "fc1", "fc2", "logits"} <= set(dict(lenet.named_modules()))
    assert not any(isinstance(module, nn.MaxPool2d) for module in lenet.modules())
    vgg = build("cnngraph:vgg_svhn", classes=10)
    assert parameters(vgg) == 586_154
    assert conv_sides(vgg, 3, 32) == [32, 32, 16, 16, 8, 8, 4]


@pytest.mark.parametrize(("name", "count"), [("resnet20", 272_474), ("resnet32", 466_906), ("resnet56", 855_770)])
def test_resnets_have_projection_shortcuts(name: str, count: int) -> None:
    assert parameters(build(f"cnngraph:{name}", classes=10)) == count


def test_every_relu_of_a_resnet_block_is_a_module_of_its_own() -> None:
    model = build("cnngraph:resnet20", classes=10, width=0.25)
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    assert len(relus) == 1 + 9 * 2
    calls = []
    for relu in relus:
        relu.register_forward_hook(lambda module, _inputs, _output: calls.append(module))
    model(torch.zeros(2, 3, 32, 32))
    assert len(calls) == len(set(calls)) == len(relus)
    assert not any(relu.inplace for relu in relus)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("size", [28, 32, 47])
def test_other_sizes_and_widths_work(name: str, size: int) -> None:
    model = build(f"cnngraph:{name}", classes=3, in_channels=1, size=size, width=0.05)
    assert model(torch.zeros(2, 1, size, size)).shape == (2, 3)


@pytest.mark.parametrize("size", [2, 7, 8, 16])
def test_vgg_leaves_out_pools_that_would_empty_a_map(size: int) -> None:
    model = build("cnngraph:vgg11_bn", classes=3, in_channels=1, size=size, width=0.05)
    assert model.eval()(torch.zeros(1, 1, size, size)).shape == (1, 3)


@pytest.mark.parametrize(("name", "size"), [("lenet5", 11), ("alexnet", 14), ("vgg16", 1)])
def test_a_size_that_would_empty_a_map_is_refused(name: str, size: int) -> None:
    with pytest.raises(ModelError, match=f"cannot read images of {size} px"):
        build(f"cnngraph:{name}", classes=3, size=size)


@pytest.mark.parametrize(("name", "size"), [("lenet5", 12), ("alexnet", 15)])
def test_the_smallest_size_works(name: str, size: int) -> None:
    model = build(f"cnngraph:{name}", classes=3, size=size, width=0.1)
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 3)


def test_a_deep_net_without_norm_passes_its_signal_on() -> None:
    model = build("cnngraph:vgg19", classes=10, width=0.25).eval()
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    deviation = float(model(images).detach().std())
    assert 0.1 < deviation < 10


def test_mobilenet_v2_is_torchvisions_with_larger_maps() -> None:
    model, theirs = build("cnngraph:mobilenet_v2", classes=10, width=1.0), mobilenet_v2(num_classes=10)
    assert parameters(model) == 2_236_682
    assert [(name, value.shape) for name, value in model.state_dict().items()] == [
        (name, value.shape) for name, value in theirs.state_dict().items()
    ]
    # The stem, two convs of the first block, then three a block of which the second has the stride, the last 1x1 conv.
    sides = [32] * 10 + [16] * 8 + [16] + [8] * 20 + [8] + [4] * 11 + [4]
    assert conv_sides(model, 3, 32) == sides


def test_mobilenet_v2_has_a_shortcut_where_the_shapes_allow_one() -> None:
    model = build("cnngraph:mobilenet_v2", classes=10, width=0.25)
    numbers = [name for name, module in model.named_modules() if getattr(module, "shortcut", False)]
    assert numbers == [f"features.{number}" for number in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)]
