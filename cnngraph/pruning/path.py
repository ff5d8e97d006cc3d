"""A pruning path: plans that remove more from level to level, lowest score first; limits say how far it is followed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from cnngraph.errors import PlanError
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.limits.target import Pick, lowest_first, smallest_ratio

if TYPE_CHECKING:
    from cnngraph.network.graph import LayerGraph

__all__ = ["LayerPath", "Levels", "OnePlan", "Predict", "PruningPath", "RatioPath"]

RATIO_STEP = 0.05  # of the filters, from level to level
_NEARLY_ALL = 0.99
Found = TypeVar("Found")
Predict = Callable[[tuple[Removal, ...]], float | None]  # the share of the cost that is left; None: cannot be built


class Levels(ABC):
    """Plans from the one that removes least (level 1) to the one that removes most (level ``levels``): what a search by
    accuracy asks.

    Attributes:
        base: the plan that removes nothing, with what explains the decision (ranking, schedule, notes).
    """

    base: Plan

    @property
    @abstractmethod
    def levels(self) -> int:
        """How many there are; level 0, which removes nothing, is not counted."""

    @abstractmethod
    def plan_at(self, level: int) -> Plan:
        """The plan of level 1 to ``levels``; raises PlanError where it cannot be had."""

    @abstractmethod
    def says(self, level: int) -> str:
        """What goes at a level, in words."""

    def levels_to(self, level: int, steps: int) -> tuple[Plan, ...]:
        """The plans on the way to ``level`` in so many steps of about the same size, the last of them its own.

        Raises:
            PlanError: one of them cannot be had.
        """
        way = sorted({round(level * step / steps) for step in range(1, steps + 1)} - {0})
        return tuple(self.plan_at(one) for one in way)


class PruningPath(Levels):
    """The levels of a method, followed also by bounds and targets.

    Attributes:
        reckoned: whether what a cut costs can be reckoned from the layers, without building the net.
    """

    reckoned: bool

    @property
    @abstractmethod
    def whole(self) -> Plan:
        """As far as the bounds allow, where nothing else limits the decision."""

    def within_drop(self, points: float) -> Plan | None:  # noqa: ARG002
        """The plan that loses at most so many points of accuracy, where the method itself judges by it; ``None``: each
        level has to be tried.
        """
        return None

    def outline_at(self, level: int) -> tuple[Removal, ...]:
        """What goes at a level, as far as its cost hangs on it."""
        return self.plan_at(level).removes

    @abstractmethod
    def choose(self, predict: Predict, aim: float) -> Pick[tuple[Removal, ...]]:
        """What goes so that the predicted share that is left comes down to ``aim``."""

    @abstractmethod
    def require_any(self, predict: Predict) -> None:
        """Return if something can go at all; raises PlanError, which says why not."""

    @abstractmethod
    def plan_of(self, removals: tuple[Removal, ...]) -> Plan:
        """The plan of what :meth:`choose` chose."""

    @abstractmethod
    def hint(self) -> str:
        """What to do where a limit is out of reach."""

    def arrange(self, plan: Plan) -> Plan:
        """``plan`` with what goes in the order in which plans list it."""
        return plan

    def search(self, search: Callable[[PruningPath], Found], told: Callable[[str], object]) -> Found:  # noqa: ARG002
        """``search`` on this path; ``told`` hears of what turned out to be indispensable on the way."""
        return search(self)


@dataclass
class LayerPath(PruningPath):
    """Level n removes the first n of ``order``, layers and blocks.

    Attributes:
        order: lowest score first. graph: the followed net, for the order of the net and of blocks.
        stays: layers that cannot go by themselves, with the reason.
        bounded: the plan of bounds alone; ``None``: the last level.
    """

    base: Plan
    order: tuple[Removal, ...]
    graph: LayerGraph | None = None
    stays: Mapping[str, str] = field(default_factory=dict)
    bounded: Plan | None = None
    reckoned: bool = True

    @property
    def levels(self) -> int:
        return len(self.order)

    def plan_at(self, level: int) -> Plan:
        return self.base.model_copy(update={"removes": self.order[:level], "threshold": None})

    def says(self, level: int) -> str:
        return f"{level} of {len(self.order)} layers and blocks"

    @property
    def whole(self) -> Plan:
        return self.bounded if self.bounded is not None else self.plan_of(self.order)

    def choose(self, predict: Predict, aim: float) -> Pick[tuple[Removal, ...]]:
        return lowest_first(self.order, predict, aim)

    def require_any(self, predict: Predict) -> None:
        if not any(predict((removal,)) is not None for removal in self.order):
            raise PlanError("No layer or block of this net can be removed.", self.hint())

    def plan_of(self, removals: tuple[Removal, ...]) -> Plan:
        """``removals`` in network order."""
        return self.arrange(self.base.model_copy(update={"removes": removals, "threshold": None}))

    def arrange(self, plan: Plan) -> Plan:
        from cnngraph.pruning.candidates import in_network_order

        if self.graph is None:
            return plan
        return plan.model_copy(update={"removes": in_network_order(self.graph, plan.removes)})

    def hint(self) -> str:
        if not self.stays:
            return "Ask for less, or let filters go: {method=filters}."
        shown = "; ".join(f"{layer}: {reason}" for layer, reason in list(self.stays.items())[:5])
        more = f"; and {len(self.stays) - 5} more" if len(self.stays) > 5 else ""
        return f"Ask for less, or let filters go: {{method=filters}}. These stay: {shown}{more}"

    def search(self, search: Callable[[PruningPath], Found], told: Callable[[str], object]) -> Found:
        """Begun anew without what the user's own code cannot do without: every level above it would fail."""
        from cnngraph.surgery.check_runs import UnfitError, retry_without

        stays = dict(self.stays)

        def remember(error: UnfitError) -> None:
            told(error.message)
            stays.update({removal.layer: error.message for removal in error.blamed})

        return retry_without(self.order, lambda left: search(replace(self, order=left, stays=stays)), remember)


