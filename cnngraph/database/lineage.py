"""Decisions, what came of them, and how good it is: PruningRun, PRODUCED, PRUNED_FROM, SURVIVES_AS, Evaluation.

What a run removes stands in its REMOVES relationships alone: a decision that a person made or changed in Cypher counts
as much as ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import neo4j

from cnngraph.database import catalogue, cypher
from cnngraph.database.connection import Database
from cnngraph.database.edits import pack_edits, unpack_edits
from cnngraph.database.records import Ancestor, Descendant, Evaluation, Lineage, MeasureRun, PruningRun, StepTaken
from cnngraph.database.removals import mask_rows, removal_rows, removals_of, replacement_rows, replacements_of
from cnngraph.database.rows import camel
from cnngraph.errors import ConflictError, NotFoundError, PlanError, nearest
from cnngraph.plan import Plan
from cnngraph.settings import check_name
from cnngraph.validation import parse_as, read_object

__all__ = [
    "edits_of",
    "evaluations_of",
    "lineage",
    "read_pruning_run",
    "store_evaluation",
    "store_produced",
    "store_pruning_run",
    "store_steps",
]

_EXECUTED_BY_RUN = {"model", "removes", "run"}  # not part of the parameters: the graph itself says it


def store_pruning_run(db: Database, plan: Plan, name: str | None = None) -> str:
    """Store a decision; returns its key, which is the same for the same plan of the same model.

    A plan that was read from a run, a person's say, and not changed since is that run. A block is stored as REMOVES to
    each of its layers, with the block's name on the relationship, and to its Block node where the model has one; one
    that a layer replaces as REPLACES to its Block node.

    Args:
        name: of a decision that grows (a review, one that goes layer by layer), after MODEL/METHOD/ in its key: stored
            again under it, what it removes is replaced, until a model has come of it.

    Raises:
        PlanError: the plan names a layer that its model does not have.
        NotFoundError: its model is not there. UsageError: ``name`` is no name.
        ConflictError: a model has come of the run of that name, which removes something else.
    """
    catalogue.require_complete(db, plan.model)
    key = f"{plan.model}/{plan.method}/{check_name(name, 'name of a decision')}" if name is not None else None
    if key is not None:
        _require_open(db, key, plan)
    elif _is_stored(db, plan):
        db.write(cypher.load("lineage/mark_removed"), key=plan.run)
        return str(plan.run)
    layers, filters = removal_rows(db, plan)
    replaced = replacement_rows(db, plan)
    parameters = plan.model_dump_json(exclude=_EXECUTED_BY_RUN)
    rows = {"layers": layers, "filters": filters}
    decided = rows | ({"replaced": replaced} if replaced else {})
    masks = mask_rows(plan)
    key = key or f"{plan.model}/{plan.method}/{_short_hash([parameters, decided])}"

    def store(tx: neo4j.ManagedTransaction) -> None:
        run = {"model": plan.model, "key": key, "method": plan.method, "owner": db.owner, "parameters": parameters}
        tx.run(cypher.load("lineage/store_pruning_run"), run).consume()
        tx.run(cypher.load("lineage/store_removals"), {"model": plan.model, "key": key, **rows}).consume()
        blocks = [row for row in layers if row["block"]]
        tx.run(cypher.load("lineage/store_block_removals"), model=plan.model, key=key, rows=blocks).consume()
        tx.run(cypher.load("lineage/store_replacements"), model=plan.model, key=key, rows=replaced).consume()
        tx.run(cypher.load("lineage/mark_removed"), key=key).consume()
        tx.run(cypher.load("lineage/store_masks"), model=plan.model, key=key, rows=masks).consume()

    db.transact(store)
    return key


def read_pruning_run(db: Database, key: str) -> Plan:
    """The plan of a PruningRun, also of one that a person made or changed in Cypher.

    Such a run needs a ``key``, ``(run)-[:OF]->(:Model)`` and ``(run)-[:REMOVES]->(:Layer|:Block|:FeatureMap)``, the
    last a filter, or ``(run)-[:REPLACES]->(:Block)``; all else has defaults.

    Raises:
        NotFoundError: there is no such run; the hint names the nearest.
        PlanError: it is of no model, removes nothing, or something of another model.
    """
    rows = db.read(cypher.load("lineage/read_pruning_run"), key=key)
    if not rows:
        known = [row["key"] for row in db.read(cypher.load("lineage/pruning_run_keys"))]
        raise NotFoundError(f"There is no PruningRun {key!r} in the database.", nearest(key, known))
    row = rows[0]
    model = _only_model(key, row["models"])
    removed = [*row["filters"], *row["removals"], *row["blocks"], *row["masks"], *row["replaced"]]
    strangers = sorted({removal["layer"] for removal in removed if removal["model"] != model})
    if strangers:
        raise PlanError(f"The PruningRun {key!r} of {model} removes {strangers[0]} of another model.")
    if not removed:
        raise PlanError(
            f"The PruningRun {key!r} removes nothing.",
            "CREATE (run)-[:REMOVES]->(:Layer), or to a :FeatureMap, to say what goes; or (run)-[:REPLACES]->(:Block).",
        )
    architecture = catalogue.properties(db, model).get("architecture", "")

    def fail(why: str) -> PlanError:
        return PlanError(f"The PruningRun {key!r} is no valid plan: {why}.", "Correct or remove its parameters.")

    values = {"architecture": architecture, "method": row["method"] or "manual"}
    values |= read_object(str(row["parameters"] or "{}"), fail)
    removes = removals_of([*row["removals"], *row["blocks"]], row["filters"], fail, row["masks"])
    removes += replacements_of(row["replaced"], fail)
    return parse_as(Plan, values | {"model": model, "run": key, "removes": removes}, fail)


def store_produced(
    db: Database,
    run: str,
    child: str,
    parent: str,
    surviving: Mapping[str, str],
    edits: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Store that ``run`` made the model ``child`` out of ``parent``.

    Args:
        db: the database. run: key of the PruningRun. child, parent: keys of the models.
        surviving: for each layer of the parent that is left its name in the child.
        edits: what changed in the net and why, as :meth:`cnngraph.surgery.edits.Edit.as_json` gives it.

    Raises:
        NotFoundError: the run or one of the models is not there.
        ConflictError: a surviving layer is not in its model.
    """
    rows = [list(pair) for pair in surviving.items()]
    packed = pack_edits(edits) if edits else None

    def store(tx: neo4j.ManagedTransaction) -> None:
        names = {"run": run, "child": child, "parent": parent, "rows": rows, "edits": packed}
        found = tx.run(cypher.load("lineage/store_produced"), names).single()
        if found is None:
            raise NotFoundError(f"The PruningRun {run}, the model {child} or the model {parent} is not there.")
        if found["survivors"] != len(rows):
            missing = len(rows) - found["survivors"]
            raise ConflictError(f"{missing} of the {len(rows)} surviving layers are not in {parent} or not in {child}.")

    db.transact(store)


