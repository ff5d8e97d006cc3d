"""Method ``multilayer``: a measure ranks the conv layers, and those of the lowest theta go.

Amelio, Bonifazi, Corradini, Ursino, Virgili, "A Multilayer Network-Based TargetSearch to Represent, Explore and Handle
Convolutional Neural Networks", Cognitive Computation 2022, doi 10.1007/s12559-022-10084-6.

:func:`plan` works on a stored model, :func:`plan_network` on a Network; both hand a ranking to the pure :func:`decide`.
Nothing here changes a net or trains one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from cnngraph.errors import OptionError, PlanError
from cnngraph.measures.activation import layer_activations, stored_layer_activations
from cnngraph.measures.measure import LayerTheta, MeasureResult
from cnngraph.measures.registry import MEASURES, find_engine, find_measure, measure_network
from cnngraph.measures.registry import measure as run_measure
from cnngraph.measures.runs import find_run
from cnngraph.measures.theta import check_reference_rule
from cnngraph.plan import Init, LayerScore, Plan, Removal
from cnngraph.pruning.decision import TIE, check_threshold, first_threshold, lowest, removed_at, schedule, spearman

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network
    from cnngraph.pruning.context import Context

__all__ = ["Extent", "Ranking", "decide", "plan", "plan_network", "reason_for", "require_own_data"]

# From here on a ranking says little that its null does not say; the plan then tells the person.
NEARLY_THE_NULL = 0.9

_SCORED = {"position": "position", "map": "feature map", "layer": "layer"}


@dataclass(frozen=True)
class Ranking:
    """What ranks the layers, see :func:`cnngraph.measures.registry.measure`; ``engine``: of a stored model."""

    measure: str = "degree"
    aggregate: str = "mean"
    reference: str = "median"
    seed: int = 0
    engine: str = "auto"


@dataclass(frozen=True)
class Extent:
    """How far the ranking is followed.

    Attributes:
        threshold: layers with a theta under it go.
        remove: so many layers of the lowest theta go, with ``threshold`` at most so many. Without either, the plan
            lists the schedule and removes nothing.
        keep: layers that cannot go, with the reason.
        init: where the weights after a gap come from when the plan is executed.
    """

    threshold: float | None = None
    remove: int | None = None
    keep: Mapping[str, str] = field(default_factory=dict)
    init: Init = "least-squares"


def plan(
    db: Database,
    key: str,
    ranking: Ranking | None = None,
    extent: Extent | None = None,
    progress: Progress | None = None,
) -> Plan:
    """The plan for a stored model; measures it first where no run with these options exists.

    Args:
        db: an open database.
        key: the model, ``owner/name``.
        ranking: what ranks; ``None``: the degree. extent: ``None``: nothing goes.
        progress: told what is being done.

    Raises:
        UsageError: an option out of range, or ``remove`` leaves no layer.
        NotFoundError, ConflictError: the model is not there, or not complete.
        PlanError: the model cannot be ranked by this measure, or so many layers cannot go.
    """
    ranking, extent = ranking or Ranking(), extent or Extent()
    chosen, options = find_measure(ranking.measure, aggregate=ranking.aggregate, seed=ranking.seed)
    check_reference_rule(ranking.reference)
    where = find_engine(ranking.engine)
    _check_choice(extent.threshold, extent.remove)
    from cnngraph.database import catalogue

    catalogue.require_complete(db, key)
    how = {name: value for name, value in asdict(ranking).items() if name != "measure"}
    result = find_run(db, key, chosen, options, ranking.reference, where) or run_measure(
        db, key, ranking.measure, **how, progress=progress
    )
    return decide(
        result,
        extent,
        architecture=catalogue.properties(db, key).get("architecture", ""),
        activation=stored_layer_activations(db, key),
    )


def require_own_data(measure: str, context: Context) -> None:
    """Return unless ``measure`` reads the data that the model was ingested with, and others were named.

    Raises:
        UsageError: it does, and they were; or there is no such measure.
    """
    chosen, _ = find_measure(measure)
    if chosen.of_net and context.other_data:
        raise OptionError(
            f"The measure {measure} reads the data that {context.model} was ingested with, not other data.",
            "Leave out {data} and {data_root}; to train on other data, plan first, then: cnngraph prune NAME --plan",
        )


def plan_network(network: Network, ranking: Ranking | None = None, extent: Extent | None = None) -> Plan:
    """The same for a Network in memory, by the measure's oracle; raises as :func:`plan` does."""
    ranking, extent = ranking or Ranking(), extent or Extent()
    _check_choice(extent.threshold, extent.remove)
    result = measure_network(
        network, ranking.measure, aggregate=ranking.aggregate, seed=ranking.seed, reference=ranking.reference
    )
    return decide(
        result,
        extent,
        architecture=network.details.architecture,
        activation=layer_activations(network),
    )


