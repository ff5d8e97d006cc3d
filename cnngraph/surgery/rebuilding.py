"""A net from its origin, and the origin of a net: only what really builds the net again is written down."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from cnngraph.errors import CnngraphError, ModelError, explain
from cnngraph.models import registry
from cnngraph.models.weights import fit_weights, with_aliases
from cnngraph.modes import evaluation_mode
from cnngraph.origin import Origin, get_origin, set_origin
from cnngraph.randomness import seeded
from cnngraph.surgery.apply import cut
from cnngraph.surgery.calibration import outputs_of
from cnngraph.surgery.channels.filters import copy_net
from cnngraph.surgery.output_diff import list_tensors
from cnngraph.surgery.remembered import remembered
from cnngraph.surgery.structure_diff import described, described_as

__all__ = ["Rebuilt", "fill", "origin_for", "rebuild"]

_HINT = "Pass architecture='python:package.module:factory', whose factory builds the unpruned net."
_IMAGES = 2
_TOLERANCE = 1e-5  # of the largest output, or a few roundings where precision is low: the same sums in another order


@dataclass(frozen=True)
class Rebuilt:
    """A net that was built from its origin.

    Attributes:
        model: with new weights, and the origin attached.
        joins: where its plans left another kind of module than the architecture has, by path: what stands there, or ""
            where nothing does. A plan names what goes; what joins the ends is found anew each time.
        whole: by path, the classes of the architecture's modules, before any plan.
    """

    model: nn.Module
    joins: dict[str, str]
    whole: dict[str, type[nn.Module]] = field(repr=False)


def rebuild(origin: Origin, input_shape: tuple[int, int, int] | None = None) -> Rebuilt:
    """The structure that ``origin`` describes, plans included, with new weights.

    Args:
        input_shape: for the plans of which ``origin`` does not know what they were executed for.

    Within :func:`cnngraph.surgery.remembered.remember_structures` the weights are zeros where it was built before.

    Raises:
        NotFoundError: an unknown architecture. ModelError, PlanError: it cannot be built or cut so.
    """
    known = remembered()
    if known is None:
        return _built(origin, input_shape)
    key = origin.model_dump_json(), input_shape
    if key not in known:
        known[key] = _without_values(_built(origin, input_shape))
    found: Rebuilt = known[key]
    return replace(found, model=copy_net(found.model))


def _built(origin: Origin, input_shape: tuple[int, int, int] | None) -> Rebuilt:
    """The net of the origin's parent, cut by the last plan; without a plan the architecture itself."""
    if not origin.plans:
        model = registry.rebuild(origin.architecture, origin.options)
        set_origin(model, origin)
        return Rebuilt(model, {}, {path: type(module) for path, module in model.named_modules()})
    before = rebuild(origin.parent, input_shape)
    plan, shape = origin.executed[-1]
    # Its guard knows names that a rebuilt net may not have.
    model = cut(before.model, plan.unguarded, input_shape=shape or input_shape)
    set_origin(model, origin)
    left, whole = dict(model.named_modules()), before.whole
    joins = {path: described_as(module) for path, module in left.items() if whole.get(path) is not type(module)}
    return Rebuilt(model, joins | {path: "" for path in whole if path not in left}, whole)


def _without_values(rebuilt: Rebuilt) -> Rebuilt:
    """The same with weights of zeros, which take no memory until they are copied."""
    for parameter in rebuilt.model.parameters():
        parameter.data = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
    return rebuilt


