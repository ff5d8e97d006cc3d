"""A prune that travels: the bundle of the new net and, in ``pruning.json``, how it came to be.

    BUNDLE/network.json, *.parquet, model/     the new net, see cnngraph.network.bundle
    BUNDLE/pruning.json                        the plan, whose net it was carried out on, the figures
    BUNDLE/edits.json                          what changed in the net and why; bundles of earlier versions have none

A machine without a database writes it (``prune FILE --to-bundle``), ``ingest BUNDLE`` stores model and lineage.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from cnngraph.database.records import StepTaken
from cnngraph.errors import NotFoundError, OptionError, SpecError, explain
from cnngraph.files import write_text
from cnngraph.jobs import ingest as ingesting
from cnngraph.jobs.naming import place
from cnngraph.jobs.record import record, record_alone
from cnngraph.jobs.session import Session
from cnngraph.plan import Plan
from cnngraph.validation import parse_as, read_object

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.database.writer import WriteOptions

__all__ = ["PruneRecord", "ingest", "is_pruned_bundle", "open_bundle", "read_card", "store", "write"]

FORMAT, VERSION = "cnngraph-pruning", 4
_WITHOUT_STEPS = 3  # what those of older programs can read too
_CARD, _EDITS = "pruning.json", "edits.json"


class PruneRecord(BaseModel):
    """What ``pruning.json`` holds.

    Attributes:
        plan: that was carried out; its ``model`` is the parent's key, "" where the plan was made without a database.
        parent_sha256, sha256: of the weights of the old net and of the new one.
        verified, agreement, before, after, control: as in the JSON of ``prune``; before version 3 no agreement.
        joins: relative error by layer. gone: as in :class:`cnngraph.jobs.pruned.Pruned`; version 1 had none.
        device, seed: of the evaluations.
        edits: as in :class:`cnngraph.jobs.pruned.Pruned`; they lie in a file of their own.
        steps: as in :class:`cnngraph.jobs.pruned.Pruned`; only version 4 has some, and only where the net was trained
            between steps: all else is written as version 3.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = FORMAT
    version: int = _WITHOUT_STEPS
    plan: Plan
    parent_sha256: str
    sha256: str
    verified: dict[str, Any]
    agreement: dict[str, Any] | None = None
    before: dict[str, Any]
    after: dict[str, Any]
    control: dict[str, Any] | None
    joins: dict[str, float]
    gone: tuple[str, ...] = ()
    device: str
    seed: int
    edits: tuple[dict[str, Any], ...] = ()
    steps: tuple[StepTaken, ...] = ()


