"""Axes and labels of the plots of a bench: where a value stands, which ticks are written, where a name has room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, cos, floor, hypot, log10, pi, sin

__all__ = ["Axis", "Box", "Label", "LabelPlacer", "apart", "short_count"]

_LETTER = 6.6  # pixels of a letter of 12, about
_HIGH = 13.0  # pixels of a line of text
_WIDE_RANGE = 12.0  # values that differ by more than this factor stand on a logarithmic axis


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` at pixel ``begin`` to ``high`` at pixel ``end``."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], begin: float, end: float, *, may_be_log: bool = False) -> Axis:
        """An axis that holds all values, with some room on both sides."""
        known = list(values)
        low, high = min(known), max(known)
        if may_be_log and low > 0 and high / low > _WIDE_RANGE:
            room = (high / low) ** 0.06
            return cls(low / room, high * room, begin, end, log=True)
        room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - room, high + room, begin, end)

    def place(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = (log10(one) if self.log else one for one in (self.low, self.high, value))
        return self.begin + (at - low) / (high - low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values on the axis, some five of them.

        >>> Axis(0.89, 0.97, 0, 100).ticks()
        [0.9, 0.92, 0.94, 0.96]
        """
        if self.log:
            powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            found = [lead * 10.0**power for power in powers for lead in (1, 2, 5)]
            return [value for value in found if self.low <= value <= self.high]
        whole = self.high - self.low
        unit = 10.0 ** floor(log10(whole / 5))
        step = next(unit * lead for lead in (1, 2, 5, 10) if whole / (unit * lead) <= 6)
        first = ceil(self.low / step)
        return [round(number * step, 10) for number in range(first, floor(self.high / step) + 1)]


@dataclass(frozen=True)
class Box:
    """A rectangle that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two have anything in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def within(self, other: Box) -> bool:
        """Whether it lies in the other one."""
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Label:
    """A name beside its mark: its lower left corner, and whether a line leads to it from the mark."""

    text: str
    x: float
    y: float
    led: bool


@dataclass
class LabelPlacer:
    """Finds a place for each name where it covers no other name and no mark.

    Attributes:
        frame: names stay inside it. taken: where no name may stand.
    """

    frame: Box
    taken: list[Box] = field(default_factory=list)

    def keep_free(self, x: float, y: float, radius: float) -> None:
        """No name may cover what is drawn there."""
        self.taken.append(Box(x - radius, y - radius, x + radius, y + radius))

    def place(self, text: str, x: float, y: float) -> Label | None:
        """The nearest free place around ``(x, y)``; ``None`` where there is none."""
        wide = _LETTER * len(text)
        for distance in (12.0, 17.0, 24.0, 34.0, 46.0, 60.0):
            for turn in (0, 1, -1, 2, -2, 3, -3, 4, 6, -6, 5, -5, 7, -7, 8):
                angle = turn * pi / 8
                dx, dy = distance * cos(angle), -distance * sin(angle)
                left = x + dx - wide * (1 - cos(angle)) / 2
                box = Box(left, y + dy - _HIGH / 2, left + wide, y + dy + _HIGH / 2)
                if box.within(self.frame) and not any(box.meets(other) for other in self.taken):
                    self.taken.append(box)
                    return Label(text, left, y + dy + 4, led=hypot(dx, dy) > 20)
        return None


def apart(heights: Sequence[float], least: float = _HIGH) -> list[float]:
    """The heights moved so far that each two are at least ``least`` apart, in their order.

    >>> apart([10.0, 11.0, 40.0], 10.0)
    [5.5, 15.5, 40.0]
    """
    order = sorted(range(len(heights)), key=lambda number: heights[number])
    groups: list[list[int]] = []

    def middle(group: Sequence[int]) -> float:
        return sum(heights[number] for number in group) / len(group)

    for number in order:
        groups.append([number])
        while len(groups) > 1 and middle(groups[-1]) - middle(groups[-2]) < least * sum(map(len, groups[-2:])) / 2:
            groups[-2:] = [groups[-2] + groups[-1]]
    moved = list(heights)
    for group in groups:
        first = middle(group) - least * (len(group) - 1) / 2
        for place, number in enumerate(group):
            moved[number] = first + least * place
    return moved


def short_count(value: float) -> str:
    """A count in few letters, to four digits: for an axis, or a terminal.

    >>> short_count(1_500_000), short_count(20_000), short_count(135_158.2), short_count(7)
    ('1.5M', '20k', '135.2k', '7')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
