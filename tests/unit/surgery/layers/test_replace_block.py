"""Blocks that one layer replaces: golden numbers, what stands where, what stays, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from cnngraph.errors import NotFoundError, PlanError
from cnngraph.models import registry
from cnngraph.network.graph import follow
from cnngraph.origin import get_origin
from cnngraph.plan import Plan, Removal, Replacement
from cnngraph.surgery.apply import apply, apply_with_report, cut
from cnngraph.surgery.check import check, removable_blocks, replaceable_blocks
from cnngraph.surgery.execution import apply_plan
from tests.toynets import toy, toy_shape

SHAPE = (3, 32, 32)


def replacing(*blocks: str, **of: object) -> Plan:
    return Plan(removes=tuple(Removal(layer=block, kind="replace") for block in blocks), **of)  # type: ignore[arg-type]


def small(name: str, width: float = 0.125) -> nn.Module:
    return registry.rebuild(f"cnngraph:{name}", {"classes": 10, "width": width}).eval()


def test_vgg16_has_the_parameters_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.init, "kaiming_normal_", lambda tensor, **_: tensor)  # no number is looked at
    net = small("vgg16", width=1.0)
    golden = {
        "stage1": (1_792, 14_677_760),
        "stage2": (73_856, 14_567_104),
        "stage3": (295_168, 13_534_528),
        "stage4": (1_180_160, 9_995_072),
        "stage5": (2_359_808, 9_995_072),
    }
    features = net.get_submodule("features")
    assert sum(weight.numel() for weight in features.parameters()) == 14_714_688
    for block, expected in golden.items():
        slim = cut(net, replacing(block), input_shape=SHAPE).get_submodule("features")
        new = apply_plan(net, replacing(block), SHAPE).replaced[0].conv
        assert (new.parameters, sum(weight.numel() for weight in slim.parameters())) == expected


def test_a_stage_becomes_one_conv_and_all_else_stays_bitwise() -> None:
    net = small("vgg16")
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    slim = cut(net, replacing("stage3"), input_shape=SHAPE)
    parts = dict(slim.get_submodule("features").named_children())
    assert (parts["10"].in_channels, parts["10"].out_channels) == (16, 32)  # type: ignore[union-attr]
    assert [type(parts[str(n)]) for n in range(11, 16)] == [nn.Identity] * 4 + [nn.ReLU]
    after = slim.state_dict()
    assert {name for name in before if not name.startswith(("features.10.", "features.12.", "features.14."))} == {
        name for name in after if not name.startswith("features.10.")
    }
    assert all(torch.equal(after[name], before[name]) for name in after if not name.startswith("features.10."))
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())


def test_a_residual_block_keeps_its_shortcut_its_last_norm_and_what_follows_the_sum() -> None:
    net = small("resnet20", 0.25)
    done = apply_plan(net, replacing("layer2.0"), SHAPE)
    (found,) = done.replaced
    assert (found.layer, found.norm, found.target) == ("layer2.0.conv1", "layer2.0.bn2", "layer2.0.conv2")
    assert found.replacement == Replacement(stride=(2, 2), norm="BatchNorm2d")
    block = done.model.get_submodule("layer2.0")
    assert type(block) is type(net.get_submodule("layer2.0"))
    assert isinstance(block.conv2, nn.Identity) and isinstance(block.relu1, nn.Identity)
    assert torch.equal(block.bn2.weight, net.get_parameter("layer2.0.bn2.weight"))  # type: ignore[union-attr,arg-type]
    x = torch.randn(2, 4, 8, 8)
    wanted = F.relu(block.bn2(block.conv1(x)) + block.downsample(x))  # type: ignore[operator]
    assert torch.equal(block(x), wanted)


def test_a_relu_that_serves_twice_gives_the_block_a_module_of_ours() -> None:
    net = torchvision.models.resnet18(weights=None, num_classes=10).eval()
    slim = cut(net, replacing("layer2.0"), input_shape=(3, 64, 64))
    block = slim.get_submodule("layer2.0")
    assert type(block).__name__ == "OneLayer"
    assert [name for name, _ in block.named_children()] == ["conv1", "bn2", "downsample", "relu"]
    x = torch.randn(2, 64, 8, 8)
    assert torch.equal(block(x), F.relu(block.bn2(block.conv1(x)) + block.downsample(x)))  # type: ignore[operator]
    assert not {weight.data_ptr() for weight in slim.parameters()} & {weight.data_ptr() for weight in net.parameters()}


def test_a_concatenation_goes_from_entry_to_exit() -> None:
    net = torchvision.models.squeezenet1_1(weights=None, num_classes=10).eval()
    slim = cut(net, replacing("features.3"), input_shape=(3, 64, 64))
    block = slim.get_submodule("features.3")
    assert [name for name, _ in block.named_children()] == ["squeeze", "activation"]
    assert block(torch.randn(1, 64, 15, 15)).shape == (1, 128, 15, 15)


class InPlace(nn.Module):
    """Three convs whose activations are functions that work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(inputs, 4, 3, padding=1) for inputs in (1, 4, 4))
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.a, self.b, self.c):
            x = F.relu(conv(x), inplace=True)
        return self.fc(x.mean((2, 3)))


