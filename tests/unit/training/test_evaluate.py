"""Scores against literal values and scikit-learn; modes are restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_score, recall_score
from torch import nn

from cnngraph.datasets.images import Images
from cnngraph.errors import DataError, ModelError
from cnngraph.training.evaluate import evaluate, scores


def test_literal_scores() -> None:
    found = scores(np.array([[3, 1, 0], [0, 4, 0], [1, 1, 0]]))
    assert found.accuracy == pytest.approx(0.7)
    assert found.precision == pytest.approx((3 / 4 + 4 / 6 + 0) / 3)
    assert found.recall == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert found.images == 10
    assert found.per_class[0] == {"precision": 0.75, "recall": 0.75, "images": 4}


def test_a_class_that_is_neither_there_nor_predicted_does_not_count() -> None:
    found = scores(np.array([[2, 0, 0], [0, 0, 0], [1, 0, 3]]))
    assert found.recall == pytest.approx((1 + 3 / 4) / 2)
    assert found.precision == pytest.approx((2 / 3 + 1) / 2)


pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(pairs=pairs)
def test_scores_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    found = scores(confusion_matrix(true, predicted, labels=range(4)))
    macro = {"average": "macro", "zero_division": 0}
    assert found.precision == pytest.approx(precision_score(true, predicted, **macro))
    assert found.recall == pytest.approx(recall_score(true, predicted, **macro))
    several = len({*true, *predicted}) > 1  # elsewhere it is not defined, and ours is 0
    assert found.kappa == pytest.approx(cohen_kappa_score(true, predicted) if several else 0.0)
    assert found.accuracy == pytest.approx((true == predicted).mean())


class Fixed(nn.Module):
    """Logits that are the images' own first two values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 0, :2]


def batches(logits: list[list[float]], labels: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    images = torch.tensor(logits).reshape(-1, 1, 1, 2)
    return [(images, torch.tensor(labels))]


def test_loss_and_confusion_are_literal() -> None:
    found = evaluate(Fixed(), batches([[0.0, 0.0], [np.log(3), 0.0]], [1, 0]), device="cpu")
    assert found.loss == pytest.approx((np.log(2) + np.log(4 / 3)) / 2)
    assert found.confusion.tolist() == [[1, 0], [1, 0]]
    assert found.as_json()["accuracy"] == 0.5


def test_several_batches_are_one_set() -> None:
    whole = batches([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]], [0, 1, 1])
    parts = [(whole[0][0][:1], whole[0][1][:1]), (whole[0][0][1:], whole[0][1][1:])]
    one, two = evaluate(Fixed(), whole, device="cpu"), evaluate(Fixed(), parts, device="cpu")
    assert one.loss == pytest.approx(two.loss)
    assert one.confusion.tolist() == two.confusion.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("size", [1, 7, 40])
def test_the_batch_size_changes_nothing(validation: Images, size: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 2), nn.BatchNorm1d(2))
    found = evaluate(model, validation, batch_size=size, device="cpu")
    assert found.loss == pytest.approx(evaluate(model, validation, device="cpu").loss)
    assert found.images == 40


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match="no images"):
        evaluate(Fixed(), [], device="cpu")
    with pytest.raises(ModelError, match="has 2 outputs, but the data has a class number 5"):
        evaluate(Fixed(), batches([[0.0, 1.0]], [5]), device="cpu")
    with pytest.raises(ModelError, match="NaN or infinite"):
        evaluate(Fixed(), batches([[float("nan"), 1.0]], [1]), device="cpu")


def test_a_net_in_half_precision_is_judged_in_it() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).bfloat16()
    found = evaluate(model, [(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 0]))], device="cpu")
    assert found.images == 3
    assert model[1].weight.dtype is torch.bfloat16
