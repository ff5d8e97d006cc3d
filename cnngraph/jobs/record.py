"""What a prune leaves in the graph besides the new model: the decision, the lineage and the evaluations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from cnngraph.plan import Plan

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["agreement_of", "judged_on", "record", "record_alone"]

_AGREEMENT = ("images", "same_class", "kl", "correlation", "chance", "unrelated")
_PLACES = ("part", "taken_from", "trained_on")  # of images_from; how many they are stands beside it


def record(
    db: Database,
    plan: Plan,
    child: str,
    result: Mapping[str, Any],
    *,
    gone: Collection[str],
    data: Mapping[str, Any] | None,
    seed: int,
    device: str,
) -> str:
    """Store all of it, each once, however often this is repeated; the key of the PruningRun.

    Args:
        plan: its ``model`` is the key of the parent. child: key of the new model, which is stored already.
        result: the JSON of ``prune``: verified, agreement, before, after, control.
        gone: convs that the cut took out, by module: those of the plan and what went along.
        data, seed, device: of the evaluations; the data as a DataChoice in JSON, ``None`` where they are not known.
    """
    from cnngraph.database import lineage

    run = lineage.store_pruning_run(db, plan)
    lineage.store_produced(db, run, child, plan.model, _surviving(db, plan, child, gone))
    common = {"split": "test", "seed": seed, "device": device, "run": run, "child": child} | judged_on(data)
    lineage.store_evaluation(db, plan.model, result["before"] | common | {"control": False})
    _evaluated(db, child, result, common)
    if result["control"] is not None:
        lineage.store_evaluation(db, plan.model, result["control"] | common | {"control": True})
    return run


def record_alone(
    db: Database, child: str, result: Mapping[str, Any], *, data: Mapping[str, Any] | None, seed: int, device: str
) -> None:
    """Store the new model's evaluation only: its parent is not in the database."""
    common = {"split": "test", "seed": seed, "device": device, "child": child} | judged_on(data)
    _evaluated(db, child, result, common)


def judged_on(data: Mapping[str, Any] | None) -> dict[str, Any]:
    """What an evaluation says of its data, a DataChoice in JSON."""
    known = data or {}
    return {
        "data": known.get("name"),
        "data_root": known.get("root"),
        "images_per_class": known.get("images_per_class"),
    }


def _evaluated(db: Database, child: str, result: Mapping[str, Any], common: Mapping[str, Any]) -> None:
    from cnngraph.database import lineage

    proof = {"control": False, "verified": result["verified"]} | _flat("agreement", result.get("agreement"))
    lineage.store_evaluation(db, child, {**result["after"], **common, **proof})


def agreement_of(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ``agreement`` of a prune's JSON, from the Evaluation of the net that it made."""
    if row.get("agreement_images") is None:
        return None
    found = {name: row.get(f"agreement_{name}") for name in _AGREEMENT}
    places = {name: row.get(f"agreement_{name}") for name in _PLACES}
    return found | {"images_from": places | {"images": found["images"]}}


def _flat(prefix: str, found: Mapping[str, Any] | None) -> dict[str, Any]:
    if found is None:
        return {}
    places = {name: found["images_from"][name] for name in _PLACES}
    return {f"{prefix}_{name}": value for name, value in ({name: found[name] for name in _AGREEMENT} | places).items()}


def _surviving(db: Database, plan: Plan, child: str, gone: Collection[str]) -> dict[str, str]:
    """The layers that are left: modules of the same name and kind in both nets, but for what the plan removed.

    In the place of what went there may be an identity (of another kind), or an adapter, a conv itself.
    """
    from cnngraph.database.cypher import load
    from cnngraph.database.removals import removal_rows

    old, new = (db.read(load("lineage/layer_modules"), model=key) for key in (plan.model, child))
    kinds = {row["layer"]: row["kind"] for row in new}
    removed = {row["layer"] for row in removal_rows(db, plan)[0]}
    left = [
        row["layer"]
        for row in old
        if row["module"] is not None
        and row["module"] not in gone
        and row["layer"] not in removed
        and kinds.get(row["layer"]) == row["kind"]
    ]
    return dict(zip(left, left, strict=True))
