"""Plan -> smaller net: a deep copy of the user's own net, filters sliced off first, then layers replaced and joined."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from pydantic import ValidationError
from torch import nn

from cnngraph.console import Progress, Quiet
from cnngraph.errors import PlanError
from cnngraph.models.masks import Masks, drop_unfit
from cnngraph.models.wrappers import unwrapped
from cnngraph.origin import Origin, get_origin, set_origin
from cnngraph.plan import Plan
from cnngraph.surgery.calibration import IMAGES, fitting_images, input_shape_of
from cnngraph.surgery.check import architectures_of
from cnngraph.surgery.edits import Edit
from cnngraph.surgery.execution import Execution, apply_plan
from cnngraph.surgery.layers.apply_edits import renew, renew_everything
from cnngraph.surgery.layers.bypass import Copy
from cnngraph.surgery.layers.new_layers import initialise
from cnngraph.surgery.layers.refit import Refitted, refit
from cnngraph.surgery.layers.replacements import LeaveOut, PutAdapter, Replace, SkipBlock
from cnngraph.surgery.layers.rewrite import Join, Resize, Rewrite
from cnngraph.surgery.trial import failure_on_images

__all__ = ["JoinReport", "Report", "apply", "apply_with_report", "cut"]


@dataclass(frozen=True)
class JoinReport:
    """One surviving layer at a gap: how it was initialised, and its relative error where it was refitted.

    ``target``: the layer of the old net whose pre-norm output it gives.
    ``reason``: why it was not initialised as asked.
    """

    layer: str
    target: str
    init: str
    relative_error: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What was done to a net.

    Attributes:
        removed: convs that are gone, also those inside of removed blocks; of replaced blocks also the norms and
            activations. blocks: those that are gone or replaced.
        joins: the layers at the gaps, and those that replace blocks.
        stays: activations whose conv is gone and that other layers share, or functions.
        passages: what took the place of a conv, where it is no identity: a pool for a stride, a padding.
        resized: surviving layers with other widths: (inputs, outputs).
        notes: sentences for a person. seconds: how long it took.
        filters: those that are gone, by layer, with what is coupled to the plan's.
        adapters: 1x1 convs in the place of what is gone: (inputs, outputs).
        regions, gates: other modules that are gone. left_out: convs whose branch is left out of its sum.
        execution: the plan carried out, before joins were fitted: what the proof compares with.
    """

    removed: tuple[str, ...]
    blocks: tuple[str, ...]
    joins: tuple[JoinReport, ...]
    stays: tuple[str, ...]
    bypasses: dict[str, str]
    resized: dict[str, tuple[int, int]]
    notes: tuple[str, ...]
    seconds: float
    filters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    adapters: dict[str, tuple[int, int]] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    execution: Execution | None = field(default=None, repr=False, compare=False)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Everything that changed in the net, with the reason why; joins were fitted after that."""
        return self.execution.edits if self.execution else ()

    @property
    def errors(self) -> dict[str, float]:
        """Relative error of each refitted join, by layer."""
        return {join.layer: join.relative_error for join in self.joins if join.relative_error is not None}


def apply(
    model: nn.Module,
    plan: Plan,
    *,
    loader: Iterable[Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    input_shape: tuple[int, int, int] | None = None,
    images: int = IMAGES,
    masks: Masks | None = None,
) -> nn.Module:
    """The net without what ``plan`` removes: see :func:`apply_with_report`."""
    return apply_with_report(
        model, plan, loader=loader, seed=seed, progress=progress, input_shape=input_shape, images=images, masks=masks
    )[0]


def apply_with_report(
    model: nn.Module,
    plan: Plan,
    *,
    loader: Iterable[Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    input_shape: tuple[int, int, int] | None = None,
    images: int = IMAGES,
    masks: Masks | None = None,
) -> tuple[nn.Module, Report]:
    """A copy of ``model`` without what ``plan`` removes, and what was done. ``model`` itself stays as it is.

    Args:
        loader: training images as (images, labels) batches; needed by ``least-squares`` alone.
        seed: of the images and places that joins are fitted on and of new weights; same inputs, same result.
        input_shape: (channels, height, width); by default what the loader or the net's origin says. The new net's
            origin keeps it.
        images: how many training images joins are fitted on.
        masks: those that a plan names which prunes weights. Masks that the net has stay on it, but for layers that are
            fitted or made anew: a note says so.

    Raises:
        PlanError: the plan does not fit the net, or names masks that were not given; nothing was changed.
        TraceError, ModelError: the net cannot be followed or copied. DataError: the loader gives no images.
    """
    began = time.perf_counter()
    progress = progress or Quiet()
    model = unwrapped(model)
    shape = input_shape or input_shape_of(model, loader)
    _require_meant(model, plan)
    _require_init(plan)
    if plan.weights and masks is None:
        raise PlanError(
            "The plan prunes weights, and says by a sha256 alone which ones stay: its masks are not here.",
            "Prune anew: cnngraph prune NAME --method imp. From Python: apply(model, plan, masks=...).",
        )
    done = apply_plan(model, plan, shape, seed, masks)
    sliced, rewrite, slim = done.sliced, done.rewrite, done.copy()
    failure = failure_on_images(model, slim, shape)
    if failure:
        names = ", ".join(dict.fromkeys(removal.layer for removal in plan.removes))
        raise PlanError(f"{names} cannot go: on images the net then fails {failure}.", "Remove other layers.")
    gaps = rewrite.joins if rewrite else ()
    notes = [*sliced.notes, *_notes(rewrite)]
    joins: list[JoinReport]
    if done.replaced and plan.init != "scratch":
        batches = [] if loader is None or plan.init == "random" else fitting_images(loader, images=images, seed=seed)
        made = initialise(model, slim, done.replaced, plan.init, batches, seed, progress)
        joins = [JoinReport(one.layer, one.target, one.init, one.relative_error) for one in made]
        notes += [f"{one.layer} starts as {one.init}: {one.reason}." for one in made if one.reason]
    elif plan.init == "least-squares" and loader is not None and gaps:
        batches = fitting_images(loader, images=images, seed=seed)
        joins = [_refitted(found) for found in refit(sliced.model, slim, gaps, batches, seed, progress)]
    elif plan.init == "scratch":
        left = renew_everything(slim, seed)
        notes += [f"{name} keeps its weights: its module cannot renew them." for name in left]
        joins = [JoinReport(join.layer, join.target, "scratch") for join in gaps]
    elif plan.init == "reset":
        joins = [_reset(slim, join, seed) for join in gaps if join.first]
    else:
        reason = "no training images were given" if plan.init == "least-squares" else ""
        joins = [JoinReport(join.layer, join.target, "inherit", None, reason) for join in gaps]
    notes += [f"{join.layer} was not refitted but inherits: {join.reason}." for join in joins if join.reason]
    free = drop_unfit(slim)
    notes += [f"The mask of {name} was dropped: its weights are new." for name in free]
    _set_origin(model, slim, plan, shape)
    return slim, _report(done, joins, notes, time.perf_counter() - began)


def cut(model: nn.Module, plan: Plan, *, input_shape: tuple[int, int, int] | None = None) -> nn.Module:
    """The structure alone: what :func:`apply` gives with ``init="inherit"``. Raises as it."""
    model = unwrapped(model)
    shape = input_shape or input_shape_of(model)
    _require_meant(model, plan)
    slim = apply_plan(model, plan, shape).model
    drop_unfit(slim)
    _set_origin(model, slim, plan, shape)
    return slim


def _require_meant(model: nn.Module, plan: Plan) -> None:
    """Return unless the plan says that it was made for another net."""
    origin = get_origin(model)
    names = architectures_of(model)
    if plan.architecture and plan.architecture not in names:
        known = origin.architecture if origin else min(names)
        raise PlanError(f"The plan is for {plan.architecture}, the net is {known}.", "Make a plan from this net.")
    if plan.recipe and origin is not None and plan.recipe != origin.digest:
        raise PlanError(
            "The plan is for another net of this architecture: one of other options, or without what was pruned here.",
            "Make a plan from this net: its layers and filters may have other names and numbers.",
        )


def _require_init(plan: Plan) -> None:
    """Return unless its ``init`` is nothing for what the plan does; a copy of a plan is not checked when it is made."""
    try:
        Plan(removes=plan.removes, init=plan.init)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise PlanError(f"The plan cannot be carried out: {why}.", "Choose another {init}.") from error


def _notes(rewrite: Rewrite | None) -> list[str]:
    if rewrite is None:
        return []
    stays = [f"{name} stays without its conv: it is a function or serves other layers too." for name in rewrite.stays]
    return [*rewrite.notes, *stays]


def _set_origin(model: nn.Module, slim: nn.Module, plan: Plan, shape: tuple[int, int, int]) -> None:
    kind = type(model)
    origin = get_origin(model) or Origin(architecture=f"python:{kind.__module__}:{kind.__qualname__}")
    set_origin(slim, origin.then(plan, shape))


def _refitted(found: Refitted) -> JoinReport:
    init = "inherit" if found.relative_error is None else "least-squares"
    return JoinReport(found.join.layer, found.join.target, init, found.relative_error, found.reason)


def _reset(slim: nn.Module, join: Join, seed: int) -> JoinReport:
    renew(slim.get_submodule(join.layer), seed + crc32(join.layer.encode()))
    return JoinReport(join.layer, join.target, "reset")


def _report(done: Execution, joins: list[JoinReport], notes: list[str], seconds: float) -> Report:
    """What was done: read off the list of edits, but for what a removal means beyond single modules."""
    details = {edit.path: edit.detail for edit in done.of_layers}
    placed = {path: _placed(detail) for path, detail in details.items()}
    rewrite = done.rewrite
    return Report(
        removed=rewrite.removed if rewrite else tuple(path for one in done.replaced for path in one.gone),
        blocks=tuple(edit.path for edit in done.of_layers if isinstance(edit.detail, SkipBlock))
        + tuple(one.block for one in done.replaced),
        joins=tuple(joins),
        stays=rewrite.stays if rewrite else (),
        bypasses={path: str(made) for path, made in placed.items() if made is not None},
        resized={path: (one.inputs, one.outputs) for path, one in details.items() if isinstance(one, Resize)},
        notes=tuple(notes),
        seconds=seconds,
        filters=done.sliced.filters,
        adapters={
            one.spec.layer: (one.spec.inputs, one.spec.outputs)
            for one in details.values()
            if isinstance(one, PutAdapter)
        },
        regions=rewrite.regions if rewrite else (),
        gates=rewrite.gates if rewrite else (),
        left_out=tuple(path for path, one in details.items() if isinstance(one, LeaveOut)),
        execution=done,
    )


def _placed(detail: object) -> nn.Module | None:
    """The pool or padding that an edit puts into a gap, if any."""
    match detail:
        case Replace(module=made) | PutAdapter(bypass=made) | LeaveOut(size=made):
            return None if isinstance(made, nn.Identity | Copy) else made
    return None
