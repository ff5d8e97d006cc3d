"""As many layers as an allowed drop in accuracy lets go: the ranking decides the order, trials decide how many.

Our choice beside the thresholds of the ``multilayer`` paper. A trial cuts the lowest n layers out, refits and
fine-tunes briefly, and looks at the validation accuracy; who can do that hands it in, so that this file knows no net.
n is found by bisection, in log2 of the number of layers trials; that the accuracy falls as n grows is assumed, so the
n that comes out is one that kept the accuracy in its own trial, and not surely the largest such.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnngraph.console import Progress, Quiet
from cnngraph.errors import PlanError, UsageError
from cnngraph.files import write_text
from cnngraph.measures.measure import LayerTheta
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.decision import first_threshold, lowest

__all__ = ["Trials", "check_drop", "most_trials", "within_drop"]

STATE_VERSION = 1


@dataclass
class Trials:
    """The trials done so far, kept in a file so that an interrupted search goes on where it was.

    Attributes:
        path: the file; ``None`` keeps nothing.
        identity: everything that decides a trial's outcome besides the layers that go; another identity starts anew.
        accuracies: by the removed layers, joined with blanks; ``None`` where that net could not be built.
    """

    path: Path | None
    identity: dict[str, Any]
    accuracies: dict[str, float | None] = field(default_factory=dict)

    @classmethod
    def resume(cls, path: Path | None, identity: Mapping[str, Any]) -> Trials:
        """What ``path`` holds if it is of the same identity, else an empty record."""
        known = json.loads(json.dumps(dict(identity), sort_keys=True, default=str))
        trials = cls(path, known)
        if path is not None and path.is_file():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:  # half a file of a crashed disk: the trials are made again
                return trials
            if content.get("version") == STATE_VERSION and content.get("identity") == known:
                trials.accuracies = content["accuracies"]
        return trials

    def record(self, removed: tuple[str, ...], accuracy: float | None) -> None:
        """Keep one trial; the file is replaced as a whole."""
        self.accuracies[" ".join(removed)] = accuracy
        if self.path is None:
            return
        content = {"version": STATE_VERSION, "identity": self.identity, "accuracies": self.accuracies}
        write_text(self.path, json.dumps(content, indent=2) + "\n")


def check_drop(points: float) -> float:
    """Return ``points`` if it is a drop in accuracy, 0 to 100 percentage points.

    Raises:
        UsageError: it is NaN, negative or over 100.
    """
    if not (math.isfinite(points) and 0 <= points <= 100):
        raise UsageError(f"The accuracy drop {points:g} is not between 0 and 100 points.", "Use one such as 1.0")
    return points


def most_trials(layers: int) -> int:
    """How many trials a search among ``layers`` removable layers takes at most.

    >>> [most_trials(n) for n in (0, 1, 3, 12)]
    [0, 1, 2, 4]
    """
    return math.ceil(math.log2(layers + 1))


def within_drop(
    plan: Plan,
    points: float,
    *,
    baseline: float,
    accuracy_after: Callable[[tuple[str, ...]], float | None],
    keep: Mapping[str, str] | None = None,
    seconds_a_trial: float | None = None,
    state: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Plan:
    """``plan`` with the longest start of its ranking removed that keeps the validation accuracy.

    Args:
        plan: a ranking; what it removes is replaced.
        points: the allowed drop, in percentage points.
        baseline: validation accuracy of the whole net, 0..1.
        accuracy_after: the validation accuracy, 0..1, of the net without these layers (in network order) after refit
            and short fine-tuning; ``None`` where it cannot be built.
        keep: layers that cannot go, with the reason.
        seconds_a_trial: an estimate, said before the first trial.
        state: a file in which the trials are kept; a search that was interrupted goes on from it.
        identity: what else decides a trial (data, seed, epochs), so that only equal trials are taken over.
        progress: told the expected time and each trial.

    Returns:
        The plan; it removes nothing where no trial kept the accuracy, and its notes say so.

    Raises:
        UsageError: ``points`` is out of range.
        PlanError: no layer can be removed at all.
    """
    check_drop(points)
    told = progress or Quiet()
    layers = [LayerTheta(row.layer, row.value, row.theta) for row in plan.layers]
    kept = {layer: reason for layer, reason in (keep or {}).items() if layer in {row.layer for row in layers}}
    most = min(len(layers) - len(kept), len(layers) - 1)
    if most < 1:
        reasons = "; ".join(f"{layer}: {reason}" for layer, reason in kept.items())
        raise PlanError("No convolution of this model can be removed.", reasons or "It has only one.")
    told.note(_expectation(most, seconds_a_trial))
    fixed = {"model": plan.model, "measure": plan.measure, "run": plan.run, "init": plan.init, **(identity or {})}
    trials = Trials.resume(state, fixed)
    told.start("Trying how many layers can go", total=most_trials(most))
    least = baseline - points / 100
    low, high = 0, most
    while low < high:
        count = (low + high + 1) // 2
        accuracy = _trial(lowest(layers, count, kept), accuracy_after, trials, told)
        if accuracy is not None and accuracy >= least:
            low = count
        else:
            high = count - 1
        told.advance()
    removed = lowest(layers, low, kept) if low else ()
    return _with_removed(plan, removed, points, baseline, trials)


def _expectation(most: int, seconds_a_trial: float | None) -> str:
    number = most_trials(most)
    said = f"At most {number} trials, each a cut, a refit and a short fine-tuning"
    if seconds_a_trial is None:
        return f"{said}."
    return f"{said} of about {seconds_a_trial:.0f} s: about {number * seconds_a_trial / 60:.1f} minutes."


def _trial(
    removed: tuple[str, ...],
    accuracy_after: Callable[[tuple[str, ...]], float | None],
    trials: Trials,
    told: Progress,
) -> float | None:
    key = " ".join(removed)
    if key not in trials.accuracies:
        began = time.monotonic()
        trials.record(removed, accuracy_after(removed))
        found = trials.accuracies[key]
        outcome = "cannot be built" if found is None else f"accuracy {found:.4f}"
        told.note(f"without {len(removed)} layers: {outcome} ({time.monotonic() - began:.0f} s)")
    return trials.accuracies[key]


def _with_removed(plan: Plan, removed: tuple[str, ...], points: float, baseline: float, trials: Trials) -> Plan:
    by_name = {row.layer: row for row in plan.layers}
    accuracy = trials.accuracies.get(" ".join(removed))
    found = f"validation accuracy {accuracy:.4f}, {baseline:.4f} before" if accuracy is not None else ""
    removes = tuple(
        Removal(
            layer=layer,
            score=by_name[layer].theta,
            threshold=first_threshold(by_name[layer].theta),
            reason=f"One of the {len(removed)} of lowest theta ({by_name[layer].theta:.6g}); without them {found}.",
        )
        for layer in removed
    )
    note = (
        f"Layers removed within a drop of {points:g} points: {len(removed)} of {len(plan.layers)} "
        f"({len(trials.accuracies)} trials); {found}."
        if removed
        else f"No layer goes: every trial lost more than {points:g} points of the validation accuracy {baseline:.4f}."
    )
    return plan.model_copy(update={"removes": removes, "threshold": None, "notes": (*plan.notes, note)})