def store_steps(db: Database, run: str, child: str, steps: Sequence[StepTaken]) -> None:
    """Store the steps in which ``run`` made the model ``child``; those that were there before are replaced.

    Raises:
        NotFoundError: there is no such run.
    """
    rows = [{camel(name): value for name, value in step.as_json().items()} | {"name": step.name} for step in steps]
    found = db.write(cypher.load("lineage/store_steps"), run=run, child=child, rows=rows)
    if not found or found[0]["steps"] != len(rows):
        raise NotFoundError(f"There is no PruningRun {run} in the database.")


def store_evaluation(db: Database, key: str, evaluation: Evaluation) -> str:
    """Store figures of a model; returns the Evaluation's key. Those of the same identity replace each other.

    Raises:
        NotFoundError: there is no such model.
    """
    evaluation_key = f"{key}/{evaluation.split}/{_short_hash(evaluation.identity())}"
    accuracy = evaluation.figures.get("accuracy")
    caption = evaluation.split if accuracy is None else f"{evaluation.split} {accuracy:.1%}"
    properties = evaluation.properties() | {
        "key": evaluation_key,
        "model": key,
        "name": f"{caption} (control)" if evaluation.control else caption,
    }
    found = db.write(cypher.load("lineage/store_evaluation"), model=key, key=evaluation_key, properties=properties)
    if not found:
        raise NotFoundError(f"There is no model {key} in the database.")
    return evaluation_key


