"""Method ``filters``: a share of the filters goes, those of the lowest score, in groups of coupled channels.

Channels that a sum, a depthwise convolution or the like holds together go together or not at all (a *group* of
:mod:`cnngraph.surgery.channels.coupling`), so a group has one score: each layer's scores are divided by their mean,
which makes those of different layers comparable, and the group's is the mean over its filters. The groups of Fang et
al., "DepGraph", CVPR 2023, section 3.3 (Torch-Pruning's defaults) are reduced and normalised so too, but in the other
order: normalised by layer first, a wide layer does not outvote a narrow one.

Pure: the scores come from :mod:`cnngraph.surgery.channels.filter_scores` (the net) or
:mod:`cnngraph.measures.filters` (the graph); nothing here reads a net, changes one, or trains.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnngraph.errors import OptionError, PlanError, nearest
from cnngraph.plan import Plan, Removal
from cnngraph.vocabulary import SCOPES

if TYPE_CHECKING:
    from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["plan_filters"]

# 0.29 * 100 is 28.999... in floating point; a share that is a whole number of filters must not lose one.
EXACT = 1e-9


@dataclass(frozen=True)
class _Candidate:
    """A group that can go: its score, its place among equals, how many filters it takes of each layer, and units."""

    score: float
    index: int
    takes: Mapping[str, int]
    units: Mapping[str, int]

    @property
    def size(self) -> int:
        return sum(self.takes.values())

    def fits(self, room: Mapping[str, int]) -> bool:
        return all(room[layer] >= count for takes in (self.takes, self.units) for layer, count in takes.items())

    def occupy(self, room: dict[str, int]) -> None:
        for takes in (self.takes, self.units):
            for layer, count in takes.items():
                room[layer] -= count


@dataclass(frozen=True)
class FilterShare:
    """How many filters go.

    Attributes:
        ratio: the share, above 0 and below 1.
        scope: ``layer``: of every layer. ``global``: of all layers together, whatever is left of one. Layers none of
            whose filters can go count neither way.
        round_to: layers keep a multiple of this many, the one nearest to what the share would leave (the wider where
            two are as near). Narrower layers stay whole, and notes say which, and where coupling prevents it.
        at_least: every layer keeps so many.

    Raises:
        OptionError: one is out of range.
    """

    ratio: float
    scope: str = "layer"
    round_to: int = 1
    at_least: int = 1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.ratio) and 0 < self.ratio < 1):
            raise OptionError(f"{{ratio={self.ratio:g}}} is not a share between 0 and 1.", "Use one such as 0.3.")
        if self.scope not in SCOPES:
            raise OptionError(f"There is no scope {self.scope!r}.", nearest(self.scope, SCOPES))
        for name, value in (("round_to", self.round_to), ("at_least", self.at_least)):
            if value < 1:
                raise OptionError(f"{{{name}={value}}} is no number of filters.", "Use 1 or more.")


@dataclass(frozen=True)
class ScoredModel:
    """What a plan says of the scores: which they are, of which model, and the run of the measure they come from."""

    score: str = "magnitude"
    model: str = ""
    architecture: str = ""
    run: str | None = None


def plan_filters(
    coupling: Coupling,
    scores: Mapping[str, Sequence[float]],
    share: FilterShare,
    scored: ScoredModel | None = None,
) -> Plan:
    """The plan that removes this share of the filters, lowest score first.

    Args:
        coupling: which channels go together, which cannot go, and how wide the layers are.
        scores: by layer the score of each filter, low goes first, none negative. A NaN, or a layer that is not there,
            has none: groups all of whose filters have none stay, and a note says so.
        scored: what the plan says of itself.

    Returns:
        The plan. Filters are listed with everything that is coupled with them, layers in network order. ``scores`` are
        the groups' scores, ``threshold`` the lowest score of those that could go but stay in the layer.
        ``settings["widths"]`` are the layers' numbers of filters.

    Raises:
        PlanError: no filter can go at all, or no layer is wide enough for ``round_to`` or ``at_least``.
    """
    scored = scored or ScoredModel()
    ratio, round_to, at_least = share.ratio, share.round_to, share.at_least
    candidates, notes = _candidates(coupling, scores, scored.score)
    widths = {layer: width for layer, width in coupling.layers.items() if any(layer in c.takes for c in candidates)}
    narrow = {layer: width for layer, width in widths.items() if width < round_to}
    widest = max(widths, key=lambda layer: widths[layer])
    if widths[widest] <= at_least:
        raise PlanError(
            f"Every layer keeps {at_least} filters at least, and the widest, {widest}, has {widths[widest]}.",
            "Choose a smaller {at_least}.",
        )
    if len(narrow) == len(widths):
        raise PlanError(
            f"No layer has {round_to} filters: the widest, {widest}, has {widths[widest]}.",
            "Choose a smaller {round_to}.",
        )
    units = _spare_units(coupling)
    left = {layer: (1 - ratio) * width for layer, width in widths.items()}
    if share.scope == "global":
        left = _left_of_all(candidates, widths, units, ratio, least=max(round_to, at_least))
    room = {layer: width - _rounded(left[layer], width, round_to, at_least) for layer, width in widths.items()} | units
    chosen = _take(candidates, room)
    notes += _rounding_notes(chosen, widths, narrow, round_to)
    if not chosen:
        kept = f" beyond the {at_least} that each layer keeps" if at_least > 1 else ""
        notes.append(f"No filter goes: {ratio:g} of no layer is a whole group of coupled filters{kept}.")
    return Plan(
        model=scored.model,
        architecture=scored.architecture,
        method="filters",
        measure=scored.score,
        run=scored.run,
        removes=tuple(_removals(coupling, candidates, chosen, scored.score)) if chosen else (),
        settings=asdict(share) | {"widths": widths},
        notes=tuple(notes),
    )


def _candidates(
    coupling: Coupling, scores: Mapping[str, Sequence[float]], score_name: str
) -> tuple[list[_Candidate], list[str]]:
    """The groups that can go, lowest score first, and a note for each reason why others cannot."""
    by_mean = {layer: _over_mean(scores[layer]) for layer in coupling.layers if layer in scores}
    candidates: list[_Candidate] = []
    stay: Counter[str] = Counter()
    for group in coupling.groups:
        if not group.filters:  # units of dense layers alone: no filters
            continue
        known = [by_mean[layer][channel] for layer, channel in group.filters if layer in by_mean]
        known = [value for value in known if math.isfinite(value)]
        if group.fixed or not known:
            stay[group.fixed or f"they have no score {score_name}"] += len(group.filters)
            continue
        takes, units = (Counter(layer for layer, _ in channels) for channels in (group.filters, group.units))
        candidates.append(_Candidate(math.fsum(known) / len(known), group.index, takes, units))
    notes = [f"{count:,} filters could not be considered: {reason}." for reason, count in stay.items()]
    if not candidates:
        raise PlanError("No filter of this model can be removed.", " ".join(notes) or "It has no convolution.")
    return sorted(candidates, key=lambda candidate: (candidate.score, candidate.index)), notes


def _spare_units(coupling: Coupling) -> dict[str, int]:
    """By dense layer, the units that filters may take with them: all but one."""
    return {
        layer: count - 1
        for layer, count in Counter(layer for group in coupling.groups for layer, _ in group.units).items()
    }


def _over_mean(scores: Sequence[float]) -> list[float]:
    """The scores over the layer's mean score; as they are where that is 0."""
    values = np.asarray(scores, dtype=np.float64)
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if known.size else 0.0
    return (values / mean if mean > 0 else values).tolist()  # type: ignore[no-any-return]


