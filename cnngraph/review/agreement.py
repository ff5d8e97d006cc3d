"""What follows from what people said of filters: which go, where they disagree, how far they agree.

Pure: choices come in, in the order in which they were stored (:mod:`cnngraph.database.reviews`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from cnngraph.database.reviews import UNDO, Choice
from cnngraph.errors import UsageError, nearest
from cnngraph.vocabulary import AGREE

__all__ = ["Kappa", "Standing", "compare_people", "concordance", "disagreements", "dropped", "goes", "standing"]

Filter = tuple[str, int]
Standing = Mapping[Filter, Mapping[str, Choice]]  # by filter, each person's answer that counts


def standing(choices: Iterable[Choice]) -> Standing:
    """By filter and person the choice that counts: the last one that was not taken back.

    Taking the last one back brings the one before it back.
    """
    made: dict[Filter, dict[str, list[Choice]]] = {}
    for one in choices:
        mine = made.setdefault(one.filter, {}).setdefault(one.by, [])
        if one.decision == UNDO:
            mine[:] = [other for other in mine if other.id != one.undoes]
        else:
            mine.append(one)
    return {
        where: {by: all_of_one[-1] for by, all_of_one in people.items() if all_of_one}
        for where, people in made.items()
        if any(people.values())
    }


def goes(answers: Iterable[str], agree: str) -> bool:
    """Whether a filter goes by the answers of those who judged it.

    Who does not know has judged it, and did not say that it goes.

    Args:
        answers: keep, drop or unknown, one a person.
        agree: ``any``: one says drop. ``majority``: more than half do. ``all``: everybody does.

    >>> [goes(["drop", "drop", "unknown"], rule) for rule in ("any", "majority", "all")]
    [True, True, False]
    """
    if agree not in AGREE:
        raise UsageError(f"There is no rule of agreement {agree!r}.", nearest(agree, AGREE))
    said = list(answers)
    drops = said.count("drop")
    least = {"any": 1, "majority": len(said) // 2 + 1, "all": len(said)}[agree]
    return drops >= max(1, least)


def dropped(found: Standing, agree: str) -> dict[str, tuple[int, ...]]:
    """By layer, the filters that go, in order."""
    gone: dict[str, list[int]] = {}
    for (layer, channel), people in sorted(found.items()):
        if goes((one.decision for one in people.values()), agree):
            gone.setdefault(layer, []).append(channel)
    return {layer: tuple(channels) for layer, channels in gone.items()}


def disagreements(found: Standing) -> list[tuple[Filter, dict[str, str]]]:
    """The filters on which people gave different answers, and who said what."""
    told = [
        (where, {by: one.decision for by, one in sorted(people.items())}) for where, people in sorted(found.items())
    ]
    return [(where, answers) for where, answers in told if len(set(answers.values())) > 1]


@dataclass(frozen=True)
class Kappa:
    """How far two people agree.

    Attributes:
        first, second: who. filters: how many both judged. agreed: on how many of them they gave the same answer.
        kappa: Cohen's; ``None`` where both gave one and the same answer to all, so that chance explains everything.
    """

    first: str
    second: str
    filters: int
    agreed: int
    kappa: float | None


def compare_people(found: Standing) -> list[Kappa]:
    """Cohen's kappa of each two people over the filters that both judged (Cohen, "A coefficient of agreement for
    nominal scales", 1960): keep, drop and unknown are three answers.
    """
    people = sorted({by for answers in found.values() for by in answers})
    pairs = []
    for first, second in combinations(people, 2):
        both = [(a[first].decision, a[second].decision) for a in found.values() if first in a and second in a]
        if both:
            agreed = sum(one == other for one, other in both)
            pairs.append(Kappa(first, second, len(both), agreed, _kappa(both)))
    return pairs


def _kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """
    >>> _kappa([("keep", "keep"), ("drop", "drop"), ("keep", "drop"), ("drop", "drop")])
    0.5
    """
    total = len(pairs)
    seen = sum(one == other for one, other in pairs)
    ours, theirs = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    chance = sum(count * theirs[word] for word, count in ours.items())  # over total squared
    return (seen * total - chance) / (total * total - chance) if chance < total * total else None


def concordance(answers: Mapping[Filter, str], scores: Mapping[Filter, float]) -> float | None:
    """How often the machine's score is lower for a filter that a person drops than for one that the person keeps.

    Of all such pairs within one layer, equal scores counting half: 1 is full concordance, 0.5 chance (the area under
    the ROC curve of the score, pooled over layers). ``None`` where there is no pair.

    >>> concordance({("a", 0): "drop", ("a", 1): "keep", ("a", 2): "unknown"}, {("a", 0): 0.1, ("a", 1): 0.2})
    1.0
    """
    right = total = 0.0
    for (layer, _), low in _scored(answers, scores, "drop"):
        for (other, _), high in _scored(answers, scores, "keep"):
            if layer == other:
                total += 1
                right += 1.0 if low < high else 0.5 if low == high else 0.0
    return right / total if total else None


def _scored(answers: Mapping[Filter, str], scores: Mapping[Filter, float], wanted: str) -> list[tuple[Filter, float]]:
    return [(where, scores[where]) for where, said in answers.items() if said == wanted and where in scores]
