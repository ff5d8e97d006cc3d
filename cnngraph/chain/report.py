"""The HTML page of a pruned model, from what the database holds about it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import NotFoundError
from cnngraph.plan import Plan

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["QUERIES", "pasteable", "pruning_of", "write_report"]

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
        NotFoundError: the model was not made by a prune.
    """
    from cnngraph.database import lineage

    found = lineage.lineage(db, key)
    parent = next((row for row in found["ancestors"] if row["steps"] == 1 and row["run"]), None)
    if parent is None:
        raise NotFoundError(
            f"{key} was not made by a prune, so there is nothing to report.", "Try: cnngraph lineage NAME"
        )
    plan = lineage.read_pruning_run(db, parent["run"])
    mine = [row for row in found["evaluations"] if row.get("run") == parent["run"]]
    theirs = lineage.lineage(db, parent["model"])["evaluations"]
    old = [row for row in theirs if row.get("run") == parent["run"]]
    after = next(row for row in mine if not row["control"])
    return plan, {
        "model": parent["model"],
        "new_model": key,
        "run": parent["run"],
        "removed": plan.removed,
        "filters": plan.filters,
        "verified": json.loads(after["verified"]),
        "before": next(row for row in old if not row["control"]),
        "after": after,
        "control": next((row for row in old if row["control"]), None),
    }


def write_report(db: Database, key: str, out: Path, commands: Sequence[str] = ()) -> tuple[str, Path]:
    """Write the page of the pruned model ``key``; returns its verdict and its path.

    Raises:
        NotFoundError: there is no such model, or it was not made by a prune.
    """
    from cnngraph.reporting.page import verdict, write_page

    plan, result = pruning_of(db, key)
    sentence = verdict(result)
    write_page(
        out,
        title=f"{key}: {result['model']} without {textwrap.shorten(plan.in_words, 120, placeholder=' ...')}",
        plan=plan,
        result=result,
        sentence=sentence,
        commands=commands,
        queries=pasteable(key, result["model"]),
        browser=f"{db.http}/browser/" if db.http else None,
    )
    return sentence, out
