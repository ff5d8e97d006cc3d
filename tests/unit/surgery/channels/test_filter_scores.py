"""Scores of filters from the net: numbers worked out by hand, and a net that stays as it was."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from cnngraph import plan_filters
from cnngraph.errors import DataError, PlanError, UsageError
from cnngraph.surgery.channels.coupling import Coupling, coupled
from cnngraph.surgery.channels.filter_scores import magnitude, norm_scale, score_filters, seeded_order, taylor


class Sum(nn.Module):
    """Two 1x1 convs of two filters that are summed, one with a norm, then a mean over places and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 1)
        self.norm = nn.BatchNorm2d(2)
        self.conv = nn.Conv2d(2, 2, 1, bias=False)
        self.last = nn.Conv2d(2, 4, 1, bias=False)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        return self.fc(self.last(x + self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture
def net() -> Sum:
    torch.manual_seed(0)
    model = Sum()
    with torch.no_grad():
        model.stem.weight.copy_(torch.tensor([[3.0], [-1.0]]).view(2, 1, 1, 1))
        model.conv.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 2.0]]).view(2, 2, 1, 1))
        model.norm.weight.copy_(torch.tensor([-0.5, 1.5]))
    return model


@pytest.fixture
def coupling(net: Sum) -> Coupling:
    return coupled(net, (1, 4, 4))


def test_magnitude_is_the_norm_of_the_weights(net: Sum, coupling: Coupling) -> None:
    found = magnitude(net, coupling)
    assert list(found) == ["stem", "conv", "last"]
    assert (found["stem"], found["conv"]) == ((3.0, 1.0), (5.0, 2.0))
    made = plan_filters(coupling, found, ratio=0.5)
    assert {layer: made.filters[layer] for layer in ("stem", "conv")} == {"stem": (1,), "conv": (1,)}
    assert made.removes[0].scores == pytest.approx(((1 / 2 + 2 / 3.5) / 2,))


def test_norm_scale_is_gamma_over_its_mean_where_a_norm_reads_the_channel(net: Sum, coupling: Coupling) -> None:
    found = norm_scale(net, coupling)
    assert found["stem"] == found["conv"] == (0.5, 1.5)  # the sum couples conv with the channels of the norm
    assert all(math.isnan(value) for value in found["last"])
    net.norm = nn.BatchNorm2d(2, affine=False)
    with pytest.raises(PlanError, match="no score bn"):
        norm_scale(net, coupling)


def test_taylor_is_the_change_of_the_loss_to_first_order(net: Sum, coupling: Coupling) -> None:
    torch.manual_seed(1)
    inputs, labels = torch.randn(6, 1, 4, 4), torch.tensor([0, 1, 1, 0, 1, 0])
    found = taylor(net, coupling, [(inputs[:4], labels[:4]), (inputs[4:], labels[4:])])
    net.eval()
    weight = net.last.weight.detach().double()
    step = 1e-3
    for channel in range(4):
        losses = []
        for sign in (1, -1):
            changed = weight.clone()
            changed[channel] *= 1 + sign * step
            net.last.weight.data = changed.float()
            losses.append(nn.functional.cross_entropy(net(inputs).double(), labels).item())
        assert found["last"][channel] == pytest.approx(abs(losses[0] - losses[1]) / (2 * step), rel=2e-2, abs=2e-5)


def test_the_net_stays_as_it_was(net: Sum, coupling: Coupling) -> None:
    net.train()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    taylor(net, coupling, [(torch.randn(4, 1, 4, 4), torch.zeros(4, dtype=torch.long))])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in net.parameters())


def test_taylor_stops_at_the_images_that_were_asked_for(net: Sum, coupling: Coupling) -> None:
    batch = (torch.randn(4, 1, 4, 4), torch.zeros(4, dtype=torch.long))

    def batches():  # type: ignore[no-untyped-def]
        yield batch
        yield batch
        raise AssertionError("a third batch was read")

    assert taylor(net, coupling, batches(), images=8) == taylor(net, coupling, [batch, batch])
    with pytest.raises(DataError, match="no image"):
        taylor(net, coupling, [])


def test_a_score_by_its_name(net: Sum, coupling: Coupling) -> None:
    assert score_filters(net, coupling) == magnitude(net, coupling)
    assert score_filters(net, coupling, "random", seed=3) == seeded_order(coupling, 3)
    assert score_filters(net, coupling, "bn")["stem"] == (0.5, 1.5)
    with pytest.raises(UsageError, match="needs training images"):
        score_filters(net, coupling, "taylor")
    with pytest.raises(UsageError, match="no score 'strength'"):
        score_filters(net, coupling, "strength")


def test_random_follows_from_the_seed(coupling: Coupling) -> None:
    first = seeded_order(coupling, 3)
    assert first == seeded_order(coupling, 3)
    assert first != seeded_order(coupling, 4)
    assert all(0 <= value < 1 for values in first.values() for value in values)


def test_rms_is_the_norm_over_the_root_of_the_number_of_weights(net: Sum, coupling: Coupling) -> None:
    found = score_filters(net, coupling, "rms")
    assert found["stem"] == (3.0, 1.0)
    assert found["conv"] == pytest.approx((5 / math.sqrt(2), 2 / math.sqrt(2)))


def test_outgoing_counts_all_weights_that_read_a_filter_or_its_twins(net: Sum, coupling: Coupling) -> None:
    found = score_filters(net, coupling, "outgoing")
    last = net.last.weight.detach().double().square().sum((0, 2, 3))
    expected = torch.sqrt(last + torch.tensor([9.0, 16.0 + 4.0], dtype=torch.float64))
    assert found["stem"] == found["conv"] == pytest.approx(tuple(expected.tolist()))
    dense = net.fc.weight.detach().double().norm(dim=0)
    assert found["last"] == pytest.approx(tuple(dense.tolist()))


def test_responses_are_read_behind_the_activation() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.ReLU(), nn.Conv2d(3, 2, 1, bias=False), nn.Flatten())
    net.append(nn.Linear(2 * 4, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -2.0, 0.0]).view(3, 1, 1, 1))  # type: ignore[operator,union-attr]
        net[2].weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]).view(2, 3, 1, 1))  # type: ignore[operator,union-attr]
    one = torch.tensor([[1.0, 2.0], [-1.0, 0.0]]).view(1, 1, 2, 2)
    batches = [(one, torch.tensor([0])), (3 * one, torch.tensor([1]))]
    coupling = coupled(net, (1, 2, 2))
    means = score_filters(net, coupling, "activation", loader=batches)
    assert means["0"] == pytest.approx((3 / 4 * 2, 2 / 4 * 2, 0.0))  # the mean of 1 and 3 times the image
    assert means["2"] == pytest.approx((3 / 4 * 2, 2 / 4 * 2))  # |response|, where no activation follows
    shares = score_filters(net, coupling, "apoz", loader=batches)
    assert (shares["0"], shares["2"]) == ((0.5, 0.25, 0.0), (0.5, 0.25))
    with pytest.raises(UsageError, match="apoz needs training images"):
        score_filters(net, coupling, "apoz")
    with pytest.raises(DataError, match="no image to score filters by activation"):
        score_filters(net, coupling, "activation", loader=[])
