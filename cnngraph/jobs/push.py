"""A model of one database, with its lineage and its weights, into another: ``push`` and ``pull`` are the two ways."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.database import catalogue, cypher
from cnngraph.database.copy_compare import Renaming
from cnngraph.database.copy_sides import Copied, Sides
from cnngraph.database.copying import copy_whole
from cnngraph.database.lease import lease
from cnngraph.database.schema import open_current
from cnngraph.errors import UsageError
from cnngraph.jobs.session import Session
from cnngraph.settings import load_settings, split_key

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["PushOptions", "pull", "push"]


@dataclass(frozen=True)
class PushOptions:
    """How a model goes into another database.

    Attributes:
        as_name: its name there; ``None``: its own.
        replace: in the place of one of that name that is another. alone: without its ancestors.
        dry_run: write nothing, only say what would be written. yes: also where people have judged what is replaced.
    """

    as_name: str | None = None
    replace: bool = False
    alone: bool = False
    dry_run: bool = False
    yes: bool = False


def push(session: Session, name: str, profile: str, how: PushOptions) -> dict[str, Any]:
    """Copy a model into the database of a profile."""
    with _other(session, profile) as other:
        return _transfer(session, session.database, other, name, how)


def pull(session: Session, name: str, profile: str, how: PushOptions) -> dict[str, Any]:
    """Copy a model out of the database of a profile."""
    with _other(session, profile) as other:
        return _transfer(session, other, session.database, name, how)


@contextmanager
def _other(session: Session, profile: str) -> Iterator[Database]:
    with open_current(load_settings(profile=profile), session.progress) as other:
        here, there = (db.read(cypher.load("copy/store_id")) for db in (session.database, other))
        if here == there:
            raise UsageError(
                f"The profile {profile!r} is the database that you are on.", "Name the profile of another one."
            )
        yield other


def _transfer(session: Session, source: Database, target: Database, name: str, how: PushOptions) -> dict[str, Any]:
    began = time.perf_counter()
    key = catalogue.resolve(source, name)
    catalogue.require_complete(source, key)
    names = Renaming(key, key if how.as_name is None else split_key(how.as_name, target.owner))
    sides = Sides(source, target, names, session.progress)
    done = _copy(sides, how)
    return {
        "model": names.new,
        "nodes": done.nodes,
        "relationships": done.relationships,
        "left_out": dict(done.left_out),
        "seconds": round(time.perf_counter() - began, 3),
    }


def _copy(sides: Sides, how: PushOptions) -> Copied:
    if how.dry_run:
        return copy_whole(sides, None)
    owner, _, name = sides.names.new.partition("/")
    sides.target.write(cypher.load("write/open_model"), key=sides.names.new, owner=owner, name=name)
    with lease(sides.target, sides.names.new) as held:
        return copy_whole(sides, held)
