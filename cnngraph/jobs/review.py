"""A person judges the filters of a stored model: the log, its files, and the page on which it is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.database.review_files import read_file, write_file
from cnngraph.database.reviews import append, bind, read_log
from cnngraph.errors import ConflictError
from cnngraph.review.progress import describe_progress
from cnngraph.sources.stored import stored

if TYPE_CHECKING:
    from cnngraph.jobs.session import Session

__all__ = ["export_log", "replay", "status"]


def status(session: Session, name: str, agree: str) -> dict[str, Any]:
    """How far the review of a model is, and what goes by it; raises as :func:`stored` and ``describe_progress``."""
    return describe_progress(session.database, stored(session.database, name).key, agree)


def export_log(session: Session, name: str, path: Path) -> dict[str, Any]:
    """Write what people decided on the filters of a model to ``path``: JSON or CSV.

    Raises:
        NotFoundError: there is no such model. UsageError: neither .json nor .csv.
    """
    key = stored(session.database, name).key
    log = read_log(session.database, key)
    written = write_file(log, path)
    return {"model": key, "choices": len(log.choices), "file": str(written)}


def replay(session: Session, name: str, path: Path) -> dict[str, Any]:
    """Store the choices of a file on the model that they were made on, wherever it is; those that are there stay.

    Raises:
        NotFoundError: there is no such model, file or filter. ModelError: the file is no log, or was changed by hand.
        ConflictError: it is of another net. Nothing is stored then.
    """
    key = stored(session.database, name).key
    log, here = read_file(path), bind(session.database, key)
    if not here.holds(log.binding.sha256, log.binding.recipe):
        raise ConflictError(
            f"{path} is the review of another net than {key}: {log.binding.model}, weights {log.binding.sha256[:12]}.",
            f"{key} has the weights {here.sha256[:12]}. Replay it on the model that was judged.",
        )
    new = append(session.database, here, log.choices)
    return {"model": key, "choices": len(log.choices), "new": len(new), "file": str(path)}
