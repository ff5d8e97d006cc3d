"""Kills a job right after some calls, again and again, until it comes to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

Made = TypeVar("Made")


class Killer:
    """Counts calls in ``calls``, by the name of what is called, and kills after some of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.calls: Counter[str] = Counter()

    def kill_after(self, target: str, *ends: int) -> None:
        """Calls of ``target`` with these numbers work, and the process is killed right after them."""
        home, _, name = target.rpartition(".")
        real = getattr(__import__(home, fromlist=[name]), name)

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            found = real(*arguments, **options)
            if self.calls[name] in ends:
                raise KeyboardInterrupt
            return found

        self._monkeypatch.setattr(target, call)


def repeat_until_done(work: Callable[[], Made]) -> tuple[Made, int]:
    """What ``work`` gives once it is not killed, and how many runs that took."""
    runs = 0
    while True:
        runs += 1
        try:
            return work(), runs
        except KeyboardInterrupt:
            continue
