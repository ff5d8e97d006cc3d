"""A survey as a row of ``docs/coverage.csv``: ``python -m tests.coverage.record NET`` prints it as JSON."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tests.coverage.survey import CHECKS, KINDS, Row, survey

__all__ = ["COLUMNS", "as_record"]

COLUMNS = (
    "net",
    "input",
    "parameters",
    *(f"{kind}_{check}" for kind in KINDS for check in CHECKS),
    "relative_difference",
    "seconds",
    "slowest_removal_seconds",
    "peak_mb",
    "surveyed",
    "reasons",
)


def as_record(row: Row) -> dict[str, Any]:
    """The row by column. ``reasons`` says of every cell that is not full why not; what should work says FAILED."""
    cells = {f"{kind}_{check}": str(cell) for (kind, check), cell in row.cells.items()}
    return {
        "net": row.net,
        "input": "x".join(map(str, row.input_shape)),
        "parameters": row.parameters,
        **cells,
        "relative_difference": "" if row.difference is None else f"{row.difference:.1e}",
        "seconds": round(row.seconds, 1),
        "slowest_removal_seconds": round(row.surgery_seconds, 2),
        "peak_mb": round(row.peak_mb),
        "surveyed": datetime.now(UTC).date().isoformat(),
        "reasons": "; ".join(_reasons(row)),
    }


def _reasons(row: Row) -> Iterable[str]:
    yield from (f"FAILED {what}: {reason}" for what, reason in row.failures.items())
    together: dict[str, list[str]] = {}
    for name, reason in row.refused.items():
        together.setdefault(reason.removeprefix(f"{name} cannot go: "), []).append(name)
    yield from (f"{', '.join(names)}: {reason.rstrip('.')}" for reason, names in together.items())
    empty = [kind for kind in KINDS if row.cells[kind, "eval"].total == 0]
    yield from (f"the net has no {kind}" for kind in empty)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(as_record(survey(sys.argv[1]))))
