"""``criticality``: what each block of a net is worth, by what it costs to do without."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.option_groups import Grouped, spread
from cnngraph.cli.options import Data, DataRoot, Device, DryRun, Json, ModelName, Seed, above_zero
from cnngraph.cli.train import BatchSize, Epochs, LearningRate
from cnngraph.console import emit_json, line, progress, say, table
from cnngraph.vocabulary import SCHEMES

__all__ = ["register"]

_TRAINING = "Of each training"


def _separate(values: list[str] | None) -> list[str] | None:
    """Names that stand one after the other with commas between, each by itself."""
    names = [name.strip() for value in values or () for name in value.split(",")]
    if any(not name for name in names):
        raise typer.BadParameter("an empty text names nothing")
    return names or None


@dataclass(frozen=True)
class TrialOptions:
    """Which blocks, by which schemes, and how they are trained."""

    blocks: Annotated[
        list[str] | None,
        typer.Option(help="auto: all; or names of show --blocks: repeat it, or use commas.", callback=_separate),
    ] = None
    schemes: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(SCHEMES)}: repeat it, or use commas.", callback=_separate),
    ] = None
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None
    seeds: Annotated[int, typer.Option(min=1, help="Trials of each block and scheme, each with a seed of its own.")] = 1
    minutes: Annotated[
        float | None, typer.Option(help="Begin no trial that would end later than this.", callback=above_zero)
    ] = None


def criticality(
    name: ModelName,
    trials: TrialOptions,
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Say what each block is worth: take it out, join the ends, train shortly, and look at what is lost.

    Each trial is stored in the graph as it is done; the same command goes on after an interruption.

    Example: cnngraph criticality demo --epochs 2

    Example: cnngraph criticality demo --blocks layer1.0 --schemes join --json
    """
    from cnngraph.api import offline

    said = vars(trials) | {"data": data, "data_root": data_root, "device": device, "seed": seed}
    offline.check_criticality(said)
    keep_freed_memory()
    with connection.graph() as graph, progress() as bars:
        found = graph.criticality(name, **said, dry_run=dry_run, progress=bars)
    if json:
        emit_json(found)
    elif dry_run:
        _print_preview(found)
    else:
        _print_found(name, found)


def _print_preview(found: dict[str, Any]) -> None:
    table(("block", "kind", "cannot be tried"), [list(block.values()) for block in found["blocks"]])
    count, written = found["trainings"], found["would_write"]["criticalities"]
    line(f"{count} trainings of {found['epochs']} epochs; {written} Criticality nodes in the graph.")


def _print_found(name: str, found: dict[str, Any]) -> None:
    schemes = list(dict.fromkeys(one["scheme"] for block in found["blocks"] for one in block["schemes"]))
    columns = ("block", "kind", "criticality", "best_scheme", "epochs_to_95", "parameters_saved", "macs_saved")
    rows = [
        [block[column] for column in columns] + [_mean(block["schemes"], scheme) for scheme in schemes]
        for block in found["blocks"]
        if block["skipped"] is None
    ]
    parent = found["parent"]["accuracy"]
    title = f"What is lost of the accuracy of {parent:.4f} on the validation images without a block, by the best scheme"
    table((*columns, *schemes), rows, title=title)
    for block in found["blocks"]:
        if block["skipped"] is not None:
            line(f"{block['block']} was not tried: {block['skipped']}")
    tried = [block for block in found["blocks"] if block["criticality"] is not None]
    if tried:
        least = min(tried, key=lambda block: block["criticality"])
        say(f"Next: cnngraph prune {name} --remove-block {least['block']}")


def _mean(entries: list[dict[str, Any]], scheme: str) -> float | None:
    """The accuracy of a scheme, the mean over its seeds."""
    mine = [one["accuracy"] for one in entries if one["scheme"] == scheme and one["accuracy"] is not None]
    return fmean(mine) if mine else None


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(cls=Grouped)(spread(criticality))
