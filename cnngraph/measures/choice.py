"""What a person may say about measures: which option belongs to which. Looks nothing up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnngraph.errors import OptionError
from cnngraph.measures.registry import find_engine, find_measure
from cnngraph.measures.theta import check_reference_rule
from cnngraph.vocabulary import UNRANKED_MEASURES

__all__ = ["choose_measures"]

_RANKING = ("aggregate", "seed", "engine", "reference")
_OF_FILTERS = ("layer", "judged_on", "device", "minutes")


def choose_measures(names: Sequence[str], said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each measure the options that it reads, of those that were said; checked.

    Args:
        names: the measures. said: options by name, as :meth:`cnngraph.Graph.measure` has them.

    Raises:
        UsageError: there is no such measure, option, aggregate, engine or reference; or an option belongs to none of
            the measures.
    """
    strange = next((name for name in said if name not in (*_RANKING, *_OF_FILTERS)), None)
    if strange is not None:
        raise OptionError(
            f"There is no option {strange!r} of measures.", f"Known: {', '.join(_RANKING + _OF_FILTERS)}."
        )
    unranked = [name in UNRANKED_MEASURES for name in names]
    for owned, alone, words in (
        (_OF_FILTERS, not any(unranked), "the measure car"),
        (_RANKING, all(unranked), "measures that rank layers, not to car"),
    ):
        lost = next((name for name in said if alone and name in owned), None)
        if lost is not None:
            raise OptionError(f"{{{lost}}} belongs to {words}.", f"Leave out {{{lost}}}.")
    for name in (name for name, other in zip(names, unranked, strict=True) if not other):
        find_measure(name, aggregate=said.get("aggregate", "mean"))
    find_engine(said.get("engine", "auto"))
    check_reference_rule(said.get("reference", "median"))
    owners = [_OF_FILTERS if other else _RANKING for other in unranked]
    return [{name: value for name, value in said.items() if name in owned} for owned in owners]
