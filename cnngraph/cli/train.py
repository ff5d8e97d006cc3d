"""``train``: a baseline to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.option_groups import spread
from cnngraph.cli.options import (
    Device,
    Json,
    Seed,
    writable,
)
from cnngraph.cli.source_options import DataOptions, Model, ModelOptions, NewHead, RequiredData, judged
from cnngraph.console import emit_json, progress, say

__all__ = ["BatchSize", "Epochs", "LearningRate", "Trainer", "register"]

Epochs = Annotated[int | None, typer.Option(min=1, max=10_000, help="Passes over the training images.")]
BatchSize = Annotated[int | None, typer.Option(min=1, max=65_536, help="Images a step.")]
LearningRate = Annotated[float | None, typer.Option(min=1e-9, max=100, help="Peak learning rate.")]
Trainer = Annotated[
    str | None,
    typer.Option(help="Train by your own package.module:fit(model, train_loader, validation_loader, ...) instead."),
]


def train(
    model: Model,
    data: RequiredData,
    out: Annotated[Path, typer.Option(help="Folder of the saved model; must not exist.", callback=writable)],
    net: ModelOptions,
    images: DataOptions,
    new_head: NewHead = False,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    trainer: Trainer = None,
    keep_initial: Annotated[
        bool,
        typer.Option(
            "--keep-initial",
            help="Keep the weights that it begins with, for prune --method imp --rewind weights.",
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train a net and save it. The same command continues a training that was interrupted.

    Example: cnngraph train cnngraph:vgg16 --width 0.25 --data digits --out runs/vgg16
    """
    from cnngraph.api import offline

    typed = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    keep_freed_memory()
    with progress() as bars:
        result = offline.train(
            net.choose(model, seed=seed, new_head=new_head),
            images.choose(data, seed=seed),
            offline.training_recipe(typed, seed=seed),
            out,
            trainer=offline.find_trainer(trainer),
            device=device,
            keep_initial=keep_initial,
            progress=bars,
        )
    if json:
        emit_json(result)
        return
    say(
        f"Saved {out}: accuracy {result['accuracy']:.4f} on {judged(result)}, "
        f"after {result['epochs']} epochs of {result['epoch_seconds']:.1f} s."
    )
    say(f"Next: cnngraph ingest {out} --data {data} --name NAME")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(spread(train))
