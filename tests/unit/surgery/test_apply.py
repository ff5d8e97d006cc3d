"""The inits, and what must not change."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cnngraph.errors import DataError, PlanError
from cnngraph.models.registry import build
from cnngraph.origin import get_origin
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply, apply_with_report
from cnngraph.surgery.verify import state_hash
from tests.toynets import toy

from .nets import LeNet, Pointwise, batches, images, plan, seeded


def _differing(one: nn.Module, other: nn.Module) -> set[str]:
    mine, theirs = one.state_dict(), other.state_dict()
    return {
        name.rpartition(".")[0] for name in mine.keys() & theirs.keys() if not torch.equal(mine[name], theirs[name])
    }


def test_least_squares_recovers_a_linear_layer_exactly_where_nothing_is_lost() -> None:
    # b is linear and a's two channels determine b's three: c o b is a linear map of a's output.
    model = seeded(Pointwise).double()
    slim, report = apply_with_report(model, plan("b", init="least-squares"), loader=batches((1, 2, 2)))
    exact = model.c.weight[:, :, 0, 0] @ model.b.weight[:, :, 0, 0]
    found = slim.c.weight[:, :, 0, 0]
    # a's channels are two multiples of one image: only their common direction is determined.
    direction = model.a.weight[:, 0, 0, 0]
    torch.testing.assert_close(found @ direction, exact @ direction, rtol=3e-3, atol=1e-4)
    assert report.errors["c"] == pytest.approx(0.0, abs=2e-3)
    x = images(5, 1, 2, 2).double()
    torch.testing.assert_close(slim(x), model(x), rtol=1e-2, atol=1e-2)


def test_only_the_join_changes() -> None:
    model = toy("pooled")
    slim, report = apply_with_report(model, plan("features.4", init="least-squares"), loader=batches((1, 8, 8)))
    assert _differing(slim, model) == {join.layer for join in report.joins}
    assert len(report.joins) == 1
    assert 0 < report.errors[report.joins[0].layer] < 1


def test_the_refitted_net_is_nearer_to_the_old_one_than_the_inherited() -> None:
    model = seeded(lambda: toy("residual"))
    loader = batches((3, 8, 8), number=8)
    x = images(16, 3, 8, 8, seed=99)
    errors = {}
    for init in ("least-squares", "inherit", "reset"):
        slim = apply(model, plan("layer2.0.conv1", blocks=["layer1.1"], init=init), loader=loader).eval()
        with torch.no_grad():
            errors[init] = float((slim(x) - model(x)).norm())
    assert errors["least-squares"] < 0.7 * errors["inherit"]
    assert errors["least-squares"] < 0.7 * errors["reset"]


def test_maps_that_grew_are_paired_about_their_middle() -> None:
    model = seeded(LeNet)
    slim, report = apply_with_report(model, plan("conv1", init="least-squares"), loader=batches((1, 28, 28)))
    assert [join.init for join in report.joins] == ["least-squares"]
    assert slim(images(2, 1, 28, 28)).shape == (2, 10)
    assert report.errors["conv2"] < 1


def test_a_widened_conv_is_refitted_to_the_conv_that_it_stands_in_for() -> None:
    model = seeded(lambda: toy("bottleneck"))
    _, report = apply_with_report(model, plan("conv3", init="least-squares"), loader=batches((3, 8, 8)))
    assert {join.layer: join.target for join in report.joins} == {"conv2": "conv3", "fc": "fc"}
    assert report.errors["conv2"] < 1


def test_the_users_net_is_untouched_and_nothing_stays_on_it() -> None:
    model = toy("residual").train()
    model.layer1.eval()
    before = state_hash(model)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    slim = apply(model, plan("layer1.0.conv1", init="least-squares"), loader=batches((3, 8, 8), number=1))
    assert state_hash(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert slim.training
    assert not slim.layer1[0].conv2.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in slim.modules())
    with pytest.raises(DataError):
        apply(
            model, plan("layer1.0.conv1", init="least-squares"), loader=[(torch.zeros(3), 1)], input_shape=(3, 32, 32)
        )
    assert state_hash(model) == before


def test_hooks_go_also_when_the_net_raises() -> None:
    model = toy("plain")
    bad = [(images(4, 1, 4, 4), torch.zeros(4)), (images(4, 2, 4, 4), torch.zeros(4))]
    before = state_hash(model)
    with pytest.raises(PlanError, match=r"the net fails at .*: .* expected input\[4, 2, 4, 4\] to have 1 channels"):
        apply(model, plan("a", init="least-squares"), loader=bad)
    assert state_hash(model) == before


@pytest.mark.parametrize("init", ["least-squares", "inherit", "reset", "scratch"])
def test_same_inputs_same_net(init: str) -> None:
    model = toy("residual")
    data = TensorDataset(images(100, 3, 8, 8), torch.zeros(100, dtype=torch.long))
    made = plan("layer2.0.conv1", init=init)  # type: ignore[arg-type]
    nets = []
    for number in range(2):
        torch.manual_seed(number)  # the loader's own order must not matter
        nets.append(apply(model, made, loader=DataLoader(data, batch_size=16, shuffle=True), seed=3))
    assert _differing(nets[0], nets[1]) == set()


def test_reset_renews_the_first_layer_and_scratch_everything() -> None:
    model = toy("residual")
    changed = _differing(apply(model, plan("layer1.0.conv2", init="reset"), input_shape=(3, 8, 8)), model)
    assert changed == {"layer1.1.conv1"}
    slim, report = apply_with_report(model, plan("layer1.0.conv2", init="scratch"), input_shape=(3, 8, 8))
    weighted = {name for name, module in slim.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    assert weighted <= _differing(slim, model)
    assert report.notes == ()
    model = toy("plain")
    model.scale = nn.Parameter(torch.ones(1))
    kept = apply_with_report(model, plan("a", init="scratch"), input_shape=(1, 4, 4))[1]
    assert kept.notes == ("scale keeps its weights: its module cannot renew them.",)


def test_without_images_it_inherits_and_says_so() -> None:
    _, report = apply_with_report(toy("plain"), plan("a", init="least-squares"), input_shape=(1, 4, 4))
    assert report.notes == ("b was not refitted but inherits: no training images were given.",)
    assert [join.init for join in report.joins] == ["inherit"]


def test_dead_inputs_and_grouped_convs_inherit_and_say_so() -> None:
    zeros = [(torch.zeros(8, 1, 4, 4), torch.zeros(8))]
    _, report = apply_with_report(toy("plain"), plan("a", init="least-squares"), loader=zeros)
    assert report.notes == ("b was not refitted but inherits: its inputs are constant or not finite.",)


def test_too_little_memory_inherits_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnngraph.surgery.layers.refit._MEMORY", 100)
    _, report = apply_with_report(toy("plain"), plan("a", init="least-squares"), loader=batches((1, 4, 4)))
    assert report.notes == ("b was not refitted but inherits: its system would take 0.0 GB.",)


def test_the_origin_keeps_every_plan() -> None:
    model = build("cnngraph:vgg11", classes=3, width=0.125)
    first = apply(model, plan("features.0"))
    second = apply(first, plan("features.3"))
    origin = get_origin(second)
    assert origin is not None
    assert [made.removed for made in origin.plans] == [["features.0"], ["features.3"]]
    assert get_origin(model).plans == ()  # type: ignore[union-attr]
    own = get_origin(apply(seeded(LeNet), plan("conv1")))
    assert own is not None
    assert own.architecture == "python:tests.unit.surgery.nets:LeNet"


def test_tied_weights_are_not_refitted_behind_the_other_layers_back() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.d = (nn.Conv2d(n, 4, 3, padding=1) for n in (3, 4, 4, 4))
            self.d.weight = self.b.weight
            self.fc = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.d(self.c(self.b(self.a(x)).relu()).relu()).mean((2, 3)))

    model = seeded(Tied)
    slim, report = apply_with_report(model, plan("c", init="least-squares"), loader=batches((3, 6, 6)))
    assert [(join.layer, join.init) for join in report.joins] == [("d", "inherit")]
    assert "shares its weights" in report.joins[0].reason
    assert torch.equal(slim.b.weight, model.b.weight)
    assert slim.d.weight is slim.b.weight
    adapted = apply(model, plan("a"), input_shape=(3, 6, 6))  # b cannot take the image's three channels without d
    assert adapted.a.weight.shape == (4, 3, 1, 1)
    assert adapted.d.weight is adapted.b.weight


def test_a_plan_for_a_net_that_was_pruned_since_is_refused() -> None:
    """Filter 3 of the pruned net is not filter 3 of the net that the plan was made for."""
    net = build("cnngraph:vgg11", classes=3, size=32, width=0.125)
    origin = get_origin(net)
    assert origin is not None
    made = Plan(recipe=origin.digest, removes=(Removal(layer="features.3", kind="filters", filters=(3,)),))
    slim = apply(net, made)
    with pytest.raises(PlanError, match="another net of this architecture"):
        apply(slim, made)
    wider = build("cnngraph:vgg11", classes=3, size=32, width=0.25)
    with pytest.raises(PlanError, match="another net of this architecture"):
        apply(wider, made)
    again = build("cnngraph:vgg11", classes=3, size=32, width=0.125, seed=5)
    assert apply(again, made).features[3].out_channels == slim.features[3].out_channels
