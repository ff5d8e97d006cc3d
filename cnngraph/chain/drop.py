"""How many layers an allowed drop in accuracy lets go: the trials that ``pruning.accuracy_drop`` asks for."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from cnngraph.chain.baseline import training_recipe
from cnngraph.chain.subject import Subject
from cnngraph.console import Progress
from cnngraph.errors import PlanError
from cnngraph.plan import Plan, Removal

__all__ = ["within_accuracy_drop"]

# A trained net that starts anew at the full rate forgets more in one epoch than a missing layer costs.
_EPOCHS, _GENTLY = 1, 0.1


def within_accuracy_drop(
    subject: Subject,
    plan: Plan,
    points: float,
    *,
    keep: dict[str, str],
    device: str,
    seed: int,
    work: Path,
    progress: Progress,
) -> Plan:
    """``plan`` with as many layers removed, lowest theta first, as cost at most ``points`` of validation accuracy.

    Each trial cuts, joins and fine-tunes one epoch; the better accuracy of joined and tuned counts. Trials are kept in
    ``work``, so that a search goes on after a kill.

    Args:
        keep: layers that cannot go, with the reason.
    """
    from cnngraph.datasets.registry import loader
    from cnngraph.pruning.accuracy_drop import within_drop
    from cnngraph.surgery.apply import apply
    from cnngraph.surgery.verify import train_failure
    from cnngraph.training.evaluate import evaluate
    from cnngraph.training.fit import fit

    data = subject.data
    recipe = training_recipe({}, seed=seed, base=subject.training)
    recipe = replace(recipe, epochs=_EPOCHS, learning_rate=_GENTLY * recipe.highest_rate)

    def accuracy_after(removed: tuple[str, ...]) -> float | None:
        trial = plan.model_copy(update={"removes": tuple(Removal(layer=layer) for layer in removed)})
        try:
            slim = apply(subject.model, trial, loader=loader(data.train, shuffle=True, seed=seed), seed=seed)
        except PlanError as error:
            progress.note(f"without {', '.join(removed)}: {error.message}")
            return None
        broken = train_failure(subject.model, slim, subject.input_shape)
        if broken:
            progress.note(f"without {', '.join(removed)}: {broken}")
            return None
        joined = evaluate(slim, data.validation, device=device).accuracy
        fit(slim, data.train, None, **asdict(recipe), device=device)
        return max(joined, evaluate(slim, data.validation, device=device).accuracy)

    whole = evaluate(copy.deepcopy(subject.model), data.validation, device=device)
    identity = {
        "weights": subject.sha256,
        "data": subject.choice.model_dump(mode="json"),
        "recipe": asdict(recipe),
        "ranking": [row.layer for row in sorted(plan.layers, key=lambda row: row.theta)],
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    known = subject.training.get("epoch_seconds")
    return within_drop(
        plan,
        points,
        baseline=whole.accuracy,
        accuracy_after=accuracy_after,
        keep=keep,
        seconds_a_trial=_EPOCHS * float(known) + 5 if known else None,
        state=work / f"drop-{digest}.json",
        identity=identity,
        progress=progress,
    )
