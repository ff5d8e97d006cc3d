"""``bench``: every method at one budget, beside the unpruned net and a smaller one from scratch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.option_groups import Grouped, spread
from cnngraph.cli.options import ModelName, Precision, RunOptions, above_zero, separate, writable
from cnngraph.cli.train import BatchSize, Epochs, LearningRate
from cnngraph.console import duration, emit_json, line, progress, say, table
from cnngraph.errors import CnngraphError

if TYPE_CHECKING:
    from cnngraph.reporting.bench_rows import BenchRow, Spread

__all__ = ["print_found", "print_preview", "register", "require_no_error"]

_MANY = 1000  # seconds and milliseconds, from which there are no decimals in a terminal


@dataclass(frozen=True)
class BenchOptions:
    """Which methods, at which budgets, and how their nets are trained."""

    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Those of prune that can be held to a budget (default: all of them): repeat it, or use commas.",
            callback=separate,
        ),
    ] = None
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=VALUE",
            help="macs=0.5, parameters=0.5 (what is left, a share or a count), mb=1, latency_ms=2, or speedup=2: "
            "repeat it, or use commas.",
            callback=separate,
        ),
    ] = None
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None
    seeds: Annotated[
        int, typer.Option(min=1, help="Nets of each method and budget, each with a seed of its own: 3 show a spread.")
    ] = 1
    precision: Precision = "auto"
    minutes: Annotated[
        float | None, typer.Option(help="Begin no net that would be done later than this.", callback=above_zero)
    ] = None


@dataclass(frozen=True)
class FileOptions:
    """What is written beside the graph."""

    out: Annotated[
        Path | None,
        typer.Option(help="Write a page there: plots, table, all points; one HTML file.", callback=writable),
    ] = None
    csv: Annotated[Path | None, typer.Option(help="Write all points there, one a row.", callback=writable)] = None
    picture: Annotated[Path | None, typer.Option(help="Write the plots there, an .svg file.", callback=writable)] = None


def bench(name: ModelName, choice: BenchOptions, files: FileOptions, run: RunOptions) -> None:
    """Hold every method to the same budget, and put the nets side by side: mean and spread over seeds.

    Each net is stored in the graph with its lineage as it is made, the unpruned net that is trained for as long beside
    them. The same command goes on after an interruption; one with more methods, budgets or seeds makes only what is
    new, and the page shows all that were ever made.

    Example: cnngraph bench demo --budget macs=0.5 --epochs 2 --dry-run

    Example: cnngraph bench demo --methods multilayer,filters,random --budget macs=0.5 --seeds 3 --out bench.html

    Example: cnngraph bench demo --budget macs=0.5,speedup=2 --minutes 60 --csv points.csv --picture bench.svg
    """
    from cnngraph.api import offline

    said = vars(choice) | {"data": run.data, "data_root": run.data_root, "device": run.device, "seed": run.seed}
    offline.check_bench(said, vars(files))
    keep_freed_memory()
    with connection.graph() as graph, progress() as bars:
        found = graph.bench(name, **said, **vars(files), dry_run=run.dry_run, progress=bars)
    if run.json:
        emit_json(found)
    elif run.dry_run:
        print_preview(found)
    else:
        print_found(found)
    require_no_error(found["left"] if not run.dry_run else [])


def print_preview(found: dict[str, Any]) -> None:
    """What would be trained and written."""
    table(("method", "budget"), [(method, budget) for budget in found["budgets"] for method in found["methods"]])
    count, epochs = found["trainings"], found["epochs_in_all"]
    if not count:
        line("Nothing is left to train.")
        return
    line(
        f"{count:,} training{'s' * (count != 1)}, {epochs:,} epoch{'s' * (epochs != 1)} together, "
        f"about {duration(found['seconds'])} and what decisions, proofs and storing take; "
        f"{found['would_write']['models']:,} models in the graph."
    )


def print_found(found: dict[str, Any]) -> None:
    """A table a budget, what it shows, what is left, and where the files are."""
    from cnngraph.reporting.bench import name_left
    from cnngraph.reporting.bench_rows import FIGURES, Spread, in_order, read_rows, sentences

    rows, said = read_rows(found), sentences(found)
    for budget in found["budgets"]:
        ordered = in_order(rows, budget)
        known = [one for one in FIGURES if any(row.spread(one[0]).mean is not None for _, row in ordered)]
        epochs = {row.spread("epochs") for _, row in ordered} - {Spread()}
        figures = [one for one in known if one[0] != "epochs" or len(epochs) > 1]  # a terminal is narrow
        cells = [
            [rank, row.method, _met(row), *(_written(row.spread(key), form) for key, _, form in figures)]
            for rank, row in ordered
        ]
        table(("#", "method", "met", *(heading for _, heading, _ in figures)), cells, title=f"\n{budget}")
        for sentence in said[budget]:
            line(sentence)
    for one in found["left"]:
        if not one.get("why"):
            say(f"Not made yet: {name_left(one)}")
    for file in ("page", "csv", "picture"):
        if found[file]:
            say(f"Wrote {found[file]}")
    if not found["page"]:
        say("Next: the same command with --out bench.html writes a page, and makes nothing twice.")


def require_no_error(left: list[dict[str, Any]]) -> None:
    """Raise CnngraphError where a net ended in an error that says nothing of its method."""
    from cnngraph.reporting.bench import name_left

    ended = [one for one in left if one.get("why")]
    if ended:
        raise CnngraphError(
            f"{len(ended)} net{'s' * (len(ended) != 1)} ended in an error, the first: {name_left(ended[0])}: "
            f"{ended[0]['why']}.",
            "The same command tries again, and makes nothing twice.",
        )


def _met(row: BenchRow) -> str:
    """How many seeds meet the budget, of how many."""
    return f"{row.seeds}" if row.is_beside else f"{row.meets}/{row.seeds}"


def _written(spread: Spread, form: str) -> str:
    """Mean and spread of a figure, in as few letters as a terminal has room for."""
    from cnngraph.reporting.bench_axes import short_count
    from cnngraph.reporting.bench_rows import COUNT

    if form != COUNT or spread.mean is None:
        return spread.written(form if (spread.mean or 0) < _MANY else "{:,.0f}", gap="")
    return " ±".join(short_count(value) for value in (spread.mean, spread.sd) if value is not None)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(cls=Grouped)(spread(bench))
