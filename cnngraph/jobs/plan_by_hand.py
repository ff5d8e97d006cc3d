"""The plan that a person made: layers and blocks by name, a plan or its file, a run of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnngraph.errors import NotFoundError, PlanError
from cnngraph.jobs.session import Session
from cnngraph.plan import Plan, Removal, read_plan
from cnngraph.pruning.choice import Choice
from cnngraph.sources.stored import stored

__all__ = ["open_plan", "plan_from_person", "plan_removing"]

_OF_ROUNDS, _SWITCHES = ("rounds", "rate", "rewind", "mask"), ("one_shot", "prune_biases", "structured")


def plan_from_person(session: Session, name: str, choice: Choice) -> Plan:
    """The plan for a model of the database that a person made: layers and blocks by name, a plan or its file, or a
    PruningRun of the graph.

    Raises:
        NotFoundError: a layer, block, file or run that is not there; the hint has the nearest names.
        PlanError: the plan is another model's, or prunes weights.
    """
    from cnngraph.database import lineage

    model = stored(session.database, name)
    if choice.plan is not None:
        made = open_plan(choice.plan)
    elif choice.run is not None:
        made = _without_masks(lineage.read_pruning_run(session.database, choice.run))
    else:
        made = plan_removing(model.folder, choice.layers, choice.blocks)
    if made.model and made.model != model.key:
        raise PlanError(
            f"This plan is for {made.model}, not for {model.key}.", "Plan this model, or empty the plan's field model."
        )
    changes: dict[str, Any] = {
        "model": model.key,
        "architecture": made.architecture or model.properties.get("architecture") or "",
    }
    return made.model_copy(update=changes | ({"init": choice.init} if choice.init is not None else {}))


def _without_masks(plan: Plan) -> Plan:
    """The plan, if it says all that goes; raises PlanError for one that names masks, with what makes them again."""
    if not plan.weights:
        return plan
    asked = [f"{{{name}={plan.settings[name]}}}" for name in _OF_ROUNDS if name in plan.settings]
    asked += [f"{{{name}=True}}" for name in _SWITCHES if plan.settings.get(name)]
    raise PlanError(
        "The plan prunes weights, and says by a sha256 alone which ones stay: its masks are not here.",
        f"Prune anew, which trains and finds them again: {' '.join([f'{{method={plan.method}}}', *asked])}",
    )


def open_plan(plan: Plan | str | Path) -> Plan:
    """A plan, or what is in the file of one; raises PlanError for one that prunes weights."""
    return _without_masks(plan if isinstance(plan, Plan) else read_plan(plan))


def plan_removing(folder: Path, layers: tuple[str, ...], blocks: tuple[str, ...]) -> Plan:
    """The plan that layers and blocks of a saved model go, which a person named.

    Layers that go along, since half of a unit makes no sense, are in it too, with that reason.

    Raises:
        NotFoundError: one is not there; the hint has the nearest names. PlanError: one cannot go.
    """
    from cnngraph.surgery.check import check, units
    from cnngraph.surgery.saved import read_saved

    saved = read_saved(folder)
    graph = saved.followed.graph
    removes = [Removal(layer=layer, reason="named by hand") for layer in dict.fromkeys(layers)]
    removes += [Removal(layer=block, kind="block", reason="named by hand") for block in dict.fromkeys(blocks)]
    check(graph, Plan(removes=tuple(removes)), unknown=NotFoundError)
    along = {
        other: layer for layer, others in units(graph, list(layers)).items() for other in others if other not in layers
    }
    removes += [
        Removal(layer=other, reason=f"goes with {layer}: half of what they do together makes no sense")
        for other, layer in along.items()
    ]
    return Plan(removes=tuple(removes))
