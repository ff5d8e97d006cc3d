"""A removal in several steps: of plans that each take more, each is made to go on where the one before stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cnngraph.plan import Plan, Removal

__all__ = ["in_steps"]


def in_steps(plans: Sequence[Plan]) -> Iterator[Plan]:
    """What each plan removes beyond those before it, named and numbered as in the net that those have left.

    Carried out one after the other they leave what the last plan leaves: filters that an earlier plan names and the
    last one does not are left out. A plan that adds nothing is skipped.

    Args:
        plans: all for the same net, each removing more than the one before.
    """
    if not plans:
        return
    wanted = {layer: frozenset(filters) for layer, filters in plans[-1].filters.items()}
    names: set[str] = set()
    taken: dict[str, set[int]] = {}
    for plan in plans:
        whole = [one for one in plan.removes if one.kind != "filters" and one.layer not in names]
        filters = list(_more_filters(plan.removes, wanted, taken))
        names.update(one.layer for one in whole)
        if whole or filters:
            yield plan.model_copy(update={"removes": (*filters, *whole)})


def _more_filters(
    removes: Iterable[Removal], wanted: Mapping[str, frozenset[int]], taken: dict[str, set[int]]
) -> Iterator[Removal]:
    for removal in removes:
        if removal.kind != "filters":
            continue
        gone = taken.setdefault(removal.layer, set())
        more = sorted((wanted.get(removal.layer, frozenset()) & set(removal.filters)) - gone)
        if more:
            numbers = tuple(channel - sum(other < channel for other in gone) for channel in more)
            yield Removal(layer=removal.layer, kind="filters", filters=numbers, reason=removal.reason)
            gone.update(more)
