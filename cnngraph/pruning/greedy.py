"""Greedy choice of filters by CAR: the one that the accuracy misses least goes, and all are judged anew.

Abbasi-Asl, Yu, Frontiers in Big Data 4:704182, 2021, section "Greedy structural compression". What goes is a coupling
group, since coupled filters cannot go alone; it belongs to the first named layer in it, in the order of the net, and
counts as many filters as it has there; no layer in it loses more than its share (our choices, as is: of equals the
first goes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cnngraph.surgery.channels.ablation import Ablation, Right
from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["GreedyStep", "Room", "count_filters", "groups_of", "take_from_each", "take_from_pool"]

Ablate = Callable[[Sequence[Group]], Ablation]


@dataclass(frozen=True)
class GreedyStep:
    """One group that goes.

    Attributes:
        group: it. layer: the named layer that it belongs to. filters: how many of its filters are there.
        car: the accuracy that is lost with it, a share of 1. accuracy: what is left after it.
        round: those of one number were judged on one and the same net.
    """

    group: Group
    layer: str
    filters: int
    car: float
    accuracy: float
    round: int


def groups_of(coupling: Coupling, layers: Sequence[str]) -> dict[str, tuple[Group, ...]]:
    """By layer in the order of the net, the groups that belong to it and can go."""
    order = [layer for layer in coupling.layers if layer in set(layers)]
    found: dict[str, list[Group]] = {layer: [] for layer in order}
    for group in coupling.groups:
        inside = {layer for layer, _ in group.filters}
        owner = next((layer for layer in order if layer in inside), None)
        if owner is not None and not group.fixed:
            found[owner].append(group)
    return {layer: tuple(groups) for layer, groups in found.items()}


def count_filters(group: Group, layer: str) -> int:
    """How many filters of ``layer`` a group has."""
    return sum(name == layer for name, _ in group.filters)


@dataclass
class Room:
    """How many filters each layer may still lose: a named one its share, every other one all but one."""

    left: dict[str, int]

    @classmethod
    def of(cls, coupling: Coupling, shares: Mapping[str, int]) -> Room:
        """Before anything went."""
        return cls({layer: width - 1 for layer, width in coupling.layers.items()} | dict(shares))

    def fits(self, group: Group) -> bool:
        """Whether the group can go, with all that is coupled in it."""
        return all(count <= self.left[layer] for layer, count in _counts(group).items())

    def take(self, group: Group) -> None:
        """The group went."""
        for layer, count in _counts(group).items():
            self.left[layer] -= count


def _counts(group: Group) -> Counter[str]:
    return Counter(layer for layer, _ in group.filters)


def take_from_each(
    groups: Mapping[str, Sequence[Group]],
    room: Room,
    ablate: Ablate,
    *,
    per_step: int = 1,
    known: Sequence[GreedyStep] = (),
) -> Iterator[GreedyStep]:
    """Layer by layer, each judged on the net without what went before, until its share is gone.

    Args:
        groups: of :func:`groups_of`. room: what the layers may lose; it is used up.
        ablate: makes what judges some groups on the net as it is then.
        per_step: how many groups go before all are judged anew.
        known: steps of an earlier, interrupted run, which are not chosen again.
    """
    number = max((step.round for step in known), default=0)
    for layer, candidates in groups.items():
        judge = ablate(candidates)
        for step in known:
            if step.layer == layer:
                judge.remove(step.group)
                room.take(step.group)
                yield step
        while fitting := [group for group in judge.groups if room.fits(group)]:
            number += 1
            for group, lost in _missed_least(judge, fitting, per_step):
                if room.fits(group):
                    room.take(group)
                    yield _remove(judge, group, layer, lost, number)


def take_from_pool(
    groups: Mapping[str, Sequence[Group]],
    room: Room,
    ablate: Ablate,
    *,
    per_step: int = 1,
    known: Sequence[GreedyStep] = (),
) -> Iterator[GreedyStep]:
    """From all layers together, lowest CAR a filter first.

    Args:
        groups, room, ablate, per_step, known: as :func:`take_from_each` has them.
    """
    judges = {layer: ablate(candidates) for layer, candidates in groups.items() if candidates}
    for step in known:
        judges[step.layer].remove(step.group)
        room.take(step.group)
        yield step
    for judge in judges.values() if known else ():  # nobody was asked before all of them had gone
        judge.renew()
    number = max((step.round for step in known), default=0)
    while True:
        number += 1
        found: list[tuple[float, int, Group, str, float]] = []
        for layer, judge in judges.items():
            fitting = [group for group in judge.groups if room.fits(group)]
            sizes = {count_filters(group, layer) for group in fitting}
            wanted = per_step if len(sizes) < 2 else len(fitting)
            for group, lost in _missed_least(judge, fitting, wanted):
                found.append((lost / count_filters(group, layer), len(found), group, layer, lost))
        if not found:
            return
        for _, _, group, layer, lost in sorted(found, key=lambda one: one[:2])[:per_step]:
            if room.fits(group):
                room.take(group)
                step = _remove(judges[layer], group, layer, lost, number)
                for other, judge in judges.items():
                    if other != layer:
                        judge.renew()
                yield step


def _missed_least(judge: Ablation, groups: Sequence[Group], number: int) -> list[tuple[Group, float]]:
    """The ``number`` groups that are missed least, on one and the same net, each with its CAR."""
    if not groups or not number:
        return []
    if number == 1:
        group, right = judge.choose(groups)
        return [(group, _lost(judge, right))]
    rights = judge.right_without(groups)
    order = sorted(range(len(groups)), key=lambda place: (-int(rights[place].sum()), place))
    return [(groups[place], _lost(judge, rights[place])) for place in order[:number]]


def _lost(judge: Ablation, right: Right) -> float:
    """Counted in whole images, so that nothing is lost to rounding."""
    return (int(judge.right.sum()) - int(right.sum())) / len(right)


def _remove(judge: Ablation, group: Group, layer: str, lost: float, number: int) -> GreedyStep:
    judge.remove(group)
    return GreedyStep(group, layer, count_filters(group, layer), lost, float(judge.right.mean()), number)
