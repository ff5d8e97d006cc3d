"""What all measures of similarity rest on: the second moments of two layers over the same points.

With x and y centred, X'X, Y'Y and X'Y say all that CCA, SVCCA, PWCCA, biased CKA and Procrustes need; unbiased CKA also
needs the sums over points of |x|^2 |y|^2. None of these grows with the number of points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cnngraph.similarity.directions import Directions

__all__ = ["LayerMoments", "PairMoments", "moments_of", "vary_by_rounding"]

Floats = npt.NDArray[np.float64]

_ROUNDING = 4  # steps of its type of number, for the standard deviation of a neuron that is constant but for rounding


@dataclass(frozen=True)
class LayerMoments:
    """One layer over its points, centred.

    Attributes:
        points: how many (images, or images times places).
        second: (p, p), the sum over points of x x'. fourth: the sum over points of |x|^4.
    """

    points: int
    second: Floats
    fourth: float

    @property
    def width(self) -> int:
        """How many neurons."""
        return len(self.second)

    @cached_property
    def total(self) -> float:
        """The sum of all neurons' squares."""
        return float(np.trace(self.second))

    @cached_property
    def directions(self) -> Directions:
        """Its principal directions."""
        return Directions.of_second_moments(self.second)


@dataclass(frozen=True)
class PairMoments:
    """Two layers over the same points, centred.

    Attributes:
        cross: (p, q), the sum over points of x y'. fourth: the sum over points of |x|^2 |y|^2.
    """

    first: LayerMoments
    second: LayerMoments
    cross: Floats
    fourth: float

    @property
    def points(self) -> int:
        """How many points there are."""
        return self.first.points

    @property
    def widths(self) -> tuple[int, int]:
        """Neurons of the first and of the second layer."""
        return self.first.width, self.second.width


def vary_by_rounding(mean: Floats, squares: Floats, points: int, precision: float) -> npt.NDArray[np.bool_]:
    """Which neurons are constant: what they vary by is no more than the rounding of their values.

    Args:
        mean: (p,). squares: (p,), the sums over points of the squares about it. precision: of the type of number that
            they came in: the distance from 1 to the next number.
    """
    found: npt.NDArray[np.bool_] = np.sqrt(np.maximum(squares, 0) / points) <= _ROUNDING * precision * np.abs(mean)
    return found


def moments_of(x: Floats, y: Floats) -> PairMoments:
    """The moments of two matrices (points, neurons) of as many points."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    lengths = [np.einsum("ij,ij->i", one, one) for one in (x, y)]
    first, second = (
        LayerMoments(len(one), one.T @ one, float(length @ length)) for one, length in zip((x, y), lengths, strict=True)
    )
    return PairMoments(first, second, x.T @ y, float(lengths[0] @ lengths[1]))
