"""What a decision can be told, by method: the options that say how much goes, and those that say by what."""

from __future__ import annotations

__all__ = ["DETAILS", "LIMITS", "ROUND_FOR_SPEED", "TARGETS"]

TARGETS = ("target_speedup", "target_macs", "target_parameters")
# Of these a decision takes one; of `multilayer` also none, which lists the schedule only.
LIMITS = {
    "multilayer": ("threshold", "remove", "max_accuracy_drop", *TARGETS),
    "filters": ("ratio", "max_accuracy_drop", *TARGETS),
}
DETAILS = {
    "multilayer": ("measure", "aggregate", "reference"),
    "filters": ("scope", "score", "round_to", "at_least"),
}
ROUND_FOR_SPEED = 8  # kernels compute channels by the eight: a layer of nine takes as long as one of sixteen
