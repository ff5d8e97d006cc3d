"""Integers that remember where they come from, so that surgery knows which of them follow a number of channels.

A size that ``forward`` reads off a tensor follows by itself. One that a module stored when it was built
(``self.width``) must be set anew. One that is written in the code cannot change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

__all__ = ["Labels", "MeasuredSize", "StoredSize", "TrackedInt", "remember_sizes"]

Labels = npt.NDArray[np.int64]
_PLAIN = (nn.Linear.__module__.rpartition(".")[0],)  # torch's own layers: surgery knows their sizes by name


@dataclass(unsafe_hash=True)
class StoredSize:
    """An attribute of the module at path ``owner``; ``index`` where it is a tuple or list of numbers.

    ``used``: the code also computes with the number (divides by it, scales by it), so that it must not change.
    """

    owner: str
    attribute: str
    index: int | None = None
    used: bool = field(default=False, compare=False)


@dataclass(eq=False)
class MeasuredSize:
    """A size read off a tensor while the net runs; ``labels`` of the channels along that axis (0: no channel)."""

    labels: Labels
    used: bool = False


class TrackedInt(int):
    """An integer with its source, which arithmetic with other integers keeps: ``width // 2`` still knows ``width``.

    ``function``: gives this number for another value of the source.
    """

    source: StoredSize | MeasuredSize
    function: Callable[[int], int]

    def __new__(
        cls, value: int, source: StoredSize | MeasuredSize, function: Callable[[int], int] | None = None
    ) -> TrackedInt:
        made = super().__new__(cls, value)
        made.source = source
        made.function = function or _same
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> int:
        return int(self)

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)

    @property
    def is_source(self) -> bool:
        """Whether it is the source's own number, not one reckoned from it."""
        return self.function is _same

    def mark_used(self) -> None:
        """Note that the code computes with the number, so that it must not change."""
        self.source.used = True

    def __float__(self) -> float:
        self.mark_used()
        return super().__float__()

    def __truediv__(self, other: Any) -> Any:
        self.mark_used()
        return super().__truediv__(other)

    def __rtruediv__(self, other: Any) -> Any:
        self.mark_used()
        return super().__rtruediv__(other)

    def __pow__(self, other: Any, modulo: Any = None) -> Any:
        self.mark_used()
        return super().__pow__(other, modulo)

    def __rpow__(self, other: Any, modulo: Any = None) -> Any:
        self.mark_used()
        return super().__rpow__(other, modulo)

    def __neg__(self) -> Any:
        self.mark_used()
        return super().__neg__()

    def _combined(self, other: object, result: Any, act: Callable[[int, int], Any]) -> Any:
        if type(result) is not int:
            self.mark_used()
            return result
        mine = self.function
        if isinstance(other, TrackedInt) and other.source is self.source:
            theirs = other.function
            return TrackedInt(result, self.source, lambda value: act(mine(value), theirs(value)))
        if (
            isinstance(other, TrackedInt)
            and isinstance(other.source, MeasuredSize)
            and not isinstance(self.source, MeasuredSize)
        ):
            theirs, constant = other.function, int(self)
            return TrackedInt(result, other.source, lambda value: act(constant, theirs(value)))
        if (
            isinstance(other, TrackedInt)
            and isinstance(other.source, StoredSize)
            and isinstance(self.source, StoredSize)
        ):
            other.mark_used()  # one of two stored numbers may change, not both
        fixed = int(other)  # type: ignore[call-overload]
        return TrackedInt(result, self.source, lambda value: act(mine(value), fixed))

    def __add__(self, other: Any) -> Any:
        if isinstance(other, TrackedInt) and self.is_source and other.is_source:
            mine, theirs = self.source, other.source
            if isinstance(mine, MeasuredSize) and isinstance(theirs, MeasuredSize):
                return TrackedInt(int(self) + int(other), MeasuredSize(np.concatenate([mine.labels, theirs.labels])))
        return self._combined(other, super().__add__(other), lambda a, b: a + b)

    def __radd__(self, other: Any) -> Any:
        return self._combined(other, super().__radd__(other), lambda a, b: b + a)

    def __sub__(self, other: Any) -> Any:
        return self._combined(other, super().__sub__(other), lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Any:
        return self._combined(other, super().__rsub__(other), lambda a, b: b - a)

    def __mul__(self, other: Any) -> Any:
        return self._combined(other, super().__mul__(other), lambda a, b: a * b)

    def __rmul__(self, other: Any) -> Any:
        return self._combined(other, super().__rmul__(other), lambda a, b: b * a)

    def __floordiv__(self, other: Any) -> Any:
        return self._combined(other, super().__floordiv__(other), lambda a, b: a // b)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._combined(other, super().__rfloordiv__(other), lambda a, b: b // a)

    def __mod__(self, other: Any) -> Any:
        return self._combined(other, super().__mod__(other), lambda a, b: a % b)

    def __rmod__(self, other: Any) -> Any:
        return self._combined(other, super().__rmod__(other), lambda a, b: b % a)


def _same(value: int) -> int:
    return value


def remember_sizes(model: nn.Module) -> None:
    """Make every whole number above 1 that a module of the user's has as attribute a :class:`Count`."""
    for path, module in model.named_modules():
        if type(module).__module__.startswith(_PLAIN):
            continue
        for name, value in list(module.__dict__.items()):
            if type(value) is int and value > 1:
                module.__dict__[name] = TrackedInt(value, StoredSize(path, name))
            elif type(value) in (tuple, list) and value and all(type(part) is int for part in value):
                counts = [TrackedInt(part, StoredSize(path, name, index)) for index, part in enumerate(value)]
                module.__dict__[name] = type(value)(counts)
