"""As much as an allowed drop in accuracy lets go: a pruning path says in which order, trials say how far.

Our choice beside the thresholds of the ``multilayer`` paper. A trial carries a plan out, in one step or in several with
short fine-tuning between, and looks at the validation accuracy; who can do that hands it in, so that this file knows no
net. The level is found by bisection, in log2 of the number of levels trials; that the accuracy falls from level to
level is assumed, so the one that comes out kept the accuracy in its own trial, and is not surely the highest such.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet, duration
from cnngraph.errors import OptionError, PlanError
from cnngraph.files import write_text
from cnngraph.plan import Plan
from cnngraph.pruning.limits.time_budget import TimeBudget

if TYPE_CHECKING:
    from cnngraph.pruning.path import Levels

__all__ = [
    "Judge",
    "Trials",
    "check_drop",
    "holds",
    "most_trials",
    "within_drop",
]

STATE_VERSION = 2
_ROUNDING = 1e-9  # of an accuracy: far less than one image of any data set, far more than floats err

Trial = Callable[[tuple[Plan, ...]], float | None]


@dataclass
class Trials:
    """The trials done so far, kept in a file so that an interrupted search goes on where it was.

    Attributes:
        path: the file; ``None`` keeps nothing.
        identity: everything that decides a trial's outcome besides what goes; another identity starts anew.
        accuracies: by what goes; ``None`` where that net could not be built.
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
                whole = content["version"] == STATE_VERSION and isinstance(content["accuracies"], dict)
            except (ValueError, KeyError, TypeError):  # half a file of a crashed disk: the trials are made again
                return trials
            if whole and content.get("identity") == known:
                trials.accuracies = content["accuracies"]
        return trials

    def record(self, key: str, accuracy: float | None) -> None:
        """Keep one trial; the file is replaced as a whole."""
        self.accuracies[key] = accuracy
        if self.path is None:
            return
        content = {"version": STATE_VERSION, "identity": self.identity, "accuracies": self.accuracies}
        write_text(self.path, json.dumps(content, indent=2) + "\n")


def check_drop(points: float) -> float:
    """Return ``points`` if it is a drop in accuracy, 0 to 100 percentage points.

    Raises:
        OptionError: it is NaN, negative or over 100.
    """
    if not (math.isfinite(points) and 0 <= points <= 100):
        raise OptionError(f"{{max_accuracy_drop={points:g}}} is not between 0 and 100 points.", "Use one such as 1.0.")
    return points


def holds(accuracy: float, baseline: float, points: float) -> bool:
    """Whether ``accuracy`` is at most so many points under ``baseline``.

    >>> holds(252 / 360, 288 / 360, 10), holds(251 / 360, 288 / 360, 10)
    (True, False)
    """
    return accuracy >= baseline - points / 100 - _ROUNDING


def most_trials(levels: int) -> int:
    """How many trials a search among ``levels`` takes at most.

    >>> [most_trials(n) for n in (0, 1, 3, 12)]
    [0, 1, 2, 4]
    """
    return math.ceil(math.log2(levels + 1))


@dataclass(frozen=True)
class Judge:
    """How a level is tried.

    Attributes:
        accuracy_after: the validation accuracy, 0..1, after these plans, each removing more than the one before, with
            short fine-tuning after each; ``None`` where such a net cannot be built.
        baseline: validation accuracy of the whole net, 0..1.
        steps: how many plans a trial is made of.
        tuned: whether ``accuracy_after`` fine-tunes; said with the expected time.
        seconds_a_step: an estimate, said before the first trial.
    """

    accuracy_after: Trial
    baseline: float
    steps: int = 1
    tuned: bool = True
    seconds_a_step: float | None = None


