"""How a method without targets is held to one: by which of its options and bounds, or why it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnngraph.plan import Plan
    from cnngraph.pruning.limits.target import Target
    from cnngraph.pruning.path import PruningPath

__all__ = ["Allowance", "Way"]


@dataclass(frozen=True)
class Allowance:
    """What every method has.

    Attributes:
        target: what the net is to come down to. epochs: of all trainings together.
        reach: the plan on a path that reaches the target; raises PlanError where it is out of reach.
    """

    target: Target
    epochs: int
    reach: Callable[[PruningPath], Plan]


@dataclass(frozen=True)
class Way:
    """How a method comes as near to a target as it can.

    Attributes:
        said: its options and bounds, by name, as ``prune`` takes them.
        why: why the net will not meet the target all the same; ``None``: what it costs will tell.
    """

    said: Mapping[str, Any]
    why: str | None = None
