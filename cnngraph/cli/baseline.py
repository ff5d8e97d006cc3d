"""``train`` and ``evaluate``: a baseline to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.option_groups import spread
from cnngraph.cli.options import (
    Channels,
    DataRoot,
    Device,
    ImagesPerClass,
    Json,
    Seed,
    Size,
    SplitOptions,
    ValueRange,
    WeightsKey,
    writable,
)
from cnngraph.cli.options import weights_key as checked_key
from cnngraph.console import emit_json, progress, say, table

if TYPE_CHECKING:
    from cnngraph.training.own_trainer import OwnTrainer

__all__ = ["BatchSize", "Epochs", "LearningRate", "Trainer", "own_trainer", "register"]

Epochs = Annotated[int | None, typer.Option(min=1, max=10_000, help="Passes over the training images.")]
BatchSize = Annotated[int | None, typer.Option(min=1, max=65_536, help="Images a step.")]
LearningRate = Annotated[float | None, typer.Option(min=1e-9, max=100, help="Peak learning rate.")]
Trainer = Annotated[
    str | None,
    typer.Option(help="Train by your own package.module:fit(model, train_loader, validation_loader, ...) instead."),
]
Model = Annotated[
    str,
    typer.Argument(
        help="Architecture (cnngraph:vgg16, torchvision:resnet18, timm:NAME, python:module:factory) or a saved model."
    ),
]
RequiredData = Annotated[
    str, typer.Option(help="digits, mnist, fashion-mnist, cifar10, cifar100, svhn, caltech101 or folder:PATH.")
]


def train(
    model: Model,
    data: RequiredData,
    out: Annotated[Path, typer.Option(help="Folder of the saved model; must not exist.", callback=writable)],
    split: SplitOptions,
    data_root: DataRoot = None,
    weights: Annotated[str | None, typer.Option(help="Start from these: pretrained, or a file.")] = None,
    weights_key: WeightsKey = None,
    new_head: Annotated[bool, typer.Option(help="A fresh classifier where the weights' classes do not fit.")] = False,
    width: Annotated[float, typer.Option(min=0.01, max=8, help="Width factor of the small-image nets.")] = 1.0,
    size: Size = None,
    channels: Channels = None,
    value_range: ValueRange = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    trainer: Trainer = None,
    images_per_class: ImagesPerClass = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train a net and save it. The same command continues a training that was interrupted.

    Example: cnngraph train cnngraph:vgg16 --width 0.25 --data digits --out runs/vgg16
    """
    from cnngraph.chain.baseline import train as run
    from cnngraph.chain.baseline import training_recipe
    from cnngraph.chain.data_choice import DataChoice
    from cnngraph.chain.subject import ModelChoice

    keep_freed_memory()
    with progress() as bars:
        result = run(
            ModelChoice(
                name=model,
                weights=weights,
                weights_key=checked_key(weights_key, weights),
                new_head=new_head,
                width=width,
                size=size,
                channels=channels,
                value_range=value_range,
                seed=seed,
            ),
            DataChoice(
                name=data,
                root=str(data_root.resolve()) if data_root else None,
                seed=seed,
                images_per_class=images_per_class,
                **split.as_choice,
            ),
            training_recipe({"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}, seed=seed),
            out,
            trainer=own_trainer(trainer),
            device=device,
            progress=bars,
        )
    if json:
        emit_json(result)
        return
    say(
        f"Saved {out}: accuracy {result['accuracy']:.4f} on {_judged(result)}, "
        f"after {result['epochs']} epochs of {result['epoch_seconds']:.1f} s."
    )
    say(f"Next: cnngraph ingest {out} --data {data} --name NAME")


def evaluate(
    model: Model,
    data: RequiredData,
    split: SplitOptions,
    data_root: DataRoot = None,
    weights: Annotated[str | None, typer.Option(help="pretrained, or a file of weights.")] = None,
    weights_key: WeightsKey = None,
    width: Annotated[float, typer.Option(min=0.01, max=8, help="Width factor of the small-image nets.")] = 1.0,
    size: Size = None,
    channels: Channels = None,
    value_range: ValueRange = None,
    images_per_class: ImagesPerClass = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Evaluate a model on the test images: accuracy, macro precision and recall, and per class.

    Example: cnngraph evaluate runs/vgg16 --data digits
    """
    from cnngraph.chain.baseline import evaluate as run
    from cnngraph.chain.data_choice import DataChoice
    from cnngraph.chain.subject import ModelChoice

    keep_freed_memory()
    with progress() as bars:
        result = run(
            ModelChoice(
                name=model,
                weights=weights,
                weights_key=checked_key(weights_key, weights),
                width=width,
                size=size,
                channels=channels,
                value_range=value_range,
                seed=seed,
            ),
            DataChoice(
                name=data,
                root=str(data_root.resolve()) if data_root else None,
                seed=seed,
                images_per_class=images_per_class,
                **split.as_choice,
            ),
            device=device,
            progress=bars,
        )
    if json:
        emit_json(result)
        return
    say(f"Judged on {_judged(result)}.")
    table(("figure", "value"), [(name, result[name]) for name in ("accuracy", "precision", "recall")])
    headers = list(result["per_class"][0]) if result["per_class"] else []
    table(headers, [list(row.values()) for row in result["per_class"]], title="\nper class")


def _judged(result: dict[str, Any]) -> str:
    from cnngraph.datasets.images_from import ImagesFrom

    return ImagesFrom(**result["images_from"]).words


def own_trainer(name: str | None) -> OwnTrainer | None:
    """The function that was typed as ``--trainer``; raises as :func:`~cnngraph.training.own_trainer.find_trainer`."""
    from cnngraph.training.own_trainer import find_trainer

    return find_trainer(name) if name is not None else None


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(spread(train))
    app.command()(spread(evaluate))
