"""A model of one database, with its lineage and its weights, into another: ``push`` and ``pull`` are the two ways.

What each does is the same: the graph goes element by element (:mod:`cnngraph.database.copying`), the saved models by
their sha256 through the storage. The weights go first, so that no model is complete without those that could be had.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.database import catalogue, cypher
from cnngraph.database.copy_compare import Renaming
from cnngraph.database.copy_sides import Copied, Sides
from cnngraph.database.limits import check_fits
from cnngraph.database.schema import open_current
from cnngraph.errors import UsageError
from cnngraph.jobs.push_models import Going, Intent, copy_model, find_intent, find_models
from cnngraph.jobs.push_weights import Weights, copy_weights, find_weights
from cnngraph.jobs.session import Session
from cnngraph.settings import load_settings, split_key

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["PushOptions", "pull", "push"]


@dataclass(frozen=True)
class PushOptions:
    """How a model goes into another database.

    Attributes:
        as_name: its name there, as one's own; ``None``: it keeps its owner and name.
        replace: in the place of one of that name that is another. alone: without its ancestors.
        dry_run: write nothing, only say what would be written. yes: also where people have judged what is replaced.
        force: also where that is another owner's.
    """

    as_name: str | None = None
    replace: bool = False
    alone: bool = False
    dry_run: bool = False
    yes: bool = False
    force: bool = False


def push(session: Session, name: str, profile: str, how: PushOptions) -> dict[str, Any]:
    """Copy a model into the database of a profile; the JSON of ``cnngraph push``.

    Raises:
        NotFoundError: there is no such model or profile. UsageError: the profile is this very database.
        ConflictError: another model of that name is there, or somebody writes one of the two now.
        CnngraphError: the store cannot be written. DatabaseError: a server is lost; the same call goes on.
    """
    with _other(session, profile) as other:
        return {"profile": profile} | _Transfer(session, session.database, other, how, push=True).run(name)


def pull(session: Session, name: str, profile: str, how: PushOptions) -> dict[str, Any]:
    """Copy a model out of the database of a profile; the JSON of ``cnngraph pull``. Raises as :func:`push`."""
    with _other(session, profile) as other:
        return {"profile": profile} | _Transfer(session, other, session.database, how, push=False).run(name)


@contextmanager
def _other(session: Session, profile: str) -> Iterator[Database]:
    with open_current(load_settings(profile=profile), session.progress) as other:
        here, there = (db.read(cypher.load("copy/store_id")) for db in (session.database, other))
        if here == there:
            raise UsageError(
                f"The profile {profile!r} is the database that you are on.", "Name the profile of another one."
            )
        yield other


@dataclass
class _Transfer:
    """One push or pull."""

    session: Session
    source: Database
    target: Database
    how: PushOptions
    push: bool

    def run(self, name: str) -> dict[str, Any]:
        began = time.perf_counter()
        key = catalogue.resolve(self.source, name)
        models = self._models(key)
        intents = [find_intent(going, owner=self.target.owner) for going in models]
        properties = {
            going.sides.names.old: catalogue.properties(self.source, going.sides.names.old) for going in models
        }
        weights = find_weights(properties, self.source.storage, self.target.storage, push=self.push)
        if not self.how.dry_run:
            self._require_room(models, intents)
            copy_weights(weights, properties, self.source.storage, self.target.storage, self.session.progress)
        done = [
            (going, *copy_model(going, intent, dry_run=self.how.dry_run))
            for going, intent in zip(models, intents, strict=True)
        ]
        report = _report(done, weights)
        report["notes"] = self._notes(models[-1], weights)
        return report | {"dry_run": self.how.dry_run, "seconds": round(time.perf_counter() - began, 3)}

    def _require_room(self, models: list[Going], intents: list[Intent]) -> None:
        if self.target.limits.limited:
            counts = [copy_model(*one, dry_run=True)[1] for one in zip(models, intents, strict=True)]
            check_fits(self.target, sum(one.nodes for one in counts), sum(one.relationships for one in counts))

    def _models(self, key: str) -> list[Going]:
        how = self.how
        names = Renaming(key, key if how.as_name is None else split_key(how.as_name, self.target.owner))
        found: list[Going] = []
        chosen = find_models(self.source, key, alone=how.alone)
        together = frozenset(model for model, _, _ in chosen)
        for model, runs, children in chosen:
            own = names if model == key else Renaming(model, model)
            before = frozenset(going.sides.names.new for going in found)
            sides = Sides(self.source, self.target, own, self.session.progress, together, before)
            mine = self.push and own.new.partition("/")[0] == self.target.owner
            found.append(
                Going(
                    sides,
                    named=model == key,
                    runs=runs,
                    children=children,
                    overwrite=model == key and (mine or how.replace),
                    replace=how.replace,
                    yes=how.yes,
                    force=how.force,
                )
            )
        return found

    def _notes(self, going: Going, weights: Weights) -> list[str]:
        """What a person should know beside the figures."""
        notes = []
        owner = going.sides.names.new.partition("/")[0]
        others = [row["owner"] for row in self.target.read(cypher.load("copy/owners"))]
        twins = [other for other in others if other.casefold() == owner.casefold() and other != owner]
        if twins:
            notes.append(f"The owner {twins[0]} is there too: capital and small letters are different owners.")
        if self.push and weights.store is None:
            notes.append(
                "The profile names no store: the graph went alone, and no other machine has the weights. "
                "Name one (storage in the profile), and push again."
            )
        notes += [
            f"The saved model of {key} is not to be found: its graph went alone. Push it from where it is."
            for key in weights.missing
        ]
        return notes


def _report(done: list[tuple[Going, Intent, Copied]], weights: Weights) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {
            "model": going.sides.names.new,
            "action": action,
            "nodes": copied.nodes,
            "relationships": copied.relationships,
            "changed": copied.changed,
            "differs": copied.differs,
            "left_out": dict(copied.left_out),
        }
        for going, action, copied in done
    ]
    sums = {name: sum(row[name] for row in rows) for name in ("nodes", "relationships", "changed", "differs")}
    return {
        "model": rows[-1]["model"],
        "action": rows[-1]["action"],
        **sums,
        "models": rows,
        "weights": weights.as_json(),
    }
