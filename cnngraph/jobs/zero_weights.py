"""After a cut: the smallest weights of the layers that lost filters become zero, and how much smaller each layer is.

Abbasi-Asl & Yu (Frontiers in Big Data 4:704182, 2021) prune weights of what their filters left, and say how often a
layer shrinks in all. Which weights go is :func:`cnngraph.pruning.smallest_weights.keep_largest`, each layer by itself
(our choice). A mask keeps them zero, whatever trains the net later.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from cnngraph.errors import PlanError
from cnngraph.plan import Plan

if TYPE_CHECKING:
    from torch import nn

__all__ = ["edits_of_zeros", "require_zeroable", "zero_smallest"]


def require_zeroable(net: nn.Module, plan: Plan) -> None:
    """Return if the plan removes filters, of layers whose weights are their own.

    Raises:
        PlanError: it removes none; or a layer computes its weights from others, so that zeros would not stay zeros.
    """
    from torch import nn

    if not plan.filters:
        raise PlanError(
            "The plan removes no filters, so there is no layer to prune weights of.", "Leave out {prune_weights}."
        )
    for layer in plan.filters:
        module = net.get_submodule(layer)
        own = "weight" in dict(module.named_parameters(recurse=False))  # which hooks may make from others
        if type(module) not in (nn.Conv2d, nn.Linear) or not own:
            kind = type(module).__name__ if own else f"{type(module).__name__} that computes its weights"
            raise PlanError(
                f"{layer} is a {kind}: zeros in its weights may be none where it uses them.",
                "Leave out {prune_weights}.",
            )


def zero_smallest(old: nn.Module, slim: nn.Module, plan: Plan, rate: float) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A copy of ``slim`` with zeros for the smallest weights of each layer that lost filters; biases stay.

    Args:
        old: the net before the cut. rate: the share of the weights that goes, of those left in each layer.

    Returns:
        the net; by layer ``layer``, ``before`` (weights of the old net), ``weights`` (after the cut), ``left`` (of
        these, those that are not zero) and ``shrink``, before / left (``None`` where none is left).
    """
    import torch

    from cnngraph.models.masks import get_masks, keep_zeros, masks_of, set_masks
    from cnngraph.models.tensor_bytes import tensor_numbers
    from cnngraph.pruning.smallest_weights import keep_largest

    net, rows = copy.deepcopy(slim), []
    known = get_masks(net)
    alive = dict(known.alive) if known is not None else {}
    for layer in plan.filters:
        name = f"{layer}.weight"
        known_here = [alive[name]] if name in alive else None
        (alive[name],) = keep_largest([tensor_numbers(net.get_parameter(name))], rate, known_here)
    set_masks(net, masks_of(alive))
    keep_zeros(net)
    for layer in plan.filters:
        weight = net.get_submodule(layer).get_parameter("weight")
        before, left = old.get_submodule(layer).get_parameter("weight").numel(), int(torch.count_nonzero(weight))
        rows.append(
            {"layer": layer, "before": before, "weights": weight.numel(), "left": left}
            | {"shrink": before / left if left else None}
        )
    return net, rows


def edits_of_zeros(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as the lineage says it, in the form of :meth:`cnngraph.surgery.edits.Edit.as_json`."""
    return [
        {
            "module": row["layer"],
            "kind": "zeros",
            "reason": f"{row['weights'] - row['left']} of its {row['weights']} weights, the smallest, are zero",
            "removed": [row["layer"]],
        }
        for row in rows
    ]