def within_drop(
    path: Levels,
    points: float,
    judge: Judge,
    *,
    state: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    budget: TimeBudget | None = None,
) -> Plan:
    """The plan of the highest level that a bisection finds to keep the validation accuracy.

    Args:
        points: the allowed drop, in percentage points.
        state: a file in which the trials are kept; a search that was interrupted goes on from it.
        identity: what else decides a trial (data, seed, epochs), so that only equal trials are taken over.
        progress: told the expected time and each trial.
        budget: no trial is begun that would end after it; then the best plan so far comes out, with a note.

    Returns:
        The plan; it removes nothing where no trial kept the accuracy, and its notes say so.

    Raises:
        OptionError: ``points`` is out of range.
        PlanError: nothing can be removed at all.
    """
    check_drop(points)
    if path.levels < 1:
        raise PlanError("Nothing of this model can be removed.", "See why: cnngraph show NAME")
    told = progress or Quiet()
    budget = budget or TimeBudget()
    told.note(_expectation(path.levels, judge))
    base = path.base
    fixed = {"model": base.model, "measure": base.measure, "run": base.run, "init": base.init, "steps": judge.steps}
    trials = Trials.resume(state, fixed | dict(identity or {}))
    told.start("Trying how much can go", total=most_trials(path.levels))
    low, high = 0, path.levels
    accuracy_at: dict[int, float] = {}
    outcomes: list[float | None] = []
    while low < high and budget.allows(judge.steps * (judge.seconds_a_step or 0)):
        level = (low + high + 1) // 2
        accuracy = _trial(path, level, judge, trials, told)
        outcomes.append(accuracy)
        if accuracy is not None and holds(accuracy, judge.baseline, points):
            low, accuracy_at[level] = level, accuracy
        else:
            high = level - 1
        told.advance()
    found = _with_reached(path, low, points, judge, accuracy_at.get(low), outcomes)
    if low == high:
        return found
    note = f"The {budget.minutes:g} minutes are over after {len(outcomes)} trials: more may go."
    return found.model_copy(update={"notes": (*found.notes, note)})


def _expectation(levels: int, judge: Judge) -> str:
    number = most_trials(levels)
    each = ("a cut, a refit and a short fine-tuning" if judge.tuned else "a cut and a refit") + (
        f", {judge.steps} times" if judge.steps > 1 else ""
    )
    said = f"At most {number} trials, each {each}"
    if judge.seconds_a_step is None:
        return f"{said}."
    seconds = judge.steps * judge.seconds_a_step
    return f"{said}: about {seconds:.0f} s a trial, {duration(number * seconds)} in all."


def _trial(path: Levels, level: int, judge: Judge, trials: Trials, told: Progress) -> float | None:
    """The accuracy at ``level``; ``None`` where it cannot be built."""
    try:
        plans = path.levels_to(level, judge.steps)
    except PlanError as error:
        told.note(f"Without {path.says(level)}: {error.message}")
        return None
    if not plans[-1].removes:  # no filter comes to go there
        return judge.baseline
    key = _key(plans[-1])
    if key not in trials.accuracies:
        began = time.monotonic()
        trials.record(key, judge.accuracy_after(plans))
        found = trials.accuracies[key]
        outcome = "cannot be built" if found is None else f"accuracy {found:.4f}"
        told.note(f"Without {path.says(level)}: {outcome} ({time.monotonic() - began:.0f} s)")
    return trials.accuracies[key]


def _key(plan: Plan) -> str:
    """Names what goes: layers and blocks in full, filters by a hash."""
    filters = sorted(plan.filters.items())
    digest = hashlib.sha256(json.dumps(filters).encode()).hexdigest()[:16]
    replaced = set(plan.replaced)
    named = [f"replace:{name}" if name in replaced else name for name in plan.removed]
    return " ".join([*named, *([f"filters:{digest}"] if filters else [])])


def _with_reached(
    path: Levels,
    level: int,
    points: float,
    judge: Judge,
    accuracy: float | None,
    outcomes: list[float | None],
) -> Plan:
    baseline, steps = judge.baseline, judge.steps
    plan = path.plan_at(level) if level else path.base
    if level == 0 or accuracy is None or not plan.removes:
        if level:
            why = f"{path.says(level)} comes to none, and more costs too much or cannot be built"
        elif all(outcome is None for outcome in outcomes):
            why = "no net of the trials could be built"
        else:
            why = f"every trial lost more than {points:g} points of the validation accuracy {baseline:.4f}"
        return plan.model_copy(
            update={"removes": (), "threshold": None, "notes": (*plan.notes, f"Nothing goes: {why}.")}
        )
    gradually = f", each in {steps} steps with fine-tuning between" if steps > 1 else ""
    note = (
        f"Within a drop of {points:g} points goes {path.says(level)} ({len(outcomes)} trials{gradually}): "
        f"validation accuracy {accuracy:.4f}, {baseline:.4f} before."
    )
    found = {"points": points, "steps": steps, "baseline": baseline, "accuracy": accuracy}
    settings = plan.settings | {"max_accuracy_drop": found}
    return plan.model_copy(update={"settings": settings, "notes": (*plan.notes, note)})
