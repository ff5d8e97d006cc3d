"""What a person sees: progress and remarks on stderr, results on stdout; rich is imported only to draw."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, Protocol

__all__ = [
    "Progress",
    "Quiet",
    "be_verbose",
    "detail",
    "duration",
    "emit_json",
    "line",
    "number",
    "progress",
    "say",
    "say_all",
    "table",
    "warn",
]

_verbose = False


# Tables and text on stdout fit the terminal and are never cut: cells are wrapped, rows that are still too wide stand
# upright. Numbers are never wrapped.
_GAP = 2
_NARROW = 20  # a name is broken (after a slash, dot, hyphen or underscore if it can be) only where it is longer
_ELSEWHERE = 100  # columns where stdout is no terminal and COLUMNS is not set
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


def duration(seconds: float) -> str:
    """How long something takes, in the unit that reads best.

    >>> duration(0.2), duration(42), duration(192), duration(9000)
    ('0.2 s', '42 s', '3.2 minutes', '2.5 hours')
    """
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"


def line(text: str = "") -> None:
    """Print text, wrapped where it is wider than the terminal; its own line breaks and indents stay."""
    for part in text.split("\n"):
        indent = part[: len(part) - len(part.lstrip())]
        print("\n".join(_wrap(part, _width(), indent + "  ")) if part else "")


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print a plain aligned table; numbers to the right."""
    cells = [[number(cell) for cell in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(headers))]
    columns = [
        _pointed(list(column)) if r else list(column)
        for column, r in zip(zip(*cells, strict=True), right, strict=False)
    ]
    cells = [list(row) for row in zip(*columns, strict=True)] if rows else []
    if title:
        line(title)
    widths = _fitting(list(headers), cells, right)
    if widths is None:
        _print_upright(list(headers), cells)
        return
    print("\n".join(_row(list(headers), widths, right)))
    print(_joined(["-" * width for width in widths]))
    for row in cells:
        print("\n".join(_row(row, widths, right)))


def _width() -> int:
    return max(40, shutil.get_terminal_size((_ELSEWHERE, 24)).columns)


def _fitting(headers: list[str], cells: list[list[str]], right: list[bool]) -> list[int] | None:
    """A width for each column, the widest texts narrowed as far as it takes; ``None`` where it cannot be done."""
    columns = list(zip_longest(headers, *cells, fillvalue=""))
    widths = [max(map(len, column)) for column in columns]
    free = _width() - _GAP * (len(widths) - 1)
    for narrowest in (_width(), _NARROW):  # words are broken only where whole ones do not fit
        least = [
            max(map(len, [*_pieces(header), *values]))
            if is_number
            else min(narrowest, max(map(len, [*_pieces(header), *_words(values)])))
            for is_number, (header, *values) in zip(right, columns, strict=True)
        ]
        while sum(widths) > free:
            wider = [i for i, width in enumerate(widths) if width > least[i]]
            if not wider:
                break
            widths[max(wider, key=lambda i: widths[i])] -= 1
    return widths if sum(widths) <= free else None


def _words(cells: Sequence[str]) -> list[str]:
    return ["", *" ".join(cells).split()]


def _pieces(header: str) -> list[str]:
    return ["", *header.replace("_", "_ ").replace("-", "- ").split()]


def _pointed(cells: list[str]) -> list[str]:
    """Numbers of one column with their decimal points under each other.

    >>> _pointed(["3.776", "25.3", "7", "-"])
    ['3.776', '25.3  ', '7    ', '-    ']
    """
    parts = [cell.partition(".") for cell in cells]
    wide = max((len(point + digits) for _, point, digits in parts), default=0)
    return [whole + (point + digits).ljust(wide) for whole, point, digits in parts]


def _row(cells: list[str], widths: list[int], right: list[bool]) -> list[str]:
    """The lines of one row."""
    wrapped = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = zip_longest(*wrapped, fillvalue="")
    return [
        _joined([part.rjust(w) if r else part.ljust(w) for part, w, r in zip(parts, widths, right, strict=True)])
        for parts in lines
    ]


def _joined(parts: list[str]) -> str:
    return (" " * _GAP).join(parts).rstrip()


def _print_upright(headers: list[str], cells: list[list[str]]) -> None:
    """One line a value, an empty line between rows."""
    wide = max(map(len, headers), default=0)
    for count, row in enumerate(cells):
        if count:
            print()
        for header, cell in zip(headers, row, strict=True):
            begin = f"{header.ljust(wide)}{' ' * _GAP}"
            print("\n".join(_wrap(begin + cell, _width(), " " * len(begin))).rstrip())


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of at most ``width``; all but the first begin with ``indent``."""
    if len(text) <= width:
        return [text]
    wrapper = textwrap.TextWrapper(
        width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False, replace_whitespace=False
    )
    lines = []
    for part in wrapper.wrap(text):
        rest = part
        while len(rest) > width:
            places = [found.end() for found in re.finditer(r"[/._-]", rest[:width])]
            place = places[-1] if places and places[-1] > len(indent) + 1 else width
            lines.append(rest[:place])
            rest = indent + rest[place:]
        lines.append(rest)
    return lines
