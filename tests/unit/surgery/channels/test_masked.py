"""The reference net: what is left reads zeros; norms across channels see the surviving ones; the proof uses it."""

from __future__ import annotations

from contextlib import nullcontext
from math import inf, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth
from torchvision.ops.misc import Permute

from cnngraph import save
from cnngraph.models.registry import build
from cnngraph.surgery.apply import apply
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filters import slice_channels
from cnngraph.surgery.channels.masked import masked, norms_across
from cnngraph.surgery.output_diff import output_diff
from cnngraph.surgery.saved import load
from cnngraph.surgery.verify import verify
from tests.unit.surgery.nets import images, seeded

from . import coupled_nets as nets
from .coupled_nets import SHAPE, chain, conv
from .test_filters import plan


def test_surviving_layers_read_zeros_and_nothing_else_changes() -> None:
    net = seeded(lambda: chain(a=conv(1, 3), n=nn.BatchNorm2d(3), b=conv(3, 2)))
    found = masked(net, coupled(net, SHAPE), {"a": [1]})
    changed = {name for name, tensor in found.state_dict().items() if not torch.equal(tensor, net.state_dict()[name])}
    assert changed == {"b.weight"}
    assert torch.equal(found.b.weight[:, 1], torch.zeros(2, 1, 1))
    assert torch.equal(found.b.weight[:, [0, 2]], net.b.weight[:, [0, 2]])


def test_the_bias_of_what_goes_does_not_leak() -> None:
    """A norm's beta makes a removed channel a constant, not a zero: whoever reads it must read zero."""
    net = chain(a=conv(1, 2), n=nn.BatchNorm2d(2), b=conv(2, 1)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1)
        net.fc.bias.fill_(0)
    one = torch.ones(1, *SHAPE)
    scale = 1 / sqrt(1 + 1e-5)
    # a: 1 + 1 = 2, its norm 2 scale + 1; b reads one channel of two and adds 1
    expected = 2 * scale + 2
    for made in (slice_channels, masked):
        assert made(net, coupled(net, SHAPE), {"a": [0]})(one)[0].tolist() == pytest.approx([expected, expected])


def test_a_norm_across_channels_sees_the_surviving_ones() -> None:
    """A norm of (1, 2, 9) without the 9: mean 1.5, deviation 0.5; with it the first two would be other numbers."""
    net = nets.chain(a=conv(1, 3), n=nn.GroupNorm(1, 3)).eval()
    with torch.no_grad():
        net.a.weight.copy_(torch.tensor([1.0, 2.0, 9.0]).reshape(3, 1, 1, 1))
        net.a.bias.zero_()
        net.fc.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        net.fc.bias.zero_()
    coupling = coupled(net, SHAPE)
    found = masked(net, coupling, {"a": [2]})(torch.ones(1, *SHAPE))
    assert found[0].tolist() == pytest.approx([-1, 1], abs=1e-4)
    assert norms_across(coupling, {"a": [2]}) == ("n",)
    assert norms_across(coupling, {}) == ()


@pytest.mark.parametrize("affine", [True, False])
def test_a_layer_norm_with_and_without_weights(affine: bool) -> None:
    net = seeded(
        lambda: chain(
            a=conv(1, 4),
            out=Permute([0, 2, 3, 1]),
            n=nn.LayerNorm(4, elementwise_affine=affine),
            up=nn.Linear(4, 3),
            back=Permute([0, 3, 1, 2]),
        )
    )
    coupling, batch = coupled(net, SHAPE), [images(8, *SHAPE)]
    slim = slice_channels(net, coupling, {"a": [1, 2]})
    assert output_diff(slim, masked(net, coupling, {"a": [1, 2]}), batch, batch).relative < 1e-12
    assert net.n.weight is None or len(net.n.weight) == 4


