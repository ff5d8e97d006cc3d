"""The principal directions of a layer, without those that hold no variance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cnngraph.errors import DataError

__all__ = ["NO_VARIANCE", "Directions"]

Floats = npt.NDArray[np.float64]

# Directions with less of the largest one's variance are dropped: they are rounding, or as good as constant.
NO_VARIANCE = 1e-10


@dataclass(frozen=True)
class Directions:
    """k orthogonal directions in which a layer of p neurons varies, the strongest first.

    Attributes:
        scale: (k,), the root of the sum of squares along each: the singular values of the centred matrix.
        vectors: (p, k), the directions.
        dropped: how many of the p were left out since nothing varies along them.
    """

    scale: Floats
    vectors: Floats
    dropped: int

    @property
    def kept(self) -> int:
        """How many there are."""
        return len(self.scale)

    @property
    def condition(self) -> float:
        """The strongest over the weakest."""
        return float(self.scale[0] / self.scale[-1])

    @property
    def whitening(self) -> Floats:
        """(p, k), what makes directions of unit length, each orthogonal to the others, of a centred matrix."""
        return self.vectors / self.scale

    @classmethod
    def of_second_moments(cls, second: Floats) -> Directions:
        """Those of a layer with the second moments ``second`` (p, p).

        Raises:
            DataError: the layer is constant.
        """
        variance, vectors = np.linalg.eigh(second)
        return cls._of(np.sqrt(np.maximum(variance[::-1], 0)), vectors[:, ::-1])

    @classmethod
    def of_points(cls, centred: Floats) -> tuple[Directions, Floats]:
        """Those of a centred matrix (points, p) itself, to full accuracy, and its points along them (points, k).

        Raises:
            DataError: the layer is constant.
        """
        left, scale, right = np.linalg.svd(centred, full_matrices=False)
        found = cls._of(scale, right.T)
        return replace(found, dropped=centred.shape[1] - found.kept), left[:, : found.kept]

    @classmethod
    def _of(cls, scale: Floats, vectors: Floats) -> Directions:
        if not scale[0] > 0:
            raise DataError(
                "A layer is constant: it answers alike on all points.", "Leave it out, or give more images."
            )
        kept = int(np.sum(scale**2 > NO_VARIANCE * scale[0] ** 2))
        return cls(scale[:kept], vectors[:, :kept], len(scale) - kept)

    def strongest(self, share: float) -> Directions:
        """As few of them as hold ``share`` of the variance, 0..1; what is left out then was not dropped but cut."""
        if share == 1:
            return self
        held = np.cumsum(self.scale**2)
        enough = int(np.searchsorted(held, share * held[-1] * (1 - 1e-12))) + 1
        return replace(self, scale=self.scale[:enough], vectors=self.vectors[:, :enough])
