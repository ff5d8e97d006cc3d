"""The agreement of two nets against numbers that scipy and numpy find, and where it says that nothing is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

from cnngraph.datasets.images import Images
from cnngraph.errors import DataError, ModelError
from cnngraph.training.agreement import Agreement, agreement, compare


def reckoned(old: Tensor, new: Tensor) -> dict[str, float]:
    """The same by textbook, all images at once."""
    a, b = (one.double().numpy() for one in (old, new))
    p = softmax(a, axis=1)
    centred = [one - one.mean(axis=1, keepdims=True) for one in (a, b)]
    return {
        "same_class": float((a.argmax(1) == b.argmax(1)).mean()),
        "kl": float((p * (log_softmax(a, axis=1) - log_softmax(b, axis=1))).sum(axis=1).mean()),
        "correlation": float(np.corrcoef(centred[0].ravel(), centred[1].ravel())[0, 1]),
        "chance": float(np.bincount(a.argmax(1)).max() / len(a)),
    }


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_as_by_textbook(classes: int, batch: int) -> None:
    draw = torch.Generator().manual_seed(classes)
    old = 3 * torch.randn(65, classes, generator=draw)
    new = old + 2 * torch.randn(65, classes, generator=draw) + 5
    found = compare(zip(old.split(batch), new.split(batch), strict=True))
    assert found.images == 65
    for name, value in reckoned(old, new).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_a_shift_of_an_image_is_no_difference() -> None:
    old = torch.randn(30, 5)
    found = compare([(old, old + torch.randn(30, 1))])
    assert found.same_class == 1
    assert found.kl == pytest.approx(0, abs=1e-12)
    assert found.correlation == pytest.approx(1, abs=1e-6)
    assert not found.unrelated


def test_large_logits_neither_overflow_nor_lose_the_divergence() -> None:
    old, new = torch.tensor([[1e4, 0.0, 0.0]]), torch.tensor([[0.0, 1e4, 0.0]])
    assert compare([(old, new)]).kl == pytest.approx(1e4)
    assert compare([(old.bfloat16(), new.bfloat16())]).kl == pytest.approx(1e4, rel=1e-2)


def test_independent_nets_are_unrelated_and_a_disturbed_one_is_not() -> None:
    draw = torch.Generator().manual_seed(0)
    old, other = (torch.randn(500, 10, generator=draw) for _ in range(2))
    assert compare([(old, other)]).unrelated
    assert not compare([(old, old + 0.5 * other)]).unrelated
    assert compare([(old, -old)]).correlation == pytest.approx(-1)
    assert compare([(old, -old)]).unrelated


def test_one_answer_for_every_image_is_chance_whatever_the_logits_do() -> None:
    draw = torch.Generator().manual_seed(0)
    old = torch.randn(500, 10, generator=draw) + torch.tensor([1.0] + [0.0] * 9)
    stuck = old + torch.tensor([100.0] + [0.0] * 9)
    found = compare([(old, stuck)])
    assert found.same_class == found.chance  # the constant answer is the old net's most frequent one
    assert found.by_chance
    assert found.unrelated


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_logits_that_are_one_number_have_no_correlation(constant: float) -> None:
    old = torch.randn(40, 5)
    for pair in ((old, torch.full((40, 5), constant)), (torch.full((40, 5), constant), old)):
        found = compare([pair])
        assert found.correlation is None
        assert found.unrelated
        assert found.as_json()["correlation"] is None
        assert "correlation of the logits -" in found.words


def test_two_standard_errors() -> None:
    near = Agreement(images=400, same_class=0.54, kl=0.1, correlation=0.9, chance=0.5)  # 0.55 is the bound
    assert near.unrelated
    assert not Agreement(images=400, same_class=0.56, kl=0.1, correlation=0.9, chance=0.5).unrelated
    assert Agreement(images=400, same_class=0.9, kl=0.1, correlation=0.19, chance=0.5).unrelated
    same = Agreement(images=400, same_class=1.0, kl=0.0, correlation=1.0, chance=1.0)  # both give one class always
    assert not same.unrelated


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_refused(broken: float) -> None:
    good, bad = torch.rand(2, 3), torch.tensor([[0.0, broken, 1.0], [0.0, 1.0, 2.0]])
    with pytest.raises(ModelError, match="logits of the new net are NaN or infinite"):
        compare([(good, bad)])
    with pytest.raises(ModelError, match="logits of the old net are NaN or infinite"):
        compare([(bad, good)])


def test_nothing_to_compare() -> None:
    with pytest.raises(DataError, match="no images"):
        compare([])
    with pytest.raises(ModelError, match=r"shape \(2, 3\), the new net's \(2, 4\)"):
        compare([(torch.rand(2, 3), torch.rand(2, 4))])


class Half(nn.Module):
    """Gives a dict, and keeps how many images it has seen."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Any:
        self.seen.append(len(x))
        assert not self.training
        means = x.mean((1, 2, 3))
        return {"features": x.mean((2, 3)), "logits": torch.stack((means * self.scale, -means * self.scale), dim=1)}


def test_nets_are_compared_on_images_spread_over_all(train: Images) -> None:
    old, new = Half(1.0).train(), Half(2.0)
    found = agreement(old, new, train, most=10, device="cpu")
    assert found is not None
    assert (found.images, sum(old.seen), sum(new.seen)) == (10, 10, 10)
    assert found.same_class == 1
    assert found.correlation == pytest.approx(1)
    assert old.training  # the modes are back
    rows = np.linspace(0, len(train) - 1, 10).round().astype(int)
    means = train[rows.tolist()][0].mean((1, 2, 3))
    logits = torch.stack((means, -means), dim=1)
    assert found.kl == pytest.approx(reckoned(logits, 2 * logits)["kl"], rel=1e-5)


def test_without_images_there_is_none(train: Images) -> None:
    assert agreement(Half(1.0), Half(2.0), train.take([]), device="cpu") is None
