"""One self-contained HTML page about a bench: every method at one budget, how sure its order is, and all points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnngraph.datasets.images_from import ImagesFrom
from cnngraph.errors import OptionError
from cnngraph.files import write_text
from cnngraph.reporting.bench_plots import AGAINST, KeyEntry, draw_plot, key_of, require_svg, write_picture
from cnngraph.reporting.bench_points import CONTROL, SCRATCH, BenchPoint, write_points
from cnngraph.reporting.bench_rows import FIGURES, BenchRow, budget_in_words, in_order, read_rows, sentences
from cnngraph.reporting.rendering import render

__all__ = [
    "POINT_HEADS",
    "how_it_was_measured",
    "name_left",
    "point_rows",
    "require_files",
    "sentences",
    "write_bench",
    "write_files",
]

POINT_HEADS = (
    "method",
    "budget",
    "seed",
    "budget met",
    *(heading for _, heading, _ in FIGURES),
    "precision",
    "recall",
    "net in the graph",
    "why not",
)
_ALSO = {"precision": "{:.4f}", "recall": "{:.4f}"}
_SHORT = 60  # points up to which the list of them is unfolded
_WHOLE = {"accuracy": "{:.4f}", "kappa": "{:.4f}", "latency_ms": "{:.3f}", "parameters": "{:,}", "macs": "{:,}"}


@dataclass(frozen=True)
class _TableRow:
    """A row as the page shows it; ``cells``: each figure's mean and standard deviation."""

    rank: str
    method: str
    kind: str
    cells: Sequence[tuple[str, str]]
    met: str


@dataclass(frozen=True)
class _Section:
    """What the page shows of one budget."""

    budget: str
    meaning: str
    sentences: Sequence[str]
    plots: Sequence[str]
    key: Sequence[KeyEntry]
    rows: Sequence[_TableRow]


def write_bench(path: str | Path, result: Mapping[str, Any]) -> Path:
    """Write the page about a result of ``bench``, atomically; everything it shows is inside the one file."""
    rows = read_rows(result)
    said = sentences(result)
    sections = [
        _Section(
            budget,
            budget_in_words(budget),
            said[budget],
            [plot for against in AGAINST if (plot := draw_plot(result, budget, against))],
            key_of(result, budget),
            [_table_row(rank, row) for rank, row in in_order(rows, budget)],
        )
        for budget in result["budgets"]
    ]
    html = render(
        "bench.html",
        title=f"{result['model']}: every method at one budget",
        sections=sections,
        heads=[heading for _, heading, _ in FIGURES],
        parent=_parent_cells(result["parent"]),
        measured=how_it_was_measured(result),
        left=_left_in_words(result.get("left") or ()),
        point_heads=POINT_HEADS,
        points=point_rows(result),
        short=len(result["points"]) <= _SHORT,
    )
    return write_text(path, html)


def require_files(**files: str | Path | None) -> None:
    """Return if ``out``, ``csv`` and ``picture`` can be files of a bench, as far as that is known before the long work.

    Raises:
        OptionError: the picture is no .svg file, one is a folder, or two are the same.
    """
    named = {name: Path(path) for name, path in files.items() if path is not None}
    if "picture" in named:
        require_svg(named["picture"])
    whole: dict[Path, str] = {}
    for name, path in named.items():
        if path.is_dir():
            raise OptionError(f"{{{name}={path}}} is a folder.", "Name a file in it.")
        other = whole.setdefault(path.resolve(), name)
        if other != name:
            raise OptionError(f"{{{other}}} and {{{name}}} name the same file, {path}.", "Name two.")


def write_files(
    result: Mapping[str, Any],
    *,
    out: str | Path | None = None,
    csv: str | Path | None = None,
    picture: str | Path | None = None,
) -> dict[str, str | None]:
    """Write what was asked for of a result of ``bench``: the page, its points, its plots as an SVG file.

    Returns:
        ``page, csv, picture``: where each is; ``None`` where it was not asked for.

    Raises:
        OptionError: as :func:`require_files`.
    """
    require_files(out=out, csv=csv, picture=picture)
    return {
        "page": None if out is None else str(write_bench(out, result)),
        "csv": None if csv is None else str(write_points(csv, result["points"])),
        "picture": None if picture is None else str(write_picture(picture, result)),
    }


