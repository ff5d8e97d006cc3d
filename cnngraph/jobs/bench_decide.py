"""What goes at a point of a bench: the plan, or the steps, of a method that is held to one budget with one seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cnngraph.errors import PlanError
from cnngraph.jobs.bench_choice import Budget
from cnngraph.jobs.plan import Opened, context_of_stored, open_meter, plan_opened, steps_of
from cnngraph.jobs.prune import PlannedPrune
from cnngraph.jobs.prune_in_steps import SteppedPrune
from cnngraph.jobs.pruned import PruneTask
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder
from cnngraph.plan import Plan
from cnngraph.pruning.budget import Allowance, Way
from cnngraph.pruning.choice import Choice, choose
from cnngraph.pruning.method import Method
from cnngraph.sources.stored import StoredModel
from cnngraph.validation import parse_stored

if TYPE_CHECKING:
    from cnngraph.pruning.path import PruningPath

__all__ = ["Decider", "PointDecision"]

_ANY_RATIO = 0.5  # of each layer, to count the layers that lose filters: a few fewer or more do at another


@dataclass(frozen=True)
class PointDecision:
    """What is carried out.

    Attributes:
        seconds: that it took to find; of steps, before the first one.
        why: why the net will not meet the budget; ``None``: what it costs will tell.
    """

    task: PruneTask
    seconds: float
    why: str | None = None


@dataclass(frozen=True)
class Decider:
    """Decides for one model. ``epochs``: of each net in all. ``device``: where nets are judged, and so timed."""

    session: Session
    model: StoredModel
    opened: Opened
    epochs: int
    device: str

    def expect_epochs(self, method: Method) -> int:
        """Of all trainings of a net by ``method`` together, before it decides: where a layer is a step, each takes one
        at least.
        """
        if method.steps is None or "ratio" not in method.limits:
            return self.epochs
        choice = choose({"method": method.name, "ratio": _ANY_RATIO, **method.usual}, needed=True)
        with suppress(PlanError):  # nothing can go: the points of the method say it
            steps = steps_of(self.session, self.opened, self.model, choice).outline.settings["trained_steps"]
            return max(self.epochs, len(steps))
        return 0

    def decide(self, method: Method, budget: Budget, seed: int, home: JobFolder) -> PointDecision:
        """What ``method`` takes, as ``prune --method METHOD --target-... --seed SEED`` finds it.

        Args:
            home: where it is kept: measured again after a kill, it might come out otherwise.

        Raises:
            PlanError: the budget is out of reach.
        """
        said = {"method": method.name, "seed": seed, "device": self.device, **method.usual}
        # What a search has found so far is the point's own: a later one that found it would seem to take no time.
        opened = self.opened.apart(home.path)
        if method.fit_to_target is None:
            choice = choose({**said, **self._target(budget)}, needed=True)
            return self._planned(home, lambda: self._plan(opened, choice))
        known = home.stage("way").once(lambda: self._find_way(opened, method, budget, seed))
        way = Way(known["options"], known["why"])
        choice = choose({**said, **way.options}, needed=True)
        if method.steps is None:
            found = self._planned(home, lambda: self._plan(opened, choice))
            return PointDecision(found.task, known["seconds"] + found.seconds, way.why)
        steps = steps_of(self.session, opened, self.model, choice)
        return PointDecision(SteppedPrune(steps, choice.identity), known["seconds"], way.why)

    def decide_scratch(self, budget: Budget, home: JobFolder) -> PointDecision:
        """A net of the same architecture, narrower by the same share everywhere, with new weights."""
        from cnngraph.pruning.filters import FilterShare, ScoredModel, plan_filters
        from cnngraph.pruning.path import RatioPath

        choice = self._choose_budget(budget)
        context = context_of_stored(self.session, self.opened, self.model, choice)
        # The last filters of every layer go first: with new weights it is the same which ones do.
        last_first = {
            layer: tuple(float(width - place) for place in range(width))
            for layer, width in context.coupling.layers.items()
        }
        scored = ScoredModel("number", context.model, context.architecture)

        def plan_at(ratio: float) -> Plan:
            return plan_filters(context.coupling, last_first, FilterShare(ratio), scored)

        def plan() -> Plan:
            found = self._reach(choice, RatioPath(context.empty_plan("scratch"), plan_at))
            return found.model_copy(update={"method": "scratch", "init": "scratch"})

        return self._planned(home, plan)

    def time_layers(self, budget: Budget, folder: JobFolder) -> None:
        """Measure how long each layer takes, once for all searches: no point's seconds hold that."""
        from cnngraph.training.latency_table import LatencyTable

        choice = self._choose_budget(budget)
        meter = open_meter(self.opened, choice, self.session.progress)
        found = folder.stage("layer-times").once(lambda: asdict(meter.table))
        self.opened.tables[choice.timing] = LatencyTable(**found)

    def _planned(self, home: JobFolder, decide: Callable[[], Plan]) -> PointDecision:
        def find() -> dict[str, Any]:
            began = time.monotonic()
            self.session.progress.start("Deciding what goes")
            return {"plan": decide().model_dump(mode="json"), "seconds": time.monotonic() - began}

        stage = home.stage("plan")
        known = stage.once(find)
        plan = parse_stored(Plan, known["plan"], str(stage.path))
        if not plan.removes:
            raise PlanError(f"Nothing goes. {' '.join(plan.notes)}".strip())
        return PointDecision(PlannedPrune(plan), known["seconds"])

    def _plan(self, opened: Opened, choice: Choice) -> Plan:
        return plan_opened(self.session, opened, self.model, choice, costs=False)

    def _find_way(self, opened: Opened, method: Method, budget: Budget, seed: int) -> dict[str, Any]:
        assert method.fit_to_target is not None
        began, progress = time.monotonic(), self.session.progress
        progress.start("Deciding how much goes")
        choice = Choice(method=method, options=method.options(**method.usual), seed=seed, device=self.device)
        context = context_of_stored(self.session, opened, self.model, choice)
        allowance = Allowance(budget.target, self.epochs, lambda path: self._reach(self._choose_budget(budget), path))
        return asdict(method.fit_to_target(context, choice.options, allowance)) | {"seconds": time.monotonic() - began}

    def _reach(self, choice: Choice, path: PruningPath) -> Plan:
        from cnngraph.pruning.limits.target_search import reach

        return reach(open_meter(self.opened, choice, self.session.progress), path)

    def _choose_budget(self, budget: Budget) -> Choice:
        """The budget alone, as a choice has it."""
        target = dict(self._target(budget))
        timing = {"latency_on": target.pop("latency_on")}
        return Choice(limits=target, judged=timing, device=self.device)

    def _target(self, budget: Budget) -> Mapping[str, Any]:
        return {"latency_on": self._timed_on, **budget.limits}

    @cached_property
    def _timed_on(self) -> str:
        from cnngraph.training.execution import pick_device

        return pick_device(self.device).type
