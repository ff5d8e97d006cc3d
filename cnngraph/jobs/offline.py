"""A saved model and a plan -> the bundle of a pruned net: the whole job of a machine without a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import ConflictError, PlanError
from cnngraph.jobs import ingest as ingesting
from cnngraph.jobs import pruned_bundle
from cnngraph.jobs.execute import preview
from cnngraph.jobs.pruned import PruneTask
from cnngraph.jobs.session import Session
from cnngraph.network.remembered import remember_structures
from cnngraph.plan import Plan
from cnngraph.sources.loaded import ModelChoice, open_model
from cnngraph.sources.saved import SavedSource

if TYPE_CHECKING:
    from cnngraph.jobs.prune_job import PruneJob

__all__ = ["prune_to_bundle", "require_new"]


def require_new(to_bundle: Path) -> None:
    """Return unless ``to_bundle`` is there: said before anything long begins.

    Raises:
        ConflictError: it is.
    """
    if to_bundle.exists():
        raise ConflictError(f"{to_bundle} exists.", "Choose another --to-bundle: a bundle is never overwritten.")


@remember_structures()
def prune_to_bundle(
    session: Session, source: SavedSource, job: PruneJob, task: PruneTask, to_bundle: Path
) -> tuple[Plan, dict[str, Any]]:
    """Rebuild, verify, retrain, evaluate, map, and write the bundle; no database is asked for anything.

    The same call goes on after an interruption.

    Returns:
        The plan that was carried out, and the JSON of ``prune``; ``model`` is the source as typed, ``new_model`` and
        ``bundle`` the folder of the bundle.

    Raises:
        PlanError: the plan does not fit. VerificationError: the rebuilt net failed its proof; nothing is written.
    """
    from cnngraph.training.execution import pick_device

    outline = task.outline
    if not outline.removes:
        raise PlanError(
            "The plan removes nothing, so there is no new model to make.", "Name a layer: {remove_layers=L}"
        )
    progress, device, seed = session.progress, job.choice.device, job.choice.seed
    progress.start("Opening the model and the data")
    subject = open_model(ModelChoice(name=str(source.folder)), source.data(job.data), progress, required="sound")
    retraining = job.training.retraining(subject, device=device, seed=seed)
    if job.dry_run:
        written = preview(subject, outline, source.mapping, str(to_bundle))
        names = {"model": source.typed, "bundle": str(to_bundle)}
        return outline, names | written | task.expect(retraining)
    folder = session.workspace.job(task.inputs(subject, retraining))
    with folder.locked():
        pruned = task.carry_out(subject, retraining, folder=folder.path, progress=progress)
        mapped = ingesting.map_subject(pruned.subject, source.mapping, progress)
        prepared = ingesting.TracedModel(mapped, folder.path / "new", pruned.subject.sha256)
        ingesting.save_subject(pruned.subject, prepared.model)
        card = pruned_bundle.PruneRecord(
            plan=pruned.plan,
            parent_sha256=subject.sha256,
            sha256=prepared.sha256,
            **{name: pruned.result[name] for name in ("verified", "agreement", "before", "after", "control")},
            joins=pruned.joins,
            gone=pruned.gone,
            edits=pruned.edits,
            steps=pruned.steps,
            device=str(pick_device(device)),
            seed=subject.choice.seed,
        )
        pruned_bundle.write(prepared, card, to_bundle)
        folder.remove()
    places = {"model": source.typed, "new_model": str(to_bundle), "bundle": str(to_bundle)}
    return pruned.plan, places | {"run": None} | pruned.result | {"joins": pruned.joins}
