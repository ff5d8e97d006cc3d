"""A decision that is made while the net is trained: what goes in a step hangs on the net that the one before left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from cnngraph.network.followed_net import FollowedNet
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.limits.accuracy_drop import holds
from cnngraph.pruning.limits.time_budget import TimeBudget

__all__ = ["Allowed", "StepWords", "Stepwise"]


@dataclass(frozen=True)
class StepWords:
    """How the steps of a method are spoken of.

    Attributes:
        each: what a step is about. todo: of some that are still to come, after their number. done: of one that was
            taken. going: one of what goes. passed: of one that comes to nothing.
    """

    each: str
    todo: str
    done: str
    going: str
    passed: str


@dataclass(frozen=True)
class Allowed:
    """What the validation images may lose, judged after each step's training; ``None``: as much as it takes.

    Attributes:
        accuracy_drop: in points of percent. kappa_drop: of Cohen's kappa.
    """

    accuracy_drop: float | None = None
    kappa_drop: float | None = None

    def exceeded(self, before: dict[str, float], after: dict[str, float]) -> str:
        """What is beyond it, in words; "" where nothing is.

        >>> Allowed(kappa_drop=0.05).exceeded({"kappa": 0.9, "accuracy": 0.9}, {"kappa": 0.8, "accuracy": 0.8})
        'kappa 0.9000 before, 0.8000 after it, allowed is a drop of 0.05'
        """
        if self.accuracy_drop is not None and not holds(after["accuracy"], before["accuracy"], self.accuracy_drop):
            allowed = f"allowed is a drop of {self.accuracy_drop:g} points"
            return f"accuracy {before['accuracy']:.2%} before, {after['accuracy']:.2%} after it, {allowed}"
        if self.kappa_drop is not None and not holds(after["kappa"], before["kappa"], 100 * self.kappa_drop):
            allowed = f"allowed is a drop of {self.kappa_drop:g}"
            return f"kappa {before['kappa']:.4f} before, {after['kappa']:.4f} after it, {allowed}"
        return ""


@dataclass
class Stepwise(ABC):
    """What goes step by step. Who carries it out cuts, trains and judges; see :mod:`cnngraph.jobs.prune_in_steps`.

    Attributes:
        words: how it is spoken of.
        outline: what goes in all steps together, or as much of the same: found before any training. Its settings name
            the ``trained_steps``: ``number``, ``layer``, ``filters`` (how many of that layer); of a round of weights
            ``weights`` and ``alive``.
        targets: what each step is about, a layer, say; a step that comes to nothing is passed over.
        allowed: a step that loses more is not taken, and nothing after it. budget: how long all of it may take.
    """

    words: ClassVar[StepWords] = StepWords(
        each="layer",
        todo="to be simplified",
        done="simplified",
        going="filter",
        passed="keeps its filters: its share is less than goes together",
    )

    outline: Plan
    targets: tuple[str, ...]
    allowed: Allowed = field(default_factory=Allowed)
    budget: TimeBudget = field(default_factory=TimeBudget)

    @abstractmethod
    def plan(self, net: nn.Module, target: str, done: Sequence[Plan]) -> Plan:
        """The plan of one step, for ``net`` and numbered as in it; it may remove nothing.

        Args:
            net: what the steps that are ``done`` have left, trained; it is not changed. done: their plans.
        """

    def cut(self, net: nn.Module, plan: Plan, input_shape: tuple[int, int, int]) -> nn.Module:
        """A copy of ``net`` without what the plan of a step removes, with the weights that its training begins with."""
        from cnngraph.surgery.apply import apply

        return apply(net, plan, input_shape=input_shape)

    def counts(self, plan: Plan, target: str) -> dict[str, Any]:
        """What a StepTaken says of what went: ``layer`` and ``filters``, or ``weights`` and ``alive``."""
        return {"layer": target, "filters": len(plan.filters[target])}

    @property
    def expected(self) -> dict[str, Any]:
        """What a dry run says of how much goes, beside the steps."""
        return {"filter_counts": {layer: len(filters) for layer, filters in self.outline.filters.items()}}

    def explained(self, done: Sequence[Plan]) -> dict[str, Any]:  # noqa: ARG002
        """What the settings of the plan of all steps say beside the steps themselves."""
        return {}

    @abstractmethod
    def trained(self, net: FollowedNet, target: str) -> frozenset[str]:
        """Names of the tensors of the cut ``net`` that are trained in the step; all others stay bit for bit."""

    @abstractmethod
    def together(self, done: Sequence[Plan]) -> tuple[Removal, ...]:
        """What the plans of the steps come to, for the unpruned net."""