def fill(model: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Give a rebuilt net its weights, in the precision that they have; tied ones may be there once.

    Raises:
        ModelError: names or shapes do not fit, or a value is NaN or infinite; ``where`` names the tensors.
    """
    named = with_aliases(model, tensors)
    _take_precision(model, named)
    fit_weights(model, named, where=where)


def _take_precision(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Let ``model``, built in float32, hold its weights as they were saved: float64 and half stay what they are."""
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name in tensors and tensors[name].dtype != tensor.dtype:
            tensor.data = tensor.data.to(tensors[name].dtype)


def origin_for(
    model: nn.Module,
    architecture: str | None,
    options: Mapping[str, Any] | None,
    classes: Sequence[str],
    shape: tuple[int, int, int],
) -> tuple[Origin, dict[str, str]]:
    """An origin from which the net really can be built again, and its joins (:attr:`Rebuilt.joins`).

    The net is built from it and given the weights. It must then have the same tensors, the same modules with the same
    settings, and give the same outputs for random images of ``shape``: what a constructor was told besides the number
    of classes shows in no tensor.

    Raises:
        ModelError: it cannot be built again, or comes out as another net.
    """
    kind = type(model)
    own = get_origin(model) or Origin(architecture=f"python:{kind.__module__}:{kind.__qualname__}")
    chosen = architecture or own.architecture
    given = dict(options) if options is not None else dict(own.options)
    if chosen.startswith("python:") and "classes" not in given:
        given["classes"] = len(classes) or outputs_of(model, shape)
    origin = own.model_copy(update={"architecture": chosen, "options": given})
    if chosen.startswith("python:__main__:"):
        raise ModelError(
            f"The net cannot be saved: {kind.__name__} is defined in the script that runs, not in a module.",
            f"Move the class to a module of its own. {_HINT}",
        )
    try:
        with seeded(0):
            twin = rebuild(origin, shape)
    except CnngraphError as error:
        raise ModelError(
            f"The net cannot be saved: {chosen} does not build it again: {error.message}", _HINT
        ) from error
    difference = _difference(model, twin.model, shape)
    if difference:
        raise ModelError(f"The net cannot be saved: {chosen} builds another net ({difference}).", _HINT)
    return origin, twin.joins


def _difference(model: nn.Module, twin: nn.Module, shape: tuple[int, int, int]) -> str:
    """The first thing in which ``twin``, once it has the weights of ``model``, is another net; "" where there is none.

    ``twin`` is filled.
    """
    mine, other = model.state_dict(), twin.state_dict()
    for name in dict.fromkeys((*mine, *other)):
        if name not in mine or name not in other or mine[name].shape != other[name].shape:
            return f"first at {name}"
    fill(twin, mine, where="The net")
    found, wanted = described(twin), described(model)
    found[""] = wanted[""]  # a factory may give a class of another name
    for path in dict.fromkeys((*wanted, *found)):
        if found.get(path) != wanted.get(path):
            return f"{path} is {found.get(path, 'missing')}, not {wanted.get(path, 'missing')}"
    return _other_outputs(model, twin, shape)


def _other_outputs(model: nn.Module, twin: nn.Module, shape: tuple[int, int, int]) -> str:
    """Whether the two give other outputs in eval mode; a net that cannot be asked, or answers at random, does not."""
    try:
        # Another memory format rounds otherwise; the copy takes what forward leaves on the net.
        net = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
        wanted = _answer(net, shape)
    except Exception:  # noqa: BLE001 (whatever the user's code raises: its own outputs are not to be had here)
        return ""
    try:
        found = _answer(twin, shape)
    except Exception as error:  # noqa: BLE001 (the same code ran on the user's net)
        return f"it fails: {explain(error)}"
    if _same(found, wanted) or not _same(_answer(net, shape), wanted):
        return ""
    return "with these weights it gives other outputs"


def _answer(net: nn.Module, shape: tuple[int, int, int]) -> list[Tensor]:
    dtype = next((weight.dtype for weight in net.parameters() if weight.is_floating_point()), torch.float32)
    images = torch.randn(_IMAGES, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad(), seeded(0), evaluation_mode(net):
        return list_tensors(net(images))


def _same(found: list[Tensor], wanted: list[Tensor]) -> bool:
    """Whether the outputs are equal but for rounding; NaN and infinity in the same places are."""
    return len(found) == len(wanted) and all(map(_close, found, wanted))


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    allowed = max(_TOLERANCE, 8 * torch.finfo(one.dtype).eps)
    finite = other.double()[torch.isfinite(other)]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(one.double(), other.double(), rtol=0.0, atol=allowed * scale, equal_nan=True)
