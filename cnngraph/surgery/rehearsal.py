"""A plan carried out once on a copy and run without values, so that the plan itself says what would fail.

That everything fits is found out on the followed net; what the user's own code does besides (it reads ``out_channels``
of a conv that goes, calls a block with arguments of its own, is torn by a value that is overwritten in place) shows
when the new net runs. On fake tensors that takes neither weights nor images: a forward pass in eval mode, a forward
and backward pass in train mode.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cnngraph.errors import CnngraphError, PlanError
from cnngraph.models.wrappers import unwrapped
from cnngraph.network.symbolic import fake_twin, line_of_traceback
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut
from cnngraph.surgery.sample import input_shape_of

__all__ = ["rehearse"]

_BATCH = 8  # with fewer, the norms of a 1 x 1 map would see too little in train mode
_LARGER = (224, 299)  # where train mode takes no images of the given size (an auxiliary head), one of these may do


def rehearse(model: nn.Module, plan: Plan, *, input_shape: tuple[int, int, int] | None = None) -> None:
    """Return if the net that ``plan`` leaves of ``model`` runs and trains as far as ``model`` itself does.

    Args:
        input_shape: (channels, height, width); by default what the net's origin says.

    Raises:
        PlanError: it cannot be carried out, or what is left fails; the message names a layer that is to blame.
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
            raise _refused(part.removes, alone)
    raise _refused(plan.removes, failure)


def _refused(removes: tuple[Removal, ...], failure: str) -> PlanError:
    names = ", ".join(dict.fromkeys(removal.layer for removal in removes))
    return PlanError(f"{names} cannot go: {failure}.", "Remove other layers, or let forward do without what is gone.")


def _failure(model: nn.Module, plan: Plan, shape: tuple[int, int, int]) -> str:
    """What fails in the net that the plan leaves and not in ``model``, or ""."""
    slim = cut(model, plan, input_shape=shape)
    found = _error_of(lambda: _evaluate(slim, shape))
    if found and not _error_of(lambda: _evaluate(model, shape)):
        return f"in eval mode the net then fails {found}"
    found = _error_of(lambda: _train(slim, shape))
    for size in (shape[1:], *((size, size) for size in _LARGER)):
        images = (shape[0], *size)
        if not found:
            break
        if not _error_of(lambda images=images: _train(model, images)):  # type: ignore[misc]
            found = _error_of(lambda images=images: _train(slim, images))  # type: ignore[misc]
            return found and f"in train mode the net then fails {found}"
    return ""


def _error_of(run: Callable[[], None]) -> str:
    """Where ``run`` fails in the user's code, and why; "" if it does not."""
    try:
        run()
    except Exception as error:  # noqa: BLE001 (whatever the user's code raises is the reason that is asked for)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].partition(" Hint: ")[0].rstrip(".")
        where = line_of_traceback(error.__traceback__)
        return f"with: {reason}" if where.startswith(__file__) else f"at {where}: {reason}"
    return ""


def _evaluate(net: nn.Module, shape: tuple[int, ...]) -> None:
    with fake_twin(net) as (twin, images_of), torch.no_grad():
        twin.eval()(images_of((_BATCH, *shape)))


def _train(net: nn.Module, shape: tuple[int, ...]) -> None:
    with fake_twin(net) as (twin, images_of):
        outputs = twin.train()(images_of((_BATCH, *shape)))
        found = [outputs] if isinstance(outputs, Tensor) else _values(outputs)
        sums = [out.square().sum() for out in found if isinstance(out, Tensor) and out.requires_grad]
        weights = [parameter for parameter in twin.parameters() if parameter.requires_grad]
        if sums and weights:
            torch.autograd.grad(sums, weights, allow_unused=True)


def _values(outputs: object) -> list[object]:
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, tuple | list) else []
