"""Check that the net a plan leaves runs and trains, before the plan is given to anybody.

Shapes are checked on the followed net; what the user's own code does besides (it reads ``out_channels`` of a conv that
goes, calls a block with arguments of its own, overwrites in place a value that the backward pass needs) only shows
when the new net runs. So it is made once on a copy and run on fake tensors, which takes neither weights nor images: a
forward pass in eval mode, a forward and backward pass in train mode. Operators that are not torch's own, and some of
torch's, take on fake tensors what they refuse on real ones, so that the new net also runs once on two images of zeros,
in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn

from cnngraph.errors import CnngraphError, PlanError
from cnngraph.models.outputs import tensors_of
from cnngraph.models.wrappers import unwrapped
from cnngraph.network.symbolic import fake_twin
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut
from cnngraph.surgery.calibration import input_shape_of
from cnngraph.surgery.trial import error_of, failure_on_images

__all__ = ["UnfitError", "check_runs", "retry_without"]

Found = TypeVar("Found")

_BATCH = 8  # with fewer, the norms of a 1 x 1 map would see too little in train mode
_LARGER = (224, 299)  # where train mode takes no images of the given size (an auxiliary head), one of these may do


class UnfitError(PlanError):
    """What is left fails in the user's own code. ``blamed``: what must not go, or not together."""

    def __init__(self, blamed: tuple[Removal, ...], failure: str) -> None:
        names = ", ".join(dict.fromkeys(removal.layer for removal in blamed))
        super().__init__(
            f"{names} cannot go: {failure}.", "Remove other layers, or let forward do without what is gone."
        )
        self.blamed = blamed

    def left_of(self, order: Sequence[Removal]) -> tuple[Removal, ...]:
        """``order``, lowest score first, without what is to blame: of several the one with the highest score."""
        names = {removal.layer for removal in self.blamed}
        last = max((i for i, removal in enumerate(order) if removal.layer in names), default=None)
        if last is None:
            raise self
        return (*order[:last], *order[last + 1 :])


def retry_without(
    order: Sequence[Removal], search: Callable[[tuple[Removal, ...]], Found], told: Callable[[UnfitError], object]
) -> Found:
    """Run ``search(order)``; where the user's own code needs something that would go, search again without that.

    Args:
        order: what may go, lowest score first. search: raises UnfitError. told: what stays, and why, one at a time.
    """
    left = tuple(order)
    while True:
        try:
            return search(left)
        except UnfitError as error:
            left = error.left_of(left)
            told(error)


def check_runs(model: nn.Module, plan: Plan, *, input_shape: tuple[int, int, int] | None = None) -> None:
    """Return if the net that ``plan`` leaves of ``model`` runs and trains as far as ``model`` itself does.

    Args:
        input_shape: (channels, height, width); by default what the net's origin says.

    Raises:
        UnfitError: what is left fails; the message names a layer that is to blame.
        PlanError: it cannot be carried out.
        TraceError, ModelError: the net cannot be followed or copied.
    """
    model = unwrapped(model)
    shape = input_shape or input_shape_of(model)
    failure = _failure(model, plan, shape)
    if not failure:
        return
    parts = [plan.model_copy(update={"removes": (removal,)}) for removal in plan.removes]
    for part in parts if len(parts) > 1 else ():
        try:
            alone = _failure(model, part, shape)
        except CnngraphError:
            continue  # half of a unit
        if alone:
            raise UnfitError(part.removes, alone)
    raise UnfitError(plan.removes, failure)


def _failure(model: nn.Module, plan: Plan, shape: tuple[int, int, int]) -> str:
    """What fails in the net that the plan leaves and not in ``model``, or ""."""
    slim = cut(model, plan, input_shape=shape)
    found = error_of(lambda: _evaluate(slim, shape))
    if found and not error_of(lambda: _evaluate(model, shape)):
        return f"in eval mode the net then fails {found}"
    found = "" if found else failure_on_images(model, slim, shape)
    if found:
        return f"on images the net then fails {found}"
    found = error_of(lambda: _train(slim, shape))
    for size in (shape[1:], *((size, size) for size in _LARGER)):
        images = (shape[0], *size)
        if not found:
            break
        if not error_of(lambda images=images: _train(model, images)):  # type: ignore[misc]
            found = error_of(lambda images=images: _train(slim, images))  # type: ignore[misc]
            return found and f"in train mode the net then fails {found}"
    return ""


def _evaluate(net: nn.Module, shape: tuple[int, ...]) -> None:
    with fake_twin(net) as (twin, images_of), torch.no_grad():
        twin.eval()(images_of((_BATCH, *shape)))


def _train(net: nn.Module, shape: tuple[int, ...]) -> None:
    with fake_twin(net) as (twin, images_of):
        found = tensors_of(twin.train()(images_of((_BATCH, *shape)))).values()
        sums = [out.square().sum() for out in found if out.requires_grad]
        weights = [parameter for parameter in twin.parameters() if parameter.requires_grad]
        if sums and weights:
            torch.autograd.grad(sums, weights, allow_unused=True)