def write(prepared: ingesting.TracedModel, card: PruneRecord, folder: Path) -> None:
    """Write the bundle, whole or not at all; ``folder`` must not be there."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        ingesting.write_bundle(prepared, part)
        if card.steps:
            content = card.model_copy(update={"version": VERSION}).model_dump_json(indent=2, exclude={"edits"})
        else:
            content = card.model_dump_json(indent=2, exclude={"edits", "steps"})
        write_text(part / _CARD, content + "\n")
        write_text(part / _EDITS, json.dumps({"edits": card.edits}, indent=1) + "\n")
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def is_pruned_bundle(folder: str | Path) -> bool:
    """Whether the bundle tells of a prune."""
    return (Path(folder) / _CARD).is_file()


def read_card(folder: str | Path, prepared: ingesting.TracedModel) -> PruneRecord:
    """How the net of the bundle ``prepared`` was pruned.

    Raises:
        SpecError: the card is damaged, newer than this program, or another net's.
    """
    path = Path(folder) / _CARD
    hint = "Write the bundle again with cnngraph prune FILE --to-bundle, or fetch an undamaged copy."

    def fail(why: str) -> SpecError:
        return SpecError(f"{path} is damaged: {why}.", hint)

    try:
        content = read_object(path.read_bytes(), fail)
    except OSError as error:
        raise fail(explain(error)) from error
    if isinstance(content.get("version"), int) and content["version"] > VERSION:
        raise SpecError(f"{path} was written by a newer cnngraph.", "Install a newer cnngraph.")
    card = parse_as(PruneRecord, content, fail)
    if card.format != FORMAT or card.sha256 != prepared.sha256:
        raise SpecError(f"{path} is the card of another net.", hint)
    return card.model_copy(update={"edits": _read_edits(Path(folder) / _EDITS, hint)})


def _read_edits(path: Path, hint: str) -> tuple[dict[str, Any], ...]:
    """Raises SpecError where the file is damaged."""

    def fail(why: str) -> SpecError:
        return SpecError(f"{path} is damaged: {why}.", hint)

    if not path.is_file():
        return ()
    edits = read_object(path.read_bytes(), fail).get("edits")
    wanted = {"module": str, "kind": str, "reason": str, "removed": list}
    if not isinstance(edits, list) or not all(
        isinstance(edit, dict) and all(isinstance(edit.get(name), kind) for name, kind in wanted.items())
        for edit in edits
    ):
        raise fail("it is not what a prune writes")
    return tuple(edits)


def open_bundle(folder: str | Path) -> tuple[ingesting.TracedModel, PruneRecord | None]:
    """The mapped net of a bundle, and how it was pruned where the bundle tells of a prune.

    Raises:
        As :func:`cnngraph.jobs.ingest.from_bundle` and :func:`read_card`.
    """
    traced = ingesting.from_bundle(str(folder))
    return traced, read_card(folder, traced) if is_pruned_bundle(folder) else None


def ingest(
    session: Session,
    traced: ingesting.TracedModel,
    name: str | None,
    how: WriteOptions,
    *,
    pruned: PruneRecord | None = None,
    without_parent: bool = False,
) -> dict[str, Any]:
    """Store a mapped net as ``name``, with its lineage where it was ``pruned``: see :func:`store`.

    Raises:
        UsageError: there is no name. Otherwise as :func:`cnngraph.jobs.ingest.store` and :func:`store`.
    """
    if pruned is not None:
        return store(session, traced, pruned, name, how, without_parent=without_parent)
    if name is None:
        raise OptionError("{name} is needed: how the model is called.", "Give one.")
    return ingesting.store(session, traced, name, how)


def store(
    session: Session,
    prepared: ingesting.TracedModel,
    card: PruneRecord,
    name: str | None,
    how: WriteOptions,
    *,
    without_parent: bool = False,
) -> dict[str, Any]:
    """Store the new model, its PruningRun, lineage and evaluations; the same call again finishes or writes nothing.

    Args:
        name: of the new model; ``None``: PARENT-pruned, with a number where that is another model.
        without_parent: where the parent is not in the database, store the model and its evaluation alone.

    Returns:
        What ``ingest`` returns, and ``pruned_from`` and ``run`` (both ``None`` without the parent).

    Raises:
        NotFoundError: the parent is not in the database. PlanError: it lacks what the plan removes (filters, where it
            was ingested without feature maps). ConflictError: ``name`` is another model.
    """
    from cnngraph.database.fingerprint import fingerprint
    from cnngraph.database.removals import removal_rows

    db = session.database
    parent = _parent(db, card)
    if parent is None and not without_parent:
        raise _missing(db, card)
    plan = card.plan.model_copy(update={"model": parent or ""})
    if parent is not None:
        removal_rows(db, plan)  # what the graph cannot say is refused before anything is written
    origin = parent or card.plan.model or f"{db.owner}/{prepared.network.details.architecture.rpartition(':')[2]}"
    data = prepared.network.details.inputs.get("data")
    chosen = place(
        db,
        f"{origin.split('/')[-1][:90]}-pruned",
        name,
        sha256=prepared.sha256,
        data=data,
        fingerprint=fingerprint(prepared.network),
    )
    counts = ingesting.store(session, prepared, chosen.name, how)
    of: dict[str, Any] = {"data": data, "seed": card.seed, "device": card.device}
    run = None
    if not how.dry_run and parent is None:
        record_alone(db, chosen.key, card.model_dump(), **of)
    elif not how.dry_run:
        run = record(db, plan, chosen.key, card.model_dump(), gone=card.gone, steps=card.steps, **of)
    return counts | {"pruned_from": parent, "run": run}


def _parent(db: Database, card: PruneRecord) -> str | None:
    """The model that the plan names if it has the weights that were pruned, else any model that has them."""
    from cnngraph.database import adoption

    found = adoption.models_of_weights(db, card.parent_sha256)
    return card.plan.model if card.plan.model in found else next(iter(found), None)


def _missing(db: Database, card: PruneRecord) -> NotFoundError:
    from cnngraph.database import catalogue

    named = card.plan.model
    other = f"; {named} has other weights" if named and catalogue.properties(db, named) else ""
    return NotFoundError(
        f"The net that this one was pruned from{f', {named},' if named and not other else ''} is not in the database "
        f"(weights sha256 {card.parent_sha256[:12]}{other}).",
        "Ingest it first: cnngraph ingest SAVED --data D --name N; or add --without-parent.",
    )
