"""Batch norms of few channels in NCHW inside a net in NHWC: the same numbers, in the memory format of before."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from cnngraph.training.narrow_norms import has_narrow_norms, relay_narrow_norms


class Net(nn.Module):
    """A norm of ``narrow`` channels and one of 64; remembers how the narrow one's input lies in memory."""

    def __init__(self, narrow: int = 4) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, narrow, 3), nn.Conv2d(narrow, 64, 3)
        self.few, self.many = nn.BatchNorm2d(narrow), nn.BatchNorm2d(64)

    def forward(self, x: Tensor) -> Tensor:
        return self.many(self.b(torch.relu(self.few(self.a(x))))).mean()


def built(narrow: int = 4) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(narrow).to(memory_format=torch.channels_last).train()


def images() -> Tensor:
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return x.to(memory_format=torch.channels_last)


def see(norm: nn.Module) -> list[tuple[bool, bool]]:
    """Whether what the norm reads and gives is laid out as NCHW, once a pass."""
    seen: list[tuple[bool, bool]] = []

    def hook(_norm: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        seen.append((inputs[0].is_contiguous(), output.is_contiguous()))

    norm.register_forward_hook(hook)
    return seen


def test_only_the_narrow_norm_is_relaid_and_only_in_train_mode() -> None:
    net = built()
    few, many = see(net.few), see(net.many)
    with relay_narrow_norms(net):
        net(images())
        net.eval()
        net(images())
    net.train()
    net(images())
    assert few == [(True, True), (False, False), (False, False)]
    assert many == [(False, False)] * 3


def test_what_the_next_layer_reads_is_nhwc_again() -> None:
    net = built()
    seen: list[bool] = []
    net.b.register_forward_pre_hook(lambda _conv, inputs: seen.append(inputs[0].is_contiguous()))
    with relay_narrow_norms(net):
        net(images())
    assert seen == [False]


@pytest.mark.parametrize("half", [False, True])
def test_values_statistics_and_gradients_are_the_same_up_to_rounding(half: bool) -> None:
    plain, relaid = built(), built()
    found = []
    for net in (plain, relaid):
        x = images().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            if net is relaid:
                with relay_narrow_norms(net):
                    loss = net(x) * net.few.weight.sum()
            else:
                loss = net(x) * net.few.weight.sum()
        (loss + net.few(net.a(x)).square().mean()).backward()
        assert x.grad is not None
        found.append([loss.detach(), x.grad, *(each.grad for each in net.parameters()), *net.state_dict().values()])
    tolerance = 2e-2 if half else 1e-5
    for one, two in zip(*found, strict=True):
        assert one is not None
        assert torch.allclose(one.float(), two.float(), rtol=tolerance, atol=tolerance)


def test_gradients_come_back_in_the_format_of_the_conv() -> None:
    net = built()
    seen: list[bool] = []
    net.a.register_full_backward_hook(lambda _conv, _inner, outer: seen.append(outer[0].is_contiguous()))
    with relay_narrow_norms(net):
        net(images().requires_grad_()).backward()
    assert seen == [False]


def test_the_net_is_as_it_was_afterwards_after_an_error_too() -> None:
    net = built()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ZeroDivisionError), relay_narrow_norms(net):
        raise ZeroDivisionError
    assert not net.few._forward_hooks
    assert not net.few._forward_pre_hooks
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_norms_that_are_called_by_name_or_on_other_shapes_are_left_alone() -> None:
    norm = nn.BatchNorm2d(4)
    x = torch.randn(2, 4, 3, 3).to(memory_format=torch.channels_last)
    with relay_narrow_norms(norm):
        assert norm(input=x).shape == x.shape
        assert norm(x[:, :, :1, :1]).shape == (2, 4, 1, 1)


def test_how_narrow_depends_on_the_precision() -> None:
    assert has_narrow_norms(built(7), torch.float32)
    assert not has_narrow_norms(built(8), torch.float32)
    assert has_narrow_norms(built(8), torch.bfloat16)
    assert not has_narrow_norms(nn.Sequential(nn.BatchNorm1d(4)), torch.float32)
