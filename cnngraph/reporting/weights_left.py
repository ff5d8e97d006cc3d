"""What rounds of pruning weights left, as a table: a row a layer, a column a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["weights_left"]


def weights_left(masks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The rounds, and by layer how many weights it has and which share each round left; ``None`` without masks.

    Args:
        masks: ``round, layer, alive, weights``, as ``lineage --json`` has them.

    >>> masks = [{"round": 1 + gone, "layer": "a", "alive": 3 - 2 * gone, "weights": 4} for gone in (0, 1)]
    >>> weights_left(masks)["rows"][0]
    {'layer': 'a', 'weights': 4, 'shares': [0.75, 0.25]}
    """
    if not masks:
        return None
    rounds, layers = (list(dict.fromkeys(row[name] for row in masks)) for name in ("round", "layer"))
    alive = {(row["layer"], row["round"]): row["alive"] for row in masks}
    sizes = {row["layer"]: row["weights"] or row["alive"] for row in masks}
    rows = [_row(layer, sizes[layer], [alive.get((layer, number), 0) for number in rounds]) for layer in layers]
    left = [sum(alive.get((layer, number), 0) for layer in layers) for number in rounds]
    return {"rounds": rounds, "rows": [*rows, _row("all of them", sum(sizes.values()), left)]}


def _row(layer: str, weights: int, alive: Sequence[int]) -> dict[str, Any]:
    return {"layer": layer, "weights": weights, "shares": [one / weights for one in alive]}
