"""The recipe of a model for a person."""

from __future__ import annotations

from typing import Any

from cnngraph.origin import Origin
from cnngraph.validation import parse_stored

__all__ = ["in_words"]


def in_words(recipe: dict[str, Any], model: str) -> str:
    """A model's recipe in one line: its architecture, and what each plan removed from it.

    Raises:
        ModelError: somebody changed it, or a newer cnngraph wrote it.
    """
    origin = parse_stored(Origin, recipe, f"The recipe of {model} in the graph")
    options = ", ".join(f"{name} {value}" for name, value in origin.options.items())
    return "; then without ".join([f"{origin.architecture} ({options})", *(plan.in_words for plan in origin.plans)])
