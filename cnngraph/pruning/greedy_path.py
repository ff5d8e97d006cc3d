"""A path of filters that go one after the other, each judged on the net without those before; found only as far as it
is followed, and kept, so that an interrupted search goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cnngraph.console import Progress
from cnngraph.errors import PlanError
from cnngraph.files import write_text
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.greedy import GreedyStep, count_filters
from cnngraph.pruning.limits.accuracy_drop import holds
from cnngraph.pruning.limits.target import Pick
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.pruning.path import Predict, PruningPath
from cnngraph.pruning.removals import scored_removals
from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["GreedyPath", "KeptSteps"]

_VERSION = 2
_PREDICTIONS = 32  # of a target, before the level is bisected between two of them


@dataclass(frozen=True)
class KeptSteps:
    """The steps found so far, in a file.

    Attributes:
        path: the file; ``None`` where nothing is kept. groups: by index, with the named layer that each belongs to.
        per_step: how many groups go in one round, at most; one that was interrupted is found again.
    """

    path: Path | None
    groups: Mapping[int, tuple[str, Group]]
    per_step: int = 1

    def read(self) -> list[GreedyStep]:
        """What an interrupted search left: up to the first row that does not fit; nothing where it is damaged."""
        if self.path is None or not self.path.is_file():
            return []
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            rows = content["steps"] if content["version"] == _VERSION else []
            found: dict[int, GreedyStep] = {}
            for row in rows:
                index = int(row["group"])
                if index not in self.groups or index in found:
                    break
                layer, group = self.groups[index]
                cost, left, number = float(row["car"]), float(row["accuracy"]), int(row["round"])
                found[index] = GreedyStep(group, layer, count_filters(group, layer), cost, left, number)
        except (OSError, ValueError, KeyError, TypeError):  # half a file of a crashed disk: the steps are found again
            return []
        steps = list(found.values())
        last = [step for step in steps if step.round == steps[-1].round]
        return steps if len(last) == self.per_step else steps[: len(steps) - len(last)]

    def write(self, steps: Sequence[GreedyStep]) -> None:
        """Keep them all; the file is replaced as a whole."""
        if self.path is not None:
            rows = [
                {"group": step.group.index, "car": step.car, "accuracy": step.accuracy, "round": step.round}
                for step in steps
            ]
            write_text(self.path, json.dumps({"version": _VERSION, "steps": rows}) + "\n")


@dataclass
class GreedyPath(PruningPath):
    """Level n removes the first n groups that a greedy search takes.

    Attributes:
        coupling: of the net. candidates: by layer, in its order, the groups that may go, as many as may go together.
        find: the steps, given those that are known.
        kept: where they are kept. baseline: the accuracy of the whole net, on the images ``judged_on``.
        budget: when it is over, the path ends with the steps found so far, and a note says so.
    """

    base: Plan
    coupling: Coupling
    candidates: Mapping[str, Sequence[Group]]
    find: Callable[[Sequence[GreedyStep]], Iterator[GreedyStep]]
    kept: KeptSteps
    baseline: float
    judged_on: str
    budget: TimeBudget
    progress: Progress
    reckoned: bool = False
    _steps: list[GreedyStep] = field(default_factory=list, init=False)
    _source: Iterator[GreedyStep] | None = field(default=None, init=False)
    _known: list[GreedyStep] = field(default_factory=list, init=False)
    _ended: bool = field(default=False, init=False)
    _late: bool = field(default=False, init=False)
    _slowest: float = field(default=0.0, init=False)

    @property
    def levels(self) -> int:
        return len(self._steps) if self._ended else sum(map(len, self.candidates.values()))

    def plan_at(self, level: int) -> Plan:
        steps = self.steps_to(level)
        if not steps and self._late:
            raise PlanError("No filter goes: the time is over before the first was found.", "Give more {minutes}.")
        if not steps:
            raise PlanError("No filter goes: the share of no layer is as much as what goes together.", "Ask for more.")
        removes = tuple(_removals(self.coupling, steps))
        shown = [
            {"layer": step.layer, "filters": _channels(step), "car": step.car, "accuracy": step.accuracy}
            for step in steps
        ]
        reasons = {"baseline": self.baseline, "judged_on": self.judged_on, "steps": shown}
        before, after = self.baseline, steps[-1].accuracy
        notes = [f"Accuracy on the {self.judged_on}: {before:.2%} before, {after:.2%} without them, untrained."]
        if self._late:
            notes.append(f"The {self.budget.minutes:g} minutes are over after {len(self._steps)} steps: more may go.")
        return self.base.model_copy(
            update={
                "removes": removes,
                "settings": self.base.settings | reasons,
                "notes": (*self.base.notes, *notes),
            }
        )

    def steps_to(self, level: int) -> list[GreedyStep]:
        """The first steps; fewer where nothing more can go, or the time is over."""
        if self._source is None:
            self._known = self.kept.read()
            self._source = self.find(self._known)
        while len(self._steps) < level and not self._ended:
            if not self.budget.allows(self._slowest):
                self._late = self._ended = True
                break
            began = time.monotonic()
            step = next(self._source, None)
            if step is None:
                self._ended = True
                break
            self._slowest = max(self._slowest, time.monotonic() - began)
            self._steps.append(step)
            if len(self._steps) > len(self._known):  # those that were known are in the file
                self.kept.write(self._steps)
            self.progress.advance()
        return self._steps[:level]

    def says(self, level: int) -> str:
        return f"{level} groups of filters"

    @property
    def whole(self) -> Plan:
        self.progress.start("Judging filters, one after the other", self.levels)
        return self.plan_at(self.levels)

    def outline_at(self, level: int) -> tuple[Removal, ...]:
        """The same share of each layer, whichever filters: about what a level costs, found without judging any."""
        share = level / max(1, sum(map(len, self.candidates.values())))
        taken = [
            GreedyStep(group, layer, count_filters(group, layer), 0.0, 0.0, 0)
            for layer, groups in self.candidates.items()
            for group in groups[: max(1, round(share * len(groups)))]
        ]
        return tuple(_removals(self.coupling, taken))

    def choose(self, predict: Predict, aim: float) -> Pick[tuple[Removal, ...]]:
        """The first level whose predicted share is ``aim`` or less."""
        stride = max(1, self.levels // _PREDICTIONS)
        low, high = 0, stride
        while len(self.steps_to(high)) == high and self._share(predict, high) > aim:
            low, high = high, high + stride
        high = min(high, len(self._steps))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._share(predict, middle) <= aim else (middle, high)
        share = self._share(predict, high)
        return Pick(self.plan_at(high).removes, share, exhausted=share > aim)

    def within_drop(self, points: float) -> Plan:
        """Up to the first step that loses more, untrained."""
        level, total = 0, self.levels
        self.progress.start("Judging filters, one after the other", total)
        while len(steps := self.steps_to(level + 1)) > level and holds(steps[-1].accuracy, self.baseline, points):
            level += 1
        if not level and not self._steps:
            return self.plan_at(1)  # which says why there is none
        if not level:
            note = f"Nothing goes: the first filter costs more than {points:g} points of {self.baseline:.4f}."
            return self.base.model_copy(update={"notes": (*self.base.notes, note)})
        made = self.plan_at(level)
        found = {"points": points, "steps": 1, "baseline": self.baseline, "accuracy": self._steps[level - 1].accuracy}
        return made.model_copy(update={"settings": made.settings | {"max_accuracy_drop": found}})

    def require_any(self, predict: Predict) -> None:  # noqa: ARG002
        if not any(self.candidates.values()):
            raise PlanError("No filter of these layers can go.", self.hint())

    def plan_of(self, removals: tuple[Removal, ...]) -> Plan:
        for level in range(1, len(self._steps) + 1):
            if tuple(_removals(self.coupling, self._steps[:level])) == removals:
                return self.plan_at(level)
        raise KeyError("these filters were not chosen on this path")

    def hint(self) -> str:
        return "Ask for less, or name more layers: {layer}."

    def _share(self, predict: Predict, level: int) -> float:
        found = predict(tuple(_removals(self.coupling, self.steps_to(level))))
        return 0.0 if found is None else found  # what cannot be built has lost too much


def _channels(step: GreedyStep) -> list[int]:
    return [channel for layer, channel in step.group.filters if layer == step.layer]


def _removals(coupling: Coupling, steps: Sequence[GreedyStep]) -> Iterator[Removal]:
    """The steps as removals; CAR as score."""
    owners: dict[str, set[str]] = {}
    for step in steps:
        for layer, _ in step.group.filters:
            owners.setdefault(layer, set()).add(step.layer)

    def reason(layer: str) -> str:
        others = ", ".join(sorted(owners[layer] - {layer}))
        return "that the accuracy misses least" + (f"; coupled with {others}" if others else "")

    return scored_removals(coupling, ((step.group, step.car) for step in steps), reason)
