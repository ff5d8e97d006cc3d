"""How long a search may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cnngraph.console import Progress
from cnngraph.errors import PlanError

__all__ = ["TimeBudget"]


@dataclass
class TimeBudget:
    """So many minutes from now; ``None``: as long as it takes.

    >>> now = iter([0.0, 30.0, 59.0])
    >>> budget = TimeBudget(1.0, clock=lambda: next(now))
    >>> budget.allows(20), budget.allows(20)
    (True, False)
    """

    minutes: float | None = None
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock() if self.minutes is not None else 0.0

    def allows(self, seconds: float = 0.0) -> bool:
        """Whether something that takes so long would still end in time."""
        return self.minutes is None or self.clock() - self._began + seconds <= 60 * self.minutes

    def say_left(self, left: str, progress: Progress, *, nothing: str | None, hint: str) -> None:
        """Say what there is no time for, in words, and that it can be gone on with.

        Args:
            nothing: what of all that was asked for was not done ("trained"); ``None`` where some of it was.
            hint: what to change then.

        Raises:
            PlanError: nothing was done.
        """
        said = f"The {self.minutes:g} minutes do not reach for {left}"
        if nothing is not None:
            raise PlanError(f"{said}: nothing was {nothing}.", hint)
        progress.note(f"{said}: the same command goes on there.")
