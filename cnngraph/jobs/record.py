"""What a prune leaves in the graph besides the new model: the decision, the lineage and the evaluations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnngraph.plan import Plan

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.database.records import StepTaken

__all__ = ["judged_on", "record", "record_alone"]


def record(
    db: Database,
    plan: Plan,
    child: str,
    result: Mapping[str, Any],
    *,
    gone: Collection[str],
    steps: Sequence[StepTaken] = (),
    **of: Any,
) -> str:
    """Store all of it, each once, however often this is repeated; the key of the PruningRun.

    Args:
        plan: its ``model`` is the key of the parent. child: key of the new model, which is stored already.
        result: the JSON of ``prune``: verified, agreement, before, after, control; and the ``edits``, where known.
        gone: convs that the cut took out, by module: those of the plan and what went along.
        steps: in which it was carried out, where the net was trained between them.
        of: ``data``, ``seed`` and ``device`` of the evaluations; the data as a DataChoice in JSON, ``None`` where they
            are not known.
    """
    from cnngraph.database import lineage
    from cnngraph.database.records import Evaluation

    run = lineage.store_pruning_run(db, plan)
    surviving = _surviving(db, plan, child, gone)
    lineage.store_produced(db, run, child, plan.model, surviving, result.get("edits") or ())
    if steps:
        lineage.store_steps(db, run, child, steps)
    common = {"split": "test", "seed": of["seed"], "device": of["device"], "run": run, "child": child}
    common |= judged_on(of["data"])
    lineage.store_evaluation(db, plan.model, Evaluation.of(result["before"], **common))
    _store_new(db, child, result, common)
    if result["control"] is not None:
        lineage.store_evaluation(db, plan.model, Evaluation.of(result["control"], **common, control=True))
    return run


def record_alone(
    db: Database, child: str, result: Mapping[str, Any], *, data: Mapping[str, Any] | None, seed: int, device: str
) -> None:
    """Store the new model's evaluation only: its parent is not in the database."""
    common = {"split": "test", "seed": seed, "device": device, "child": child} | judged_on(data)
    _store_new(db, child, result, common)


def judged_on(data: Mapping[str, Any] | None) -> dict[str, Any]:
    """What an evaluation says of its data, a DataChoice in JSON."""
    known = data or {}
    return {
        "data": known.get("name"),
        "data_root": known.get("root"),
        "images_per_class": known.get("images_per_class"),
    }


def _store_new(db: Database, child: str, result: Mapping[str, Any], common: Mapping[str, Any]) -> None:
    """The evaluation of the new model, with its proof and what the cut did to its answers."""
    from cnngraph.database import lineage
    from cnngraph.database.records import Evaluation

    proof = {"verified": result["verified"], "agreement": result.get("agreement")}
    lineage.store_evaluation(db, child, Evaluation.of(result["after"], **common, **proof))


def _surviving(db: Database, plan: Plan, child: str, gone: Collection[str]) -> dict[str, str]:
    """The layers that are left: modules of the same name and kind in both nets, but for what the plan removed.

    Of a module that is called several times, and in the new net less often, names do not say which calls are left. In
    the place of what went there may be an identity (of another kind), or an adapter, a conv itself.
    """
    from cnngraph.database.cypher import load
    from cnngraph.database.removals import removal_rows

    old, new = (db.read(load("lineage/layer_modules"), model=key) for key in (plan.model, child))
    kinds = {row["layer"]: row["kind"] for row in new}
    calls, left_calls = (Counter(row["module"] for row in rows) for rows in (old, new))
    removed = {row["layer"] for row in removal_rows(db, plan)[0]}
    left = [
        row["layer"]
        for row in old
        if row["module"] is not None
        and row["module"] not in gone
        and row["layer"] not in removed
        and kinds.get(row["layer"]) == row["kind"]
        and calls[row["module"]] == left_calls[row["module"]]
    ]
    return dict(zip(left, left, strict=True))