def _left_of_all(
    candidates: Iterable[_Candidate], widths: Mapping[str, int], units: Mapping[str, int], ratio: float, *, least: int
) -> dict[str, float]:
    """How many filters each layer keeps when the lowest of all layers go, ``ratio`` of them together."""
    room = {layer: max(0, width - least) for layer, width in widths.items()} | dict(units)
    chosen = _take(candidates, room, most=math.floor(ratio * sum(widths.values()) + EXACT))
    taken = _taken(chosen)
    return {layer: float(width - taken[layer]) for layer, width in widths.items()}


def _rounded(left: float, width: int, round_to: int, at_least: int) -> int:
    """How many of ``width`` filters stay where ``left`` should: a whole number, a multiple of ``round_to``.

    >>> [_rounded(5.6, 8, 1, 1), _rounded(11.2, 16, 8, 1), _rounded(12, 16, 8, 1), _rounded(3, 4, 8, 1)]
    [6, 8, 16, 4]
    """
    whole = max(math.ceil(left - EXACT), min(at_least, width))
    if round_to == 1 or width < round_to:
        return whole if round_to == 1 else width
    multiples = [n for n in range(round_to, width + 1, round_to) if n >= at_least]
    return min(multiples, key=lambda n: (abs(n - left), -n), default=width)


