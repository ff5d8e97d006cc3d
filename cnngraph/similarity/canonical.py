"""CCA, SVCCA and PWCCA: how well directions of one layer can be said by directions of another, by linear means.

Hotelling, "Relations Between Two Sets of Variates", 1936 (CCA). Raghu, Gilmer, Yosinski, Sohl-Dickstein, "SVCCA:
Singular Vector Canonical Correlation Analysis for Deep Learning Dynamics and Interpretability", 2017. Morcos, Raghu,
Bengio, "Insights on representational similarity in neural networks with canonical correlation", 2018 (PWCCA).

For a condition up to :data:`TRUSTED` the coefficients come from second moments; beyond it, where the points are there,
from singular vectors of the points themselves, which lose half as many digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnngraph.errors import DataError, UsageError, nearest
from cnngraph.similarity.directions import Directions
from cnngraph.similarity.moments import PairMoments, moments_of

__all__ = ["MEANS", "Canonical", "canonical", "canonical_of_points", "mean_coefficient", "weighted_mean"]

Floats = npt.NDArray[np.float64]

TRUSTED = 3e3  # condition of a layer up to which second moments give coefficients to 1e-9
MEANS = ("plain", "cca_core")
_CUT = 0.98  # cca_core's threshold


@dataclass(frozen=True)
class Canonical:
    """The canonical correlations of two layers.

    Attributes:
        coefficients: descending, within 0..1; as many as the layer with fewer directions has directions.
        first, second: the directions that were compared.
        left, right: (k, coefficients), the canonical variates in whitened directions of the first and second layer;
            without columns where they were not asked for.
    """

    coefficients: Floats
    first: Directions
    second: Directions
    left: Floats
    right: Floats


def canonical(moments: PairMoments, keep: float = 1.0, *, variates: bool = True) -> Canonical:
    """The canonical correlations, between as many principal directions of each as hold ``keep`` of its variance.

    Without ``variates`` the coefficients alone, which are had in half the time.

    Raises:
        DataError: there are not more points than neurons, or a layer is constant.
    """
    require_points(moments.points, moments.widths)
    first, second = (one.directions.strongest(keep) for one in (moments.first, moments.second))
    return _solve(first, second, first.whitening.T @ moments.cross @ second.whitening, variates=variates)


def canonical_of_points(x: Floats, y: Floats, keep: float = 1.0) -> Canonical:
    """The same of matrices (points, neurons); raises as :func:`canonical` does."""
    require_points(len(x), (x.shape[1], y.shape[1]))
    moments = moments_of(x, y)
    if max(one.directions.condition for one in (moments.first, moments.second)) <= TRUSTED:
        return canonical(moments, keep)
    (first, left), (second, right) = (Directions.of_points(one - one.mean(axis=0)) for one in (x, y))
    first, second = first.strongest(keep), second.strongest(keep)
    return _solve(first, second, left[:, : first.kept].T @ right[:, : second.kept])


def _solve(first: Directions, second: Directions, cross: Floats, *, variates: bool = True) -> Canonical:
    if not variates:
        coefficients = np.linalg.svd(cross, compute_uv=False)
        nothing = np.empty((0, 0))
        return Canonical(np.clip(coefficients, 0.0, 1.0), first, second, nothing, nothing)
    left, coefficients, right = np.linalg.svd(cross, full_matrices=False)
    return Canonical(np.clip(coefficients, 0.0, 1.0), first, second, left, right.T)


def require_points(points: int, widths: tuple[int, int]) -> None:
    """Refuse fewer points than neurons: any two layers would then be said by each other.

    Raises:
        DataError: there are not more points than neurons.
    """
    if points <= max(widths):
        raise DataError(
            f"{points} points are too few for CCA between {widths[0]} and {widths[1]} neurons: "
            "with no more points than neurons even noise is alike.",
            "Give more images, or compare by CKA.",
        )


def mean_coefficient(coefficients: Floats, mean: str = "plain") -> float:
    """The mean of canonical correlations, as one number.

    Args:
        coefficients: descending. mean: ``plain``; or ``cca_core``, as the module of that name of the reference package
            (google/svcca) has it: of the largest ones alone, as many as make up 98 % of the sum.

    Raises:
        UsageError: there is no such mean.

    >>> mean_coefficient(np.array([1.0, 0.9, 0.02])), mean_coefficient(np.array([1.0, 0.9, 0.02]), "cca_core")
    (0.64, 0.95)
    """
    if mean not in MEANS:
        raise UsageError(f"There is no mean {mean!r} of coefficients.", nearest(mean, MEANS))
    if mean == "cca_core" and coefficients.sum() > 0:
        before = np.cumsum(coefficients)[:-1] / coefficients.sum()
        enough = np.flatnonzero(before >= _CUT)
        if len(enough):
            coefficients = coefficients[: enough[0] + 1]
    return float(coefficients.mean())


def weighted_mean(found: Canonical, by: str = "x") -> float:
    """PWCCA: the mean of the coefficients, weighted by how much of a layer's own neurons each variate makes up.

    The weight of a variate h is the sum over the neurons z of the layer of |h'z|.

    Args:
        by: the layer, ``x`` (the first) or ``y``.

    Raises:
        UsageError: there is no such layer.
    """
    if by not in ("x", "y"):
        raise UsageError(f"PWCCA is weighted by x or by y, not by {by!r}.", "Give by='x' or by='y'.")
    directions, variates = (found.first, found.left) if by == "x" else (found.second, found.right)
    weights = np.abs(variates.T @ (directions.scale[:, None] * directions.vectors.T)).sum(axis=1)
    return float(weights @ found.coefficients / weights.sum())
