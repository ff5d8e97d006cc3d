"""The proof that a rebuilt net is right: it equals the masked net; shapes, gradients, a save and load, an export."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from cnngraph.errors import CnngraphError, explain
from cnngraph.models.masks import get_masks, moved_zeros
from cnngraph.models.outputs import tensors_of
from cnngraph.models.tensor_bytes import tensor_bytes
from cnngraph.models.wrappers import unwrapped
from cnngraph.modes import evaluation_mode
from cnngraph.origin import get_origin
from cnngraph.plan import Plan
from cnngraph.randomness import seeded
from cnngraph.surgery.calibration import input_shape_of
from cnngraph.surgery.channels.masked import masked, norms_across
from cnngraph.surgery.execution import Execution, apply_plan
from cnngraph.surgery.layers.bypass import Adapter
from cnngraph.surgery.output_diff import Difference, output_diff
from cnngraph.surgery.reloading import Elsewhere, FailedError, check_export, check_saved, loading, name_tensors
from cnngraph.surgery.structure_diff import hooks_of, structure_diff
from cnngraph.training.repeatability import repeatability

__all__ = ["ProofOptions", "Verification", "state_hash", "train_failure", "verify"]

_FEW = 4  # images on which two runs of the user's own net are compared
_PAIR = 2  # images, with which a norm of a 1 x 1 map runs in train mode
_BATCH = 8  # with fewer, the norms of a 1 x 1 map would see too little in train mode
_TOLERANCE = 1e-9  # of the largest output, in float64
_LARGER = (224, 299)  # where train mode takes no images of the given size (an auxiliary head), one of these may do


@dataclass(frozen=True)
class Verification:
    """What the proof found.

    Attributes:
        max_abs_diff: between slim and masked float64 logits where filters went; ``None`` where layers alone went.
        train_forward: same shapes in eval and train mode, and every gradient there and finite.
        save_load: saved and loaded in a new process, the logits are identical. export: ``torch.export`` works.
        failures: what failed, a sentence each. notes: what could only be checked in a weaker way. seconds: it took.
        relative_diff: max |slim - masked| / max |masked| in float64, over both modes: decides where filters went.
        relative_diff_float32: the same in float32, to be read only; ``None`` where it was not asked for.
    """

    max_abs_diff: float | None
    train_forward: bool
    save_load: bool
    export: bool
    failures: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    relative_diff: float | None = None
    relative_diff_float32: float | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


@dataclass(frozen=True)
class ProofOptions:
    """What is known or begun before a proof, and what is looked at besides.

    Attributes:
        repeatable: it is known that runs of the old net on the same images give the same; else that is looked at first.
        execution: the plan carried out on the old net (``Report.execution``); else that is done here once more.
        process: a new one (:func:`cnngraph.surgery.reloading.new_process`) that was started while this one was busy.
        float32: whether the masked net is compared in float32 besides, to be read only.
        adopted: the new net has weights from elsewhere by now, so that masks of the plan may have been dropped: a note
            says of which layers. Those that it has must be the plan's all the same.
    """

    repeatable: bool = False
    execution: Execution | None = None
    process: Elsewhere | None = None
    float32: bool = True
    adopted: bool = False


def verify(
    model: nn.Module,
    slim: nn.Module,
    plan: Plan,
    how: ProofOptions | None = None,
    *,
    input_shape: tuple[int, int, int] | None = None,
    images: Tensor | None = None,
    seed: int = 0,
    trained: bool = False,
) -> Verification:
    """Check that ``slim`` is a sound net in the place of ``model``; raises nothing itself, and changes neither.

    Where ``plan`` names filters alone, ``slim`` must equal the masked net. Where it names layers too, the net without
    the filters must. In every case ``slim`` must have the modules, sizes and hooks that the plan gives, and, until it
    is trained, the user's own weights wherever no join was made: the proof comes before any training.

    Args:
        input_shape: (channels, height, width); by default what ``slim`` was cut for, else what the net's origin says.
        images: real ones (N, channels, height, width), eight at least, to compare on besides random ones.
        trained: the weights of ``slim`` are its own by now: it was trained or reconstructed. That filters are gone as
            they should is then proven on the net that ``plan``, carried out anew, gives; ``slim`` must be of its
            structure.

    Raises:
        ValueError: the execution is of another net or plan.
    """
    how = how or ProofOptions()
    execution = how.execution
    if execution is not None and (execution.source is not unwrapped(model) or execution.plan != plan):
        raise ValueError("the execution is of another net or plan")
    began = time.perf_counter()
    failures: list[str] = []
    notes: list[str] = []
    model, slim = unwrapped(model), unwrapped(slim)
    before = state_hash(model), state_hash(slim)
    try:
        made = get_origin(slim)
        shape = input_shape or (made and made.input_shape) or input_shape_of(model)
    except CnngraphError as error:
        return Verification(None, False, False, False, (f"input shape: {error}",), (), time.perf_counter() - began)
    random = _images(slim, shape, seed)
    chance = "" if how.repeatable else repeatability(model, random[:_FEW]).random
    if chance:
        said = f"the net itself: it gives other outputs for the same images each time, in eval mode too: {chance}"
        return Verification(None, False, False, False, (said,), (), time.perf_counter() - began)
    found: list[Difference] = []
    subject = _Subject(model, slim, plan, shape, trained, random, execution)
    with seeded(seed), loading(slim, shape, random, how.process) as begun:
        if plan.filters:
            given = [random] if images is None else [random, images.to(random.device, random.dtype)]
            _attempt(failures, "filters", lambda: found.append(_check_filters(subject, given, notes, how.float32)))
            if found and not found[0].relative <= _TOLERANCE:
                failures.append(f"filters: the logits differ from the masked net's by {found[0].relative:.3g} of them")
        _attempt(failures, "structure", lambda: _check_structure(subject))
        _attempt(failures, "pruned weights", lambda: _check_masks(subject, how.adopted, notes))
        forward = _attempt(failures, "eval forward", lambda: _check_eval(model, slim, plan, random))
        forward &= _attempt(
            failures, "train forward and backward", lambda: _check_train(model, slim, subject.for_training)
        )
        exporting: list[str] = []  # done while the new process works, said after it
        exports = _attempt(exporting, "torch.export", lambda: check_export(slim, random))
        reloaded = _attempt(
            failures, "save and load", lambda: check_saved(model, slim, plan, shape, random, notes, begun)
        )
        failures += exporting
    if (state_hash(model), state_hash(slim)) != before:
        failures.append("the user's net: it was changed by the verification")
    if {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in slim.parameters() if p.numel()}:
        failures.append("the user's net: it shares weights with the rebuilt one")
    same = found[0] if found else None
    return Verification(
        same.absolute if same else None,
        forward,
        reloaded,
        exports,
        tuple(failures),
        tuple(notes),
        time.perf_counter() - began,
        same.relative if same else None,
        same.relative_float32 if same else None,
    )


@dataclass(eq=False)
class _Subject:
    """What is proven: ``slim`` in the place of ``model``; what several checks ask of them is found out once."""

    model: nn.Module
    slim: nn.Module
    plan: Plan
    shape: tuple[int, int, int]
    trained: bool
    images: Tensor
    given: Execution | None

    @cached_property
    def execution(self) -> Execution:
        """The plan carried out on the user's net."""
        return self.given or apply_plan(self.model, self.plan, self.shape)

    @cached_property
    def for_training(self) -> Tensor:
        """The images as train mode takes them."""
        return _for_training(self.model, self.images)

    def grown(self, images: Tensor) -> Tensor:
        """``images`` of the size that train mode takes."""
        return _resized(images, self.for_training.shape[2:])