@dataclass
class RatioPath(PruningPath):
    """Levels are ratios of the filters, in twentieths up to ``most``.

    Attributes:
        plan_at_ratio: the plan of a ratio in 0..1; raises PlanError where it cannot be had.
        most: the ratio that is not exceeded.
    """

    base: Plan
    plan_at_ratio: Callable[[float], Plan]
    most: float | None = None
    reckoned: bool = False
    _plans: dict[tuple[Removal, ...], Plan] = field(default_factory=dict, init=False)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Of level 1 and so on."""
        steps = tuple(round(step * RATIO_STEP, 2) for step in range(1, round(1 / RATIO_STEP)))
        return steps if self.most is None else (*(ratio for ratio in steps if ratio < self.most), self.most)

    @property
    def levels(self) -> int:
        return len(self.ratios)

    def plan_at(self, level: int) -> Plan:
        return self.plan_at_ratio(self.ratios[level - 1])

    def says(self, level: int) -> str:
        return f"a ratio of {self.ratios[level - 1]} of the filters"

    @property
    def whole(self) -> Plan:
        return self.plan_at(self.levels)

    def choose(self, predict: Predict, aim: float) -> Pick[tuple[Removal, ...]]:
        return smallest_ratio(self._removals_at, predict, aim, most=self.most)

    def require_any(self, predict: Predict) -> None:  # noqa: ARG002
        try:
            most = self.plan_at_ratio(self.most or _NEARLY_ALL)
        except PlanError:  # a smaller one may be possible
            return
        if not most.filters:
            raise PlanError(
                f"No filters can go: {' '.join(most.notes)}",
                "Choose a smaller {round_to} or {at_least}, or let layers go: {method=multilayer}.",
            )

    def plan_of(self, removals: tuple[Removal, ...]) -> Plan:
        return self._plans[removals]

    def hint(self) -> str:
        return "Ask for less, or let layers go."

    def _removals_at(self, ratio: float) -> tuple[Removal, ...]:
        made = self.plan_at_ratio(ratio)
        self._plans.setdefault(made.removes, made)
        return made.removes


@dataclass
class OnePlan(Levels):
    """One level: this plan or nothing."""

    plan: Plan

    @property
    def base(self) -> Plan:  # type: ignore[override]
        return self.plan.model_copy(update={"removes": (), "notes": ()})

    @property
    def levels(self) -> int:
        return 1

    def plan_at(self, level: int) -> Plan:  # noqa: ARG002
        return self.plan

    def says(self, level: int) -> str:  # noqa: ARG002
        return self.plan.in_words
