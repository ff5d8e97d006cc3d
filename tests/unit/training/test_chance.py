"""Accuracy near chance is said, accuracy above it is not."""

from __future__ import annotations

import numpy as np
import pytest

from cnngraph.training.chance import near_chance
from cnngraph.training.evaluate import scores


@pytest.mark.parametrize(("right", "said"), [(50, True), (60, True), (61, False), (90, False), (20, True)])
def test_two_balanced_classes_at_a_hundred_images(right: int, said: bool) -> None:
    # The standard error of one half at 100 images is 0.05: from 0.60 on an accuracy means something.
    half = right // 2
    confusion = np.array([[half, 50 - half], [50 - (right - half), right - half]])
    sentence = near_chance(scores(confusion, 0.5))
    assert (sentence is not None) == said
    if sentence:
        assert f"{right}.0% is near chance" in sentence
        assert "50.0% of these 100 images" in sentence


def test_always_the_frequent_class_is_chance() -> None:
    sentence = near_chance(scores(np.array([[90, 0], [10, 0]]), 0.5))
    assert sentence is not None
    assert "has 90.0% of these 100 images right" in sentence
