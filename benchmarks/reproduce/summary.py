"""The claims of all five papers beside what came out here, as one table in the README.

    python benchmarks/reproduce/summary.py

Reads what the five scripts beside it have found, in benchmarks/results; of a script with findings at several scales the
scale that has most. Where nothing is found on this machine, what stands in the README stays, or "not run".
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import Findings, read_section, write_section  # noqa: E402 (the checkout is no installed package)

__all__ = ["PAPERS", "Paper", "largest_scale", "table"]

NAME = "reproduce/summary"
README = ROOT / "README.md"
NOT_RUN = "not run"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Paper:
    """A paper and the script that reproduces it.

    Attributes:
        cell: how its rows begin. findings: of its script, by name; keys: of these. scale: the fields of a finding that
            say at which scale it was found, by what it is about. module: has ``summarise``, rows to rows of the table.
    """

    cell: str
    findings: str
    keys: tuple[str, ...]
    about: str
    scale: tuple[str, ...]
    module: str
    chosen: Callable[[Row], bool] = lambda _: True


PAPERS = (
    Paper(
        "multilayer: Amelio et al. 2022",
        "reproduce_multilayer",
        ("setting", "data", "judged", "seed", "protocol", "way"),
        "data",
        ("setting",),
        "multilayer_page",
        lambda row: bool(row["judged"] == "test"),
    ),
    Paper(
        "car: Abbasi-Asl & Yu 2021",
        "reproduce_car",
        ("setting", "net", "seed", "layer", "method"),
        "net",
        ("setting",),
        "car",
    ),
    Paper(
        "progressive: Osaku et al. 2021",
        "reproduce/progressive",
        ("title", "seed", "epochs", "images_per_class"),
        "title",
        ("epochs", "images_per_class"),
        "progressive",
    ),
    Paper(
        "triage: Nowak & Corso 2018",
        "reproduce/triage",
        ("title", "scale", "seed", "block", "scheme"),
        "title",
        ("scale",),
        "triage_page",
    ),
    Paper(
        "imp: Ansuini et al. 2020",
        "reproduce/imp",
        ("title", "scale", "seed", "what"),
        "title",
        ("scale",),
        "imp_page",
    ),
)


def main() -> None:
    """Write the table."""
    kept = rows_of(read_section(NAME, README))
    write_section(NAME, table(summaries(), kept), README)


def summaries() -> dict[str, list[tuple[str, str, str]]]:
    """By paper, what its script has found: what it is about, the paper's claim, ours."""
    found = {}
    for paper in PAPERS:
        rows = [row for row in Findings(paper.findings, paper.keys).all() if paper.chosen(row)]
        module = importlib.import_module(f"benchmarks.reproduce.{paper.module}")
        found[paper.cell] = list(module.summarise(largest_scale(rows, paper.about, paper.scale))) if rows else []
    return found


def largest_scale(rows: Sequence[Row], about: str, scale: Sequence[str]) -> list[Row]:
    """Of the findings about one thing those of the scale that has most of them; of equals the later.

    >>> rows = [{"title": "a", "scale": 1}, {"title": "a", "scale": 2}, {"title": "a", "scale": 2}]
    >>> len(largest_scale(rows, "title", ("scale",)))
    2
    """

    def scale_of(row: Row) -> tuple[Any, ...]:
        return (row[about], *(row[name] for name in scale))

    counts = Counter(map(scale_of, rows))
    last = {scale_of(row): place for place, row in enumerate(rows)}
    best = {
        title: max((one for one in counts if one[0] == title), key=lambda one: (counts[one], last[one]))
        for title in {one[0] for one in counts}
    }
    return [row for row in rows if scale_of(row) == best[row[about]]]


def table(
    found: Mapping[str, Sequence[tuple[str, str, str]]], kept: Mapping[str, Sequence[tuple[str, str, str]]]
) -> str:
    """A row a claim; of a paper without findings the rows that stood there, or that it was not run."""
    lines = ["| paper | tried on | the paper's claim | here |", "|---|---|---|---|"]
    for paper in PAPERS:
        rows = found.get(paper.cell) or kept.get(paper.cell) or [("", "", NOT_RUN)]
        lines += [f"| {' | '.join((paper.cell, *row))} |" for row in rows]
    return "\n".join(lines)


def rows_of(text: str) -> dict[str, list[tuple[str, str, str]]]:
    """By paper, the rows of a table that stands there."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    known = {paper.cell for paper in PAPERS}
    for line in text.splitlines():
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        if len(cells) == 4 and cells[0] in known and cells[3] != NOT_RUN:
            found.setdefault(cells[0], []).append((cells[1], cells[2], cells[3]))
    return found


if __name__ == "__main__":
    main()
