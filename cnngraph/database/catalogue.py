"""What is in the database: find, list, show and delete models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnngraph.console import Progress, Quiet
from cnngraph.database import cypher, failures
from cnngraph.database.connection import Database
from cnngraph.database.fingerprint import json_property
from cnngraph.database.lease import lease
from cnngraph.database.records import describe_sparsity
from cnngraph.database.review_files import keep_logs, require_yes
from cnngraph.database.saved_models import describe_saved
from cnngraph.errors import ConflictError, DatabaseError, NotFoundError, UsageError, nearest
from cnngraph.settings import split_key

__all__ = [
    "clear",
    "counts",
    "delete",
    "list_models",
    "properties",
    "require_complete",
    "require_own",
    "resolve",
    "show",
    "sparsity",
    "store_nonzero",
]

_BATCH = 20_000


def resolve(db: Database, name: str) -> str:
    """The key of the model ``name`` (one's own) or ``OWNER/NAME`` (anyone's).

    Raises:
        NotFoundError: there is none; the hint names the nearest.
        UsageError: it is no possible name.
    """
    key = split_key(name, db.owner)
    if not db.read(cypher.load("catalogue/model"), key=key):
        known = [row["key"] for row in db.read(cypher.load("catalogue/keys"))]
        mine = [other.removeprefix(f"{db.owner}/") for other in known]
        raise NotFoundError(f"There is no model {key} in the database.", nearest(name, mine))
    return key


def properties(db: Database, key: str) -> dict[str, Any]:
    """The Model node's own properties (camelCase, as stored); empty where there is no such model."""
    rows = db.read(cypher.load("catalogue/model"), key=key)
    return dict(rows[0]["model"]) if rows else {}


def require_complete(db: Database, key: str) -> None:
    """Return if the model was written to its end.

    Raises:
        NotFoundError: there is no such model.
        ConflictError: it is still loading, or half deleted.
    """
    found = properties(db, key)
    if not found:
        raise NotFoundError(f"There is no model {key} in the database.")
    status = found.get("status")
    if status == "deleting":
        raise ConflictError(f"The model {key} is half deleted.", f"Finish with: cnngraph delete {key}")
    if status != "complete":
        raise ConflictError(
            f"The model {key} is not complete (status {status!r}).",
            f"Run the ingest command that began it again: it goes on. Or: cnngraph delete {key}",
        )


def require_own(key: str, owner: str, *, force: bool = False) -> str:
    """Return ``key`` if it is the owner's: other people's models are read; who changes one says so (``force``).

    Raises:
        UsageError: it is somebody else's, without ``force``.
    """
    whose = key.partition("/")[0]
    if whose != owner and not force:
        raise UsageError(
            f"{key} is {whose}'s; you write as {owner}.",
            f"Leave the owner out, or set CNNGRAPH_OWNER. Where {whose} knows of it: --force.",
        )
    return key


def list_models(db: Database, owner: str | None = None, tag: str | None = None) -> list[dict[str, Any]]:
    """Everybody's models: what they are, where they come from (pruned_from, adopted_from), their figures, and what was
    said of them; those of one owner, or with one tag.
    """
    return db.read(cypher.load("catalogue/list"), owner=owner, tag=tag)


def counts(db: Database, key: str) -> dict[str, int]:
    """What the model has in the database: nodes and relationships by kind."""
    rows = db.read(cypher.load("catalogue/counts"), key=key)
    if not rows:
        raise NotFoundError(f"There is no model {key} in the database.")
    return rows[0]


def store_nonzero(db: Database, key: str, masked: Mapping[str, tuple[int, int]]) -> None:
    """Say on the layers of a model how many weights their masks are about, and how many parameters are not pruned.

    Args:
        masked: how many weights the mask is about and how many are alive, by the path of the layer's module.
    """
    rows = [{"layer": layer, "weights": weights, "alive": alive} for layer, (weights, alive) in masked.items()]
    if rows:
        db.write(cypher.load("catalogue/store_nonzero"), model=key, rows=rows)


def sparsity(db: Database, key: str) -> dict[str, Any] | None:
    """What is left of the weights that a model's masks are about, as
    :func:`~cnngraph.database.records.describe_sparsity` has it; ``None`` where it has none.
    """
    rows = db.read(cypher.load("catalogue/sparsity"), key=key)
    counts = {row["layer"]: (row["weights"], row["alive"]) for row in rows}
    return describe_sparsity(counts) if counts else None