def test_activations_that_are_functions_stay_and_do_not_overwrite_each_other() -> None:
    _replace_each(InPlace(), (1, 6, 6))


def test_a_replaced_net_is_replaced_and_pruned_again() -> None:
    first = cut(small("resnet20", 0.25), replacing("layer2.0", "layer3.1"), input_shape=SHAPE)
    second = cut(first, replacing("layer2.1"), input_shape=SHAPE)
    fewer = cut(
        second, Plan(removes=(Removal(layer="layer2.0.conv1", kind="filters", filters=(0, 3)),)), input_shape=SHAPE
    )
    assert fewer.get_submodule("layer2.0.conv1").out_channels == 6
    gone = cut(fewer, Plan(removes=(Removal(layer="layer2.1", kind="block"),)), input_shape=SHAPE)
    assert gone(torch.zeros(2, *SHAPE)).shape == (2, 10)
    origin = get_origin(gone)
    assert origin is not None and len({origin.digest, origin.parent.digest, origin.parent.parent.digest}) == 3


@pytest.mark.parametrize("name", ["plain", "pooled", "residual", "functional", "grouped", "aux"])
def test_every_replaceable_block_of_the_toys_leaves_shapes_forward_and_backward(name: str) -> None:
    net, shape = toy(name), toy_shape(name)
    _replace_each(net, shape)


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "alexnet", "resnet20", "mobilenet_v2"])
def test_every_replaceable_block_of_the_zoo_leaves_shapes_forward_and_backward(name: str) -> None:
    _replace_each(small(name), SHAPE)


def _replace_each(net: nn.Module, shape: tuple[int, int, int]) -> None:
    possible = [block for block, reason in replaceable_blocks(follow(net, shape)).items() if reason is None]
    assert possible
    images = torch.randn(3, *shape)
    wanted = net(images).shape
    for block in possible:
        slim = cut(net, replacing(block), input_shape=shape)
        given = slim.eval()(images)
        assert given.shape == wanted
        given.sum().backward()
        new = apply_plan(net, replacing(block), shape).replaced[0].fitted
        gradients = {name for name, weight in slim.named_parameters() if weight.grad is not None}
        assert {name for name, _ in slim.named_parameters() if name.rpartition(".")[0] in new} <= gradients
        net.zero_grad()


# What cannot be


class TwoEqualWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = (nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1))
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.fc((self.left(x) + self.right(x)).mean((2, 3)))


