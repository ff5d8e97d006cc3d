"""What the user's own code does to a net that fits: the plan says it, before anything is changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cnngraph.errors import PlanError
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.check_runs import UnfitError, check_runs, retry_without
from cnngraph.surgery.verify import state_hash

from .nets import plan, seeded

SHAPE = (3, 8, 8)


class _Three(nn.Module):
    """Three convs of 4 channels and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.b(torch.relu(self.a(x))))
        return self.fc(torch.relu(self.c(x)).mean((2, 3)))


class _ReadsSizes(_Three):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.a(x)).mean((2, 3)).view(-1, self.b.out_channels))


class _ReadsASize(_Three):
    def forward(self, x: Tensor) -> Tensor:
        x = self.c(self.b(self.a(x)).relu() / self.b.out_channels)
        return self.fc(x.mean((2, 3)))


class _TrainsOtherwise(_Three):
    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x))
        if self.training:
            x = x + 0 * self.b.weight.sum()
        return self.fc(self.c(x).mean((2, 3)))


class _OverwritesInTrainMode(_Three):
    """The conv's output may be overwritten; without the conv it is what the sigmoid's gradient is made of."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.sigmoid(self.a(x))
        z = self.b(y)
        if self.training:
            z.mul_(2)
        return self.fc(self.c(z).mean((2, 3)))


def test_a_search_goes_on_without_what_the_code_cannot_do_without() -> None:
    tried: list[str] = []
    told: list[UnfitError] = []

    def search(order: tuple[Removal, ...]) -> str:
        tried.append("".join(removal.layer for removal in order))
        check_runs(seeded(_ReadsASize), Plan(removes=order), input_shape=SHAPE)
        return tried[-1]

    assert retry_without(plan("b", "a").removes, search, told.append) == "a"
    assert tried == ["ba", "a"]
    assert [[removal.layer for removal in error.blamed] for error in told] == [["b"]]


def test_of_several_that_are_to_blame_together_the_last_stays() -> None:
    order = plan("c", "a", "b").removes
    assert UnfitError(order[:2], "it fails").left_of(order) == (order[0], order[2])
    with pytest.raises(UnfitError, match="a cannot go: it fails"):
        UnfitError(order[1:2], "it fails").left_of(order[:1])


def test_a_plan_that_works_is_let_pass_and_the_net_is_left_alone() -> None:
    model = seeded(_Three).train()
    before = state_hash(model)
    check_runs(model, plan("a", "b"), input_shape=SHAPE)
    assert state_hash(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_code_that_reads_a_conv_that_goes_is_named_with_its_line() -> None:
    with pytest.raises(
        PlanError,
        match=r"^b cannot go: in eval mode the net then fails at .*test_check_runs.py:\d+: .* 'out_channels'",
    ):
        check_runs(seeded(_ReadsSizes), plan("b"), input_shape=SHAPE)


def test_what_fails_in_train_mode_alone_is_found() -> None:
    with pytest.raises(PlanError, match=r"^b cannot go: in train mode the net then fails at .* 'weight'"):
        check_runs(seeded(_TrainsOtherwise), plan("b"), input_shape=SHAPE)


def test_of_several_the_layer_that_is_to_blame_is_named() -> None:
    with pytest.raises(PlanError, match=r"^b cannot go: "):
        check_runs(seeded(_TrainsOtherwise), plan("a", "b"), input_shape=SHAPE)


def test_what_the_net_cannot_do_itself_is_not_held_against_a_plan() -> None:
    class Untrainable(_Three):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("never trained")
            return super().forward(x)

    check_runs(seeded(Untrainable), plan("b"), input_shape=SHAPE)


def test_a_tensor_that_train_mode_alone_overwrites_is_found_in_the_backward_pass() -> None:
    with pytest.raises(PlanError, match=r"^b cannot go: in train mode the net then fails with: .* inplace operation"):
        check_runs(seeded(_OverwritesInTrainMode), plan("b"), input_shape=SHAPE)
