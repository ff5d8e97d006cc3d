"""The measures of similarity by name, between two layers whose moments are known, each beside its null."""

from __future__ import annotations

from dataclasses import dataclass

from cnngraph.errors import DataError, UsageError, nearest
from cnngraph.similarity.canonical import MEANS, Canonical, canonical, mean_coefficient, weighted_mean
from cnngraph.similarity.kernels import ESTIMATORS, LEAST_POINTS, alignment, procrustes_distance
from cnngraph.similarity.moments import PairMoments
from cnngraph.similarity.of_arrays import require_share
from cnngraph.vocabulary import SIMILARITIES

__all__ = ["CANONICAL", "LayerSimilarity", "SimilarityOptions", "least_points", "measure_pair"]

CANONICAL = ("cca", "svcca", "pwcca")  # which rest on canonical correlations


def least_points(measure: str, estimator: str, widths: tuple[int, int]) -> int:
    """With how few points a measure of two layers of so many neurons is defined.

    >>> least_points("svcca", "", (6, 16)), least_points("cka", "unbiased", (6, 16))
    (17, 4)
    """
    if measure in CANONICAL:
        return max(widths) + 1
    return LEAST_POINTS if measure == "cka" and estimator == "unbiased" else 2


@dataclass(frozen=True)
class SimilarityOptions:
    """What is measured.

    Attributes:
        measures: some of :data:`cnngraph.vocabulary.SIMILARITIES`.
        keep: of ``svcca``, the share of variance. by: of ``pwcca``, whose neurons weigh: ``x`` (the first) or ``y``.
        estimator: of ``cka``. mean: of coefficients, ``plain`` or ``cca_core``.
    """

    measures: tuple[str, ...] = ("svcca", "cka")
    keep: float = 0.99
    by: str = "x"
    estimator: str = "unbiased"
    mean: str = "plain"

    def __post_init__(self) -> None:
        for what, given, known in (
            *(("similarity", one, SIMILARITIES) for one in self.measures),
            ("estimator", self.estimator, ESTIMATORS),
            ("mean of coefficients", self.mean, MEANS),
            ("layer to weigh by", self.by, ("x", "y")),
        ):
            if given not in known:
                raise UsageError(f"There is no {what} {given!r}.", nearest(given, known))
        require_share(self.keep)

    def estimator_of(self, measure: str) -> str:
        """In words, how the one number of a measure comes about."""
        coefficients = "plain mean" if self.mean == "plain" else "mean by cca_core"
        return {
            "cca": coefficients,
            "svcca": f"{coefficients}, {self.keep:g} of the variance",
            "pwcca": f"weighted by the {'first' if self.by == 'x' else 'second'} net's neurons",
            "cka": self.estimator,
            "procrustes": "distance",
        }[measure]


@dataclass(frozen=True)
class LayerSimilarity:
    """One measure of one pair of layers.

    Attributes:
        first, second: the layers' names in the first and the second net.
        measure: one of :data:`cnngraph.vocabulary.SIMILARITIES`; ``procrustes`` is a *distance*: 0 is the same.
        estimator: in words, how the number comes about.
        value: ``None`` where it is not defined: ``reason`` says why.
        null: the same of the same images in another order, places kept; ``None`` where there is one image, or no value.
        images: how many. points: images, times places where places are points.
        pooled: whether maps were averaged over their places, since the two layers have maps of different sizes.
        widths: neurons of the two layers. kept: of them, the directions that were compared. dropped: those along
            which nothing varies (relative variance under 1e-10); what SVCCA cuts is in neither.
    """

    first: str
    second: str
    measure: str
    estimator: str
    value: float | None
    null: float | None
    images: int
    points: int
    pooled: bool
    widths: tuple[int, int]
    kept: tuple[int, int]
    dropped: tuple[int, int]
    reason: str = ""

    @property
    def points_per_neuron(self) -> float:
        """n/p: points over the neurons of the wider layer. At 2, the mean CCA of noise is 0.64, at 10 still 0.27."""
        return self.points / max(self.widths)


def measure_pair(
    names: tuple[str, str],
    moments: PairMoments,
    null: PairMoments | None,
    images: int,
    pooled: bool,
    how: SimilarityOptions,
) -> list[LayerSimilarity]:
    """Every measure of one pair of layers, in the order in which they were asked for."""
    found = _Measured(moments, how)
    shuffled = None if null is None else _Measured(null, how)
    rows = []
    for measure in how.measures:
        value = noise = None
        reason = ""
        try:
            value = found.value(measure)
            noise = None if shuffled is None else shuffled.value(measure)
        except DataError as error:
            reason = error.message
        kept, dropped = found.directions(measure)
        rows.append(
            LayerSimilarity(
                *names,
                measure,
                how.estimator_of(measure),
                value,
                noise,
                images,
                moments.points,
                pooled,
                moments.widths,
                kept,
                dropped,
                reason,
            )
        )
    return rows


class _Measured:
    """The measures of one pair; what several of them rest on is solved once."""

    def __init__(self, moments: PairMoments, how: SimilarityOptions) -> None:
        self._moments, self._how = moments, how
        self._solved: dict[float, Canonical] = {}

    def _canonical(self, keep: float) -> Canonical:
        if keep not in self._solved:
            weighted = keep == 1.0 and "pwcca" in self._how.measures
            self._solved[keep] = canonical(self._moments, keep, variates=weighted)
        return self._solved[keep]

    def value(self, measure: str) -> float:
        """Its number.

        Raises:
            DataError: it is not defined on these points.
        """
        how = self._how
        if measure == "cca":
            return mean_coefficient(self._canonical(1.0).coefficients, how.mean)
        if measure == "svcca":
            return mean_coefficient(self._canonical(how.keep).coefficients, how.mean)
        if measure == "pwcca":
            return weighted_mean(self._canonical(1.0), how.by)
        if measure == "cka":
            return alignment(self._moments, how.estimator)
        return procrustes_distance(self._moments)

    def directions(self, measure: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """How many directions were compared, and how many hold no variance."""
        if measure in ("cka", "procrustes"):
            return self._moments.widths, (0, 0)
        try:
            found = self._canonical(self._how.keep if measure == "svcca" else 1.0)
        except DataError:
            return (0, 0), (0, 0)
        return (found.first.kept, found.second.kept), (found.first.dropped, found.second.dropped)
