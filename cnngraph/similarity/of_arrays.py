"""The measures of similarity between two arrays: rows are points, columns are neurons. Everything is float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cnngraph.errors import DataError, UsageError
from cnngraph.similarity.canonical import canonical_of_points, mean_coefficient, weighted_mean
from cnngraph.similarity.kernels import alignment, procrustes_distance
from cnngraph.similarity.moments import moments_of, vary_by_rounding

__all__ = ["cca", "cka", "procrustes", "pwcca", "svcca"]

Floats = npt.NDArray[np.float64]


def cca(x: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
    """The canonical correlations of two layers, descending, within 0..1.

    There are as many as the layer with fewer neurons has; dead neurons, and directions with less than 1e-10 of the
    strongest one's variance, do not count.

    Args:
        x: (points, p). y: (points, q), the same points in the same order.

    Raises:
        UsageError: these are no two matrices of as many points.
        DataError: values that are not finite; not more points than neurons; a layer that is constant.

    >>> h = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    >>> cca(h[:, :2], np.stack([h[:, 0], 0.6 * h[:, 1] + 0.8 * h[:, 2]], axis=1)).round(12).tolist()
    [1.0, 0.6]
    """
    return canonical_of_points(*_checked(x, y)).coefficients


def svcca(x: npt.ArrayLike, y: npt.ArrayLike, keep: float = 0.99, *, mean: str = "plain") -> float:
    """The mean canonical correlation between as many principal directions of each as hold ``keep`` of its variance.

    Args:
        keep: a share, over 0 and up to 1.
        mean: ``plain``, or ``cca_core`` (:func:`cnngraph.similarity.mean_coefficient`).

    Raises:
        UsageError, DataError: as :func:`cca`; or ``keep`` is no such share.
    """
    require_share(keep)
    return mean_coefficient(canonical_of_points(*_checked(x, y), keep).coefficients, mean)


def pwcca(x: npt.ArrayLike, y: npt.ArrayLike, by: str = "x") -> float:
    """The mean canonical correlation, weighted by how much of the neurons of ``by`` (x or y) each variate makes up.

    Where coefficients are equal the weights of their variates are not defined, nor is the result between others.

    Raises:
        UsageError, DataError: as :func:`cca`; or ``by`` is neither x nor y.
    """
    return weighted_mean(canonical_of_points(*_checked(x, y)), by)


def cka(x: npt.ArrayLike, y: npt.ArrayLike, estimator: str = "biased") -> float:
    """Linear centred kernel alignment.

    Args:
        estimator: ``biased``, within 0..1, high for noise where points are few; or ``unbiased``: 0 on average for
            noise, so that it may be below 0.

    Raises:
        UsageError: these are no two matrices of as many points, or there is no such estimator.
        DataError: values that are not finite; a layer that is constant; unbiased, fewer than 4 points.
    """
    return alignment(moments_of(*_checked(x, y)), estimator)


def procrustes(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """The Procrustes *distance*: 0 where a rotation and a scale make one layer of the other, at most 1.

    It is 1 - the nuclear norm of X'Y, both centred and of unit Frobenius norm.

    Raises:
        UsageError: these are no two matrices of as many points. DataError: values that are not finite; a constant
            layer.
    """
    return procrustes_distance(moments_of(*_checked(x, y)))


def require_share(keep: float) -> None:
    """Refuse what is no share of the variance.

    Raises:
        UsageError: it is not over 0 and up to 1.
    """
    if not 0 < keep <= 1:
        raise UsageError(f"keep={keep} is no share of the variance.", "Give a number over 0 and up to 1, as 0.99.")


def _checked(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    first, second = (_read(one, name) for one, name in ((x, "x"), (y, "y")))
    if len(first) != len(second):
        raise UsageError(
            f"x has {len(first)} points and y has {len(second)}.", "Give both layers on the same points, row by row."
        )
    return first, second


def _read(given: npt.ArrayLike, name: str) -> Floats:
    """A matrix of about the size 1, which no measure minds; columns that vary by rounding alone are 0."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:  # torch has an error of its own for each reason
        raise UsageError(f"{name} is no array: {error}.", "Of a tensor give x.detach().float().cpu().") from error
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise UsageError(f"{name} holds {array.dtype} and no real numbers.", "Give floats or integers.")
    if array.ndim != 2 or not array.size:
        raise UsageError(
            f"{name} has the shape {array.shape}; it must be a matrix of points (rows) by neurons (columns).",
            "Maps (n, C, H, W) become (n H W, C): x.transpose(0, 2, 3, 1).reshape(-1, C).",
        )
    if not np.isfinite(array).all():
        raise DataError(f"{name} has values that are NaN or infinite.", "Look for the layer that gives them.")
    precision = np.finfo(array.dtype if array.dtype.kind == "f" else np.float64).eps
    values: Floats = array.astype(np.float64)
    values = np.ldexp(values, -np.frexp(np.abs(values).max())[1])
    mean = values.mean(axis=0)
    about = values - mean
    values[:, vary_by_rounding(mean, np.einsum("ij,ij->j", about, about), len(values), float(precision))] = 0
    return values