def _check_filters(subject: _Subject, batches: Sequence[Tensor], notes: list[str], float32: bool) -> Difference:
    """Compare the net without the plan's filters with the masked one."""
    plan, trained, done = subject.plan, subject.trained, subject.execution.sliced
    assert done.coupling is not None
    reference = masked(subject.execution.pruned, done.coupling, done.filters)
    norms = norms_across(done.coupling, done.filters)
    if norms:
        named = f"{norms[0]} and {len(norms) - 1} more see" if norms[1:] else f"{norms[0]} sees"
        notes.append(f"In the masked net {named} the surviving channels only, as a norm across channels must.")
    share = -(-_BATCH // len(batches))  # train mode sees some of each batch, and as many images as its norms need
    for_training = [subject.grown(torch.cat([batch[:share] for batch in batches]))]
    if plan.init == "scratch":
        notes.append("The filters were checked before all weights were renewed.")
    if trained:
        notes.append("The filters were checked on the plan carried out anew: the net was trained or refitted since.")
    sliced = done.model if plan.removed or plan.init == "scratch" or trained else subject.slim
    return output_diff(sliced, reference, batches, for_training, float32=float32)


def _for_training(model: nn.Module, images: Tensor) -> Tensor:
    """``images``, larger where the net takes them in eval mode alone."""
    twin = copy.deepcopy(model).train()
    sizes = [images.shape[2:], *((size, size) for size in _LARGER if size > max(images.shape[2:]))]
    for size in sizes:
        with torch.no_grad():
            try:
                twin(_resized(images[:_PAIR], size))
            except RuntimeError:
                continue
        return _resized(images, size)
    return images


def _resized(images: Tensor, size: Sequence[int]) -> Tensor:
    return images if tuple(images.shape[2:]) == tuple(size) else nn.functional.interpolate(images, tuple(size))


def train_failure(model: nn.Module, slim: nn.Module, input_shape: tuple[int, int, int], seed: int = 0) -> str:
    """What fails in a training step of ``slim``, or "": a branch that only train mode has may no longer fit."""
    failures: list[str] = []
    with seeded(seed):
        images = _images(slim, input_shape, seed)
        _attempt(
            failures, "train forward and backward", lambda: _check_train(model, slim, _for_training(model, images))
        )
    return "".join(failures)


def _images(slim: nn.Module, shape: tuple[int, int, int], seed: int) -> Tensor:
    weight = next(slim.parameters())
    images = torch.randn(_BATCH, *shape, generator=torch.Generator().manual_seed(seed))
    return images.to(weight.device, weight.dtype)


def state_hash(model: nn.Module) -> str:
    """sha256 over the net's weights, all buffers, gradient flags, modes, hooks and structure: equal means untouched."""
    digest = hashlib.sha256(str(model).encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):  # also buffers that are not saved
        digest.update(str(tensor.requires_grad).encode())
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor_bytes(tensor).data)
    for name, module in model.named_modules():
        digest.update(f"{name}{module.training}{[sorted(known) for known in hooks_of(module)]}".encode())
    return digest.hexdigest()


