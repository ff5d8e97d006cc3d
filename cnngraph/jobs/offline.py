"""A saved model and a plan -> the bundle of a pruned net: the whole job of a machine without a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import ConflictError, PlanError
from cnngraph.jobs import ingest as ingesting
from cnngraph.jobs import pruned_bundle
from cnngraph.jobs.execute import preview
from cnngraph.jobs.prune import inputs_of, prune
from cnngraph.jobs.session import Session
from cnngraph.plan import Plan
from cnngraph.sources.loaded import ModelChoice, open_model
from cnngraph.sources.saved import SavedSource
from cnngraph.surgery.remembered import remember_structures

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
    session: Session, source: SavedSource, job: PruneJob, plan: Plan, to_bundle: Path
) -> dict[str, Any]:
    """Rebuild, verify, retrain, evaluate, map, and write the bundle; no database is asked for anything.

    The same call goes on after an interruption.

    Returns:
        The JSON of ``prune``; ``model`` is the source as typed, ``new_model`` and ``bundle`` the folder of the bundle.

    Raises:
        PlanError: the plan does not fit. VerificationError: the rebuilt net failed its proof; nothing is written.
    """
    from cnngraph.training.execution import pick_device

    if not plan.removes:
        raise PlanError(
            "The plan removes nothing, so there is no new model to make.", "Name a layer: {remove_layers=L}"
        )
    progress, device, seed = session.progress, job.choice.device, job.choice.seed
    progress.start("Opening the model and the data")
    subject = open_model(ModelChoice(name=str(source.folder)), source.data(job.data), progress, required="sound")
    if job.dry_run:
        return {"model": source.typed, "bundle": str(to_bundle)} | preview(
            subject, plan, source.mapping, str(to_bundle)
        )
    retraining = job.training.retraining(subject, device=device, seed=seed)
    folder = session.workspace.job(inputs_of(subject, plan, retraining))
    with folder.locked():
        pruned = prune(subject, plan, retraining, folder=folder.path, progress=progress)
        mapped = ingesting.map_subject(pruned.subject, source.mapping, progress)
        prepared = ingesting.TracedModel(mapped, folder.path / "new", pruned.subject.sha256)
        ingesting.save_subject(pruned.subject, prepared.model)
        card = pruned_bundle.PruneRecord(
            plan=plan,
            parent_sha256=subject.sha256,
            sha256=prepared.sha256,
            **{name: pruned.result[name] for name in ("verified", "agreement", "before", "after", "control")},
            joins=pruned.joins,
            gone=pruned.gone,
            device=str(pick_device(device)),
            seed=subject.choice.seed,
        )
        pruned_bundle.write(prepared, card, to_bundle)
        folder.remove()
    names = {"model": source.typed, "new_model": str(to_bundle), "bundle": str(to_bundle), "run": None}
    return names | pruned.result | {"joins": pruned.joins}