def _take(candidates: Iterable[_Candidate], room: Mapping[str, int], most: int | None = None) -> list[_Candidate]:
    """The lowest that fit: a layer has ``room`` for so many, all together for ``most``; there the first ends it."""
    free = dict(room)
    chosen: list[_Candidate] = []
    for candidate in candidates:
        if not candidate.fits(free):
            continue
        if most is not None:
            most -= candidate.size
            if most < 0:
                break
        candidate.occupy(free)
        chosen.append(candidate)
    return chosen


def _taken(chosen: Iterable[_Candidate]) -> Counter[str]:
    taken: Counter[str] = Counter()
    for candidate in chosen:
        taken.update(candidate.takes)
    return taken


def _filters(coupling: Coupling, chosen: Iterable[_Candidate]) -> dict[str, list[int]]:
    groups = {group.index: group for group in coupling.groups}
    filters: dict[str, list[int]] = {}
    for candidate in chosen:
        for layer, channel in groups[candidate.index].filters:
            filters.setdefault(layer, []).append(channel)
    return filters


def _rounding_notes(
    chosen: Iterable[_Candidate], widths: Mapping[str, int], narrow: Mapping[str, int], round_to: int
) -> list[str]:
    taken = _taken(chosen)
    uneven = {
        layer: width - taken[layer]
        for layer, width in widths.items()
        if layer not in narrow and (width - taken[layer]) % round_to
    }
    notes = []
    if narrow:
        named = ", ".join(f"{layer} ({width})" for layer, width in narrow.items())
        notes.append(f"Narrower than {round_to} filters, so whole: {named}.")
    if uneven:
        named = ", ".join(f"{layer} ({width})" for layer, width in uneven.items())
        notes.append(f"Left with no multiple of {round_to}, since channels are coupled or cannot go: {named}.")
    return notes


def _removals(
    coupling: Coupling, candidates: Iterable[_Candidate], chosen: Iterable[_Candidate], score_name: str
) -> Iterator[Removal]:
    """One removal a layer, in network order, with everything that is coupled with what was chosen."""
    closure = coupling.closure(_filters(coupling, chosen))
    score_of = {candidate.index: candidate.score for candidate in candidates}
    went = {candidate.index for candidate in chosen}
    groups: dict[str, dict[int, Group]] = {}
    for group in coupling.groups:
        for layer, channel in group.filters:
            groups.setdefault(layer, {})[channel] = group
    for layer, width in coupling.layers.items():
        if layer not in closure:
            continue
        mine, channels = groups[layer], closure[layer]
        scores = tuple(score_of[mine[channel].index] for channel in channels)
        stay = [score_of[group.index] for group in mine.values() if group.index in score_of and group.index not in went]
        others = sorted({name for channel in channels for name, _ in mine[channel].filters} - {layer})
        reason = f"The {len(channels)} of {width} filters of lowest {score_name}, over the layer's mean"
        reason += f"; the mean with what is coupled with them in {_few(others)}." if others else "."
        yield Removal(
            layer=layer,
            kind="filters",
            filters=channels,
            scores=scores,
            score=max(scores),
            threshold=min(stay, default=None),
            reason=reason,
        )


def _few(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3} more layers" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
