"""The decision: from thetas to the layers that go. Pure; nothing here reads a net or a database.

Amelio et al. 2022 (doi 10.1007/s12559-022-10084-6), as their code has it: a layer is removed at threshold th iff no
node of it reaches th x reference, so iff ``theta < th``; a node that equals it keeps its layer. Where the reference and
the thetas come from: :mod:`cnngraph.measures.theta`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cnngraph.errors import OptionError, PlanError
from cnngraph.measures.measure import LayerTheta
from cnngraph.plan import Step

__all__ = ["THRESHOLDS", "below", "check_threshold", "first_threshold", "lowest", "removed_at", "schedule", "spearman"]

# 0.05, 0.10 ... 8.00; each the float nearest to its decimal, which a running sum of 0.05 would not be.
THRESHOLDS: tuple[float, ...] = tuple(i * 5 / 100 for i in range(1, 161))

# Sums of the same weights in another order differ in their last bits; such a difference must not decide about a layer.
TIE = 1e-12


def below(theta: float, threshold: float) -> bool:
    """True where ``theta < threshold``; a theta that equals it but for rounding (1e-12) is not below.

    >>> below(4.5, 4.5), below(4.5, 4.55), below(4.5 - 1e-15, 4.5)
    (False, True, False)
    """
    return theta < threshold and not math.isclose(theta, threshold, rel_tol=TIE, abs_tol=0.0)


def check_threshold(threshold: float) -> float:
    """Return ``threshold`` if it is a number of at least 0.

    Raises:
        OptionError: it is NaN, infinite or negative.
    """
    if not math.isfinite(threshold) or threshold < 0:
        raise OptionError(
            f"{{threshold={threshold:g}}} is no number of at least 0.", "Use one such as {threshold=0.3}."
        )
    return threshold


def removed_at(layers: Sequence[LayerTheta], threshold: float) -> tuple[str, ...]:
    """The layers that go at ``threshold``, in network order; the set only grows with the threshold."""
    return tuple(row.layer for row in layers if below(row.theta, threshold))


def schedule(layers: Sequence[LayerTheta], thresholds: Sequence[float] = THRESHOLDS) -> tuple[Step, ...]:
    """The thresholds at which the set of removed layers changes, each with the whole set.

    >>> [(s.threshold, s.removed) for s in schedule([LayerTheta("a", 9.0, 4.5), LayerTheta("b", 4.0, 2.0)])]
    [(2.05, ('b',)), (4.55, ('a', 'b'))]
    """
    return tuple(_steps(layers, thresholds))


def _steps(layers: Sequence[LayerTheta], thresholds: Sequence[float]) -> Iterator[Step]:
    before = 0
    for threshold in thresholds:
        removed = removed_at(layers, threshold)
        if len(removed) > before:
            before = len(removed)
            yield Step(threshold=threshold, removed=removed)


def first_threshold(theta: float, thresholds: Sequence[float] = THRESHOLDS) -> float | None:
    """The first threshold of the schedule at which a layer of this theta goes; ``None`` where it outlasts them all."""
    return next((threshold for threshold in thresholds if below(theta, threshold)), None)


def lowest(layers: Sequence[LayerTheta], count: int, keep: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The ``count`` layers of the lowest theta, in network order; among equal ones the deepest stays.

    Args:
        layers: the ranking, in network order.
        count: how many go.
        keep: layers that must stay, with the reason.

    Raises:
        OptionError: ``count`` is under 1, or leaves no layer.
        PlanError: so many can't go, since others must stay.
    """
    if count < 1:
        raise OptionError(f"{{remove={count}}} removes nothing.", "Give the number of layers that go, 1 or more.")
    if count >= len(layers):
        raise OptionError(
            f"{{remove={count}}} would leave no convolution: the model has {len(layers)} to choose from.",
            f"Remove at most {len(layers) - 1}.",
        )
    kept = keep or {}
    free = [(row.theta, i) for i, row in enumerate(layers) if row.layer not in kept]
    if count > len(free):
        raise PlanError(
            f"Only {len(free)} of the model's {len(layers)} convolutions can be removed, not {count}.",
            "The others stay: " + "; ".join(f"{layer}: {reason}" for layer, reason in sorted(kept.items())),
        )
    chosen = {i for _, i in sorted(free)[:count]}
    return tuple(row.layer for i, row in enumerate(layers) if i in chosen)


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties given their mean rank; ``None`` where it does not exist (constant, under 2).

    >>> spearman([1, 2, 3], [10, 30, 20])
    0.5
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values cannot be paired")
    if len(first) < 2:
        return None
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(np.clip(round(float(a @ b) / norm, 12), -1.0, 1.0)) if norm else None


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Ranks 0.. of the values, equal ones sharing the mean of theirs."""
    _, group, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts + 1) / 2
    ranks: npt.NDArray[np.float64] = mean_rank[group]
    return ranks
