"""A baseline to start from: train a named architecture, or evaluate a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet, warn
from cnngraph.datasets.images_from import ImagesFrom
from cnngraph.errors import ConflictError
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cnngraph.datasets.registry import Data
    from cnngraph.training.evaluate import Evaluation
    from cnngraph.training.execution import Execution
    from cnngraph.training.fit import Recipe
    from cnngraph.training.own_trainer import OwnTrainer

__all__ = [
    "Trained",
    "evaluate",
    "expect_epoch",
    "first_batch",
    "scores_of",
    "settings_of",
    "train",
    "train_net",
    "training_recipe",
]


def training_recipe(
    typed: Mapping[str, int | float | None], *, seed: int, base: Mapping[str, Any] | None = None
) -> Recipe:
    """How to train: what was typed, over ``base`` (a baseline's own recipe), over the defaults."""
    from dataclasses import fields

    from cnngraph.training.fit import Recipe

    names = {field.name for field in fields(Recipe)}
    known = {name: value for name, value in (base or {}).items() if name in names}
    return Recipe(**known | {name: value for name, value in typed.items() if value is not None} | {"seed": seed})


def first_batch(subject: LoadedModel, recipe: Recipe) -> Tensor:
    """Training images (N, channels, height, width), as many as one step takes: how to train is measured on them."""
    train = subject.data.train
    return train[range(min(recipe.batch_size, len(train)))][0]


def expect_epoch(subject: LoadedModel, recipe: Recipe, execution: Execution) -> float:
    """Seconds of an epoch of the net, reckoned from a few steps on this machine."""
    from cnngraph.training.execution import expect_epoch_seconds

    steps = math.ceil(len(subject.data.train) / recipe.batch_size)
    return expect_epoch_seconds(subject.model, first_batch(subject, recipe), steps, execution)


@dataclass(frozen=True)
class Trained:
    """What a training took: epochs (one that stops early does fewer), mean seconds of one, seconds in all."""

    epochs: int
    epoch_seconds: float
    seconds: float


def train_net(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    trainer: OwnTrainer | None,
    *,
    device: str,
    checkpoint: Path,
    progress: Progress,
    execution: Execution | None = None,
) -> Trained:
    """Train in place, by ``trainer`` or by our own loop, which alone keeps a checkpoint to go on from.

    Args:
        execution: how our own loop runs; ``None``: it measures what is faster.
    """
    if trainer is not None:
        progress.start(f"Training by {trainer.name}")
        seconds = trainer.fit(model, data.train, data.validation, recipe, device)
        return Trained(recipe.epochs, seconds / recipe.epochs, seconds)
    from cnngraph.training.fit import fit

    done = fit(
        model,
        data.train,
        data.validation,
        **asdict(recipe),
        device=device,
        execution=execution,
        checkpoint=checkpoint,
        progress=progress,
    )
    return Trained(len(done.history), done.epoch_seconds, done.seconds)


def settings_of(recipe: Recipe, trainer: OwnTrainer | None) -> dict[str, Any]:
    """What a saved model tells of its training."""
    return trainer.settings(recipe) if trainer is not None else asdict(recipe)


def train(
    model: ModelChoice,
    data: DataChoice,
    recipe: Recipe,
    out: Path,
    *,
    trainer: OwnTrainer | None = None,
    device: str = "auto",
    keep_initial: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and save; a run that was interrupted goes on from its last epoch.

    Args:
        keep_initial: keep the weights that it begins with beside those that it ends with.

    Raises:
        ConflictError: ``out`` is there and is no checkpoint of this very run.
    """
    from cnngraph.models.initial import initial_of, set_initial
    from cnngraph.surgery import saved
    from cnngraph.training.evaluate import evaluate as score

    progress = progress or Quiet()
    if out.exists():
        raise ConflictError(f"{out} exists.", "Choose another --out, or remove it: a saved model is never overwritten.")
    progress.start("Opening the model and the data")
    subject = open_model(model, data, progress)
    set_initial(subject.model, initial_of(subject.model) if keep_initial else None)
    checkpoint = out.with_name(f".{out.name}.checkpoint")
    done = train_net(
        subject.model, subject.data, recipe, trainer, device=device, checkpoint=checkpoint, progress=progress
    )
    progress.start("Evaluating on the test images")
    found = score(subject.model, subject.data.test, device=device)
    saved.save(
        subject.model,
        out,
        facts=saved.SavedFacts(
            preprocessing=subject.preprocessing,
            classes=subject.data.classes,
            dataset=data.name,
            training=settings_of(recipe, trainer)
            | {"epoch_seconds": done.epoch_seconds, "data": subject.choice.model_dump(mode="json")},
            trained=True,
            split=subject.split,
        ),
    )
    checkpoint.unlink(missing_ok=True)
    judged = replace(subject, trained=True).images_from("test", found.images)
    return {"model": str(out)} | asdict(done) | _scores(found, judged)


def evaluate(
    model: ModelChoice, data: DataChoice, *, device: str = "auto", progress: Progress | None = None
) -> dict[str, Any]:
    """Accuracy, macro precision and recall, and kappa on the test images; and per class."""
    progress = progress or Quiet()
    progress.start("Opening the model and the data")
    subject = open_model(model, data, progress, parts=("test",))
    from cnngraph.training.evaluate import evaluate as score

    progress.start("Evaluating on the test images")
    found = score(subject.model, subject.data.test, device=device)
    return {"model": model.name, "trained": subject.trained} | _scores(found, subject.images_from("test", found.images))


def _scores(found: Evaluation, judged: ImagesFrom) -> dict[str, Any]:
    return scores_of(found, judged) | {"per_class": list(found.per_class)}


def scores_of(found: Evaluation, judged: ImagesFrom, net: str = "") -> dict[str, Any]:
    """How good a net is, as JSON has it; an accuracy near chance is said, with ``net``, which it is, in words."""
    from cnngraph.training.chance import near_chance

    useless = near_chance(found)
    if useless:
        warn(f"{net}: {useless}" if net else useless)
    return {
        "accuracy": found.accuracy,
        "precision": found.precision,
        "recall": found.recall,
        "kappa": found.kappa,
        "near_chance": useless is not None,
        "images_from": judged.as_json(),
    }