def evaluations_of(db: Database, key: str, *, run: str | None, child: str) -> list[Evaluation]:
    """Evaluations of the model ``key`` that belong to the making of ``child``: by a PruningRun, or by an adoption.

    Those that were stored before evaluations named the child are taken where none does.
    """
    found = [one for one in _evaluations(db, key) if one.run == run]
    return [one for one in found if one.child == child] or [one for one in found if one.child is None]


def lineage(db: Database, key: str) -> Lineage:
    """Where a model comes from, what came of it, and what was found out about it.

    Raises:
        NotFoundError: there is no such model.
    """
    if not catalogue.properties(db, key):
        raise NotFoundError(f"There is no model {key} in the database.")

    def rows(part: str) -> Iterator[dict[str, Any]]:
        return map(_by_layer, db.read(cypher.load(f"lineage/{part}"), key=key))

    return Lineage(
        model=key,
        ancestors=tuple(Ancestor(**row) for row in rows("ancestors")),
        descendants=tuple(Descendant(**row) for row in rows("descendants")),
        measure_runs=tuple(MeasureRun(**row) for row in rows("measure_runs")),
        pruning_runs=tuple(PruningRun(**row) for row in rows("pruning_runs")),
        evaluations=tuple(_evaluations(db, key)),
        edits=tuple(edits_of(db, key)[0]),
        steps=tuple(StepTaken(**row) for row in rows("steps")),
        masks=tuple(rows("masks")),
    )


def edits_of(db: Database, key: str) -> tuple[list[dict[str, Any]], int]:
    """What the prune that made the model changed, in order, and why; and how many changes were too many to store.

    Nothing of a model that no prune made, or one of an earlier version.

    Raises:
        SpecError: somebody changed them.
    """
    row = next(iter(db.read(cypher.load("lineage/edits"), key=key)), None)
    return unpack_edits(str(row["edits"]), key) if row else ([], 0)


def _evaluations(db: Database, key: str) -> list[Evaluation]:
    """All of a model, the newest last."""
    return [Evaluation.read(row["evaluation"]) for row in db.read(cypher.load("lineage/evaluations"), key=key)]


def _by_layer(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its filters, where it has some, as channels by layer."""
    if not isinstance(row.get("filters"), list):
        return row
    return row | {"filters": {entry["layer"]: entry["filters"] for entry in row["filters"]}}


def _is_stored(db: Database, plan: Plan) -> bool:
    """Whether ``plan.run`` is a PruningRun (of a ranking it is a MeasureRun) that says what the plan says."""
    if plan.run is None or not db.read(cypher.load("lineage/read_pruning_run"), key=plan.run):
        return False
    try:
        return read_pruning_run(db, plan.run) == plan
    except PlanError:  # somebody has changed it meanwhile
        return False


def _removed_by(plan: Plan) -> set[tuple[Any, ...]]:
    return {tuple(removal.identity) for removal in plan.removes}


def _require_open(db: Database, key: str, plan: Plan) -> None:
    """Return if the run ``key`` may become ``plan``: what came of a decision is explained by it for good.

    Raises:
        ConflictError: a model has come of it, and it removes something else.
    """
    children = [row["child"] for row in db.read(cypher.load("lineage/produced_by"), key=key)]
    if children and _removed_by(read_pruning_run(db, key)) != _removed_by(plan):
        raise ConflictError(
            f"{children[0]} has come of the decision {key}, so that it cannot change any more.",
            "Store this one under another name.",
        )


def _only_model(key: str, models: list[str]) -> str:
    if len(models) != 1:
        what = "is of no model" if not models else f"is of {len(models)} models"
        raise PlanError(f"The PruningRun {key!r} {what}.", "CREATE (run)-[:OF]->(:Model {key: 'OWNER/NAME'}), once.")
    return models[0]


def _short_hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
