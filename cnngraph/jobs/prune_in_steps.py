"""A prune by a method that decides while it trains: choose, cut and train step by step, then prove and judge.

Each step leaves its stages in a folder of its own in the work folder: ``step-N/cut`` (the plan), a checkpoint, and
``step-N/done`` with the trained net, which the next step reads back: a prune that was killed at any moment goes on
there, and comes out bit for bit as one that was not.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet, duration
from cnngraph.database.records import StepTaken
from cnngraph.errors import PlanError, VerificationError
from cnngraph.jobs.agreement import compare_with_old, tell_agreement
from cnngraph.jobs.baseline import settings_of
from cnngraph.jobs.one_step import (
    SEEDS_APART,
    Walk,
    many,
    recipe_of,
    recipe_of_step,
    score,
    step_in_words,
    take_step,
)
from cnngraph.jobs.prune import proof_images, proof_in_short
from cnngraph.jobs.pruned import Made, Pruned, PruneTask, Retraining, inputs_of_training, judge
from cnngraph.jobs.workspace import JobFolder
from cnngraph.network.remembered import remember_structures
from cnngraph.plan import Plan
from cnngraph.pruning.stepwise import Stepwise
from cnngraph.sources.loaded import LoadedModel
from cnngraph.validation import parse_stored

if TYPE_CHECKING:
    from cnngraph.models.masks import Masks
    from cnngraph.training.fit import Recipe

__all__ = ["COARSE", "SteppedPrune", "prune_in_steps"]

COARSE = 100  # validation images, below which it is said how finely they judge


@dataclass(frozen=True)
class SteppedPrune(PruneTask):
    """What goes is found on the way.

    Attributes:
        decision: all that decides, as JSON holds it (:attr:`cnngraph.pruning.choice.Choice.identity`).
    """

    stepwise: Stepwise
    decision: Mapping[str, Any]

    @property
    def outline(self) -> Plan:  # type: ignore[override]
        """As much as goes in all steps together."""
        return self.stepwise.outline

    def inputs(self, subject: LoadedModel, retraining: Retraining) -> dict[str, Any]:
        decided = {"decision": dict(self.decision), "settings": self.outline.settings}
        trained = inputs_of_training(subject, retraining) | {"seeds_apart": SEEDS_APART}  # once all steps had one seed
        return trained | {"model": self.outline.model} | decided

    def carry_out(self, subject: LoadedModel, retraining: Retraining, *, folder: Path, progress: Progress) -> Pruned:
        return prune_in_steps(subject, self.stepwise, retraining, folder=folder, progress=progress)

    def expect(self, retraining: Retraining) -> dict[str, Any]:
        """How many trainings, and how many filters of each layer; which ones is not known yet."""
        recipe = recipe_of(retraining)
        steps = self.outline.settings["trained_steps"]
        return {"trainings": len(steps), "epochs": recipe.epochs, "steps": steps} | self.stepwise.expected


@remember_structures()
def prune_in_steps(
    subject: LoadedModel,
    stepwise: Stepwise,
    retraining: Retraining,
    *,
    folder: Path,
    progress: Progress | None = None,
) -> Pruned:
    """Carry out the steps on ``subject``, which was opened as a sound one.

    The origin of the new net holds a plan a step; the plan that comes out names all that went, in the numbers of the
    old net. The control trains for as many epochs as all steps together.

    Args:
        folder: where it leaves its stages.

    Raises:
        ModelError: the net cannot be trained. PlanError: a step does not fit the net, or none was taken.
        VerificationError: what was to stay was changed in training, or the new net failed its proof; nothing is kept.
    """
    from cnngraph.models.masks import get_masks
    from cnngraph.surgery import saved
    from cnngraph.training.fitness import require_trainable

    progress = progress or Quiet()
    recipe = recipe_of(retraining)
    if retraining.trainer is None:
        require_trainable(subject.model, subject.data.train)  # said before the long work
    folder.mkdir(parents=True, exist_ok=True)
    progress.note(_expectation(stepwise, subject, retraining))
    judged = len(subject.data.validation)
    if judged < COARSE:
        progress.note(f"There are {judged} validation images: accuracy goes in steps of {100 / judged:.2g} points.")
    before = _before(subject, retraining, JobFolder(folder))
    walk = _take_steps(subject, stepwise, retraining, before, folder, progress)
    if walk.net is None:
        raise _nothing_goes(stepwise, walk)
    plan = _whole_plan(subject, stepwise, walk, before, recipe)
    net = saved.read_saved(walk.net).model
    masks = get_masks(saved.read_saved(walk.masked).model) if walk.masked is not None else None
    report = _proven(subject, Made(net, plan, {}), masks, retraining, folder=folder, progress=progress)
    tell_agreement(report["agreement"], {}, plan, progress)
    mean = walk.epoch_seconds / walk.epochs
    settings = settings_of(recipe, retraining.trainer) | {"epoch_seconds": mean}
    made = Made(net, plan, report, settings, mean, tuple(walk.taken))
    total = replace(retraining, recipe=replace(recipe, epochs=walk.epochs))
    if retraining.epochs_of_all_steps and walk.epochs != recipe.epochs:
        total = replace(total, control=False)  # those that share the control have not been trained for as long
    return judge(subject, made, total, folder=folder, progress=progress)


def _nothing_goes(stepwise: Stepwise, walk: Walk) -> PlanError:
    """Why no step was taken, and what to change."""
    why, hint = walk.note, walk.hint
    if not why:
        why = "no layer has as much to lose as goes together"
        hint = "Ask for more of each layer."
        if stepwise.outline.measure == "person":
            hint = "Ask for more of each layer, or have more of them dropped: cnngraph review NAME"
    return PlanError(f"No {stepwise.words.going} goes: {why}.", f"Nothing was stored. {hint}")


def _expectation(stepwise: Stepwise, subject: LoadedModel, retraining: Retraining) -> str:
    count = len(stepwise.outline.settings["trained_steps"])
    each = [recipe_of_step(retraining, number, count).epochs for number in range(1, count + 1)]
    epochs = sum(each)
    known = subject.training.get("epoch_seconds")
    time = f": {duration(epochs * float(known))}, if one takes as long as in its own training" if known else ""
    ahead = f"{many(count, stepwise.words.each)} {stepwise.words.todo}"
    return (
        f"{ahead}, each followed by a training of {many(max(each, default=0), 'epoch')}"
        f"{' or one less' if len(set(each)) > 1 else ''}, {many(epochs, 'epoch')} together{time}"
        f"{'; the control trains for as many' if retraining.control else ''}."
    )


def _before(subject: LoadedModel, retraining: Retraining, folder: JobFolder) -> dict[str, float]:
    """Validation accuracy and kappa of the old net."""
    return folder.stage("before").once(lambda: score(subject.model, subject, retraining.device))


def _take_steps(
    subject: LoadedModel,
    stepwise: Stepwise,
    retraining: Retraining,
    before: dict[str, float],
    folder: Path,
    progress: Progress,
) -> Walk:
    """Step after step, until all are done, one loses more than is allowed, or the time is over."""
    first = recipe_of_step(retraining, 1, len(stepwise.outline.settings["trained_steps"]))
    walk, slowest = Walk(), first.epochs * float(subject.training.get("epoch_seconds") or 0.0)
    ended = JobFolder(folder).stage("ended")
    for place, target in enumerate(stepwise.targets, 1):
        home = JobFolder(folder / f"step-{place}")
        done = home.stage("done")
        if not done.is_done:
            if ended.is_done or not stepwise.budget.allows(slowest):
                walk.note = f"the {stepwise.budget.minutes:g} minutes are over before {target}"
                walk.hint = "Give more {minutes}."
                ended.write({"before": target})
                break
            home.path.mkdir(exist_ok=True)
            done.write(take_step(subject, stepwise, retraining, target, walk, home, progress))
        known = done.read()
        if known["plan"] is None:
            progress.note(f"{target} {stepwise.words.passed}.")
            continue
        step = StepTaken(**known["step"])
        progress.note(step_in_words(step))
        beyond = stepwise.allowed.exceeded(before, asdict(step))
        if beyond:
            walk.note = f"{target} was not {stepwise.words.done}, nor what comes after it: {beyond}"
            walk.hint = "Allow a larger drop, ask for less of each layer, or train for more {epochs}."
            break
        walk.plans.append(parse_stored(Plan, known["plan"], str(done.path)))
        walk.taken.append(step)
        walk.net = home.path / "model"
        if walk.plans[-1].weights:
            walk.masked = walk.net
        walk.epochs += step.epochs
        walk.epoch_seconds += known["epoch_seconds"] * step.epochs
        slowest = max(slowest, step.seconds)
    if walk.note:
        progress.note(f"{walk.note[0].upper()}{walk.note[1:]}.")
    return walk


def _whole_plan(
    subject: LoadedModel, stepwise: Stepwise, walk: Walk, before: Mapping[str, float], recipe: Recipe
) -> Plan:
    """What went in all steps together, for the old net, with what explains it."""
    outline, allowed = stepwise.outline, stepwise.allowed
    steps = [
        {name: value for name, value in step.as_json().items() if name != "seconds"}  # another run would not repeat it
        for step in walk.taken
    ]
    settings: dict[str, Any] = {
        "epochs": recipe.epochs,
        "before": dict(before),
        "judged_on": subject.images_from("validation").words,
        "trained_steps": steps,
    }
    if allowed.accuracy_drop is not None:
        settings["max_accuracy_drop"] = {"points": allowed.accuracy_drop}
    if allowed.kappa_drop is not None:
        settings["max_kappa_drop"] = allowed.kappa_drop
    notes = (*outline.notes, *([f"{walk.note[0].upper()}{walk.note[1:]}."] if walk.note else []))
    settings |= stepwise.explained(walk.plans)
    removes = stepwise.together(walk.plans)
    return outline.model_copy(update={"removes": removes, "settings": outline.settings | settings, "notes": notes})


def _proven(
    subject: LoadedModel,
    made: Made,
    masks: Masks | None,
    retraining: Retraining,
    *,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """What is known of the new net, which was proven; read back where an earlier run proved it.

    Args:
        masks: those that the plan names, for the old net.

    Raises:
        VerificationError: it failed its proof; nothing is kept.
    """
    from cnngraph.surgery.execution import apply_plan
    from cnngraph.surgery.verify import ProofOptions, verify

    done = JobFolder(folder).stage("proven")
    if done.is_done:
        return done.read()
    progress.start("Verifying")
    execution = apply_plan(subject.model, made.plan, subject.input_shape, masks=masks)
    proof = verify(
        subject.model,
        made.model,
        made.plan,
        how=ProofOptions(repeatable=True, execution=execution, float32=False),
        input_shape=subject.input_shape,
        images=proof_images(subject.data, retraining.seed),
        trained=True,
    )
    if not proof.ok:
        shutil.rmtree(folder, ignore_errors=True)
        raise VerificationError(
            f"The new net failed its proof: {'; '.join(proof.failures)}.", "Nothing was stored. Name other layers."
        )
    known = {
        "verified": proof_in_short(proof),
        "joins": {},
        "gone": (),
        "edits": [edit.as_json() for edit in execution.edits],
        "agreement": compare_with_old(subject, execution.model, retraining.device, progress),
    }
    done.write(known)
    return done.read()
