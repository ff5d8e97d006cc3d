"""Whether an accuracy says that a net knows anything at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnngraph.training.evaluate import Evaluation

__all__ = ["near_chance"]

_STANDARD_ERRORS = 2.0


def near_chance(found: Evaluation) -> str | None:
    """A sentence where ``found`` is no better than the answer "always the most frequent class", else ``None``.

    No better is: above it by at most two standard errors of a share at so many images.
    """
    chance = float(found.confusion.sum(axis=1).max()) / found.images
    if found.accuracy > chance + _STANDARD_ERRORS * math.sqrt(chance * (1 - chance) / found.images):
        return None
    return (
        f"the accuracy of {found.accuracy:.1%} is near chance: always answering the most frequent class has "
        f"{chance:.1%} of these {found.images:,} images right. The net is untrained or was cut too deep, or its "
        "classes, images or preprocessing are not those of its training."
    )
