"""Linear CKA, biased and unbiased, and the Procrustes distance.

Kornblith, Norouzi, Lee, Hinton, "Similarity of Neural Network Representations Revisited", 2019 (CKA). Song, Smola,
Gretton, Bedo, Borgwardt, "Feature Selection via Dependence Maximization", 2012 (the unbiased estimator of HSIC).
Schoenemann, "A generalized solution of the orthogonal Procrustes problem", 1966.
"""

from __future__ import annotations

import math

import numpy as np

from cnngraph.errors import DataError, UsageError, nearest
from cnngraph.similarity.moments import PairMoments

__all__ = ["ESTIMATORS", "LEAST_POINTS", "alignment", "procrustes_distance"]

ESTIMATORS = ("biased", "unbiased")
LEAST_POINTS = 4  # the unbiased estimator divides by n - 3


def alignment(moments: PairMoments, estimator: str = "biased") -> float:
    """Linear CKA: 1 for layers that differ by a rotation and a scale; 0 for unrelated ones, if it is unbiased.

    Raises:
        UsageError: there is no such estimator.
        DataError: a layer is constant; or unbiased, there are fewer than 4 points.
    """
    if estimator not in ESTIMATORS:
        raise UsageError(f"There is no estimator {estimator!r}.", nearest(estimator, ESTIMATORS))
    _require_variance(moments)
    first, second = moments.first, moments.second
    between = float(np.sum(moments.cross**2))
    own = [float(np.sum(one.second**2)) for one in (first, second)]
    if estimator == "unbiased":
        if moments.points < LEAST_POINTS:
            raise DataError(
                f"Unbiased CKA needs {LEAST_POINTS} points, and there are {moments.points}.", "Give more images."
            )
        between = _unbiased(moments.points, between, moments.fourth, first.total * second.total)
        own = [
            _unbiased(moments.points, square, one.fourth, one.total**2)
            for square, one in zip(own, (first, second), strict=True)
        ]
    if min(own) <= 0:
        raise DataError("On these points a layer does not vary enough for unbiased CKA.", "Give more images.")
    return min(1.0, between / math.sqrt(own[0]) / math.sqrt(own[1]))


def _unbiased(points: int, square: float, fourth: float, totals: float) -> float:
    """n (n - 3) times the unbiased HSIC of two linear kernels K and L.

    With centred points, tr(K L) = ``square`` and the diagonals' product is ``fourth``; without its diagonal K has the
    rows' sums -|x|^2. Song et al. 2012, equation 5, is then this.
    """
    return square - fourth * points / (points - 2) + totals / ((points - 1) * (points - 2))


def procrustes_distance(moments: PairMoments) -> float:
    """1 - the nuclear norm of X'Y, both centred and of unit norm: 0 for layers that differ by a rotation and a scale.

    Raises:
        DataError: a layer is constant.
    """
    _require_variance(moments)
    nuclear = float(np.linalg.svd(moments.cross, compute_uv=False).sum())
    return max(0.0, 1 - nuclear / math.sqrt(moments.first.total) / math.sqrt(moments.second.total))


def _require_variance(moments: PairMoments) -> None:
    if not (moments.first.total > 0 and moments.second.total > 0):
        raise DataError("A layer is constant: it answers alike on all points.", "Leave it out.")
