"""Operators whose kernels for fake tensors take more than their real ones: what is left runs, or is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.surgery.apply import apply
from cnngraph.surgery.check import removable
from cnngraph.surgery.check_runs import UnfitError, check_runs
from cnngraph.surgery.trial import failure_on_images
from cnngraph.surgery.verify import state_hash
from tests.unit.surgery.nets import images, plan, seeded

SHAPE = (3, 8, 8)


@torch.library.custom_op("cnngraph_tests::scaled", mutates_args=())
def scaled(x: Tensor, wanted: int) -> Tensor:
    """``x`` as it is; of ``wanted`` channels, which the kernel for fake tensors does not look at."""
    if x.shape[1] != wanted or wanted < 1:
        raise RuntimeError(f"scaled wants {wanted} channels and got {x.shape[1]}")
    return x.clone()


@scaled.register_fake
def _(x: Tensor, wanted: int) -> Tensor:
    return torch.empty_like(x)


def _backward(_: object, gradient: Tensor) -> tuple[Tensor, None]:
    return gradient, None


scaled.register_autograd(_backward)


class _Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)
        self.c, self.fc = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 2)


class Deformed(_Body):
    """Offsets and a mask that convs give; the operator's fake kernel does not count the mask's channels."""

    def __init__(self) -> None:
        super().__init__()
        self.offset, self.mask = nn.Conv2d(6, 18, 3, padding=1), nn.Conv2d(6, 9, 3, padding=1)
        self.deform = DeformConv2d(6, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x))))))
        return self.fc(self.deform(x, self.offset(x), self.mask(x).sigmoid()).mean((2, 3)))  # type: ignore[no-any-return]


class OwnOperator(_Body):
    """An operator of one's own between two convs."""

    def forward(self, x: Tensor) -> Tensor:
        x = scaled(torch.relu(self.b(torch.relu(self.a(x)))), 6)
        return self.fc(torch.relu(self.c(x)).mean((2, 3)))  # type: ignore[no-any-return]


class Sampled(_Body):
    """A map sampled where another conv says: one of torch's own operators."""

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        grid = self.where(x).tanh().permute(0, 2, 3, 1)
        x = F.grid_sample(torch.relu(self.b(x)), grid, align_corners=False)
        return self.fc(torch.relu(self.c(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("made", [Deformed, OwnOperator, Sampled])
def test_what_can_go_leaves_a_net_that_runs(made: Callable[[], nn.Module]) -> None:
    net = seeded(made)
    found = removable(follow(net, SHAPE))
    assert set(found.values()) == {None}
    x = images(2, *SHAPE)
    for layer in found:
        check_runs(net, plan(layer), input_shape=SHAPE)
        slim = apply(net, plan(layer), input_shape=SHAPE)
        assert slim(x).shape == (2, 2)
        slim.train()(x).sum().backward()


class ReadsWhatIsGone(_Body):
    """The operator is told how many channels a conv gives: 0 where it is gone, which the fake kernel takes."""

    def __init__(self) -> None:
        super().__init__()
        self.b, self.c = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.b(torch.relu(self.a(x))))
        return self.fc(self.c(scaled(x, getattr(self.b, "out_channels", 0))).mean((2, 3)))  # type: ignore[no-any-return]


def test_what_the_operator_then_refuses_is_said_in_one_line() -> None:
    net = seeded(ReadsWhatIsGone)
    before = state_hash(net)
    reason = r"^b cannot go: on images the net then fails at .*test_trial.py:\d+: scaled wants 0 channels and got \d"
    with pytest.raises(UnfitError, match=reason) as caught:
        check_runs(net, plan("c", "b"), input_shape=SHAPE)
    assert [removal.layer for removal in caught.value.blamed] == ["b"]
    with pytest.raises(PlanError, match=reason):
        apply(net, plan("b"), input_shape=SHAPE)
    check_runs(net, plan("a"), input_shape=SHAPE)
    assert state_hash(net) == before


def test_what_the_net_itself_refuses_is_not_held_against_what_is_left_of_it() -> None:
    net = seeded(ReadsWhatIsGone)
    assert failure_on_images(net, net, SHAPE) == ""
    broken = seeded(ReadsWhatIsGone)
    broken.b.out_channels = 0
    assert failure_on_images(broken, broken, SHAPE) == ""
    assert failure_on_images(net, broken, SHAPE).startswith("at ")
