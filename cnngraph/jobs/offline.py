"""A saved model and a plan -> the bundle of a pruned net: the whole job of a machine without a database."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import ConflictError, ModelError, NotFoundError, PlanError
from cnngraph.jobs import ingest as ingesting
from cnngraph.jobs import pruned_bundle, work_lock
from cnngraph.jobs.data_choice import DataChoice
from cnngraph.jobs.execute import preview
from cnngraph.jobs.prune import prune, work_folder
from cnngraph.jobs.session import Session
from cnngraph.jobs.stored import OtherData
from cnngraph.jobs.subject import ModelChoice, open_subject
from cnngraph.plan import Plan
from cnngraph.surgery.remembered import remember_structures
from cnngraph.validation import parse_stored

if TYPE_CHECKING:
    from cnngraph.jobs.prune_job import PruneJob

__all__ = ["Source", "open_source", "prune_to_bundle", "require_new"]


@dataclass(frozen=True)
class Source:
    """A saved model, alone or in a bundle.

    Attributes:
        typed: as it was named. folder: of the saved model.
        inputs: what decided how the net of the bundle was mapped ({} for a saved model alone).
    """

    typed: str
    folder: Path
    inputs: dict[str, Any]

    @property
    def mapping(self) -> ingesting.Mapping:
        """How the net of the bundle was mapped, so that the new one compares; else the defaults of ``ingest``."""
        return ingesting.Mapping.of(self.inputs, f"The mapping of {self.typed}")

    def data(self, other: OtherData) -> DataChoice:
        """What was typed, else the data that the bundle or the saved model names.

        Raises:
            ModelError: nothing names any, or what does was changed by hand.
        """
        from cnngraph.surgery.saved import read_description

        saved = read_description(self.folder)
        known = self.inputs.get("data") or saved.training.get("data")
        if known is None and (other.name or saved.dataset):
            known = {"name": other.name or saved.dataset}
        if known is None:
            raise ModelError(f"It is not known which data {self.typed} was trained on.", "Name it: --data D")
        return parse_stored(DataChoice, known, f"The data of {self.typed}").replaced(other.name, other.root)


def open_source(typed: str) -> Source:
    """The saved model, or the bundle with one, of that path.

    Raises:
        NotFoundError: there is nothing. ModelError: it is neither. SpecError: the bundle is damaged.
    """
    from cnngraph.models.misnamed import not_a_model
    from cnngraph.network.bundle import is_bundle, model_folder, read_bundle
    from cnngraph.surgery.saved import is_saved

    path = Path(typed)
    if not path.exists():
        raise NotFoundError(f"There is no saved model {typed}.", "Give the folder of a saved model, or a bundle.")
    if path.is_file() and not is_saved(path):
        raise not_a_model(path)
    inside = model_folder(path) if is_bundle(path) else path
    if inside is None or not is_saved(inside):
        raise ModelError(f"{typed} is no saved model and no bundle with one.", "Write one: cnngraph train --out.")
    return Source(typed, inside, dict(read_bundle(path).details.inputs) if is_bundle(path) else {})


def require_new(to_bundle: Path) -> None:
    """Return unless ``to_bundle`` is there: said before anything long begins.

    Raises:
        ConflictError: it is.
    """
    if to_bundle.exists():
        raise ConflictError(f"{to_bundle} exists.", "Choose another --to-bundle: a bundle is never overwritten.")


@remember_structures()
def prune_to_bundle(session: Session, source: Source, job: PruneJob, plan: Plan, to_bundle: Path) -> dict[str, Any]:
    """Rebuild, verify, retrain, evaluate, map, and write the bundle; no database is asked for anything.

    The same call goes on after an interruption.

    Returns:
        The JSON of ``prune``; ``model`` is the source as typed, ``new_model`` and ``bundle`` the folder of the bundle.

    Raises:
        PlanError: the plan does not fit. VerificationError: the rebuilt net failed its proof; nothing is written.
    """
    from cnngraph.training.execution import pick_device

    if not plan.removes:
        raise PlanError("The plan removes nothing, so there is no new model to make.", "Name a layer: --remove-layer L")
    progress, device, seed = session.progress, job.choice.device, job.choice.seed
    progress.start("Opening the model and the data")
    subject = open_subject(ModelChoice(name=str(source.folder)), source.data(job.data), progress, required="sound")
    if job.dry_run:
        return {"model": source.typed, "bundle": str(to_bundle)} | preview(
            subject, plan, source.mapping, str(to_bundle)
        )
    retraining = job.training.retraining(subject, device=device, seed=seed)
    folder = work_folder(session.work, subject, plan, retraining)
    with work_lock.held(folder):
        pruned = prune(subject, plan, retraining, folder=folder, progress=progress)
        mapped = ingesting.map_subject(pruned.subject, source.mapping, progress)
        prepared = ingesting.Prepared(mapped, folder / "new", pruned.subject.sha256)
        ingesting.save_subject(pruned.subject, prepared.model)
        card = pruned_bundle.Card(
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
        shutil.rmtree(folder)
    names = {"model": source.typed, "new_model": str(to_bundle), "bundle": str(to_bundle), "run": None}
    return names | pruned.result | {"joins": pruned.joins}
