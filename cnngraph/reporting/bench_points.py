"""The points of a bench, one a method, budget and seed: typed, and as a CSV file with a fixed order of columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any

from cnngraph.errors import CnngraphError, DataError, NotFoundError
from cnngraph.files import write_text
from cnngraph.validation import Fail, parse_as

__all__ = ["COLUMNS", "CONTROL", "FIGURES", "SCRATCH", "BenchPoint", "read_points", "write_points"]

_HINT = "Write it: cnngraph bench NAME --csv FILE"
CONTROL, SCRATCH = "control", "scratch"  # what stands beside the methods, under their names in `method`


@dataclass(frozen=True)
class BenchPoint:
    """One net that a method made under a budget, and what it is worth; what is not known is ``None``.

    Attributes:
        method: its name; ``control`` is the unpruned net, retrained for as long, ``scratch`` a smaller net that was
            trained from new weights.
        budget: such as ``macs=0.5``; ``None`` of the control.
        meets: whether the net is within the budget. why: why it is not, or why there is no net.
        new_model: the key of the net in the graph.
        accuracy, precision, recall, kappa: on the test images; precision and recall are means over the classes.
        latency_ms, parent_latency_ms: milliseconds a forward pass, both measured in turns. speedup: the second over
            the first.
        parameters, macs: of the net. nonzero: weights that are not zero, where a mask holds some at zero.
        epochs: that it was really trained for.
        seconds: that the method took, ``decide_seconds`` of them to decide and cut, ``train_seconds`` to train.
    """

    method: str
    budget: str | None
    seed: int
    meets: bool = False
    why: str | None = None
    new_model: str | None = None
    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    kappa: float | None = None
    latency_ms: float | None = None
    parent_latency_ms: float | None = None
    speedup: float | None = None
    parameters: int | None = None
    nonzero: int | None = None
    macs: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    decide_seconds: float | None = None
    train_seconds: float | None = None

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> BenchPoint:
        """A point of the JSON of ``bench``; more keys are fine, and NaN is as good as not known, as in the JSON."""
        return cls(**{name: _finite(said[name]) for name in COLUMNS if name in said})

    def as_json(self) -> dict[str, Any]:
        """All of it, by name."""
        return asdict(self)

    @property
    def weights(self) -> int | None:
        """The parameters that count: those that are not zero where a mask holds some at zero, else all."""
        return self.parameters if self.nonzero is None else self.nonzero


COLUMNS = tuple(one.name for one in fields(BenchPoint))
_ABOUT = ("method", "budget", "seed", "meets", "why", "new_model")
FIGURES = tuple(name for name in COLUMNS if name not in _ABOUT)  # of a net


def write_points(path: str | Path, points: Iterable[Mapping[str, Any]]) -> Path:
    """Write points of the JSON of ``bench`` as CSV, atomically: :data:`COLUMNS`, one row a point in the order given.

    What is not known is an empty cell; numbers have all their digits.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for said in points:
        point = BenchPoint.read(said).as_json()
        writer.writerow([_cell(point[name]) for name in COLUMNS])
    return write_text(path, text.getvalue())


def read_points(path: str | Path) -> list[BenchPoint]:
    """The points of a file that :func:`write_points` wrote, or that a spreadsheet saved from it.

    Raises:
        NotFoundError: there is no such file. DataError: it has other columns, or a cell that is no such value.
    """
    source = Path(path)
    if not source.is_file():
        raise NotFoundError(f"There is no file {source}.", _HINT)

    def fail(why: str) -> DataError:
        return DataError(f"{source} holds no points of a bench: {why}.", _HINT)

    try:
        reader = csv.DictReader(StringIO(source.read_text(encoding="utf-8-sig")), strict=True)
        heads, rows = reader.fieldnames or (), list(reader)
    except (ValueError, csv.Error) as error:
        raise fail(str(error)) from error
    if odd := sorted(set(heads) ^ set(COLUMNS)):
        raise fail(f"these columns are missing or unknown: {', '.join(odd)}")
    found = []
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise fail(f"row {number} has more or fewer cells than there are columns")
        known = {name: value for name, value in row.items() if value != ""}
        found.append(parse_as(BenchPoint, {"budget": None} | known, partial(_fail_in_row, fail, number)))
    return found


def _fail_in_row(fail: Fail, number: int, why: str) -> CnngraphError:
    return fail(f"row {number}: {why}")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
