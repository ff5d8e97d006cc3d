"""Which models go with one into another database, in which order, and what has to be done for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cnngraph.database import catalogue, cypher
from cnngraph.database.connection import Database
from cnngraph.database.copy_merge import find_difference, find_lineage_difference, merge
from cnngraph.database.copy_sides import Copied, Sides
from cnngraph.database.copying import copy_whole
from cnngraph.database.lease import lease, require_unwritten
from cnngraph.database.lineage import lineage
from cnngraph.database.records import Ancestor
from cnngraph.database.review_files import require_yes
from cnngraph.errors import ConflictError

__all__ = ["Going", "Intent", "copy_model", "find_intent", "find_models"]

Intent = Literal["new", "resume", "replace", "update", "nothing"]


@dataclass(frozen=True)
class Going:
    """A model that goes into the other database.

    Attributes:
        sides: the databases, and its key in each. named: it was asked for; else it is an ancestor of what was.
        runs: keys of the pruning runs of it that lead to the others. children: keys of the others that came of it.
        overwrite: what is there otherwise is replaced; else it stays so. replace: also another net of that name.
        yes: also where people have judged what is replaced. force: also where that is another owner's.
    """

    sides: Sides
    named: bool
    runs: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    overwrite: bool = False
    replace: bool = False
    yes: bool = False
    force: bool = False


def find_models(source: Database, key: str, *, alone: bool) -> list[tuple[str, frozenset[str], frozenset[str]]]:
    """The model and its ancestors, these first, each with the runs that lead on and the models that came of it.

    Raises:
        ConflictError: an ancestor is not complete, or somebody writes one of them now.
    """
    ancestors: list[Ancestor] = [] if alone else list(lineage(source, key).ancestors)
    order = list(dict.fromkeys(one.model for one in sorted(ancestors, key=lambda one: -one.steps)))
    for model in [*order, key]:
        _require_whole(source, model, key)
        require_unwritten(source, model)
    found = []
    for model in order:
        steps = [one for one in ancestors if one.model == model]
        runs = frozenset(one.run for one in steps if one.run is not None)
        found.append((model, runs, frozenset(one.became for one in steps)))
    return [*found, (key, frozenset(), frozenset())]


def _require_whole(source: Database, model: str, key: str) -> None:
    try:
        catalogue.require_complete(source, model)
    except ConflictError as error:
        if model == key:
            raise
        raise ConflictError(
            f"The lineage of {key} has a hole: {error.message[0].lower()}{error.message[1:]}",
            f"{error.hint} Or add --alone: {key} goes without its ancestors.",
        ) from error


def find_intent(going: Going, *, owner: str) -> Intent:
    """What has to be done, given what stands under the name in the target; ``update``: complete what is there.

    Raises:
        ConflictError: something else stands there. UsageError: and it is another owner's.
    """
    sides, key = going.sides, going.sides.names.new
    there = sides.target.read(cypher.load("write/state"), key=key)
    if not there:
        return "new"
    wanted = sides.source.read(cypher.load("write/state"), key=sides.names.old)[0]["fingerprint"]
    status, fingerprint = there[0]["status"], there[0]["fingerprint"]
    if status == "loading" and fingerprint in (None, wanted):
        return "resume"
    if status == "complete" and fingerprint == wanted:
        return "update"
    if not going.named:
        raise ConflictError(
            f"The ancestor {key} is there with other content.",
            "Add --alone to leave the lineage out; or push the ancestor with --as NAME first.",
        )
    if status == "deleting" or going.replace:
        catalogue.require_own(key, owner, force=going.force)
        return "replace"
    what = "is still loading there from something else" if status == "loading" else "is there with other content"
    raise ConflictError(
        f"The model {key} {what}.", "Choose another name with --as NAME, or add --replace to write it anew."
    )


def copy_model(going: Going, intent: Intent, *, dry_run: bool) -> tuple[Intent, Copied]:
    """Bring one model into the target; what was done then, and how much.

    Raises:
        ConflictError: somebody else writes it there now. DatabaseError: a server is lost; the same call goes on.
    """
    if intent == "update":
        return _update(going, dry_run=dry_run)
    sides, key = going.sides, going.sides.names.new
    if dry_run:
        return intent, copy_whole(sides, None)
    if intent == "replace":
        require_yes(sides.target, key, yes=going.yes)
    owner, _, name = key.partition("/")
    sides.target.write(cypher.load("write/open_model"), key=key, owner=owner, name=name)
    with lease(sides.target, key) as held:
        if intent == "replace":
            catalogue.clear(sides.target, key, sides.progress)
        elif find_intent(going, owner=owner) == "update":  # somebody was faster
            return _update(going, dry_run=False)
        done = copy_whole(sides, held)
        done.nodes += intent != "resume"  # its Model node
        return intent, done


def _update(going: Going, *, dry_run: bool) -> tuple[Intent, Copied]:
    sides = going.sides
    before = _stamp(sides)
    if going.named:
        found = find_difference(sides)
    else:
        found = find_lineage_difference(sides, set(going.runs), set(going.children))
    done = found.count(overwrite=going.overwrite)
    if done.nothing or dry_run:
        return "nothing" if done.nothing else "update", done
    with lease(sides.target, sides.names.new) as held:
        if _stamp(sides) != before:
            raise ConflictError(
                f"{sides.names.new} was changed while it was compared.", "Run the same command again: it goes on."
            )
        return "update", merge(sides, found, held, overwrite=going.overwrite)


def _stamp(sides: Sides) -> list[dict[str, Any]]:
    rows = sides.target.read(cypher.load("copy/stamp"), key=sides.names.new)
    return [{name: value for name, value in row.items() if name != "lease"} for row in rows]
