"""Where the saved model of a stored one is: the graph names it by its content, the storage has the files.

A graph that an earlier cnngraph wrote names a folder instead, by its path on the machine that ingested (``artifact``).
On that machine the files go into the storage (:func:`store_by_content`); elsewhere the path says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import warn
from cnngraph.database import cypher
from cnngraph.errors import CnngraphError, ModelError
from cnngraph.storage import Storage

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["describe_saved", "find_saved", "is_saved", "name_saved", "store_by_content"]

_DESCRIPTION = "model.json"


def is_saved(properties: Mapping[str, Any]) -> bool:
    """Whether a Model node with these properties names a saved model, on whichever machine it is."""
    return bool(properties.get("savedSha256") or properties.get("artifact"))


def find_saved(storage: Storage, key: str, properties: Mapping[str, Any]) -> Path:
    """The folder of the saved model of ``key``; one of the storage has the very content that the graph names.

    Raises:
        ModelError: it has none, or it is not on this machine, or was changed there.
    """
    if not is_saved(properties):
        raise ModelError(
            f"{key} has no saved model: it can be planned, not rebuilt.",
            "Ingest it from a saved model (cnngraph ingest DIR), or rebuild in Python: cg.apply(model, plan).",
        )
    content = properties.get("savedSha256")
    if content:
        return storage.find(str(content), key)
    folder = Path(str(properties["artifact"]))
    if not _is_here(folder):
        raise _named_by_path(key, properties)
    return folder


def describe_saved(storage: Storage, key: str, properties: Mapping[str, Any]) -> dict[str, str | None]:
    """What ``show`` says of the saved model; its files are not read.

    Returns:
        ``artifact``, the path of its folder on this machine, ``None`` where it is not here; ``artifact_missing``, which
        files are missing then; ``saved_sha256``, of its content.
    """
    content = properties.get("savedSha256")
    folder = missing = None
    if content:
        folder = storage.place(content) if storage.is_here(content) else None
        missing = None if content in storage else storage.missing(content, key)
    elif properties.get("artifact"):
        folder = Path(str(properties["artifact"])) if _is_here(Path(str(properties["artifact"]))) else None
        missing = None if folder else _named_by_path(key, properties)
    return {
        "artifact": str(folder) if folder else None,
        "artifact_missing": missing.message if missing else None,
        "saved_sha256": content,
    }


def name_saved(db: Database, key: str, content: str) -> None:
    """Let the Model ``key`` name the saved model with that content, in the place of any that it has named."""
    db.write(cypher.load("catalogue/name_saved"), key=key, content=content)


def store_by_content(db: Database) -> None:
    """Take the saved models that a graph names by a path of this machine into the storage.

    The folders stay where they are: another database may name them. Files under the root itself share their space on
    the disk with the new ones. What is not here, or cannot be kept, stays as it is, and is said.
    """
    for row in db.read(cypher.load("catalogue/saved_by_path")):
        folder = Path(row["artifact"])
        if not _is_here(folder):
            continue
        try:
            content = db.storage.add(folder, link=folder.is_relative_to(db.storage.root / "models"))
        except CnngraphError as error:
            warn(f"the saved model of {row['key']} stays in {folder}. {error} Then: cnngraph db migrate")
            return  # so it would be with the others
        name_saved(db, row["key"], content)


def _is_here(folder: Path) -> bool:
    """Whether a saved model is there that may be read; a folder of another user's home may not even be looked at."""
    try:
        return folder.is_absolute() and os.access(folder / _DESCRIPTION, os.R_OK)
    except ValueError:  # no path at all
        return False


def _named_by_path(key: str, properties: Mapping[str, Any]) -> ModelError:
    weights = properties.get("sha256")
    which = f" (its weights have the sha256 {weights})" if weights else ""
    return ModelError(
        f"The saved model of {key} is not on this machine{which}: an earlier cnngraph kept it where it was ingested.",
        "Run cnngraph db migrate there, then copy the folder that cnngraph show names; or ingest the model again.",
    )
