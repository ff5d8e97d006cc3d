"""How far a review is: who judged what, what goes by it, where people disagree with each other and with the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cnngraph.database import cypher
from cnngraph.database.reviews import judgeable_layers, read_log
from cnngraph.review.agreement import Standing, compare_people, concordance, disagreements, dropped, standing
from cnngraph.vocabulary import ANSWERS

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["describe_progress", "read_scores"]


def read_scores(db: Database, key: str) -> tuple[str, dict[tuple[str, int], float]]:
    """What the machine ranks filters by, low goes first, and the score by filter.

    It is ``car`` where that was measured of any, and filters of which it was not (NaN too) have no score; else
    ``magnitude``, the L2 norm of a filter's weights.
    """
    rows = db.read(cypher.load("review/scores"), model=key)
    known = {
        name: {
            (row["layer"], row["channel"]): row[name]
            for row in rows
            if row[name] is not None and row[name] == row[name]
        }
        for name in ("car", "magnitude")
    }
    name = "car" if known["car"] else "magnitude"
    return name, known[name]


def describe_progress(db: Database, key: str, agree: str) -> dict[str, Any]:
    """The JSON of ``review --status``.

    Raises:
        ModelError, ConflictError: as :func:`cnngraph.database.reviews.read_log`.
    """
    widths, log = judgeable_layers(db, key), read_log(db, key)
    found = standing(log.choices)
    name, scores = read_scores(db, key)
    drops = dropped(found, agree)
    total = sum(widths.values())
    return {
        "model": key,
        "agree": agree,
        "filters": total,
        "judged": len(found),
        "left": total - len(found),
        "choices": len(log.choices),
        "drops": {layer: list(channels) for layer, channels in drops.items()},
        "layers": [
            {
                "layer": layer,
                "filters": width,
                "judged": sum(one == layer for one, _ in found),
                "drops": len(drops.get(layer, ())),
            }
            for layer, width in widths.items()
        ],
        "people": [_person(by, answers, total, scores) for by, answers in _by_person(found).items()],
        "machine": name,
        "disagreements": [
            {"layer": layer, "channel": channel, "answers": answers}
            for (layer, channel), answers in disagreements(found)
        ],
        "kappa": [asdict(pair) for pair in compare_people(found)],
    }


def _by_person(found: Standing) -> dict[str, dict[tuple[str, int], str]]:
    people: dict[str, dict[tuple[str, int], str]] = {}
    for where, answers in found.items():
        for by, one in answers.items():
            people.setdefault(by, {})[where] = one.decision
    return dict(sorted(people.items()))


def _person(
    by: str, answers: Mapping[tuple[str, int], str], total: int, scores: Mapping[tuple[str, int], float]
) -> dict[str, Any]:
    count = Counter(answers.values())
    return {
        "by": by,
        **{answer: count[answer] for answer in ANSWERS},
        "left": total - len(answers),
        "concordance": concordance(answers, scores),
    }