def _attempt(failures: list[str], what: str, check: Any) -> bool:
    """Run one check; whatever goes wrong in the user's net is a failure with its first line, not a traceback."""
    try:
        check()
    except Exception as error:  # noqa: BLE001 (a proof must not die of what it is to find)
        failures.append(f"{what}: {error if isinstance(error, FailedError) else explain(error)}")
        return False
    return True


def _check_structure(subject: _Subject) -> None:
    different = structure_diff(subject.slim, subject.execution, trained=subject.trained)
    if different:
        raise FailedError(different)


def _check_masks(subject: _Subject, adopted: bool, notes: list[str]) -> None:
    """What is pruned is exactly zero; the masks are those of the plan, and within those that the old net has."""
    masks, known, wanted = get_masks(subject.slim), get_masks(subject.model), subject.plan.weights
    moved = moved_zeros(subject.slim)
    if moved:
        name, count = next(iter(moved.items()))
        raise FailedError(f"{count} pruned weights of {name} are not zero")
    if not wanted:
        return
    if adopted:
        there = masks.layers if masks is not None else ()
        dropped = [layer for layer in wanted if layer not in there]
        if dropped:
            notes.append(f"Its weights were adopted: nothing of {', '.join(dropped)} is pruned any more.")
        wanted = {layer: one for layer, one in wanted.items() if layer in there}
        known = known.without(dropped) if known is not None else None
        if not wanted:
            return
    if masks is None:
        raise FailedError("the net has no masks")
    if subject.plan.filters:  # which slice what the plan names
        return
    other = next((layer for layer, one in wanted.items() if masks.sha256_of(layer) != one.mask), None)
    if other is not None:
        raise FailedError(f"the mask of {other} is not the one that the plan names")
    grown = masks.within(known) if known is not None else ""
    if grown:
        raise FailedError(f"the mask of {grown} lets weights grow that are pruned in the old net")


