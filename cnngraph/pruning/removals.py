"""Filters that were chosen group by group, as a plan says it: one removal a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cnngraph.plan import Removal
from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["scored_removals"]


def scored_removals(
    coupling: Coupling, groups: Iterable[tuple[Group, float]], reason: Callable[[str], str]
) -> Iterator[Removal]:
    """One removal a layer, in the order of the net, with all that is coupled; each filter has the score of its group.

    Args:
        groups: those that go, with their scores. reason: of a layer by name, what follows ``3 of 16 filters``.
    """
    scores: dict[str, dict[int, float]] = {}
    for group, score in groups:
        for layer, channel in group.filters:
            scores.setdefault(layer, {})[channel] = score
    for layer, width in coupling.layers.items():
        mine = dict(sorted(scores.get(layer, {}).items()))
        if mine:
            yield Removal(
                layer=layer,
                kind="filters",
                filters=tuple(mine),
                scores=tuple(mine.values()),
                score=max(mine.values()),
                reason=f"{len(mine)} of {width} filters {reason(layer)}.",
            )
