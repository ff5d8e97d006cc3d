"""One step of a prune that trains between its steps: choose what goes, cut it, train what may change, judge."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress
from cnngraph.database.records import StepTaken
from cnngraph.jobs.baseline import train_net
from cnngraph.jobs.pruned import Retraining, choose_once, save_net, shared_execution, trained_alone
from cnngraph.jobs.workspace import JobFolder
from cnngraph.plan import Plan
from cnngraph.pruning.stepwise import Stepwise
from cnngraph.sources.loaded import LoadedModel
from cnngraph.validation import parse_stored

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.training.execution import Execution
    from cnngraph.training.fit import Recipe

__all__ = ["SEEDS_APART", "Walk", "many", "recipe_of", "recipe_of_step", "score", "step_in_words", "take_step"]

SEEDS_APART = 7919  # between the seeds of steps: more than anybody asks seeds for, so that no two trainings share one


@dataclass
class Walk:
    """How far the steps are.

    Attributes:
        net: where the net is that the steps have left; ``None``: no step was taken. masked: where the one is that the
            last step with a mask has left. plans, taken: of the steps so far.
        epochs, epoch_seconds: how many were trained, and what they took together.
        note: why it ended early, if it did. hint: what to change then.
    """

    net: Path | None = None
    masked: Path | None = None
    plans: list[Plan] = field(default_factory=list)
    taken: list[StepTaken] = field(default_factory=list)
    epochs: int = 0
    epoch_seconds: float = 0.0
    note: str = ""
    hint: str = ""


def recipe_of(retraining: Retraining) -> Recipe:
    """How each step is trained; raises ValueError where nothing is to be."""
    if retraining.recipe is None:
        raise ValueError("steps are trained")
    return retraining.recipe


def recipe_of_step(retraining: Retraining, number: int, steps: int) -> Recipe:
    """How step ``number`` of so many is trained: where the epochs are those of all, the first steps have one more.

    Each step has a seed of its own: an epoch sees its images in the order of the seed and of its number within the
    training, and many trainings of a few epochs would all see the same orders, shifts and mirrors, while the control,
    which is trained at one go, sees new ones in each epoch.

    Raises as :func:`recipe_of`.
    """
    recipe = recipe_of(retraining)
    recipe = replace(recipe, seed=recipe.seed + SEEDS_APART * (number - 1))
    if not retraining.epochs_of_all_steps:
        return recipe
    each, more = divmod(recipe.epochs, max(steps, 1))
    return replace(recipe, epochs=max(1, each + (number <= more)))


def score(net: nn.Module, subject: LoadedModel, device: str) -> dict[str, float]:
    """Accuracy and Cohen's kappa of a net on the validation images."""
    from cnngraph.training.evaluate import evaluate

    found = evaluate(copy.deepcopy(net), subject.data.validation, device=device)
    return {"accuracy": found.accuracy, "kappa": found.kappa}


def take_step(
    subject: LoadedModel,
    stepwise: Stepwise,
    retraining: Retraining,
    target: str,
    walk: Walk,
    home: JobFolder,
    progress: Progress,
) -> dict[str, Any]:
    """Choose, cut, train and judge.

    Args:
        walk: the steps before. home: the folder of this one.

    Returns:
        What the stage ``done`` holds: ``plan`` (``None``: nothing of ``target`` goes), ``step``, ``epoch_seconds``.

    Raises:
        VerificationError: the training changed what was to stay.
    """
    from cnngraph.network.followed_net import FollowedNet
    from cnngraph.origin import get_origin, set_origin
    from cnngraph.surgery import saved
    from cnngraph.surgery.freezing import count_parameters_of

    net = subject.model if walk.net is None else saved.read_saved(walk.net).model
    number, shape = len(walk.plans) + 1, subject.input_shape
    plan, choosing = _choose(net, stepwise, target, walk.plans, home, progress)
    if not plan.removes:
        return {"plan": None}
    slim = stepwise.cut(net, plan, shape)
    execution = _execution(subject, retraining, JobFolder(home.path.parent))
    trained = stepwise.trained(FollowedNet(slim, shape), target)
    recipe = recipe_of_step(retraining, number, len(stepwise.outline.settings["trained_steps"]))
    parameters = count_parameters_of(slim, trained)
    with trained_alone(slim, trained, home.path, "step") as kept:
        plan = plan.model_copy(update={"settings": plan.settings | {"step": number, "frozen": kept}})
        origin = get_origin(net)
        if origin is not None:
            set_origin(slim, origin.then(plan, shape))
        progress.note(f"Step {number}, {target}: training {parameters:,} parameters.")
        took = train_net(
            slim,
            subject.data,
            recipe,
            retraining.trainer,
            device=retraining.device,
            checkpoint=home.path / "checkpoint.safetensors",
            progress=progress,
            execution=execution,
        )
    save_net(slim, subject, home.path / "model", trained=True)
    found = score(saved.read_saved(home.path / "model").model, subject, retraining.device)
    counts: dict[str, Any] = {"layer": "", "filters": 0} | stepwise.counts(plan, target) | found
    step = StepTaken(
        number=number,
        trained_parameters=parameters,
        epochs=took.epochs,
        seconds=choosing + took.seconds,
        **counts,
    )
    return {"plan": plan.model_dump(mode="json"), "step": step.as_json(), "epoch_seconds": took.epoch_seconds}


def _execution(subject: LoadedModel, retraining: Retraining, folder: JobFolder) -> Execution | None:
    """How each step is trained, measured once."""
    if retraining.trainer is not None:
        return None
    return shared_execution(subject, retraining) or choose_once(subject, retraining, folder)


def _choose(
    net: nn.Module, stepwise: Stepwise, target: str, done: Sequence[Plan], home: JobFolder, progress: Progress
) -> tuple[Plan, float]:
    """The plan of the step, and the seconds that it took to find; read back where an earlier run found it."""
    stage = home.stage("cut")
    if not stage.is_done:
        progress.start(f"Choosing what goes of {target}")
        began = time.monotonic()
        plan = stepwise.plan(net, target, done)
        stage.write({"plan": plan.model_dump(mode="json"), "seconds": time.monotonic() - began})
    known = stage.read()
    return parse_stored(Plan, known["plan"], str(stage.path)), float(known["seconds"])


def step_in_words(step: StepTaken) -> str:
    """What a step did, a sentence."""
    trained = f"{step.trained_parameters:,} parameters trained for {many(step.epochs, 'epoch')}"
    judged = f"validation accuracy {step.accuracy:.2%}, kappa {step.kappa:.4f}"
    went = many(step.filters, "filter")
    if step.weights is not None:
        went = f"{many(step.weights, 'weight')} gone, {step.alive:,} left"
        return f"Round {step.number}: {went}, {trained}; {judged}; {step.seconds:.1f} s."
    at = f", {step.layer}" if step.layer else ""
    return f"Step {step.number}{at}: {went} gone, {trained}; {judged}; {step.seconds:.1f} s."


def many(count: int, what: str) -> str:
    """A number with its word, as ``1 epoch`` and ``2 epochs``."""
    return f"{count:,} {what}{'s' * (count != 1)}"