def decide(
    result: MeasureResult,
    extent: Extent,
    *,
    architecture: str = "",
    activation: Mapping[str, float] | None = None,
) -> Plan:
    """From a ranking to a plan; pure.

    The schedule is the bare decision and may name every layer. What goes by ``threshold`` or ``remove`` leaves out the
    layers of ``keep``, and never takes all: the deepest of those with the highest theta then stays, and a note says so.

    Raises:
        UsageError, PlanError: as :func:`plan`; PlanError also where a stored ranking has numbers that are not finite.
    """
    threshold, remove = extent.threshold, extent.remove
    _check_choice(threshold, remove)
    _require_finite(result)
    kept = {layer: reason for layer, reason in extent.keep.items() if layer in {row.layer for row in result.layers}}
    notes: list[str] = []
    removed: tuple[str, ...] = ()
    if threshold is not None:
        removed = _by_threshold(result.layers, threshold, kept, notes)
        if remove is not None and remove < len(removed):
            notes.append(f"{len(removed)} layers are under the threshold; {remove} of them go, lowest theta first.")
            staying = kept | {row.layer: "" for row in result.layers if row.layer not in removed}
            removed = lowest(result.layers, remove, staying)
    elif remove is not None:
        removed = lowest(result.layers, remove, kept)
    correlations = _correlations(result.layers, activation or {})
    notes += _nulls(result.measure, correlations)
    by_name = {row.layer: row for row in result.layers}
    return Plan(
        model=result.model,
        architecture=architecture,
        method="multilayer",
        measure=result.measure,
        aggregate=result.parameters.get("aggregate"),
        run=result.key or None,
        reference=result.reference,
        reference_rule=result.reference_rule,
        threshold=threshold,
        layers=tuple(LayerScore(layer=row.layer, theta=row.theta, value=row.value) for row in result.layers),
        schedule=schedule(result.layers),
        removes=tuple(_removal(result, by_name[layer], threshold) for layer in removed),
        init=extent.init,
        correlations=correlations,
        notes=tuple(notes),
    )


def _check_choice(threshold: float | None, remove: int | None) -> None:
    if threshold is not None:
        check_threshold(threshold)
    if remove is not None and remove < 1:
        raise OptionError(f"{{remove={remove}}} removes nothing.", "Give the number of layers that go, 1 or more.")


def _require_finite(result: MeasureResult) -> None:
    """Raise PlanError for a ranking that somebody changed: what is measured here is finite."""
    numbers = {"the reference": result.reference}
    for row in result.layers:
        numbers |= {f"value of layer {row.layer}": row.value, f"theta of layer {row.layer}": row.theta}
    broken = next((name for name, number in numbers.items() if not math.isfinite(number)), None)
    if broken is not None:
        raise PlanError(
            f"In this ranking by {result.measure}, {broken} is no finite number.", "Measure the model again."
        )


def _by_threshold(
    layers: Sequence[LayerTheta], threshold: float, keep: Mapping[str, str], notes: list[str]
) -> tuple[str, ...]:
    named = removed_at(layers, threshold)
    notes += [f"{layer} is under the threshold but stays: {keep[layer]}" for layer in named if layer in keep]
    removed = tuple(layer for layer in named if layer not in keep)
    if len(removed) < len(layers):
        return removed
    highest = max(row.theta for row in layers)
    last = [row.layer for row in layers if math.isclose(row.theta, highest, rel_tol=TIE)][-1]
    notes.append(
        f"Every convolution is under the threshold {threshold:g}; "
        f"{last}, the deepest of those with the highest theta, stays."
    )
    return tuple(layer for layer in removed if layer != last)


def _removal(result: MeasureResult, row: LayerTheta, threshold: float | None) -> Removal:
    at = threshold if threshold is not None else first_threshold(row.theta)
    return Removal(layer=row.layer, score=row.theta, threshold=at, reason=reason_for(result, row, threshold))


def reason_for(result: MeasureResult, row: LayerTheta, threshold: float | None) -> str:
    """The sentence that says why a layer goes, with its numbers."""
    scored = _SCORED[MEASURES[result.measure].scores] if result.measure in MEASURES else "node"
    reference = f"the {result.reference_rule} {result.measure} {result.reference:.6g}"
    if threshold is not None:
        who = "It does not reach" if scored == "layer" else f"No {scored} of it reaches"
        return f"{who} {threshold:g} x {reference}: its largest is {row.value:.6g}, theta {row.theta:.6g}."
    rank = 1 + sum(other.theta < row.theta for other in result.layers)
    return (
        f"Its largest {result.measure} is {row.value:.6g}, theta {row.theta:.6g} of {reference}: "
        f"number {rank} of {len(result.layers)} from the lowest."
    )


def _correlations(layers: Sequence[LayerTheta], activation: Mapping[str, float]) -> dict[str, float | None]:
    """Spearman of theta with the convs still to come, and with the largest mean activation where that is known."""
    known = [row for row in layers if row.layer in activation]
    return {
        "depth": spearman([row.theta for row in layers], list(range(len(layers) - 1, -1, -1))),
        "activation": spearman([row.theta for row in known], [activation[row.layer] for row in known]),
    }


def _nulls(measure: str, correlations: Mapping[str, float | None]) -> list[str]:
    """A sentence for each null that the ranking hardly differs from."""
    return [
        f"The ranking by {measure} is nearly that by {null} (Spearman {value:.2f}): compare with --measure {null}."
        for null, value in correlations.items()
        if value is not None and value >= NEARLY_THE_NULL and null != measure
    ]
