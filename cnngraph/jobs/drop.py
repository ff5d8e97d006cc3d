"""How much an allowed drop in accuracy lets go: the trials of ``pruning.accuracy_drop``, and whether it is kept."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from cnngraph import __version__
from cnngraph.console import Progress, warn
from cnngraph.errors import PlanError
from cnngraph.jobs.baseline import training_recipe
from cnngraph.jobs.session import Session
from cnngraph.plan import Plan
from cnngraph.sources.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.pruning.choice import Choice
    from cnngraph.pruning.limits.time_budget import TimeBudget
    from cnngraph.pruning.path import Levels

__all__ = ["drop_found", "within_accuracy_drop"]

# A trained net that starts anew at the full rate forgets more in one epoch than a missing layer costs.
_EPOCHS, _GENTLY = 1, 0.1
_OVERHEAD_SECONDS = 5.0  # of a step, beside its epoch: cut, refit, two evaluations


def within_accuracy_drop(
    subject: LoadedModel,
    path: Levels,
    choice: Choice,
    session: Session,
    budget: TimeBudget,
) -> Plan:
    """The plan of the path that removes as much as the drop in validation accuracy allows that ``choice`` names.

    Each step of a trial cuts, joins and fine-tunes one epoch; after the last one the better accuracy of joined and
    tuned counts. Where the net will not be trained after its cut, a trial is that cut alone. Trials are kept in the
    session's folder of unfinished work, so that a search goes on after a kill.

    Raises:
        PlanError: nothing can be removed at all. UnfitError: the user's own
            code fails without a layer or block; the search goes on without it (:meth:`UnfitError.left_of`).
    """
    from cnngraph.pruning.limits.accuracy_drop import Judge, within_drop
    from cnngraph.training.evaluate import evaluate
    from cnngraph.training.execution import pick_device

    points, device, progress = choice.max_accuracy_drop, choice.device, session.progress
    assert points is not None
    steps, tuned = choice.judged.get("steps", 1), choice.tuned
    recipe = training_recipe({}, seed=choice.seed, base=subject.training)
    recipe = replace(recipe, epochs=_EPOCHS, learning_rate=_GENTLY * recipe.highest_rate)
    whole = evaluate(copy.deepcopy(subject.model), subject.data.validation, device=device)
    if not tuned and steps > 1:
        progress.note("Nothing is fine-tuned, so each trial cuts at once, not in steps.")
        steps = 1
    identity = {
        "cnngraph": __version__,  # another may join and train otherwise
        "weights": subject.sha256,
        "data": subject.choice.model_dump(mode="json"),
        "recipe": asdict(recipe),
        "init": path.base.init,
        "steps": steps,
        "tuned": tuned,
        "device": str(pick_device(device)),
    }
    known = subject.training.get("epoch_seconds")
    return within_drop(
        path,
        points,
        Judge(
            lambda plans: _accuracy_after(subject, plans, asdict(recipe), device, progress, tuned=tuned),
            baseline=whole.accuracy,
            steps=steps,
            tuned=tuned,
            seconds_a_step=tuned * _EPOCHS * float(known) + _OVERHEAD_SECONDS if known else None,
        ),
        state=session.workspace.file("drop", identity),
        identity=identity,
        progress=progress,
        budget=budget,
    )


def drop_found(
    subject: LoadedModel, slim: nn.Module, plan: Plan, device: str, progress: Progress
) -> dict[str, Any] | None:
    """Whether the new net keeps what the search for ``plan`` was allowed, by the same measure: validation accuracy.

    Returns:
        ``allowed`` and ``found``, in points, ``held`` and ``images_from``; ``None`` where the plan promises nothing. A
        drop that is larger than allowed is warned of.
    """
    from cnngraph.pruning.limits.accuracy_drop import holds
    from cnngraph.training.evaluate import evaluate

    promised = plan.settings.get("max_accuracy_drop")
    allowed = promised.get("points") if isinstance(promised, dict) else None
    if not isinstance(allowed, int | float):
        return None
    progress.start("Evaluating both nets on the validation images")
    before, after = (
        evaluate(copy.deepcopy(net), subject.data.validation, device=device).accuracy for net in (subject.model, slim)
    )
    held = holds(after, before, allowed)
    if not held:
        warn(
            f"the allowed drop of {allowed:g} points is not kept: the validation accuracy is {after:.2%}, "
            f"it was {before:.2%} before. Allow less, or retrain for longer."
        )
    judged = subject.images_from("validation").as_json()
    return {"allowed": allowed, "found": 100 * (before - after), "held": held, "images_from": judged}


def _accuracy_after(
    subject: LoadedModel,
    plans: tuple[Plan, ...],
    recipe: dict[str, Any],
    device: str,
    progress: Progress,
    *,
    tuned: bool,
) -> float | None:
    """Validation accuracy after the plans, fine-tuned after each; ``None`` where such a net cannot be built.

    Raises:
        UnfitError: a layer or block is to blame; fewer filters may be no fault.
    """
    from cnngraph.datasets.registry import loader
    from cnngraph.pruning.steps import in_steps
    from cnngraph.surgery.apply import apply
    from cnngraph.surgery.check_runs import UnfitError, check_runs
    from cnngraph.surgery.verify import train_failure
    from cnngraph.training.evaluate import evaluate
    from cnngraph.training.fit import fit

    data, seed = subject.data, recipe["seed"]
    slim, joined = subject.model, 0.0
    for step in in_steps(plans):
        before = slim
        try:
            check_runs(before, step, input_shape=subject.input_shape)
            slim = apply(before, step, loader=loader(data.train, shuffle=True, seed=seed), seed=seed)
        except PlanError as error:
            progress.note(f"This cannot be built: {error.message}")
            if isinstance(error, UnfitError) and any(removal.kind != "filters" for removal in error.blamed):
                raise
            return None
        broken = train_failure(before, slim, subject.input_shape)
        if broken:
            progress.note(f"This cannot be trained: {broken}")
            return None
        joined = evaluate(slim, data.validation, device=device).accuracy
        if not tuned:
            return joined
        fit(slim, data.train, None, **recipe, device=device)
    return max(joined, evaluate(slim, data.validation, device=device).accuracy)
