"""What the net that is left costs: filled into a plan's schedule by whoever can build that net."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cnngraph.plan import Plan

__all__ = ["Cost", "annotate"]


class Cost(NamedTuple):
    """Parameters and multiply-accumulates (one image) of a net, and an estimate of its latency for one image in ms."""

    parameters: int
    macs: int
    latency_ms: float | None = None


def annotate(plan: Plan, cost: Callable[[tuple[str, ...]], Cost | None]) -> Plan:
    """``plan`` with parameters, MACs and latency in each step of its schedule.

    Args:
        plan: the plan; it is not changed.
        cost: called with a step's removed layers; ``None`` where that net cannot be built.
    """
    steps = []
    for step in plan.schedule:
        found = cost(step.removed)
        steps.append(step.model_copy(update=found._asdict()) if found else step)
    return plan.model_copy(update={"schedule": tuple(steps)})
