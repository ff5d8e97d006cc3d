"""Why each thing changed: the edits of a plan, which are what is applied."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cnngraph.models.registry import build
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply_with_report
from cnngraph.surgery.edits import Edit
from cnngraph.surgery.structure_diff import described_as


def edits_of(net: nn.Module, *removes: Removal, shape: tuple[int, int, int]) -> tuple[nn.Module, list[Edit]]:
    slim, report = apply_with_report(net, Plan(removes=removes, init="inherit"), input_shape=shape)
    return slim, list(report.edits)


def test_every_module_that_differs_has_an_edit_and_every_edit_is_applied() -> None:
    net = build("torchvision:mobilenet_v2", classes=3, size=64)
    slim, edits = edits_of(
        net,
        Removal(layer="features.9.conv.1.0"),
        Removal(layer="features.13", kind="block"),
        Removal(layer="features.6.conv.0.0", kind="filters", filters=(0, 5)),
        shape=(3, 64, 64),
    )
    assert slim.get_submodule("features.6.conv.0.0").out_channels == 190
    left, before = dict(slim.named_modules()), dict(net.named_modules())
    changed = {path for path in before if path not in left or described_as(left[path]) != described_as(before[path])}
    inside = {edit.path for edit in edits}
    assert not {path for path in changed if not any(path == one or path.startswith(f"{one}.") for one in inside)}
    by_path = {edit.path: edit for edit in edits}
    assert by_path["features.9.conv.1.0"].reason.startswith("the plan removes it")
    assert by_path["features.9.conv.1.0"].asked == ("features.9.conv.1.0",)
    assert (by_path["features.13"].kind, by_path["features.13"].reason) == ("skip block", "the plan removes the block")
    filters = {edit.path: edit.reason for edit in edits if edit.kind == "filters"}
    assert filters == {
        "features.6.conv.0.0": "the plan removes 2 of 192 filters",
        "features.6.conv.1.0": (
            "2 of 192 filters are coupled with those of features.6.conv.0.0, which it reads group by group"
        ),
    }
    assert by_path["features.6.conv.2"] == Edit(
        "inputs", "features.6.conv.2", "2 of 192 channels that it reads are gone", ("features.6.conv.0.0",)
    )
    assert by_path["features.6.conv.0.1"].kind == "norm channels"


class Joined(nn.Module):
    """A sum, a product with a parameter of its own, and a number that it stores."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 6, 1)
        self.scale = nn.Parameter(torch.ones(1, 6, 1, 1))
        self.width = 6
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = (self.a(x) + self.b(x)) * self.scale
        return self.head(maps.mean((2, 3)).view(-1, self.width))


def test_filters_say_with_which_layer_they_are_coupled_and_where() -> None:
    slim, edits = edits_of(Joined(), Removal(layer="a", kind="filters", filters=(1, 4)), shape=(3, 8, 8))
    assert {(edit.kind, edit.path): edit.reason for edit in edits} == {
        ("filters", "a"): "the plan removes 2 of 6 filters",
        ("filters", "b"): "2 of 6 filters are coupled with those of a by the sum add",
        ("inputs", "head"): "2 of 6 channels that it reads are gone",
        ("values", ""): "2 of 6 channels that it has values for are gone",
    }
    (own,) = [edit.detail for edit in edits if edit.kind == "values"]
    assert [(tensor.name, tensor.axis, tensor.kept.tolist()) for tensor in own.tensors] == [("scale", 1, [0, 2, 3, 5])]
    assert [(number.attribute, number.value) for number in own.numbers] == [("width", 4)]
    assert (slim.width, slim.scale.shape) == (4, (1, 4, 1, 1))


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("torchvision:resnet18", {"layer1.0.conv2": (0, 1)}),
        ("torchvision:densenet121", {"features.conv0": (3,)}),
        ("torchvision:mobilenet_v3_small", {"features.4.block.0.0": (1,)}),
        ("torchvision:convnext_tiny", {"features.1.0.block.0": (1,)}),
    ],
)
def test_the_edits_of_filters_are_every_tensor_that_changed(name: str, filters: dict[str, tuple[int, ...]]) -> None:
    net = build(name, classes=3, size=64)
    removes = [Removal(layer=layer, kind="filters", filters=numbers) for layer, numbers in filters.items()]
    slim, edits = edits_of(net, *removes, shape=(3, 64, 64))
    before, after = net.state_dict(), slim.state_dict()
    assert before.keys() == after.keys()
    expected = {path: list(tensor.shape) for path, tensor in before.items()}
    for tensor in (tensor for edit in edits for tensor in edit.detail.tensors):
        path = ".".join(filter(None, (tensor.owner, tensor.name)))
        if path in expected:
            expected[path][tensor.axis] = len(tensor.kept)
    assert {path: list(tensor.shape) for path, tensor in after.items()} == expected
    assert not [edit for edit in edits if not edit.reason or "filters that go" in edit.reason]


def test_what_goes_along_says_with_what() -> None:
    net = build("torchvision:squeezenet1_1", classes=3, size=64)
    _, edits = edits_of(net, Removal(layer="features.3.squeeze"), shape=(3, 64, 64))
    resized = [edit for edit in edits if edit.kind in ("resize", "adapter")]
    assert resized
    assert all(edit.asked == ("features.3.squeeze",) and edit.reason for edit in edits)
