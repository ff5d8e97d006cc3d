"""What a person sees: progress and remarks on stderr, results on stdout; rich is imported only to draw."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

__all__ = [
    "Progress",
    "Quiet",
    "be_verbose",
    "detail",
    "emit_json",
    "number",
    "progress",
    "say",
    "say_all",
    "table",
    "warn",
]

_verbose = False


SILENCE = 10.0  # seconds without a word after which a long phase gives a sign of life


class Progress(Protocol):
    """What long work calls; ``total`` may be unknown (None)."""

    def start(self, what: str, total: float | None = None) -> None:
        """Begin a phase; the one before it is finished."""

    def advance(self, amount: float = 1) -> None:
        """Report work done in the current phase, in the unit of its total."""

    def note(self, text: str) -> None:
        """Say one line without disturbing the bar."""


class Quiet:
    """A Progress that shows nothing: the default of every Python function."""

    def start(self, what: str, total: float | None = None) -> None:
        return

    def advance(self, amount: float = 1) -> None:
        return

    def note(self, text: str) -> None:
        return


class _Bar:
    """Progress on a terminal: a bar for the phase that is running, one line for each that is over."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None

    def start(self, what: str, total: float | None = None) -> None:
        self.finish()
        self._task = self._bar.add_task(what, total=total)

    def advance(self, amount: float = 1) -> None:
        if self._task is not None:
            self._bar.advance(self._task, amount)

    def note(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Turn the bar of the last phase into a line: many bars at once would run over the screen."""
        if self._task is not None:
            task = next(task for task in self._bar.tasks if task.id == self._task)
            self._bar.remove_task(self._task)
            self.note(f"{task.description} ({task.elapsed or 0:.0f} s)")
            self._task = None


class _Lines:
    """Progress where stderr is no terminal: one line a phase, and a sign of life where nothing else is said."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._what = ""
        self._began = self._said = time.monotonic()
        self._done: float = 0
        self._total: float | None = None

    def start(self, what: str, total: float | None = None) -> None:
        with self._lock:
            self._what, self._done, self._total = what, 0, total
            self._began = time.monotonic()
        self.note(what)

    def advance(self, amount: float = 1) -> None:
        self._done += amount

    def note(self, text: str) -> None:
        self._said = time.monotonic()
        say(text)

    def watch(self, over: threading.Event) -> None:
        """Say how far the phase is whenever nothing was said for :data:`SILENCE` seconds, until ``over`` is set."""
        while not over.wait(0.5):
            with self._lock:
                now = time.monotonic()
                if not self._what or now - self._said < SILENCE:
                    continue
                done = f", {number(round(self._done))} of {number(round(self._total))}" if self._total else ""
                self.note(f"{self._what} goes on: {now - self._began:.0f} s{done}")


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display on stderr: a bar on a terminal, a line a phase elsewhere."""
    if not sys.stderr.isatty():
        lines, over = _Lines(), threading.Event()
        watcher = threading.Thread(target=lines.watch, args=(over,), daemon=True)
        watcher.start()
        try:
            yield lines
        finally:
            over.set()
            watcher.join()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        bar = _Bar(bars)
        yield bar
        bar.finish()


def say(text: str) -> None:
    """One line for a person, on stderr."""
    print(text, file=sys.stderr, flush=True)


def say_all(texts: Iterable[str]) -> None:
    """Several lines for a person."""
    for text in texts:
        say(text)


def warn(text: str) -> None:
    """One line that a person should not miss, on stderr."""
    say(f"warning: {text}")


def be_verbose() -> None:
    """Let :func:`detail` speak: ``-v`` was typed."""
    global _verbose
    _verbose = True


def detail(text: str) -> None:
    """One line that only a person who typed ``-v`` wants, on stderr."""
    if _verbose:
        say(text)


def emit_json(value: Mapping[str, Any]) -> None:
    """The one JSON object of ``--json``, on stdout; NaN and infinity are written as null."""
    from math import isfinite

    def clean(item: Any) -> Any:
        if isinstance(item, float):
            return item if isfinite(item) else None
        if isinstance(item, Mapping):
            return {str(key): clean(entry) for key, entry in item.items()}
        if isinstance(item, list | tuple):
            return [clean(entry) for entry in item]
        return item

    print(json.dumps(clean(value), indent=2, allow_nan=False, default=str), flush=True)


def number(value: object) -> str:
    """A figure for a table: thousands separated, floats to four significant digits, None as a dash.

    >>> number(1234567), number(0.123456), number(None)
    ('1,234,567', '0.1235', '-')
    """
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A plain aligned table on stdout; numbers to the right."""
    from itertools import zip_longest

    cells = [[number(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(list(headers), *cells, fillvalue="")]
    right = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(headers))]
    if title:
        print(title)
    for line in [list(headers), ["-" * width for width in widths], *cells]:
        padded = [
            cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(line, widths, right, strict=True)
        ]
        print("  ".join(padded).rstrip())