def whole_conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(2, 3, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


@pytest.mark.parametrize(
    ("make", "shape", "block", "why"),
    [
        (lambda: toy("gate"), (1, 6, 6), "mul", "it is a gate"),
        (TwoEqualWays, (1, 6, 6), "add", "none of the ways to its sum has more convs"),
        (whole_conv_net, (1, 6, 6), "stage2", "2 in it gives the net's output"),
        (lambda: small("lenet5"), SHAPE, "stage1", "one 3x3 conv makes no maps of 28 x 28 from 32 x 32"),
    ],
)
def test_what_cannot_be_replaced_is_said(
    make: Callable[[], nn.Module], shape: tuple[int, int, int], block: str, why: str
) -> None:
    with pytest.raises(PlanError, match=f"The block {block} cannot be replaced: {why}"):
        cut(make(), replacing(block), input_shape=shape)


def test_an_unknown_block_has_its_nearest_name() -> None:
    graph = follow(small("vgg11"), SHAPE)
    with pytest.raises(NotFoundError, match="no block 'stag2'") as found:
        check(graph, replacing("stag2"), unknown=NotFoundError)
    assert "stage2" in found.value.hint


def test_nested_blocks_are_not_replaced_together() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.b(self.a(x))

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.last = nn.Conv2d(2, 2, 3, padding=1), Inner(), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.last(self.inner(self.first(x)))

    net = nn.Sequential(nn.Conv2d(1, 2, 1), Outer(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    assert set(replaceable_blocks(follow(net, (1, 6, 6)))) == {"1", "1.inner"}
    with pytest.raises(
        PlanError, match=r"1\.inner and 1 cannot both be replaced|1 and 1\.inner cannot both be replaced"
    ):
        cut(net, replacing("1", "1.inner"), input_shape=(1, 6, 6))


def test_a_stage_is_not_removed_as_a_block() -> None:
    graph = follow(small("vgg11"), SHAPE)
    with pytest.raises(PlanError, match="stage2 cannot go: it is a stage") as found:
        check(graph, Plan(removes=(Removal(layer="stage2", kind="block"),)))
    assert "features.3" in found.value.hint
    assert "it is a stage" in str(removable_blocks(graph)["stage2"])
    with pytest.raises(PlanError, match="stage2 cannot go: it is a stage"):
        cut(small("vgg11"), Plan(removes=(Removal(layer="stage2", kind="block"),)), input_shape=SHAPE)


# First weights


def images() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(32, *SHAPE, generator=generator), torch.zeros(32, dtype=torch.long)) for _ in range(8)]


@pytest.mark.parametrize("net", ["vgg11", "resnet20"])
def test_the_parent_gives_its_mean_filter_with_the_blocks_mean_and_variance(net: str) -> None:
    old, block = small(net, 0.25), {"vgg11": "stage3", "resnet20": "layer2.0"}[net]
    slim, report = apply_with_report(old, replacing(block, init="parent"), loader=images(), input_shape=SHAPE)
    (join,) = report.joins
    assert join.init == "parent"
    found, wanted = _given(slim, join.layer), _given(old, join.target)
    assert torch.allclose(found.var((0, 2, 3)), wanted.var((0, 2, 3)), rtol=1e-2)
    if net == "vgg11":  # its conv has a bias
        assert torch.allclose(found.mean((0, 2, 3)), wanted.mean((0, 2, 3)), atol=1e-3)
    else:
        norm, before = slim.get_submodule("layer2.0.bn2"), old.get_submodule("layer2.0.bn2")
        found, wanted = norm(found), before(wanted)
        assert torch.allclose(found.mean((0, 2, 3)), wanted.mean((0, 2, 3)), atol=1e-3)


def _given(net: nn.Module, path: str) -> Tensor:
    seen: list[Tensor] = []
    handle = net.get_submodule(path).register_forward_hook(lambda _m, _a, output: seen.append(output))
    with torch.no_grad():
        for batch, _ in images():
            net(batch)
    handle.remove()
    return torch.cat(seen)


def test_least_squares_comes_nearer_to_the_block_than_the_others() -> None:
    old = small("vgg11", 0.25)
    wanted = _given(old, "features.8")
    errors = {}
    for init in ("random", "parent", "least-squares"):
        slim = apply(old, replacing("stage3", init=init), loader=images(), input_shape=SHAPE)
        again = apply(old, replacing("stage3", init=init), loader=images(), input_shape=SHAPE)
        assert all(map(torch.equal, slim.state_dict().values(), again.state_dict().values()))
        errors[init] = float((_given(slim, "features.6") - wanted).square().mean())
    assert errors["least-squares"] < 0.8 * min(errors["random"], errors["parent"])


def test_without_images_a_layer_starts_at_random_and_says_so() -> None:
    _, report = apply_with_report(small("vgg11"), replacing("stage3"), input_shape=SHAPE)
    assert report.joins[0].init == "random" and "no training images were given" in report.notes[0]


def test_an_init_that_is_none_for_new_layers_is_refused() -> None:
    plan = replacing("stage3").model_copy(update={"init": "inherit"})
    with pytest.raises(PlanError, match="inherit is nothing for a layer that replaces a block"):
        apply(small("vgg11"), plan, input_shape=SHAPE)


def test_the_stride_of_a_new_layer_tells_structures_apart() -> None:
    two, three = (Removal(layer="stage1", kind="replace", replacement=Replacement(stride=(one, one))) for one in (2, 3))
    assert two.identity != three.identity
