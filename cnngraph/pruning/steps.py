"""A removal in several steps: plans that each take more, and plans that each go on where the one before stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cnngraph.plan import Plan, Removal

__all__ = ["in_one", "in_steps", "survivors"]


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
        whole = [one for one in plan.removes if one.is_whole and one.layer not in names]
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


def survivors(widths: Mapping[str, int], plans: Iterable[Plan]) -> dict[str, list[int]]:
    """By layer, which of its filters are left, by their numbers before any plan.

    >>> from cnngraph.plan import Removal
    >>> step = Plan(removes=(Removal(layer="a", kind="filters", filters=(0,)),))
    >>> survivors({"a": 4}, [step, step])
    {'a': [2, 3]}

    Args:
        widths: how many filters each layer had. plans: filters alone, each numbered as in the net that those before it
            have left, and complete: with everything that is coupled.
    """
    left = {layer: list(range(width)) for layer, width in widths.items()}
    for plan in plans:
        for layer, filters in plan.filters.items():
            left[layer] = [number for place, number in enumerate(left[layer]) if place not in set(filters)]
    return left


def in_one(widths: Mapping[str, int], plans: Sequence[Plan]) -> tuple[Removal, ...]:
    """What plans that were carried out one after the other remove together, in the numbers of the first one's net.

    Of weights, which go before any filters, the last mask of each layer says it all.

    Args:
        widths, plans: as :func:`survivors` has them; layers come out in the order of ``widths``.
    """
    found: dict[str, list[tuple[int, int, float | None, str]]] = {}
    for number, plan in enumerate(plans, 1):
        left = survivors(widths, plans[: number - 1])
        for removal in (one for one in plan.removes if one.kind == "filters"):
            scores: Sequence[float | None] = removal.scores or (removal.score,) * len(removal.filters)
            found.setdefault(removal.layer, []).extend(
                (left[removal.layer][place], number, score, removal.reason)
                for place, score in zip(removal.filters, scores, strict=True)
            )
    weights = {layer: removal for plan in plans for layer, removal in plan.weights.items()}
    return (*(_together(layer, sorted(found[layer])) for layer in widths if layer in found), *weights.values())


def _together(layer: str, rows: Sequence[tuple[int, int, float | None, str]]) -> Removal:
    scores = tuple(score for _, _, score, _ in rows if score is not None)
    return Removal(
        layer=layer,
        kind="filters",
        filters=tuple(filter_ for filter_, _, _, _ in rows),
        scores=scores if len(scores) == len(rows) else (),
        steps=tuple(step for _, step, _, _ in rows),
        score=max(scores, default=None),
        reason=" ".join(dict.fromkeys(reason for _, _, _, reason in sorted(rows, key=lambda row: row[1]))),
    )
