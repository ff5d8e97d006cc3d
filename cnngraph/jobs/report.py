"""The HTML page of a pruned model, from what the database holds about it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import NotFoundError
from cnngraph.jobs.session import Session
from cnngraph.plan import Plan
from cnngraph.sources.stored import StoredModel

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.database.records import Evaluation

__all__ = ["QUERIES", "colours_of", "pasteable", "pruning_of", "write_report"]

QUERIES = ("overview", "layers-by-theta", "before-after")


def pasteable(child: str, parent: str) -> list[tuple[str, str]]:
    """(title, Cypher to paste) of the queries that show a pruning best; the decision is about the parent."""
    from cnngraph.database import queries

    about = {"overview": parent, "layers-by-theta": parent, "before-after": child}
    titles = {one.stem: one.title for one in queries.saved()}
    return [(titles[stem], queries.query_text(stem, about[stem], {})) for stem in QUERIES]


def pruning_of(db: Database, key: str) -> tuple[Plan, dict[str, Any]]:
    """The executed plan that made ``key``, and the result as ``prune`` gives it.

    Raises:
        NotFoundError: the model was not made by a prune, or what it was made from is not there any more: the hint says
            what is still known. Or the prune was interrupted before it had stored everything.
    """
    from cnngraph.database import lineage

    found = lineage.lineage(db, key)
    parent = next((one for one in found.ancestors if one.steps == 1 and one.run), None)
    if parent is None or parent.run is None:
        raise _without_parent(db, key, found.evaluations)
    plan = lineage.read_pruning_run(db, parent.run)
    mine, old = (lineage.evaluations_of(db, one, run=parent.run, child=key) for one in (key, parent.model))
    after = next((one for one in mine if not one.control), None)
    before = next((one for one in old if not one.control), None)
    if after is None or before is None:
        raise NotFoundError(
            f"The evaluations of the prune that made {key} are not in the database.",
            "It was interrupted while it stored them: repeat the same cnngraph prune, which goes on.",
        )
    control = next((one for one in old if one.control), None)
    return plan, {
        "model": parent.model,
        "new_model": key,
        "run": parent.run,
        "removed": plan.removed,
        "filters": plan.filters,
        "steps": [step.as_json() for step in found.steps],
        "masks": [dict(row) for row in found.masks],
        "verified": after.proof,
        "agreement": after.agreement,
        "before": before.as_json(),
        "after": after.as_json(),
        "control": control.as_json() if control else None,
    }


def _without_parent(db: Database, key: str, evaluations: Sequence[Evaluation]) -> NotFoundError:
    """What there is to say of a model that no PruningRun has made: perhaps one that went with its parent has."""
    from cnngraph.database import catalogue

    name = key.split("/")[-1]
    own = StoredModel(key, catalogue.properties(db, key), db.storage)
    plans = own.origin.last_steps if own.origin else ()
    if not plans:
        return NotFoundError(
            f"{key} was not made by a prune, so there is nothing to report.", f"Try: cnngraph lineage {name}"
        )
    lost = ", then ".join(plan.in_words for plan in plans)
    known = [f"it lost {textwrap.shorten(lost, 80, placeholder=' ...')}"]
    if evaluations and evaluations[-1].figures.get("accuracy") is not None:
        known.append(f"its accuracy is {evaluations[-1].figures['accuracy']:.1%}")
    if own.properties.get("parameters") is not None:
        known.append(f"it has {own.properties['parameters']:,} parameters")
    return NotFoundError(
        f"The model that {key} was pruned from is not in the database, nor is the decision, which went with it.",
        f"Still known: {', '.join(known)}. See: cnngraph show {name}",
    )


def write_report(
    session: Session, key: str, out: Path, commands: Sequence[str] = (), *, look: bool = False
) -> tuple[str, Path]:
    """Write the page of the pruned model ``key``; returns its verdict and its path.

    Of a model that no prune made the page shows what its blocks are worth, where that was tried.

    Args:
        look: run the net that was pruned over its training images once, for the patches that excite its filters; else
            they are shown where that was done before.

    Raises:
        NotFoundError: there is no such model, or there is nothing to report; see :func:`pruning_of`.
        ModelError, DataError: with ``look``, where net or images are not here.
    """
    from cnngraph.database import lineage
    from cnngraph.jobs.criticality_report import describe_blocks
    from cnngraph.jobs.filter_pictures import show_filters
    from cnngraph.reporting.criticality import write_blocks_page
    from cnngraph.reporting.page import PageContent, remarks_on, verdict, write_page

    db, own = session.database, describe_blocks(session, key)
    try:
        plan, result = pruning_of(db, key)
    except NotFoundError:
        if own is None:
            raise
        return own.sentence, write_blocks_page(out, own)
    sentence = verdict(result)
    command = f"cnngraph report {key.removeprefix(f'{db.owner}/')} --pictures"
    content = PageContent(
        title=f"{key}: {result['model']} without {textwrap.shorten(plan.in_words, 120, placeholder=' ...')}",
        plan=plan,
        result=result,
        sentence=sentence,
        remarks=remarks_on(result),
        commands=commands,
        queries=pasteable(key, result["model"]),
        browser=f"{db.http}/browser/" if db.http else None,
        edits=lineage.edits_of(db, key)[0],
        filters=show_filters(session, plan, command, look=look),
        criticality=[one for one in (describe_blocks(session, result["model"]), own) if one is not None],
    )
    return sentence, write_page(out, content)


def colours_of(session: Session, key: str) -> list[dict[str, Any]] | None:
    """How many of the filters that the prune of ``key`` took are about colour, by layer where that is known.

    ``None`` where the net before or its images are not here; none of a model that no prune made, whose page is about
    its blocks.

    Raises:
        NotFoundError: as :func:`pruning_of`.
    """
    from cnngraph.database.criticality import read_criticality
    from cnngraph.jobs.filter_pictures import count_colours

    try:
        plan, _ = pruning_of(session.database, key)
    except NotFoundError:
        if read_criticality(session.database, key):
            return []
        raise
    counts = count_colours(session, plan)
    return None if counts is None else [count.as_json() for count in counts]
