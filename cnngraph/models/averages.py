"""Which of several sets of weights is the average of another (EMA, SWA): told by the names that they lie under."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["averaged", "words_of"]

_AVERAGED = {"averaged", "avg", "average", "swa", "shadow", "polyak"}
_LATEST = {"online", "current", "latest", "raw"}  # what an average stands beside
_OTHER_TIMES = {"previous", "prev", "last", "old", "best", "first", "initial", "init", "start", "before", "backup"}


def averaged(prefixes: Sequence[str]) -> int | None:
    """The place of the one set that is an average, or None where there is none, or more than one.

    >>> averaged(["state_dict.model.", "state_dict.model_ema.module."])
    1
    >>> averaged(["student.", "teacher."]) is averaged(["current.", "previous."]) is None
    True
    """
    shared = _shared(prefixes)
    words = [words_of(prefix.removeprefix(shared)) for prefix in prefixes]
    rest = [place for place, own in enumerate(words) if not own & _LATEST]
    named = [place for place in rest if words[place] & _AVERAGED or any(map(_is_ema, words[place]))]
    if len(named) == 1:
        return named[0]
    alone = len(rest) == 1 and len(prefixes) > 1 and not words[rest[0]] & _OTHER_TIMES
    return rest[0] if alone else None


def words_of(name: str) -> set[str]:
    """The words of a name, in small letters.

    >>> sorted(words_of("optimizerStates.model_ema"))
    ['ema', 'model', 'optimizer', 'states']
    """
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def _is_ema(word: str) -> bool:
    return word.startswith("ema") or word.endswith("ema")


def _shared(prefixes: Sequence[str]) -> str:
    """The parts that all prefixes begin with."""
    parts = [prefix.split(".")[:-1] for prefix in prefixes]
    count = next(
        (place for place, column in enumerate(zip(*parts, strict=False)) if len(set(column)) > 1),
        min(map(len, parts)),
    )
    return "".join(f"{part}." for part in parts[0][:count])
