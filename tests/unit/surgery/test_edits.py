"""Why each thing changed: the edits of a plan, which are what is applied."""

from __future__ import annotations

from torch import nn

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
    assert (by_path["features.13"].kind, by_path["features.13"].reason) == ("bypass", "the plan removes the block")
    filters = {edit.path: edit.reason for edit in edits if edit.kind == "filters"}
    assert filters == {
        "features.6.conv.0.0": "the plan removes 2 of 192 filters",
        "features.6.conv.1.0": "2 of 192 filters are coupled with filters that go",
    }
    assert by_path["features.6.conv.2"] == Edit(
        "inputs", "features.6.conv.2", "2 of 192 channels that it reads are gone", ("features.6.conv.0.0",)
    )
    assert by_path["features.6.conv.0.1"].kind == "norm channels"


def test_what_goes_along_says_with_what() -> None:
    net = build("torchvision:squeezenet1_1", classes=3, size=64)
    _, edits = edits_of(net, Removal(layer="features.3.squeeze"), shape=(3, 64, 64))
    resized = [edit for edit in edits if edit.kind in ("resize", "adapter")]
    assert resized
    assert all(edit.asked == ("features.3.squeeze",) and edit.reason for edit in edits)
