"""What a cut did to the net's answers before any training, and saying so where nothing is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, warn
from cnngraph.plan import Plan
from cnngraph.reporting.page import answers_in_words
from cnngraph.sources.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import nn

__all__ = ["compare_with_old", "tell_agreement"]

_NAMED = 5  # joins, the worst first


def compare_with_old(subject: LoadedModel, slim: nn.Module, device: str, progress: Progress) -> dict[str, Any] | None:
    """The ``agreement`` of a prune's JSON: the logits of both nets on validation images; ``None`` without any.

    Raises:
        ModelError: logits are NaN or infinite.
    """
    from cnngraph.training.agreement import agreement

    found = agreement(
        subject.model,
        slim,
        subject.data.validation,
        classes=len(subject.data.classes),
        device=device,
        progress=progress,
    )
    if found is None:
        return None
    return found.as_json() | {"images_from": subject.images_from("validation", found.images).as_json()}


def tell_agreement(found: Mapping[str, Any] | None, joins: Mapping[str, float], plan: Plan, progress: Progress) -> None:
    """Say the agreement; loudly, with the errors of the joins, where the new net has nothing to do with the old one.

    Args:
        joins: relative error of each refitted layer. plan: with weights that it renews none of that is a surprise.
    """
    words = answers_in_words(found)
    if found is None or not found["unrelated"]:
        progress.note(words)
    elif plan.init == "scratch" or (plan.init in ("reset", "random") and plan.removed):
        progress.note(f"{words} That is expected: --init {plan.init} gave it new weights.")
    else:
        worst = sorted(joins.items(), key=lambda pair: -pair[1])[:_NAMED]
        errors = ", ".join(f"{layer} {error:.2f}" for layer, error in worst)
        warn(
            f"what is left has hardly anything to do with the old net. {words} "
            + (f"Relative error of the joins (0 is perfect, 1 is nothing kept): {errors}. " if errors else "")
            + "Remove less, or other layers; whatever accuracy it has after training it learned anew."
        )
