"""The trainer: one loop that can be read in one sitting.

Defaults: AdamW at 1e-3, five per cent of warm-up, then a cosine to zero; gradients clipped at norm 5. They train
thirteen convs without norm as well as a ResNet. Every random choice of an epoch follows from the seed and the epoch's
number, so that a training that was interrupted and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from cnngraph.console import Progress, Quiet
from cnngraph.datasets.images import Images, loader
from cnngraph.errors import DataError, DivergedError, ModelError, UsageError, nearest
from cnngraph.models.masks import MaskedTensors, keep_zeros
from cnngraph.models.weights import copy_state
from cnngraph.modes import kept_modes
from cnngraph.training.augment import shift_and_flip
from cnngraph.training.checkpoint import Checkpoint, read_checkpoint, settings_of, write_checkpoint
from cnngraph.training.distillation import Distillation
from cnngraph.training.evaluate import evaluate
from cnngraph.training.execution import Execution, Precision, choose_execution, image_type, logits_and_loss, pick_device
from cnngraph.training.fitness import require_trainable

__all__ = ["DEFAULT_LEARNING_RATES", "Epoch", "Fit", "Recipe", "fit"]

DEFAULT_LEARNING_RATES = {"adamw": 1e-3, "sgd": 0.02}
OptimizerName = Literal["adamw", "sgd"]
_WARMUP = 0.05
_CLIP = 5.0


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs, batch_size: as ever.
        learning_rate: the highest; ``None``: the optimizer's own in DEFAULT_LEARNING_RATES.
        optimizer: adamw, or sgd with Nesterov momentum 0.9.
        weight_decay: on conv and dense weights only, not on biases and norms.
        patience: stop after so many epochs without a better validation score; ``None`` never stops early.
        augment: shift and mirror training images; wrong for digits and letters.
        seed: of order, dropout and augmentation.
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float | None = None
    optimizer: OptimizerName = "adamw"
    weight_decay: float = 5e-4
    patience: int | None = None
    augment: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}, and must be 1 or more.")
        if self.optimizer not in DEFAULT_LEARNING_RATES:
            raise UsageError(
                f"There is no optimizer {self.optimizer!r}.", nearest(self.optimizer, DEFAULT_LEARNING_RATES)
            )
        if not (math.isfinite(self.highest_rate) and self.highest_rate > 0):
            raise UsageError(f"The learning rate is {self.highest_rate:g}, and must be more than 0.")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise UsageError(f"The weight decay is {self.weight_decay:g}, and must be 0 or more.")

    @property
    def highest_rate(self) -> float:
        """The learning rate after the warm-up."""
        return self.learning_rate if self.learning_rate is not None else DEFAULT_LEARNING_RATES[self.optimizer]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images; ``seconds`` are of that pass, without validation."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Fit:
    """What a training did.

    Attributes:
        recipe: how it was trained; ``fit(..., **asdict(recipe))`` does the same again.
        history: one entry an epoch, also those before an interruption.
        best_epoch: the epoch, counted from 1, whose weights the net has now.
        epoch_seconds: mean seconds of one pass over the training images.
        seconds: of all passes and validations together.
        execution: device, precision and memory format that were used.
    """

    recipe: Recipe
    history: tuple[Epoch, ...]
    best_epoch: int
    epoch_seconds: float
    seconds: float
    execution: Execution


def fit(
    model: nn.Module,
    train: Images,
    validation: Images | None,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float | None = None,
    optimizer: OptimizerName = "adamw",
    weight_decay: float = 5e-4,
    patience: int | None = None,
    augment: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    channels_last: bool | None = None,
    execution: Execution | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    distillation: Distillation | None = None,
) -> Fit:
    """Train ``model`` in place; it ends with the weights of its best epoch, on the device, in the modes it came in.

    Args:
        model: a classifier; parameters without ``requires_grad`` are left alone. Masks that it has are put on after
            each step, so that what is pruned is exactly zero all the time.
        train: images to learn from.
        validation: images that choose the best epoch (accuracy, then loss); ``None`` or none: the last epoch is best.
        epochs, batch_size, learning_rate, optimizer, weight_decay, patience, augment, seed: see :class:`Recipe`.
        device: auto, cpu or cuda.
        precision, channels_last: see :func:`~cnngraph.training.execution.choose_execution`. Where the measurement
            decides, two runs may differ in the last bits; give both for runs that are equal bit by bit.
        execution: how it runs, where that was measured before: device, precision and channels_last then say nothing.
        checkpoint: a file written after each epoch; where it is there already, the training goes on from it.
        progress: told of every batch and epoch.
        distillation: a teacher, whose answers it learns from beside the labels.

    Raises:
        UsageError: a value out of range, an unknown device, or a precision that it lacks.
        DataError: fewer than two training images.
        ModelError: the net cannot read the images, its weights are in half precision, its teacher knows other classes,
            or the loss became NaN.
        ConflictError: the checkpoint is of another training: recipe, weights or data.
    """
    recipe = Recipe(epochs, batch_size, learning_rate, optimizer, weight_decay, patience, augment, seed)
    if len(train) < 2:
        raise DataError(f"There are {len(train)} training images.", "Training needs two or more.")
    require_trainable(model, train)
    if distillation is not None:
        distillation.require_same_classes(model, train)
    taught = {"distillation": distillation.identity if distillation is not None else None}
    settings = settings_of(model, train, asdict(recipe)) | taught if checkpoint else {}
    saved = read_checkpoint(checkpoint, settings) if checkpoint else None
    if saved:
        execution = Execution(**saved.state["execution"])
        pick_device(execution.device)
    elif execution is not None:
        execution.require_possible()
    else:
        sample = train[range(min(batch_size, len(train)))][0]
        execution = choose_execution(model, sample, device=device, precision=precision, channels_last=channels_last)
    execution = execution.safe_for(model)  # it may have been measured on another net, or asked for
    cuda = [torch.cuda.current_device()] if execution.device == "cuda" else []
    with kept_modes(model), execution.lay_out_norms(model), torch.random.fork_rng(devices=cuda):
        classes = int(train.labels.max()) + 1
        run = _Run(model, recipe, execution, progress or Quiet(), classes=classes, distillation=distillation)
        if saved:
            run.resume(saved)
        return run.go(train, validation if validation is not None and len(validation) else None, checkpoint, settings)


class _Run:
    """The state of one training between epochs."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        execution: Execution,
        progress: Progress,
        *,
        classes: int,
        distillation: Distillation | None,
    ) -> None:
        self.model = execution.place(model)
        keep_zeros(model)
        self.masked = MaskedTensors(model)
        self.optimizer = _make_optimizer(model, recipe)
        # fp16 has so few exponents that small gradients would be 0: the loss is scaled up. Without it, it does nothing.
        self.scaler = torch.amp.GradScaler(execution.device, enabled=execution.precision == "fp16")
        self.recipe, self.execution, self.progress, self.classes = recipe, execution, progress, classes
        self.distillation = distillation
        if distillation is not None:
            execution.place(distillation.teacher)
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}
        self.seconds = 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest validation accuracy, of equal ones that of the lowest loss; else the last."""
        judged = [each for each in self.history if each.validation_accuracy is not None]
        if not judged:
            return len(self.history)
        return max(judged, key=lambda each: (each.validation_accuracy, -(each.validation_loss or 0.0))).epoch

    @property
    def finished(self) -> bool:
        """All epochs are done, or ``patience`` of them brought nothing better."""
        done = len(self.history)
        tired = self.recipe.patience is not None and done - self.best_epoch >= self.recipe.patience
        return done >= self.recipe.epochs or (done > 0 and tired)

    def resume(self, saved: Checkpoint) -> None:
        """Go back to where a checkpoint stands."""
        saved.restore(self.model, self.optimizer)
        if saved.state.get("scaler"):
            self.scaler.load_state_dict(saved.state["scaler"])
        self.best = saved.best
        self.history = [Epoch(**entry) for entry in saved.state["history"]]
        self.seconds = saved.state["seconds"]
        self.progress.note(f"Going on after epoch {len(self.history)} of {self.recipe.epochs}.")

    def go(self, train: Images, validation: Images | None, checkpoint: Path | None, settings: dict[str, Any]) -> Fit:
        """Train until finished and leave the best weights in the net."""
        while not self.finished:
            start = time.perf_counter()
            epoch = self._epoch(train, validation)
            self.history.append(epoch)
            self.seconds += time.perf_counter() - start
            if self.best_epoch == epoch.epoch:
                self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
            if checkpoint:
                history = [asdict(each) for each in self.history]
                state = {"settings": settings, "history": history, "seconds": self.seconds}
                state["execution"] = asdict(self.execution)
                state["scaler"] = self.scaler.state_dict()  # empty where it does nothing
                write_checkpoint(checkpoint, state, self.model, self.best, self.optimizer)
            self.progress.note(_summary(epoch, self.recipe.epochs))
        copy_state(self.model, self.best)
        keep_zeros(self.model)  # a product may be -0.0
        return Fit(
            recipe=self.recipe,
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            epoch_seconds=sum(each.seconds for each in self.history) / len(self.history),
            seconds=self.seconds,
            execution=self.execution,
        )

    def _epoch(self, train: Images, validation: Images | None) -> Epoch:
        number = len(self.history)
        self.progress.start(f"Training, epoch {number + 1} of {self.recipe.epochs}", len(train))
        chance = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + number)
        torch.manual_seed(self.recipe.seed * 1_000_003 + number)
        batches = loader(
            train, batch_size=self.recipe.batch_size, shuffle=True, seed=chance.initial_seed(), for_training=True
        )
        self.model.train()
        start = time.perf_counter()
        loss_sum, right, seen = torch.zeros(()), 0, 0
        for place, (images, labels) in enumerate(batches):
            if self.recipe.augment:
                images = shift_and_flip(images, chance)
            rate = _rate(number * len(batches) + place, self.recipe.epochs * len(batches))
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.highest_rate * rate
            loss, hits = self._step(images, labels)
            loss_sum, right, seen = loss_sum + loss * len(labels), right + hits, seen + len(labels)
            if not torch.isfinite(loss_sum):
                raise DivergedError(
                    f"The training loss became NaN or infinite in epoch {number + 1}.",
                    f"Lower --learning-rate (it was {self.recipe.highest_rate:g}).",
                )
            self.progress.advance(len(labels))
        seconds = time.perf_counter() - start
        judged = None
        if validation is not None:
            judged = evaluate(self.model, validation, classes=self.classes, device=self.execution.device)
        return Epoch(
            epoch=number + 1,
            loss=float(loss_sum) / seen,
            accuracy=right / seen,
            validation_loss=judged.loss if judged else None,
            validation_accuracy=judged.accuracy if judged else None,
            seconds=seconds,
        )

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, int]:
        """One step of the optimizer; the batch's mean loss and its number of right answers."""
        place = self.execution.device
        images = images.to(place, image_type(self.model), memory_format=self.execution.memory_format)
        labels = labels.to(place)
        with self.execution.autocast():
            logits, loss = logits_and_loss(self.model(images), labels, self.classes)
        if self.distillation is not None:
            loss = self.distillation.loss(images, logits, loss, self.execution)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)  # the norm to clip at is of the gradients themselves
        self.masked.put_on_gradients()  # and what is pruned is no part of it
        nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.scaler.step(self.optimizer)  # leaves the step out where a gradient became infinite
        self.scaler.update()
        self.masked.put_on()  # momentum and weight decay move what has no gradient, too
        return loss.detach().float().cpu(), int((logits.argmax(dim=1) == labels).sum())


def _make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ModelError("The net has no parameter to train.", "Unfreeze some: parameter.requires_grad_(True).")
    groups = [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=recipe.highest_rate, momentum=0.9, nesterov=True)
    return AdamW(groups, lr=recipe.highest_rate)


def _rate(step: int, steps: int) -> float:
    """The learning rate of a step as a share of the highest: a short rise, then a cosine (Loshchilov, Hutter 2017).

    >>> [round(_rate(step, 40), 3) for step in (0, 1, 2, 21, 39)]
    [0.5, 1.0, 1.0, 0.5, 0.002]
    """
    rise = max(1, math.ceil(_WARMUP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _summary(epoch: Epoch, epochs: int) -> str:
    judged = ""
    if epoch.validation_accuracy is not None:
        judged = f", validation accuracy {epoch.validation_accuracy:.2%}"
    return f"Epoch {epoch.epoch}/{epochs}: loss {epoch.loss:.4f}{judged}, {epoch.seconds:.1f} s"
