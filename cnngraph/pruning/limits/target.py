"""What goes so that a net becomes so much faster or smaller: pure search, told what things cost.

Layers and blocks go lowest score first, one that would overshoot is passed over (:func:`lowest_first`); of filters the
ratio is searched (:func:`smallest_ratio`). Both go by a prediction. :func:`search_target` then has the net built and
measured, asks for as much more or less as the prediction was wrong, and measures again.

Everything is reckoned as a *share*: what is left of the cost, 1 for the whole net; a speed-up of 2 is a share of 0.5.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from cnngraph.errors import OptionError, PlanError, name_options
from cnngraph.plan import Removal

__all__ = [
    "KINDS",
    "TOLERANCE",
    "Goal",
    "Pick",
    "Target",
    "TargetSearch",
    "lowest_first",
    "search_target",
    "smallest_ratio",
    "within_tolerance",
]

Kind = Literal["speedup", "latency_ms", "macs", "parameters", "mb"]
KINDS: tuple[Kind, ...] = ("speedup", "latency_ms", "macs", "parameters", "mb")
What = TypeVar("What")  # what goes: a tuple of removals, or whatever else a caller builds nets from

TOLERANCE = 0.15  # of the target, on either side: so far off counts as reached
NEAR = 0.05  # of the target: the search goes on while a net could come nearer than that
SLACK = 0.03  # of a prediction: nearer than that is near enough to stop
ROUNDS = 6  # nets that are built and measured at most
_PUSHES = 8  # corrections in a row that may lead to nets that are known
_RATIOS = tuple(i / 100 for i in range(1, 100))

_NAMES = {"speedup": "speed-up", "latency_ms": "milliseconds", "macs": "MACs", "parameters": "parameters", "mb": "MB"}


@dataclass(frozen=True)
class Target:
    """What is wanted: ``speedup`` (times), or what is left: ``macs`` or ``parameters`` (a share, or a count),
    ``latency_ms`` (milliseconds a batch), ``mb`` (megabytes of weights).

    Raises:
        OptionError: a speed-up of 1 or less; a share or an amount of 0 or less; 1, which leaves all; no finite number.
    """

    kind: Kind
    value: float

    def __post_init__(self) -> None:
        option = f"{{target_{self.kind}={self.value:g}}}"
        if not math.isfinite(self.value):
            raise OptionError(f"{option} is no finite number.", self._example)
        if self.kind == "speedup" and self.value <= 1:
            raise OptionError(f"{option} makes nothing faster.", self._example)
        if self.value <= 0 or (self.kind in ("macs", "parameters") and self.value == 1):
            what = "neither a share under 1 nor a count" if self.kind in ("macs", "parameters") else "no amount above 0"
            raise OptionError(f"{option} is {what}.", self._example)

    @property
    def timed(self) -> bool:
        """Whether it is about time, which is measured, not counted."""
        return self.kind in ("speedup", "latency_ms")

    @property
    def _example(self) -> str:
        if self.kind == "speedup":
            return "Use a number above 1, such as {target_speedup=2.0}"
        if self.kind in ("latency_ms", "mb"):
            return f"Use less than the net takes now, such as {{target_{self.kind}=5}}"
        return f"Use the share that is left, such as {{target_{self.kind}=0.5}}, or a count above 1."

    def share(self, whole: float) -> float:
        """What is to be left of ``whole``: the count, milliseconds or megabytes of the whole net (a speed-up or a share
        does not look at it).

        Raises:
            PlanError: the net has no more than that already.
        """
        if self.kind == "speedup":
            return 1 / self.value
        if self.kind in ("macs", "parameters") and self.value < 1:
            return self.value
        if self.value >= whole:
            raise PlanError(
                f"The net has {whole:,.6g} {self.name} already, no more than {self.value:,.6g}.",
                name_options(self._example, flags=True),
            )
        return self.value / whole

    @property
    def name(self) -> str:
        """What is counted, as a person writes it."""
        return _NAMES[self.kind]

    def reached(self, share: float) -> float:
        """A share in the unit of the target: a speed-up, or the share itself."""
        return 1 / share if self.kind == "speedup" else share

    def shown(self, share: float) -> str:
        """A share in the words of the target.

        >>> Target("speedup", 2.0).shown(0.4), Target("macs", 0.5).shown(0.4)
        ('a speed-up of 2.50', '40.0% of the MACs')
        """
        return (
            f"a speed-up of {self.reached(share):.2f}" if self.kind == "speedup" else f"{share:.1%} of the {self.name}"
        )


@dataclass(frozen=True)
class Goal:
    """Several targets as one: the share that is left of the cost which is farthest from its target.

    Attributes:
        targets: what is wanted. wanted: by kind, the share that is to be left.
    """

    targets: tuple[Target, ...]
    wanted: Mapping[Kind, float]

    @property
    def share(self) -> float:
        """The share that is to be left."""
        return min(self.wanted.values())

    def combine(self, shares: Mapping[Kind, float]) -> float:
        """One share for those of all targets: 1 of the whole net, :attr:`share` or less where all are reached."""
        return self.share * max(shares[target.kind] / self.wanted[target.kind] for target in self.targets)

    def shown(self, share: float) -> str:
        """A combined share in words."""
        if len(self.targets) == 1:
            return self.targets[0].shown(share)
        return f"{share / self.share:.2f} times what the targets leave"

    def shown_each(self, shares: Mapping[Kind, float]) -> str:
        """The share of each target in words."""
        return " and ".join(target.shown(shares[target.kind]) for target in self.targets)


@dataclass(frozen=True)
class Pick(Generic[What]):
    """What goes, and the share that is predicted to be left. ``exhausted``: nothing more can go."""

    what: What
    share: float
    exhausted: bool = False


def lowest_first(
    order: Sequence[Removal],
    predict: Callable[[tuple[Removal, ...]], float | None],
    aim: float,
) -> Pick[tuple[Removal, ...]]:
    """The layers and blocks that bring the predicted share to ``aim``, by the order alone.

    They are taken one after the other until the aim is reached, one at least. One that would overshoot it, that saves
    nothing, or that cannot go together with those before is passed over; at the end one that was passed over is taken
    all the same if that comes nearer, or if nothing else goes and it is within 15 %.

    Args:
        order: what may go, lowest score first.
        predict: the share that is left without these; ``None`` where such a net cannot be built.
        aim: the share that is to be left.
    """
    taken: tuple[Removal, ...] = ()
    share = 1.0
    large: list[Removal] = []
    for removal in order:
        if taken and share <= aim * (1 + SLACK):
            break
        after = predict((*taken, removal))
        if after is None or after >= share:
            continue
        if after < aim * (1 - SLACK):
            large.append(removal)
            continue
        taken, share = (*taken, removal), after
    reached = bool(taken) and share <= aim * (1 + SLACK)
    nearest = Pick(taken, share, exhausted=not reached and not large)
    for removal in [] if reached else large:
        after = predict((*taken, removal))
        if after is None or after >= share:
            continue
        if _far(after, aim) < _far(nearest.share, aim) or (not nearest.what and within_tolerance(after, aim)):
            nearest = Pick((*taken, removal), after)
    return nearest


def smallest_ratio(
    what_at: Callable[[float], What],
    predict: Callable[[What], float | None],
    aim: float,
    most: float | None = None,
) -> Pick[What]:
    """What goes at the smallest ratio, in hundredths, whose predicted share is ``aim`` or less, or that before it.

    Nothing goes only where the least that can go is more than 15 % too much. That the share falls as the ratio grows is
    assumed: the ratio is bisected, in seven predictions.

    Args:
        what_at: what goes at a ratio in 0..1. predict: the share that is left; ``None`` where it cannot be built.
        most: the ratio that is not exceeded.

    Raises:
        PlanError: no ratio can be built.
    """
    known: dict[int, Pick[What]] = {}
    ratios = _RATIOS if most is None else (*(ratio for ratio in _RATIOS if ratio < most), most)

    def at(index: int) -> Pick[What] | None:
        if index not in known:
            try:
                what = what_at(ratios[index])
            except PlanError:
                return None
            share = predict(what)
            if share is None:
                return None
            known[index] = Pick(what, share)
        return known[index]

    low, high = 0, len(ratios) - 1
    while low < high:
        middle = (low + high) // 2
        found = at(middle)
        if found is None or found.share <= aim:  # a net that cannot be built has lost too much
            high = middle
        else:
            low = middle + 1
    near = [choice for index in (low - 1, low) if index >= 0 and (choice := at(index)) is not None]
    if not near:
        near = list(known.values())
    if not near:
        raise PlanError("No filters of this net can go.", "See why: cnngraph plan NAME --method filters --ratio 0.1")
    nearest = min(near, key=lambda choice: _far(choice.share, aim))
    if nearest.share == 1:
        least = [choice for choice in near if choice.share < 1 and within_tolerance(choice.share, aim)]
        nearest = min(least, key=lambda choice: _far(choice.share, aim), default=nearest)
    last = low == len(ratios) - 1 or at(low) is None
    return Pick(nearest.what, nearest.share, exhausted=last and nearest.share > aim * (1 + SLACK))


@dataclass(frozen=True)
class TargetSearch(Generic[What]):
    """How the search went.

    Attributes:
        what: what goes. share: what is left, the median of the measurements of that net. wanted: what was to be left.
        predicted: the share that had been predicted for it.
        measured: the share of every net that was built, in order.
        exhausted: everything that can go goes.
    """

    what: What
    share: float
    wanted: float
    predicted: float
    measured: tuple[float, ...]
    exhausted: bool

    @property
    def on_target(self) -> bool:
        """Whether the share is within 15 % of what was wanted."""
        return within_tolerance(self.share, self.wanted)


def search_target(
    wanted: float,
    choose: Callable[[float], Pick[What]],
    measure: Callable[[What], float],
    *,
    least: int = 2,
    time_left: Callable[[], bool] = lambda: True,
) -> TargetSearch[What]:
    """Choose by prediction, measure the net that is really built, correct the aim by what the prediction missed, again.

    It ends when a net within 5 % of what is wanted has been measured ``least`` times, when no other net comes out of a
    correction, or after six measurements. While all nets miss the target on the same side, a correction that leads back
    to a known one is made again, from where it led. The net that comes out, the nearest, was measured ``least`` times.

    Args:
        wanted: the share that is to be left. choose: what goes for a predicted share. measure: the share that is left.
        least: 2 where measurements scatter, 1 where they count.
        time_left: whether one more net may be built and measured; the first always is.
    """
    aim = wanted
    choices: list[Pick[What]] = []
    shares: list[list[float]] = []  # of each choice, as often as it was measured
    order: list[float] = []
    pushes = 0
    while len(order) < ROUNDS and (not order or time_left()):
        choice = choose(aim)
        index = next((i for i, known in enumerate(choices) if known.what == choice.what), len(choices))
        if index == len(choices):
            choices.append(choice)
            shares.append([])
        elif len(shares[index]) >= least:
            # The correction leads back to a net that is known: what it saves is less than what a prediction sees.
            if pushes == _PUSHES or choice.exhausted or not _missed_on_one_side(shares, wanted):
                break
            pushes += 1
            aim = _clamped(aim * wanted / statistics.median(shares[index]))
            continue
        pushes = 0
        share = measure(choice.what)
        shares[index].append(share)
        order.append(share)
        middle = statistics.median(shares[index])
        if _far(middle, wanted) > math.log(1 + NEAR):
            aim = _clamped(choice.share * wanted / middle)
        elif len(shares[index]) >= least:
            break
    best = min(range(len(choices)), key=lambda i: _far(statistics.median(shares[i]), wanted))
    found = choices[best]
    while len(shares[best]) < least and time_left():
        shares[best].append(measure(found.what))
        order.append(shares[best][-1])
    return TargetSearch(
        found.what, statistics.median(shares[best]), wanted, found.share, tuple(order), choices[best].exhausted
    )


def _missed_on_one_side(shares: list[list[float]], wanted: float) -> bool:
    """Whether no net landed, and all are too large or all too small: between two nets there may be none."""
    middles = [statistics.median(of_one) for of_one in shares]
    landed = any(within_tolerance(middle, wanted) for middle in middles)
    return not landed and (min(middles) > wanted or max(middles) < wanted)


def within_tolerance(share: float, wanted: float) -> bool:
    """Whether a share is within 15 % of what is wanted, on either side."""
    return _far(share, wanted) <= math.log(1 + TOLERANCE)


def _clamped(aim: float) -> float:
    return min(max(aim, 1e-3), 1 - 1e-3)


def _far(share: float, wanted: float) -> float:
    """The same for twice as much as for half as much."""
    return abs(math.log(max(share, 1e-9) / wanted))
