"""The proof that what was to stay in each step of a prune did, by the sha256 of every frozen tensor in its plan.

A tensor that no step has trained yet must be the old net's, sliced; one that no later step trains must be the new
net's; between two steps that both leave it alone and do not cut it, nothing may change it. What was trained before and
cut since is gone: of that the plans are all that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from cnngraph.models.masks import get_masks
from cnngraph.network.followed_net import FollowedNet
from cnngraph.plan import Plan
from cnngraph.surgery.apply import cut
from cnngraph.surgery.freezing import depthwise_layers, hash_tensors, named_tensors, trained_tensors
from cnngraph.surgery.rebuilding import rebuild
from cnngraph.surgery.saved import Saved

__all__ = ["prove_freezing", "prove_rounds"]


def prove_rounds(net: nn.Module, steps: Sequence[Plan], *, adopted: bool = False) -> list[str]:
    """What is not as plans say that pruned weights round by round, a sentence each.

    That the zeros are exact is proven by :func:`cnngraph.surgery.verify.verify`. Here: no layer has more weights alive
    after a round than before it; and where no filters went since, the net has the masks of the last round.

    Args:
        adopted: the net has weights from elsewhere by now: a layer may have lost its mask, which verify says.
    """
    failures: list[str] = []
    known: dict[str, int] = {}
    for number, plan in enumerate(steps, 1):
        for layer, removal in plan.weights.items():
            alive = removal.alive or 0
            if alive > known.get(layer, alive):
                failures.append(f"round {number}: {layer} has {alive} weights, and had {known[layer]} before")
            known[layer] = alive
    masks = get_masks(net)
    if masks is None:
        return failures if adopted else [*failures, "the net has no masks"]
    if any(plan.filters for plan in steps):
        return failures
    last = next(plan for plan in reversed(steps) if plan.weights).weights
    return failures + [
        f"{layer}: its mask is not that of the last round"
        for layer, removal in last.items()
        if masks.sha256_of(layer) != removal.mask and not (adopted and layer not in masks.layers)
    ]


def prove_freezing(
    parent: nn.Module | None, slim: Saved, steps: Sequence[Plan], *, trained_since: bool = False
) -> list[str]:
    """What is not as the plans of the steps say, a sentence each.

    Args:
        parent: the net before the first step; ``None`` where it is not known.
        steps: the last plans of ``slim``, one a step; their settings hold the layer and the hashes of what was frozen.
        trained_since: ``slim`` was trained after the last step: of its own tensors nothing is known.
    """
    failures: list[str] = []
    shape = slim.origin.input_shape or slim.input_shape
    net = rebuild(slim.origin.before_steps, shape).model if parent is None else parent
    depthwise = depthwise_layers(FollowedNet(net, shape).graph)
    trained_once: set[str] = set()
    known: dict[str, str] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for number, plan in enumerate(steps, 1):
        layer, kept = plan.settings.get("layer"), plan.settings.get("frozen")
        net = cut(net, plan.unguarded, input_shape=shape)
        tensors = named_tensors(net)
        if not isinstance(layer, str) or layer not in dict(net.named_modules()) or not isinstance(kept, Mapping):
            return [*failures, f"step {number}: its plan does not say which layer it is about and what was frozen"]
        trained = trained_tensors(FollowedNet(net, shape), layer, depthwise)
        frozen = tensors.keys() - trained
        missing, strange = sorted(frozen - kept.keys()), sorted(kept.keys() - frozen)
        failures += [f"step {number}: there is no sha256 of {name}, which was to stay" for name in missing]
        failures += [f"step {number}: {name} is said to be frozen, and was trained" for name in strange]
        wanted = hash_tensors(net, frozen - trained_once) if parent is not None else {}
        wanted |= {name: known[name] for name in frozen & known.keys() if shapes[name] == tuple(tensors[name].shape)}
        changed = [name for name in sorted(kept.keys() & wanted.keys()) if kept[name] != wanted[name]]
        failures += [f"step {number}: {name} was to stay, and is another since" for name in changed]
        trained_once |= trained
        known = {name: kept[name] for name in frozen & kept.keys()}
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if trained_since:
        return failures
    last = hash_tensors(slim.model, known.keys() & named_tensors(slim.model).keys())
    changed = [name for name in sorted(known) if last.get(name) != known[name]]
    return failures + [f"{name} was to stay in the last step, and is another since" for name in changed]
