"""Structure: what goes, what stays, and which widths come out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnngraph.errors import NotFoundError, PlanError
from cnngraph.network.graph import follow
from cnngraph.surgery.apply import apply_with_report, cut
from cnngraph.surgery.check import check, removable, removable_blocks
from cnngraph.surgery.layers.bypass import Adapter, Copy
from tests.toynets import toy, toy_shape

from .nets import LeNet, OptionA, Pointwise, StoredSize, images, plan, seeded


def test_the_next_conv_takes_the_width_and_keeps_the_slices_that_fit() -> None:
    model = seeded(Pointwise)
    slim = cut(model, plan("b"), input_shape=(1, 2, 2))
    assert type(slim) is Pointwise
    assert isinstance(slim.b, nn.Identity)
    assert slim.c.weight.shape == (2, 2, 1, 1)
    assert torch.equal(slim.c.weight, model.c.weight[:, :2])
    assert torch.equal(slim.c.bias, model.c.bias)
    x = images(1, 1, 2, 2)
    by_hand = F.conv2d(model.a(x), model.c.weight[:, :2], model.c.bias)
    torch.testing.assert_close(slim(x), model.fc(by_hand.flatten(1)))


def test_adjacent_removals_compose_whatever_their_order() -> None:
    model = seeded(Pointwise)
    one, other = cut(model, plan("b", "c"), input_shape=(1, 2, 2)), cut(model, plan("c", "b"), input_shape=(1, 2, 2))
    assert one.fc.weight.shape == (2, 8)  # a gives two channels, as c did
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    first = cut(model, plan("a", "b"), input_shape=(1, 2, 2))
    assert first.c.weight.shape == (2, 1, 1, 1)


def test_a_dense_layer_is_resized_channel_by_channel() -> None:
    model = seeded(Pointwise)
    slim = cut(model, plan("b", "c"), input_shape=(1, 2, 2))
    x = images(3, 1, 2, 2)
    torch.testing.assert_close(slim(x), model.fc(model.a(x).flatten(1)))
    wide = cut(
        model, plan("c"), input_shape=(1, 2, 2)
    )  # three channels of b flattened: 12 inputs, the first 8 as before
    assert wide.fc.weight.shape == (2, 12)
    assert torch.equal(wide.fc.weight[:, :8], model.fc.weight)


def test_norm_and_activation_go_with_their_conv_and_pools_stay() -> None:
    model = toy("pooled")
    slim, report = apply_with_report(model, plan("features.0"), input_shape=toy_shape("pooled"))
    kinds = [type(module).__name__ for module in slim.features]
    assert kinds == ["Identity", "Identity", "Identity", "MaxPool2d", "Conv2d", "ReLU"]
    assert slim.features[4].in_channels == 1
    assert report.resized == {"features.4": (1, 4)}
    assert report.stays == ()
    assert [join.layer for join in report.joins] == ["features.4"]


def test_an_unpadded_conv_leaves_a_larger_map_and_the_dense_layer_follows() -> None:
    model = seeded(LeNet)
    slim, report = apply_with_report(model, plan("conv1"), input_shape=(1, 28, 28))
    # 28 -> pool 14 -> conv2 5x5 10 -> pool 5: 16 x 5 x 5 instead of 16 x 4 x 4
    assert report.resized == {"conv2": (1, 16), "fc1": (400, 84)}
    assert report.stays == ("relu",)
    assert slim(images(3, 1, 28, 28)).shape == (3, 10)
    assert isinstance(slim.conv1, Copy)  # a functional ReLU reads it; it must not overwrite the user's image
    old = model.fc1.weight.view(84, 16, 4, 4)
    assert torch.equal(slim.fc1.weight.view(84, 16, 5, 5)[:, :, :4, :4], old)


def test_a_stored_size_keeps_the_map_exactly_and_its_width_by_an_adapter() -> None:
    slim = cut(seeded(StoredSize), plan("conv1"), input_shape=(1, 28, 28))
    assert isinstance(slim.conv1, nn.ZeroPad2d)
    assert slim.conv1.padding == (-2, -2, -2, -2)
    assert slim.fc1.in_features == 256
    wide = cut(seeded(StoredSize), plan("conv2"), input_shape=(1, 28, 28))
    assert wide.conv2.passage.padding == (-2, -2, -2, -2)
    assert isinstance(wide.conv2.adapter, Adapter)
    assert wide.conv2.adapter.weight.shape == (16, 6, 1, 1)
    assert wide.fc1.in_features == 256


def test_the_first_conv_of_a_block_hands_its_input_to_the_second() -> None:
    _, report = apply_with_report(toy("residual"), plan("layer2.0.conv1"), input_shape=(3, 8, 8))
    assert report.bypasses == {"layer2.0.conv1": "AvgPool2d(kernel_size=(2, 2), stride=(2, 2), padding=0)"}
    assert report.resized == {"layer2.0.conv2": (4, 8)}
    assert [join.layer for join in report.joins] == ["layer2.0.conv2"]
    assert report.stays == ("layer2.0.relu",)  # called again behind the sum


def test_the_last_conv_of_a_basic_block_leaves_a_fitting_width() -> None:
    slim, report = apply_with_report(toy("residual"), plan("layer1.0.conv2"), input_shape=(3, 8, 8))
    assert report.resized == {}
    assert isinstance(slim.layer1[0].conv2, Copy)  # ``out += skip`` would overwrite what relu needs for its gradient
    # Everything that reads the stream with no conv between: the next block, and both ways of the one after it.
    assert [join.layer for join in report.joins] == ["layer1.1.conv1", "layer2.0.downsample.0", "layer2.0.conv1"]


def test_the_conv_before_the_last_one_of_a_bottleneck_gets_the_width_of_the_sum() -> None:
    model = toy("bottleneck")
    slim, report = apply_with_report(model, plan("conv3"), input_shape=(3, 8, 8))
    assert report.resized == {"conv2": (2, 8)}
    assert torch.equal(slim.conv2.weight[:2], model.conv2.weight)
    assert torch.equal(slim.bn2.weight, model.bn3.weight)  # the norm that fits there
    assert slim.bn2.num_features == 8
    assert (report.joins[0].layer, report.joins[0].target) == ("conv2", "conv3")


def test_a_block_goes_and_its_shortcut_stays() -> None:
    model = seeded(lambda: toy("residual"))
    x = images(2, 3, 8, 8)
    identity = cut(model, plan(blocks=["layer1.0"]), input_shape=(3, 8, 8))
    assert isinstance(identity.layer1[0], nn.Identity)  # its input has been through a ReLU already
    stem = model.stem(x)
    torch.testing.assert_close(identity(x), model.fc(model.pool(model.layer2(model.layer1[1](stem))).flatten(1)))
    projection, report = apply_with_report(model, plan(blocks=["layer2.0"]), input_shape=(3, 8, 8))
    assert [name for name, _ in projection.layer2[0].named_children()] == ["downsample", "relu"]
    by_hand = F.relu(model.layer2[0].downsample(model.layer1(stem)))
    torch.testing.assert_close(projection(x), model.fc(model.pool(by_hand).flatten(1)))
    assert report.removed == ("layer2.0.conv1", "layer2.0.conv2")
    assert [join.layer for join in report.joins] == ["fc"]


def test_naming_every_conv_of_a_branch_removes_the_block() -> None:
    _, report = apply_with_report(toy("residual"), plan("layer1.1.conv2", "layer1.1.conv1"), input_shape=(3, 8, 8))
    assert report.blocks == ("layer1.1",)


def test_functional_blocks_and_shortcuts() -> None:
    model = seeded(OptionA)
    graph = follow(model, (3, 8, 8))
    assert list(removable_blocks(graph).values()) == [None, None, None]
    slim = cut(model, plan(blocks=["blocks.1", "blocks.2"]), input_shape=(3, 8, 8))
    x = images(2, 3, 8, 8)
    stream = model.blocks[0](F.relu(model.conv(x)))
    torch.testing.assert_close(slim(x), model.fc(F.pad(stream[:, :, ::2, ::2], (0, 0, 0, 0, 0, 4)).mean((2, 3))))


def test_reasons_why_a_conv_cannot_go() -> None:
    assert removable(follow(toy("residual"), (3, 8, 8))) == {
        "stem.0": None,
        "layer1.0.conv1": None,
        "layer1.0.conv2": None,
        "layer1.1.conv1": None,
        "layer1.1.conv2": None,
        "layer2.0.downsample.0": None,
        "layer2.0.conv1": None,
        "layer2.0.conv2": None,
    }
    twice = removable(follow(toy("twice"), (2, 6, 6)))
    assert twice == {
        "conv": "The plan removes all 1 conv layers.",  # both calls go with their module
        "conv#2": "The plan removes all 1 conv layers.",
    }
    grouped = removable(follow(toy("grouped"), (1, 8, 8)))
    assert grouped["stem"] is None  # an adapter gives the depthwise conv its width


def test_the_classifier_of_a_fully_convolutional_net_stays() -> None:
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(1, 3, 3, padding=1)
            self.head = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(F.relu(self.body(x))).mean((2, 3))

    found = removable(follow(Squeeze(), (1, 6, 6)))
    assert found == {"body": None, "head": "head cannot go: it gives the net's output."}


@pytest.mark.parametrize(
    ("made", "error", "message", "hint"),
    [
        (plan("layer1.0.conv3"), PlanError, "The net has no conv layer 'layer1.0.conv3'.", "layer1.0.conv1"),
        (plan(blocks=["layer9"]), PlanError, "The net has no block 'layer9'.", "layer1.0"),
        (plan("fc"), PlanError, "fc is no conv layer.", "Only conv layers and blocks"),
        (plan("layer1.0"), PlanError, "layer1.0 is a block, no layer.", "--remove-block"),
        (plan(blocks=["layer1.0.conv1"]), PlanError, "layer1.0.conv1 is a layer, no block.", "--remove-layer"),
        (plan("stem.0", architecture="cnngraph:vgg16"), PlanError, "The plan is for cnngraph:vgg16", "from this net"),
    ],
)
def test_plans_that_do_not_fit(made: object, error: type[Exception], message: str, hint: str) -> None:
    with pytest.raises(error) as caught:
        cut(toy("residual"), made, input_shape=(3, 8, 8))  # type: ignore[arg-type]
    assert message in caught.value.message  # type: ignore[attr-defined]
    assert hint in caught.value.hint  # type: ignore[attr-defined]


def test_a_name_typed_on_the_command_line_is_not_found_instead() -> None:
    graph = follow(toy("residual"), (3, 8, 8))
    with pytest.raises(NotFoundError) as caught:
        check(graph, plan("layer1.0.convl"), unknown=NotFoundError)
    assert "layer1.0.conv1" in caught.value.hint
    check(graph, plan("layer1.0.conv1"), unknown=NotFoundError)


def test_a_module_that_is_called_twice_cannot_get_two_widths() -> None:
    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.shared, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.shared(self.shared(self.first(x))).mean((2, 3), keepdim=True)).flatten(1)

    with pytest.raises(PlanError, match="first cannot go: shared is called more than once") as caught:
        cut(Again(), plan("first"), input_shape=(3, 4, 4))
    assert caught.value.hint


class TwoNames(Pointwise):
    """Every module has a second name, and the forward calls it by that one."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.ModuleDict({"first": self.a, "second": self.b, "third": self.c, "head": self.fc})

    def forward(self, x: Tensor) -> Tensor:
        for name in ("first", "second", "third"):
            x = self.again[name](x)
        return self.again["head"](x.flatten(1))


@pytest.mark.parametrize("layers", [("a",), ("b",), ("c",), ("a", "b"), ("b", "c")])
def test_a_module_with_two_names_goes_under_both(layers: tuple[str, ...]) -> None:
    x = images(3, 1, 2, 2)
    one, other = (cut(seeded(made), plan(*layers), input_shape=(1, 2, 2)) for made in (Pointwise, TwoNames))
    assert torch.equal(one(x), other(x))
    assert all(getattr(other, name) is other.again[place] for name, place in zip("abc", other.again, strict=False))


def test_all_convs_are_too_many() -> None:
    with pytest.raises(PlanError, match="removes all 2 conv layers"):
        cut(toy("plain"), plan("a", "b"), input_shape=(1, 4, 4))


def test_the_input_shape_is_found_where_nobody_says_it() -> None:
    assert cut(seeded(LeNet), plan("conv1")).fc1.in_features == 400  # 28 is the usual size that it takes
