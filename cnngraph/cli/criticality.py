"""``criticality`` and its preset ``triage``: what each block of a net is worth, by what it costs to do without."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any, Literal

import typer

from cnngraph.cli import connection
from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.option_groups import Grouped, spread
from cnngraph.cli.options import ModelName, Precision, RunOptions, above_zero, separate
from cnngraph.cli.train import BatchSize, Epochs, LearningRate
from cnngraph.console import emit_json, line, progress, say, table
from cnngraph.vocabulary import SCHEMES

__all__ = ["register"]


@dataclass(frozen=True)
class TrialOptions:
    """Which blocks, by which schemes, and how they are trained."""

    blocks: Annotated[
        list[str] | None,
        typer.Option(help="auto: all; or names of show --blocks: repeat it, or use commas.", callback=separate),
    ] = None
    schemes: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(SCHEMES)}: repeat it, or use commas.", callback=separate),
    ] = None
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None
    seeds: Annotated[int, typer.Option(min=1, help="Trials of each block and scheme, each with a seed of its own.")] = 1
    precision: Precision = "auto"
    temperature: Annotated[
        float | None,
        typer.Option(help="Of distill and parent-distill: softens the answers. Default: 4.", callback=above_zero),
    ] = None
    alpha: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Of the same: the share of the parent's answers, the labels have the rest. Default: 0.9."
        ),
    ] = None
    minutes: Annotated[
        float | None, typer.Option(help="Begin no trial that would end later than this.", callback=above_zero)
    ] = None


def criticality(name: ModelName, trials: TrialOptions, run: RunOptions) -> None:
    """Say what each block is worth: take it out, join the ends, train shortly, and look at what is lost.

    Each trial is stored in the graph as it is done; the same command goes on after an interruption. By default the
    schemes join and tuned are tried; the others put one layer in the block's place.

    Example: cnngraph criticality demo --epochs 2

    Example: cnngraph criticality demo --blocks layer1.0 --schemes join,fitted --json
    """
    _try(name, trials, run, "criticality")


def triage(name: ModelName, trials: TrialOptions, run: RunOptions) -> None:
    """Say what each block is worth if one layer takes its place: criticality by the schemes of Deep Net Triage.

    The new layer starts at random or from the block's filters; it alone is trained (local), the whole net (global), or
    the net by the parent's answers (distill). Ours beside them: fitted to the block's output by least squares.

    Example: cnngraph triage demo --epochs 3 --dry-run

    Example: cnngraph triage demo --blocks features.1 --schemes parent-global,fitted --seeds 3 --minutes 30
    """
    _try(name, trials, run, "triage")


def _try(name: str, trials: TrialOptions, run: RunOptions, command: Literal["criticality", "triage"]) -> None:
    from cnngraph.api import offline

    said = vars(trials) | {"data": run.data, "data_root": run.data_root, "device": run.device, "seed": run.seed}
    offline.check_criticality(said)
    keep_freed_memory()
    with connection.graph() as graph, progress() as bars:
        work = graph.triage if command == "triage" else graph.criticality
        found = work(name, **said, dry_run=run.dry_run, progress=bars)
    if run.json:
        emit_json(found)
    elif run.dry_run:
        _print_preview(found)
    else:
        _print_found(name, found)


def _print_preview(found: dict[str, Any]) -> None:
    table(("block", "kind"), [[block["block"], block["kind"]] for block in found["blocks"]])
    _say_skipped(found["blocks"])
    count, epochs = found["trainings"], found["epochs"]
    trainings = f"{count:,} training{'s' * (count != 1)} of {epochs:,} epoch{'s' * (epochs != 1)}"
    written = found["would_write"]
    blocks = f", {written['blocks']:,} Block nodes" if written["blocks"] else ""
    line(f"{trainings}; {written['criticalities']:,} Criticality nodes{blocks} in the graph.")


def _print_found(name: str, found: dict[str, Any]) -> None:
    schemes = list(dict.fromkeys(one["scheme"] for block in found["blocks"] for one in block["schemes"]))
    tried = [block for block in found["blocks"] if block["criticality"] is not None]
    columns = ("block", "kind", "criticality", "best_scheme", "epochs_to_95", "parameters_saved", "macs_saved")
    title = f"What is lost of the accuracy {found['parent']['accuracy']:.4f} on the validation images without a block"
    table(columns, [[block[column] for column in columns] for block in tried], title=title)
    rows = [[block["block"], *(_mean(block["schemes"], scheme) for scheme in schemes)] for block in tried]
    table(("block", *schemes), rows, title="\naccuracy by scheme, the mean over its seeds")
    _say_skipped(found["blocks"])
    if tried:
        least = min(tried, key=lambda block: block["criticality"])
        if least["carry_out"] is None:
            say(f"{least['best_scheme']} learns from the net before, which prune cannot: see the other schemes.")
            say(f"Next: cnngraph query criticality --model {name}")
        else:
            say(f"Next: cnngraph prune {name} {least['carry_out']}")


def _say_skipped(blocks: list[dict[str, Any]]) -> None:
    """Why blocks were not tried, or not by all schemes."""
    for block in blocks:
        reasons: dict[str, list[str]] = {}
        for scheme, reason in block["skipped"].items():
            reasons.setdefault(reason, []).append(scheme)
        for reason, schemes in reasons.items():
            line(f"{block['block']} was not tried by {', '.join(schemes)}: {reason}")


def _mean(entries: list[dict[str, Any]], scheme: str) -> float | None:
    """The accuracy of a scheme, the mean over its seeds."""
    mine = [one["accuracy"] for one in entries if one["scheme"] == scheme and one["failed"] is None]
    return fmean(mine) if mine else None


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(cls=Grouped)(spread(criticality))
    app.command(cls=Grouped)(spread(triage))