class Random(nn.Module):
    """Dropout as module and function, and stochastic depth."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv(1, 4), conv(4, 4)
        self.drop, self.depth = nn.Dropout(0.5), StochasticDepth(0.5, "row")
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.a(x))
        x = x + self.depth(F.dropout(self.b(x), 0.5, self.training))
        return self.fc(x.mean((2, 3)))


def test_nothing_random_is_compared() -> None:
    net = seeded(Random)
    coupling, batch = coupled(net, SHAPE), [images(8, *SHAPE)]
    found = output_diff(slice_channels(net, coupling, {"a": [0]}), masked(net, coupling, {"a": [0]}), batch, batch)
    assert found.relative < 1e-12
    assert (net.drop.p, net.depth.p) == (0.5, 0.5)


def test_a_difference_is_measured_against_the_largest_output() -> None:
    one, other = nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Dropout(0.1))
    batch = [torch.tensor([[[[1.0, 4.0]]]])]
    assert output_diff(one, other, batch, batch).absolute == 0
    shifted = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        shifted[1].weight.copy_(torch.eye(2))
        shifted[1].bias.copy_(torch.tensor([1.0, 0.0]))
    found = output_diff(shifted, one, batch, batch)
    assert (found.absolute, found.relative, found.relative_float32) == (1.0, 0.25, 0.25)
    with torch.no_grad():
        shifted[1].bias.fill_(float("nan"))
    assert output_diff(shifted, one, batch, batch).relative == inf


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the new process and the export, which other tests try."""
    for name in ("check_saved", "check_export"):
        monkeypatch.setattr(f"cnngraph.surgery.verify.{name}", lambda *_: None)
    monkeypatch.setattr("cnngraph.surgery.verify.loading", lambda *_: nullcontext())


@pytest.mark.usefixtures("quick")
class TestVerify:
    def test_filters_are_proven(self) -> None:
        net = seeded(nets.added)
        made = plan({"a": (0,)})
        proof = verify(net, apply(net, made, input_shape=SHAPE), made, input_shape=SHAPE, images=images(9, *SHAPE))
        assert (proof.ok, proof.notes) == (True, ())
        assert proof.max_abs_diff is not None
        assert proof.max_abs_diff < 1e-12
        assert proof.relative_diff is not None
        assert proof.relative_diff < 1e-12

    def test_another_weight_is_found(self) -> None:
        net = seeded(nets.added)
        made = plan({"a": (0,)})
        slim = apply(net, made, input_shape=SHAPE)
        with torch.no_grad():
            slim.b.weight[0] += 1e-6
        proof = verify(net, slim, made, input_shape=SHAPE)
        assert "filters: the logits differ from the masked net's" in proof.failures[0]
        assert proof.train_forward

    def test_a_wrong_carving_is_found_under_a_further_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        net = seeded(lambda: chain(a=conv(1, 4), b=conv(4, 4), c=conv(4, 3)))
        made = plan({"a": (0,)}, "b", init="inherit")
        slim = apply(net, made, input_shape=SHAPE)
        assert verify(net, slim, made, input_shape=SHAPE).ok

        def careless(*arguments: Any) -> nn.Module:
            twin = slice_channels(*arguments)
            with torch.no_grad():
                twin.c.weight.mul_(2)
            return twin

        monkeypatch.setattr("cnngraph.surgery.channels.filters.slice_channels", careless)
        assert not verify(net, slim, made, input_shape=SHAPE).ok

    def test_a_norm_across_channels_is_named(self) -> None:
        net = seeded(nets.channels_last)
        made = plan({"a": (0,)})
        proof = verify(net, apply(net, made, input_shape=SHAPE), made, input_shape=SHAPE)
        assert proof.ok
        assert proof.notes == (
            "In the masked net norm sees the surviving channels only, as a norm across channels must.",
        )

    def test_new_weights_are_no_difference(self) -> None:
        net = seeded(nets.added)
        made = plan({"a": (0,)}, init="scratch")
        proof = verify(net, apply(net, made, input_shape=SHAPE), made, input_shape=SHAPE)
        assert proof.ok
        assert proof.notes == ("The filters were checked before all weights were renewed.",)


def test_a_saved_net_is_carved_again_when_it_is_loaded(tmp_path: Path) -> None:
    net = build("cnngraph:resnet20", classes=3, width=0.25)
    slim = apply(net, plan({"conv1": (0,), "layer2.1.conv1": (1, 3)})).eval()
    loaded = load(save(slim, tmp_path / "slim"))
    batch = images(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(batch), slim(batch))
    assert loaded.layer1[2].conv2.out_channels == 3


@pytest.mark.slow
def test_the_whole_proof_of_a_filter_plan() -> None:
    net = build("cnngraph:resnet20", classes=3, width=0.25)
    made = plan({"conv1": (0,), "layer2.1.conv1": (1, 3)})
    proof = verify(net, apply(net, made), made)
    assert (proof.ok, proof.save_load, proof.export) == (True, True, True), proof.failures