def how_it_was_measured(result: Mapping[str, Any]) -> list[str]:
    """On which images, after what training, and where the milliseconds were measured: sentences."""
    said = []
    judged = ImagesFrom.read(result.get("judged_on"))
    if judged is not None:
        said.append(
            f"Accuracy, kappa, precision and recall: on {judged.words}; the last two are means over the classes."
        )
    epochs, seeds = result["epochs"], result["seeds"]
    images = f" on {result['trained_on']:,} images" if result.get("trained_on") else ""
    images += f" in {result['trained_in']}" if result.get("trained_in") else ""
    said.append(
        f"Every method and the control retrain for {epochs:,} epoch{'s' * (epochs != 1)}{images}, a method with more "
        "steps than that for one a step; a net from scratch trains for the epochs of the parent too, where they are "
        "known. The points below say how many each had."
    )
    spread = "there is no spread" if seeds == 1 else "figures are means ± standard deviations over the seeds"
    said.append(f"Each has {seeds} seed{'s' * (seeds != 1)}, so {spread}.")
    on = result.get("latency_on") or {}
    where = ", ".join(
        [str(on[name]) for name in ("device", "runtime") if on.get(name)]
        + [f"batches of {on['batch']}" for _ in (0,) if on.get("batch")]
        + [str(result["machine"]) for _ in (0,) if result.get("machine")]
    )
    said.append(
        f"Milliseconds are medians of a forward pass{f' ({where})' if where else ''}; the speed-up is that over the "
        "whole net, both measured in turns. Milliseconds of different moments are less sure, so that nets stand in the "
        "plot at the milliseconds of the whole net over their speed-up."
    )
    said.append("Seconds are those that a method took: to decide, to cut and to train.")
    said.append(
        "A method that does not meet the budget with every seed, or was trained for longer, has no rank. The others do "
        "not leave exactly as much as each other: look at what a budget counts before you call one better."
    )
    return said


def point_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """All points that were ever made, under :data:`POINT_HEADS`."""
    rows = []
    for said in result["points"]:
        point = BenchPoint.read(said)
        known = point.as_json()
        figures = [_written(known[key], form) for key, _, form in FIGURES]
        more = [_written(known[key], form) for key, form in _ALSO.items()]
        met = "-" if point.method in (CONTROL, SCRATCH) else "yes" if point.meets else "no"
        names = [point.method, point.budget or "-", str(point.seed), met]
        rows.append([*names, *figures, *more, point.new_model or "-", point.why or "-"])
    return rows


def _table_row(rank: int | None, row: BenchRow) -> _TableRow:
    kind = "beside" if row.is_beside else "met" if row.has_rank else "unmet"
    spreads = [(row.spread(key), form) for key, _, form in FIGURES]
    cells = [(_written(spread.mean, form), _written(spread.sd, f"± {form}", "")) for spread, form in spreads]
    return _TableRow("-" if rank is None else str(rank), row.method, kind, cells, row.met_in_words)


def _parent_cells(parent: Mapping[str, Any]) -> list[str]:
    """The figures of the whole net, under the same headings."""
    return [_written(parent.get(key), _WHOLE.get(key, form)) for key, _, form in FIGURES]


def _left_in_words(left: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is not made yet, and what ended in an error."""
    said = []
    if names := [name_left(one) for one in left if not one.get("why")]:
        said.append(f"Not made yet: {'; '.join(names)}. The same command goes on with them.")
    if names := [f"{name_left(one)} ({one['why']})" for one in left if one.get("why")]:
        said.append(f"Ended in an error: {'; '.join(names)}. The same command tries again.")
    return said


def name_left(one: Mapping[str, Any]) -> str:
    """A point that is not there, in words.

    >>> name_left({"method": "control", "budget": None, "seed": 1})
    'control seed 1'
    """
    return " ".join(part for part in (one["method"], one["budget"], f"seed {one['seed']}") if part)


def _written(value: float | None, form: str, nothing: str = "-") -> str:
    return nothing if value is None else form.format(value)
