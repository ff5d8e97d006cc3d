"""What a prune leaves in the graph besides the new model: the decision, the lineage and the evaluations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from cnngraph.plan import Plan

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["record", "record_alone"]


def record(
    db: Database, plan: Plan, child: str, layers: Collection[str], result: Mapping[str, Any], *, seed: int, device: str
) -> str:
    """Store all of it, each once, however often this is repeated; the key of the PruningRun.

    Args:
        plan: its ``model`` is the key of the parent. child: key of the new model. layers: names of its layers.
        result: the JSON of ``prune``: verified, before, after, control.
        seed, device: of the evaluations.
    """
    from cnngraph.database import lineage

    run = lineage.store_pruning_run(db, plan)
    surviving = {layer: layer for layer in _module_layers(db, plan.model) if layer in layers}
    lineage.store_produced(db, run, child, plan.model, surviving)
    common = {"split": "test", "seed": seed, "device": device, "run": run}
    lineage.store_evaluation(db, plan.model, result["before"] | common | {"control": False})
    _evaluated(db, child, result, common)
    if result["control"] is not None:
        lineage.store_evaluation(db, plan.model, result["control"] | common | {"control": True})
    return run


def record_alone(db: Database, child: str, result: Mapping[str, Any], *, seed: int, device: str) -> None:
    """Store the new model's evaluation only: its parent is not in the database."""
    _evaluated(db, child, result, {"split": "test", "seed": seed, "device": device})


def _evaluated(db: Database, child: str, result: Mapping[str, Any], common: Mapping[str, Any]) -> None:
    from cnngraph.database import lineage

    verified = {"control": False, "verified": result["verified"]}
    lineage.store_evaluation(db, child, {**result["after"], **common, **verified})


def _module_layers(db: Database, key: str) -> list[str]:
    """Names of the layers that are modules: those that keep their name in a pruned net."""
    from cnngraph.database.cypher import load

    return [row["layer"] for row in db.read(load("lineage/layer_modules"), model=key) if row["module"] is not None]
