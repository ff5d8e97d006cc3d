"""Reference and thetas."""

from __future__ import annotations

import numpy as np
import pytest

from cnngraph.errors import PlanError
from cnngraph.measures.measure import Scores
from cnngraph.measures.theta import reference_of, thetas


def test_the_rules() -> None:
    values = np.array([-4.0, 0.0, 1.0, 3.0, 10.0])
    assert reference_of(values) == 1.0
    assert reference_of(values, "mean") == 2.0
    assert reference_of(values, "median-positive") == 3.0


@pytest.mark.parametrize("values", [[-1.0, -2.0, 9.0], [0.0, 0.0, 5.0], [float("nan"), 1.0, 1.0]])
def test_a_reference_that_is_not_above_0_is_refused_and_the_others_named(values: list[float]) -> None:
    with pytest.raises(PlanError) as refused:
        reference_of(np.array(values), measure="degree")
    assert "reference=mean|median-positive" in refused.value.hint
    assert "median of degree" in refused.value.message


def test_the_hint_says_which_reference_would_do() -> None:
    with pytest.raises(PlanError, match="above 0 here: median-positive"):
        reference_of(np.array([-9.0, -2.0, 1.0]))
    with pytest.raises(PlanError, match="above 0 here: none"):
        reference_of(np.array([-9.0, -2.0]), "median-positive")


def test_theta_is_the_largest_score_of_a_layer_over_the_reference_of_all() -> None:
    found = thetas(Scores(("a", "b"), np.array([0, 0, 1, 1, 1]), np.array([1.0, 8.0, 2.0, 2.0, 3.0])))
    assert found == (2.0, (("a", 8.0, 4.0), ("b", 3.0, 1.5)))


def test_nothing_to_rank_and_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(PlanError, match="nothing that degree could rank"):
        thetas(Scores((), np.array([], dtype=int), np.array([])), measure="degree")
    with pytest.raises(PlanError, match="layer b a score that is not finite"):
        thetas(Scores(("a", "b"), np.array([0, 1]), np.array([1.0, np.inf])))


def test_a_reference_so_small_that_theta_is_infinite_is_refused() -> None:
    with pytest.raises(PlanError, match="theta of layer b is no finite number"):
        thetas(Scores(("a", "b"), np.array([0, 0, 0, 1]), np.array([1e-300, 1e-300, 1e-300, 1e300])))
