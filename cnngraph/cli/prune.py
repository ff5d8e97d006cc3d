"""``prune``: the net without what goes, in the graph or, on a machine without a database, as a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.option_groups import Grouped, spread
from cnngraph.cli.options import Data, DataRoot, Device, DryRun, Json, Seed, stored_name, writable
from cnngraph.cli.plan_options import ByHand, Limits
from cnngraph.cli.plan_tables import print_pruned
from cnngraph.cli.train import BatchSize, Epochs, LearningRate, Trainer
from cnngraph.console import emit_json, progress, say

if TYPE_CHECKING:
    from cnngraph.api.choices import TrainingWords

__all__ = ["ModelOrFolder", "ToBundle", "register", "require_of_database"]

_CARDS = ("model.json", "network.json")  # of a saved model and of a bundle

ModelOrFolder = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="NAME of one's own model, or OWNER/NAME; with --to-bundle the folder of a saved model or a bundle.",
    ),
]
ToBundle = Annotated[
    Path | None,
    typer.Option(
        help="Ask no database: prune a saved model, write a bundle there; `cnngraph ingest DIR` stores it.",
        callback=writable,
    ),
]


@dataclass(frozen=True)
class TrainingOptions:
    """How the rebuilt net is trained."""

    reconstruct: Annotated[
        bool,
        typer.Option(
            "--reconstruct",
            help="Refit the layers that read removed filters to their old outputs, by least squares, before training.",
        ),
    ] = False
    no_retrain: Annotated[bool, typer.Option("--no-retrain", help="Evaluate and store without training.")] = False
    no_control: Annotated[bool, typer.Option("--no-control", help="Do not train the unpruned net beside it.")] = False
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None
    trainer: Trainer = None
    prune_weights: Annotated[
        float | None,
        typer.Option(
            help="At last so much of the weights of each layer that lost filters become zero, the smallest: a share."
        ),
    ] = None

    @property
    def words(self) -> TrainingWords:
        """The same as the rules know it."""
        from cnngraph.api.choices import TrainingWords

        recipe = {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": self.learning_rate}
        kept = not self.no_retrain, not self.no_control, self.reconstruct
        return TrainingWords(*kept, recipe, self.trainer, self.prune_weights)


def prune(
    name: ModelOrFolder,
    choice: Limits,
    by_hand: ByHand,
    training: TrainingOptions,
    as_: Annotated[
        str | None, typer.Option("--as", help="Name of the new model; default: one is made and said.")
    ] = None,
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Also write the saved model there.", callback=writable)] = None,
    to_bundle: ToBundle = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Plan, rebuild, verify, retrain, evaluate, store the new model with its lineage; goes on after an interruption.

    Example: cnngraph prune demo --method multilayer --measure degree --threshold 0.3 --as demo-slim

    Example: cnngraph prune demo --ratio 0.3 --round-to 8

    Example: cnngraph prune demo --target-macs 0.6 --no-retrain

    Example: cnngraph prune demo --method random --remove 2 --seed 1

    Example: cnngraph prune demo --method imp --rounds 5 --rate 0.2

    Example: cnngraph prune demo --remove-layer features.24 --no-retrain

    Example: cnngraph prune runs/vgg16 --plan plan.json --to-bundle slim
    """
    from cnngraph.api import offline

    said = vars(choice) | by_hand.said | {"keep": choice.keep or None, "seed": seed, "device": device}
    said |= {"data": data, "data_root": data_root}
    job = offline.choose_prune(name, said, training.words, as_name=as_, out=out, dry_run=dry_run)
    if to_bundle is None:
        require_of_database(name)
    keep_freed_memory()
    if to_bundle is not None:
        with progress() as bars:
            made, result = offline.prune_to_bundle(job, connection.settings(), to_bundle, bars)
    else:
        with connection.graph() as graph, progress() as bars:
            made, result = graph.carry_out(job, progress=bars)
    if json:
        emit_json(result)
        return
    print_pruned(made, result)
    if not dry_run:
        say(f"Next: {_next(result, out, untrained=training.no_retrain)}")


def require_of_database(name: str) -> None:
    """Refuse what can only be the path of a saved model where a model of the database is meant (exit 2)."""
    from cnngraph.errors import OptionError, UsageError

    try:
        stored_name(name)
    except UsageError as error:
        if not any((Path(name) / card).is_file() for card in _CARDS):
            raise
        raise OptionError(f"{name} is a folder.", "Add {to_bundle=DIR}, or ingest it first.") from error


def _next(result: dict[str, Any], out: Path | None, *, untrained: bool) -> str:
    if "bundle" in result:
        return f"where the database is, cnngraph ingest {result['bundle']} --name NAME"
    new = result["new_model"].split("/")[-1]
    if untrained:
        return f"train {out or result['artifact']} elsewhere, then cnngraph adopt {new} --weights FILE"
    return f"cnngraph lineage {new}"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(cls=Grouped)(spread(prune))
