"""A plan for a model of the database -> a new model in the database, with its lineage."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.database.limits import check_fits
from cnngraph.errors import ConflictError, PlanError
from cnngraph.jobs import ingest as ingesting
from cnngraph.jobs.blocks import store_missing_blocks
from cnngraph.jobs.naming import place
from cnngraph.jobs.pruned import Pruned, PruneTask
from cnngraph.jobs.record import record
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder
from cnngraph.network.trace_options import TraceOptions
from cnngraph.plan import Plan
from cnngraph.settings import split_key
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.stored import StoredModel, stored

if TYPE_CHECKING:
    from cnngraph.jobs.prune_job import PruneJob

__all__ = ["carry_out", "preview", "require_free", "require_storable", "store"]


def carry_out(session: Session, job: PruneJob, task: PruneTask) -> tuple[Plan, dict[str, Any]]:
    """Rebuild, verify, retrain, evaluate and store; the plan that was carried out, and the JSON of ``prune``.

    Raises:
        PlanError: the plan does not fit. VerificationError: the rebuilt net failed its proof; nothing was stored.
        ConflictError: the name or folder of the new model exists.
        CnngraphError: the new model would not fit into the database. DatabaseError: it is read-only.
    """
    db, settings, progress, training = session.database, session.settings, session.progress, job.training
    model = stored(db, job.source)
    outline = task.outline
    if not outline.removes:
        raise PlanError(
            "The plan removes nothing, so there is no new model to make.",
            f"See what does: cnngraph plan {job.source} --schedule; or ask for more: a larger {{ratio}}, a "
            "smaller {at_least}.",
        )
    require_storable(session, model, outline)
    subject = open_model(ModelChoice(name=str(model.folder)), model.data(job.data), progress, required="sound")
    retraining = training.retraining(subject, device=job.choice.device, seed=job.choice.seed)
    folder = session.workspace.job(task.inputs(subject, retraining))
    require_free(session, job.as_name, job.out, folder)
    if job.dry_run or (db.limits.limited and not folder.path.exists()):  # what is half stored is counted at its end
        new_name = job.as_name or place(db, _base(model.key), None, sha256="", data=None).name
        written = preview(subject, outline, model.mapping, split_key(new_name, settings.owner))
        size = written["would_write"]
        check_fits(db, size["nodes"], size["relationships"] - size["resembles"])  # these are an estimate
        if job.dry_run:
            return outline, {"model": model.key} | written | task.expect(retraining)
    db.require_writable()
    db.storage.require_writable()
    with folder.locked():
        pruned = task.carry_out(subject, retraining, folder=folder.path, progress=progress)
        name = _base(model.key) if job.as_name is None else job.as_name
        result = store(session, model, pruned, name, fixed=job.as_name is not None, device=job.choice.device)
        if job.out is not None:
            out = job.out
            part = out.with_name(f".{out.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(result["artifact"], part)
            part.replace(out)
        folder.remove()
    return pruned.plan, result


def require_free(session: Session, as_name: str | None, out: Path | None, folder: JobFolder | None = None) -> None:
    """Return unless the names that were typed for the new model are taken: said before anything long begins.

    A name that an interrupted prune had begun to store is not taken: the same command goes on with it.

    Args:
        folder: of the prune, where it is known already; else any interrupted prune may be this one.

    Raises:
        ConflictError: ``as_name`` or ``out`` exists.
    """
    from cnngraph.database import catalogue

    if out is not None and out.exists():
        raise ConflictError(f"{out} exists.", "Choose another --out: a saved model is never overwritten.")
    db = session.database
    if as_name is None or not catalogue.properties(db, f"{db.owner}/{as_name}"):
        return
    if as_name not in session.workspace.names_begun(folder):
        raise ConflictError(
            f"There is a model {as_name} already.", f"Choose another --as, or delete it: cnngraph delete {as_name}"
        )


def require_storable(session: Session, parent: StoredModel, plan: Plan) -> None:
    """Return if the graph can say what goes: what it could not say afterwards is refused before hours of training.

    Blocks that a model lacks, since it was stored before there were such, are stored where some are replaced.

    Raises:
        PlanError: something that goes is not in the graph of the model.
    """
    from cnngraph.database.removals import removal_rows, replacement_rows

    if plan.replaced:
        store_missing_blocks(session.database, parent)
    removal_rows(session.database, plan)
    replacement_rows(session.database, plan)


def store(
    session: Session, parent: StoredModel, pruned: Pruned, name: str, *, fixed: bool, device: str
) -> dict[str, Any]:
    """The new model, its run, its lineage and the evaluations; each is written once, however often this is repeated.

    Args:
        name: of the new model. fixed: it must be that; else a number is added where another model has it.
        device: that it was trained on, as it was typed.

    Returns:
        the JSON of ``prune``.

    Raises:
        ConflictError: somebody has taken the ``fixed`` name.
    """
    from cnngraph.database.fingerprint import fingerprint
    from cnngraph.database.writer import WriteOptions
    from cnngraph.training.execution import pick_device

    db, slim = session.database, pruned.subject
    mapped = ingesting.map_subject(slim, parent.mapping, session.progress)
    sha256 = slim.sha256
    prepared = ingesting.TracedModel(mapped, pruned.folder / "new", sha256)
    if not prepared.model.exists():
        ingesting.save_subject(slim, prepared.model)
    data = slim.choice.model_dump(mode="json")
    as_name = name if fixed else None
    new = place(db, name, as_name, sha256=sha256, data=data, fingerprint=fingerprint(mapped))
    JobFolder(pruned.folder).say_name(new.name)
    new_key = ingesting.store(session, prepared, new.name, WriteOptions(yes=True))["model"]
    of: dict[str, Any] = {"data": data, "seed": slim.choice.seed, "device": str(pick_device(device))}
    left = pruned.result | {"edits": pruned.edits}
    run = record(db, pruned.plan, new_key, left, gone=pruned.gone, steps=pruned.steps, **of)
    names = {"model": parent.key, "new_model": new_key, "run": run}
    return names | pruned.result | {"artifact": str(stored(db, new_key).folder), "joins": pruned.joins}


def preview(subject: LoadedModel, plan: Plan, mapping: TraceOptions, new_name: str) -> dict[str, Any]:
    """What a prune would write, counted on a net as it would make; nothing is trained.

    Args:
        mapping: of the old net; the new one is mapped the same way.

    Raises:
        PlanError: the plan does not fit, or what it leaves fails.
    """
    from cnngraph.surgery.apply import cut
    from cnngraph.surgery.check_runs import check_runs

    check_runs(subject.model, plan, input_shape=subject.input_shape)
    slim = replace(subject, model=cut(subject.model, plan, input_shape=subject.input_shape))
    return {
        "new_model": new_name,
        "would_write": ingesting.expected_size(slim, mapping),
        "dry_run": True,
    }


def _base(parent: str) -> str:
    """Which name a new model of ``parent`` gets where none was typed, but for a number."""
    return f"{parent.split('/')[1][:90]}-pruned"
