"""From scores to thetas: the reference over all nodes and the maximum of each layer.

Source: Amelio et al., Cognitive Computation 2022, doi 10.1007/s12559-022-10084-6. Pure numpy.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cnngraph.errors import PlanError, UsageError, nearest
from cnngraph.measures.measure import LayerTheta, Scores
from cnngraph.vocabulary import REFERENCES

__all__ = ["check_reference_rule", "layer_values", "reference_of", "thetas"]

Floats = npt.NDArray[np.float64]


def check_reference_rule(rule: str) -> str:
    """Return ``rule`` if there is such a reference.

    Raises:
        UsageError: there is none.
    """
    if rule not in REFERENCES:
        raise UsageError(f"There is no reference {rule!r}.", nearest(rule, REFERENCES))
    return rule


def reference_of(values: Floats, rule: str = "median", measure: str = "the measure") -> float:
    """The reference over *all* nodes, whatever their layer.

    Args:
        values: scores of all nodes, shape (n,).
        rule: ``median`` (the paper's), ``mean``, or ``median-positive``, the median of the scores above 0.
        measure: named in the error.

    Raises:
        PlanError: the reference is not a number above 0, so that a ratio to it would rank nothing.

    >>> reference_of(np.array([1.0, 2.0, 4.0, 9.0]))
    3.0
    """
    found = _reference(values, check_reference_rule(rule))
    if _usable(found):
        return found
    said = "does not exist" if math.isnan(found) else f"is {found:.6g}"
    works = " and ".join(other for other in REFERENCES if _usable(_reference(values, other)))
    raise PlanError(
        f"The {rule} of {measure} over everything that it scores {said}; theta = value / reference needs one above 0.",
        f"Use {{reference=mean|median-positive}} (above 0 here: {works or 'none'}), or another measure.",
    )


def _reference(values: Floats, rule: str) -> float:
    chosen = values[values > 0] if rule == "median-positive" else values
    if not chosen.size:
        return math.nan
    return float(np.mean(chosen) if rule == "mean" else np.median(chosen))


def _usable(reference: float) -> bool:
    return math.isfinite(reference) and reference > 0


def layer_values(scores: Scores) -> Floats:
    """The largest score of each layer, shape (len(scores.layers),); NaN scores make a NaN."""
    values = np.full(len(scores.layers), -np.inf)
    np.maximum.at(values, scores.layer, scores.value)
    return values


def thetas(scores: Scores, rule: str = "median", measure: str = "the measure") -> tuple[float, tuple[LayerTheta, ...]]:
    """The reference, and ``theta = largest score / reference`` of each layer in network order.

    Raises:
        PlanError: there is nothing to rank, a score or theta is not finite, or the reference is not above 0.
    """
    if not scores.value.size:
        raise PlanError(f"There is nothing that {measure} could rank.", "The model needs convolutions with nodes.")
    if not np.isfinite(scores.value).all():
        bad = scores.layers[int(scores.layer[~np.isfinite(scores.value)][0])]
        raise PlanError(f"{measure} gives layer {bad} a score that is not finite.", "Measure the model again.")
    reference = reference_of(scores.value, rule, measure)
    values = layer_values(scores)
    ranked = zip(scores.layers, values.tolist(), strict=True)
    found = tuple(LayerTheta(layer, value, value / reference) for layer, value in ranked)
    over = next((row.layer for row in found if not math.isfinite(row.theta)), None)
    if over is not None:
        raise PlanError(
            f"The {rule} of {measure} is {reference:.6g}: so little that theta of layer {over} is no finite number.",
            "Use another {reference}, or another measure.",
        )
    return reference, found