def show(db: Database, key: str) -> dict[str, Any]:
    """One model: its counts, status, architecture, dataset, owner and the rest of what its node says.

    Raises:
        NotFoundError: there is no such model. SpecError: its recipe or preprocessing is no JSON object.
    """
    found = properties(db, key)
    sizes = counts(db, key)
    attached = db.read(cypher.load("catalogue/attached_counts"), key=key)[0]
    shown: dict[str, Any] = {"model": key}
    shown |= {name: found.get(name) for name in ("name", "owner", "status", "architecture", "dataset")}
    shown |= {name: found[name] for name in ("note", "tags") if found.get(name)}
    shown |= sizes | attached
    shown |= {
        "input_shape": found.get("inputShape"),
        "source": found.get("source"),
        "patch": found.get("patch"),
        "view": found.get("view"),
        "connection_policy": found.get("connections"),
        "parameters": found.get("parameters"),
        "macs": found.get("macs"),
        "latency_ms": next((row["latency_ms"] for row in db.read(cypher.load("catalogue/latency"), key=key)), None),
        "trained": found.get("trained"),
        "created_at": found.get("createdAt"),
        "sha256": found.get("sha256"),
    }
    shown |= describe_saved(db.storage, key, found)
    for name in ("preprocessing", "recipe"):
        shown[name] = json_property(found, name) or None
    pruned = sparsity(db, key)
    return shown | ({"sparsity": pruned} if pruned else {})


def delete(
    db: Database,
    key: str,
    *,
    dry_run: bool = False,
    yes: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Delete a model with everything that belongs to it, and nothing else; returns the counts.

    Also goes what was found out about it: its measure runs, the pruning runs *of* it, its evaluations. Models that came
    out of it stay. A delete that was interrupted is finished by the next one. What people decided on its filters is
    written to a file first, whose path is ``review_log`` then.

    Args:
        yes: it may go although people have judged its filters. force: it may go although it is another owner's.

    Raises:
        UsageError: it is another owner's, without ``force``.
        NotFoundError: there is no such model.
        ConflictError: somebody writes it now; or people have judged it, without ``yes``.
    """
    require_own(key, db.owner, force=force)
    going = counts(db, key) | db.read(cypher.load("catalogue/attached_counts"), key=key)[0]
    if dry_run:
        return going
    require_yes(db, key, yes=yes)
    with lease(db, key):
        db.write(cypher.load("catalogue/mark_deleting"), key=key)
        logs = keep_logs(db, key)
        _empty(db, key, going, progress or Quiet())
        db.write(cypher.load("catalogue/delete_model"), key=key)
    return going | ({"review_log": ", ".join(map(str, logs))} if logs else {})


def clear(db: Database, key: str, progress: Progress) -> None:
    """Make room for another net under the name: all goes but the Model node with its lease, which the caller holds.

    What people decided on the filters is written to files first, which are said.
    """
    going = counts(db, key)
    db.write(cypher.load("catalogue/mark_deleting"), key=key)
    for log in keep_logs(db, key):
        progress.note(f"What people decided on the filters of {key} is in {log}.")
    _empty(db, key, going, progress)
    db.write(cypher.load("catalogue/clear_model"), key=key)


def _empty(db: Database, key: str, going: dict[str, int], progress: Progress) -> None:
    """Delete all that belongs to a model but its Model node, in batches.

    Args:
        going: the counts, for the progress.
    """
    progress.start("Deleting", going["positions"] + going["feature_maps"])
    for what in ("positions", "feature_maps"):
        _delete_batched(db, f"catalogue/delete_{what}", key)
        progress.advance(going[what])
    db.write(cypher.load("catalogue/delete_rest"), model=key)


def _delete_batched(db: Database, query: str, key: str) -> None:
    """Delete in transactions that shrink when the server is short of memory; what is gone stays gone."""
    size = _BATCH
    while True:
        try:
            db.auto(cypher.load(query), model=key, size=size)
        except DatabaseError as error:
            if size == 1 or not failures.is_short_of_memory(error.__cause__):
                raise
            size = max(1, size // 4)
        else:
            return
