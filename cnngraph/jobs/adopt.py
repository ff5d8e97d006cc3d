"""Weights that were trained elsewhere, in the structure of a model of the database: a new model with its lineage."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, say_all, warn
from cnngraph.errors import ModelError, OptionError, listed
from cnngraph.jobs import ingest as ingesting
from cnngraph.jobs.naming import Place, place
from cnngraph.jobs.pruned import FIGURES, figures
from cnngraph.jobs.record import judged_on
from cnngraph.jobs.session import Session
from cnngraph.settings import check_name
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.stored import OtherData, StoredModel, stored

if TYPE_CHECKING:
    import torch

    from cnngraph.database.connection import Database
    from cnngraph.datasets.split_record import SplitRecord

__all__ = ["AdoptJob", "adopt"]


@dataclass(frozen=True)
class _Weights:
    """Weights from elsewhere: tensors (of a saved model alone), file, hash, how and on what they were trained."""

    tensors: Mapping[str, torch.Tensor] | None
    file: str
    sha256: str
    training: dict[str, Any]
    split: SplitRecord | None = None


@dataclass(frozen=True)
class AdoptJob:
    """An adoption as it was asked for.

    Attributes:
        name: of the model that gives the structure.
        weights: a file of weights, or the folder of a saved model.
        weights_key: which of several sets of weights in a file.
        as_name: of the new model; ``None``: NAME-adopted, with a number where that is another model.
        data: instead of the data that the model was ingested with.
        device: of the evaluations. dry_run: say what would be written; write nothing.
    """

    name: str
    weights: Path
    weights_key: str | None = None
    as_name: str | None = None
    data: OtherData = field(default_factory=OtherData)
    device: str = "auto"
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.as_name is not None:
            check_name(self.as_name)


def adopt(job: AdoptJob, session: Session) -> dict[str, Any]:
    """Check, evaluate and store; the JSON of ``adopt``. The same inputs twice write nothing the second time.

    Raises:
        NotFoundError: there is no such model or file. ModelError: the weights do not fit, each tensor named; or they
            are those of the model itself. ConflictError: ``as_name`` is another model.
    """
    db, progress, weights = session.database, session.progress, job.weights
    parent = stored(db, job.name)
    progress.start("Opening the model and the data")
    found = _found(weights, job.weights_key)
    old = open_model(ModelChoice(name=str(parent.folder)), parent.data(job.data), progress, parts=())
    new = _tuned(old, found, weights, job.weights_key)
    if new.sha256 == old.sha256:
        raise ModelError(f"{weights} holds the weights that {parent.key} has.", "Give those that were trained.")
    base = f"{parent.key.split('/')[1][:90]}-adopted"
    chosen = place(db, base, job.as_name, sha256=new.sha256, data=old.choice.model_dump(mode="json"))
    known = _stored_before(db, parent, chosen, new.sha256)
    if known is not None:
        progress.note(f"{chosen.key} has these weights already: nothing is written.")
        return known | {"dry_run": job.dry_run}
    if not job.dry_run:
        db.require_writable()
        db.storage.require_writable()
    old.data.preload(progress=progress)  # of both: before, only names and shapes had to be known
    result = {"model": parent.key, "new_model": chosen.key} | _judged(old, new, job.device, progress)
    if job.dry_run:
        return result | {"action": "new", "would_write": ingesting.expected_size(new, parent.mapping), "dry_run": True}
    artifact = _store(session, _Adoption(parent, new, found, chosen, result, job.device))
    return result | {"action": "new", "artifact": artifact, "dry_run": False}


def _found(source: Path, key: str | None) -> _Weights:
    from cnngraph.files import file_sha256
    from cnngraph.models.weight_files import require_file, require_kind
    from cnngraph.surgery.saved import is_saved, read_saved

    if not is_saved(source):
        file = require_file(source, "Give the path of one.")
        require_kind(file)
        return _Weights(None, file.name, file_sha256(file), {})
    if key is not None:
        raise OptionError(f"{source} is a saved model, with one set of weights.", "Leave out {weights_key}.")
    saved = read_saved(source)
    return _Weights(saved.model.state_dict(), source.name, saved.sha256, dict(saved.training), saved.split)


def _tuned(old: LoadedModel, found: _Weights, source: Path, key: str | None) -> LoadedModel:
    """``old`` with the weights that were found; the net that came in stays as it is."""
    from cnngraph.models.initial import set_initial
    from cnngraph.models.masks import drop_unfit
    from cnngraph.models.weights import fit_weights, load_weights

    model = copy.deepcopy(old.model)
    if found.tensors is None:
        say_all(load_weights(model, source, key=key))
    else:
        fit_weights(model, found.tensors, where=str(source))
    free = drop_unfit(model)
    if free:
        warn(f"{source} has weights where {listed(free)} is pruned: nothing of that is pruned in the new model.")
    set_initial(model, None)  # its training did not begin there
    training = found.training | {"adopted": {"file": found.file, "sha256": found.sha256}}
    assert old.split is not None
    split = old.split.model_copy(update={"proven": found.split is not None and old.split.keeps_apart(found.split)})
    return replace(old, model=model, training=training, trained=True, folder=None, split=split)


def _judged(old: LoadedModel, new: LoadedModel, device: str, progress: Progress) -> dict[str, Any]:
    """The figures of both; one structure has one latency."""
    from cnngraph.training.latency import latency_ms

    before = figures(old.model, old, device, progress, "the net before")
    after = figures(new.model, new, device, progress, "the adopted net")
    progress.start("Measuring latency")
    took = latency_ms({"model": new.model}, new.input_shape, device=device)["model"]
    before["epoch_seconds"] = old.training.get("epoch_seconds")
    after["epoch_seconds"] = new.training.get("epoch_seconds")
    return {"before": before | {"latency_ms": took}, "after": after | {"latency_ms": took}}


@dataclass(frozen=True)
class _Adoption:
    """What is to be stored: the new model, whose weights it has, where it goes, and the figures of both nets."""

    parent: StoredModel
    new: LoadedModel
    found: _Weights
    chosen: Place
    result: Mapping[str, Any]
    device: str


def _store(session: Session, adoption: _Adoption) -> str:
    """The new model, where it comes from, and both evaluations; the folder of the saved model."""
    from cnngraph.database import lineage
    from cnngraph.database.adoption import store_adopted
    from cnngraph.database.records import Evaluation
    from cnngraph.database.writer import WriteOptions
    from cnngraph.training.execution import pick_device

    db, parent, new, found = session.database, adoption.parent, adoption.new, adoption.found
    chosen, result = adoption.chosen, adoption.result
    mapped = ingesting.map_subject(new, parent.mapping, session.progress)
    with tempfile.TemporaryDirectory(prefix="cnngraph-") as made:
        prepared = ingesting.TracedModel(mapped, Path(made) / "model", new.sha256)
        ingesting.save_subject(new, prepared.model)
        ingesting.store(session, prepared, chosen.name, WriteOptions(yes=True))
    device = str(pick_device(adoption.device))
    common = {"split": "test", "seed": new.choice.seed, "device": device, "child": chosen.key}
    common |= judged_on(new.choice.model_dump(mode="json"))
    lineage.store_evaluation(db, parent.key, Evaluation.of(result["before"], **common))
    lineage.store_evaluation(db, chosen.key, Evaluation.of(result["after"], **common))
    # Last: a model that bears it has everything.
    store_adopted(db, chosen.key, parent.key, file=found.file, sha256=found.sha256)
    return str(stored(db, chosen.key).folder)


def _stored_before(db: Database, parent: StoredModel, chosen: Place, sha256: str) -> dict[str, Any] | None:
    """The result as it was when the same weights were adopted under this name, or ``None`` where they were not."""
    from cnngraph.database import adoption, lineage

    if not chosen.whole or chosen.key not in adoption.adopted_models(db, parent.key, sha256):
        return None
    result: dict[str, Any] = {"model": parent.key, "new_model": chosen.key, "action": "nothing"}
    for which, key in (("before", parent.key), ("after", chosen.key)):
        stored_here = lineage.evaluations_of(db, key, run=None, child=chosen.key)
        if not stored_here:
            return None
        known = stored_here[-1].as_json()
        result[which] = {name: known.get(name) for name in FIGURES}
    return result
