"""How people keep in order a database that several share: rename a model, say something of it, see what it takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import neo4j

from cnngraph.database import catalogue, cypher
from cnngraph.database.connection import Database
from cnngraph.database.lease import lease
from cnngraph.database.whole import read_ids
from cnngraph.errors import ConflictError, NotFoundError, UsageError, nearest
from cnngraph.settings import check_name

__all__ = ["rename", "said_of", "set_note", "set_tags", "usage"]

_LONGEST_NOTE = 10_000
# A tag is a word that --tag, --param and a list with commas take as it is.
_TAG = re.compile(r"[^\s,]{1,100}")


def rename(db: Database, key: str, name: str, *, force: bool = False) -> dict[str, Any]:
    """Give a model another name; all that belongs to it, and whoever names it, goes along in one transaction.

    The owner stays. Its saved model is found by its content, so no file changes.

    Args:
        name: the new one, without an owner. force: also of somebody else's model.

    Returns:
        ``model``, the new key, ``before``, the former one, and ``nodes``, how many went along.

    Raises:
        UsageError: it is no name, or the model is another owner's. NotFoundError: there is no such model.
        ConflictError: there is a model of that name; or the model is not complete, or somebody writes it now.
    """
    catalogue.require_own(key, db.owner, force=force)
    check_name(name)
    catalogue.require_complete(db, key)
    owner = key.partition("/")[0]
    new = f"{owner}/{name}"
    if new == key:
        return {"model": key, "before": key, "nodes": 0}
    if catalogue.properties(db, new):
        raise _taken(new)
    with lease(db, key) as held:
        catalogue.require_complete(db, key)

        def move(tx: neo4j.ManagedTransaction) -> int:
            ids = [node.id for node in read_ids(db, key, tx=tx)]
            parts = tx.run(cypher.load("catalogue/rename_parts"), key=key, new=new, ids=ids).single(strict=True)[
                "parts"
            ]
            tx.run(cypher.load("catalogue/rename_mentions"), key=key, new=new).consume()
            moved = tx.run(cypher.load("catalogue/rename_model"), key=key, new=new, name=name, token=held.token)
            if moved.single() is None:
                raise ConflictError(f"Another writer took {key} over.", "Run the command again.")
            return int(parts)

        nodes = db.transact(move)
    return {"model": new, "before": key, "nodes": 1 + nodes}


def said_of(db: Database, key: str) -> dict[str, Any]:
    """``model``, ``note`` and ``tags`` of a model.

    Raises:
        NotFoundError: there is no such model.
    """
    found = catalogue.properties(db, key)
    if not found:
        raise NotFoundError(f"There is no model {key} in the database.")
    return {"model": key, "note": found.get("note"), "tags": list(found.get("tags") or ())}


def set_note(db: Database, key: str, note: str | None, *, force: bool = False) -> dict[str, Any]:
    """Say something of a model, in the place of what was said before; ``None``: nothing any more.

    Raises:
        UsageError: the note is empty or too long, or the model is another owner's, without ``force``.
        NotFoundError: there is no such model.
    """
    catalogue.require_own(key, db.owner, force=force)
    if note is not None and not 0 < len(note.strip()) <= _LONGEST_NOTE:
        raise UsageError(f"A note has 1 to {_LONGEST_NOTE:,} characters.", "Take one away with --remove.")
    return _store(db, key, said_of(db, key) | {"note": note})


def set_tags(
    db: Database, key: str, add: Sequence[str] = (), remove: Sequence[str] = (), *, force: bool = False
) -> dict[str, Any]:
    """Put tags on a model and take others away; those that it has stay.

    Raises:
        UsageError: a tag is no single word, or is both added and removed; or the model is another owner's, without
            ``force``.
        NotFoundError: there is no such model, or it has no such tag.
    """
    catalogue.require_own(key, db.owner, force=force)
    for tag in add:
        if not _TAG.fullmatch(tag):
            raise UsageError(f"{tag!r} is no tag.", "A tag is one word of up to 100 characters, without commas.")
    said = said_of(db, key)
    both = sorted(set(add) & set(remove))
    if both:
        raise UsageError(f"The tag {both[0]!r} is to be added and removed.", "Name it once.")
    for tag in remove:
        if tag not in said["tags"]:
            raise NotFoundError(f"{key} has no tag {tag!r}.", nearest(tag, said["tags"]))
    return _store(db, key, said | {"tags": sorted((set(said["tags"]) | set(add)) - set(remove))})


def usage(db: Database) -> dict[str, Any]:
    """What each model takes of the database, and each owner.

    Returns:
        ``models``: ``model, owner, name, status, created_at, nodes, relationships``, the largest first; ``owners``:
        ``owner, models, nodes, relationships``, the largest first; ``nodes, relationships`` of all.
    """
    models = db.read(cypher.load("catalogue/usage"))
    owners = [
        {"owner": owner, "models": sum(1 for one in models if one["owner"] == owner)}
        | {what: sum(one[what] for one in models if one["owner"] == owner) for what in ("nodes", "relationships")}
        for owner in {one["owner"] for one in models}
    ]
    return {
        "owners": sorted(owners, key=lambda one: (-one["nodes"] - one["relationships"], one["owner"])),
        "models": models,
        "nodes": sum(one["nodes"] for one in models),
        "relationships": sum(one["relationships"] for one in models),
    }


def _taken(key: str) -> ConflictError:
    return ConflictError(f"There is a model {key} already.", "Choose another name, or delete or rename that one first.")


def _store(db: Database, key: str, said: dict[str, Any]) -> dict[str, Any]:
    db.write(cypher.load("catalogue/annotate"), key=key, note=said["note"], tags=said["tags"])
    return said