def _check_eval(model: nn.Module, slim: nn.Module, plan: Plan, images: Tensor) -> None:
    for removal in plan.removes:
        there = dict(slim.named_modules()).get(removal.layer)
        if removal.kind == "layer" and isinstance(there, nn.Conv2d) and not isinstance(there, Adapter):
            raise FailedError(f"{removal.layer} is still a conv")
    with torch.no_grad(), evaluation_mode(model), evaluation_mode(slim):
        wanted, found = tensors_of(model(images)), tensors_of(slim(images))
    if found.keys() != wanted.keys():
        raise FailedError(f"the net gives {name_tensors(found)}, the old net {name_tensors(wanted)}")
    for name, one in found.items():
        if one.shape != wanted[name].shape:
            shapes = f"{tuple(one.shape)}, the old net's {tuple(wanted[name].shape)}"
            raise FailedError(f"the {name} has shape {shapes}")
        if not bool(torch.isfinite(one).all()):
            raise FailedError(f"the {name} has values that are NaN or infinite")


def _check_train(model: nn.Module, slim: nn.Module, images: Tensor) -> None:
    """``images``: of a size that train mode takes."""
    try:
        missing, infinite = _gradients(slim, images)
    except RuntimeError as error:
        if _trains(model, images):
            raise
        raise FailedError(f"the net that it was made of fails too: {explain(error)}") from error
    if missing:
        missing -= _gradients(model, images)[0]  # what the old net did not use either is no fault of the cut
    if missing:
        raise FailedError(f"{sorted(missing)[0]} gets no gradient")
    if infinite:
        raise FailedError(f"the gradient of {sorted(infinite)[0]} is NaN or infinite")


def _trains(net: nn.Module, images: Tensor) -> bool:
    try:
        _gradients(net, images)
    except RuntimeError:
        return False
    return True


def _gradients(net: nn.Module, images: Tensor) -> tuple[set[str], set[str]]:
    """Trainable parameters without a gradient, and with one that is not finite, after one train step's backward."""
    twin = copy.deepcopy(net).train()
    labels = torch.arange(len(images), device=images.device)
    # Maps and features that are handed out beside the logits count too.
    given = [out for out in tensors_of(twin(images)).values() if out.is_floating_point() and out.numel()]
    rows = [out.reshape(len(images), -1) for out in given if out.ndim and len(out) == len(images)]
    loss = sum((nn.functional.cross_entropy(out, labels % out.shape[1]) for out in rows), images.new_zeros(()))
    loss = loss + sum(out.square().mean() for out in given if not out.ndim or len(out) != len(images))
    if loss.requires_grad:  # not where every parameter is frozen
        torch.autograd.backward(loss)
    trainable = [(name, parameter) for name, parameter in twin.named_parameters() if parameter.requires_grad]
    missing = {name for name, parameter in trainable if parameter.grad is None}
    infinite = {name for name, p in trainable if p.grad is not None and not bool(torch.isfinite(p.grad).all())}
    return missing, infinite
