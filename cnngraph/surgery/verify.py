"""The proof that a rebuilt net is right: it equals the masked net; shapes, gradients, a save and load, an export."""

from __future__ import annotations

import copy
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cnngraph.errors import CnngraphError, ModelError, explain
from cnngraph.models.outputs import tensors_of
from cnngraph.models.wrappers import unwrapped
from cnngraph.modes import evaluation_mode
from cnngraph.origin import get_origin
from cnngraph.plan import Plan
from cnngraph.randomness import seeded
from cnngraph.surgery import saved
from cnngraph.surgery.apply import cut
from cnngraph.surgery.channels.filters import carved_by
from cnngraph.surgery.channels.masked import masked, norms_across
from cnngraph.surgery.exported import exported
from cnngraph.surgery.joins.passage import Adapter
from cnngraph.surgery.likeness import executed, hooks_of, unlikeness
from cnngraph.surgery.sameness import Difference, difference
from cnngraph.surgery.sample import input_shape_of
from cnngraph.training.repeatability import repeatability

__all__ = ["Verification", "state_hash", "train_failure", "verify"]

_FEW = 4  # images on which two runs of the user's own net are compared
_BATCH = 8  # with fewer, the norms of a 1 x 1 map would see too little in train mode
_TOLERANCE = 1e-9  # of the largest output, in float64
_EXPORT_TOLERANCE = 1e-4  # of the largest logit
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
        relative_diff_float32: the same in float32, to be read only.
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


def verify(
    model: nn.Module,
    slim: nn.Module,
    plan: Plan,
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
    """
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
    chance = repeatability(model, random[:_FEW]).random
    if chance:
        said = f"the net itself: it gives other outputs for the same images each time, in eval mode too: {chance}"
        return Verification(None, False, False, False, (said,), (), time.perf_counter() - began)
    found: list[Difference] = []
    with seeded(seed):
        if plan.filters:
            given = [random] if images is None else [random, images.to(random.device, random.dtype)]
            _attempt(
                failures, "filters", lambda: found.append(_check_filters(model, slim, plan, given, notes, trained))
            )
            if found and not found[0].relative <= _TOLERANCE:
                failures.append(f"filters: the logits differ from the masked net's by {found[0].relative:.3g} of them")
        _attempt(failures, "structure", lambda: _check_likeness(model, slim, plan, shape, trained))
        forward = _attempt(failures, "eval forward", lambda: _check_eval(model, slim, plan, random))
        forward &= _attempt(failures, "train forward and backward", lambda: _check_train(model, slim, random))
        reloaded = _attempt(failures, "save and load", lambda: _check_saved(model, slim, plan, shape, random, notes))
        exports = _attempt(failures, "torch.export", lambda: _check_export(slim, random))
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


def _check_filters(
    model: nn.Module, slim: nn.Module, plan: Plan, batches: Sequence[Tensor], notes: list[str], trained: bool
) -> Difference:
    """Compare the net without the plan's filters with the masked one."""
    channels, height, width = batches[0].shape[1:]
    done = carved_by(model, plan, (channels, height, width))
    assert done.coupling is not None
    reference = masked(model, done.coupling, done.filters)
    norms = norms_across(done.coupling, done.filters)
    if norms:
        named = f"{norms[0]} and {len(norms) - 1} more see" if norms[1:] else f"{norms[0]} sees"
        notes.append(f"In the masked net {named} the surviving channels only, as a norm across channels must.")
    for_training = [_for_training(model, batch) for batch in batches]
    if plan.init == "scratch":
        notes.append("The filters were checked before all weights were renewed.")
    if trained:
        notes.append("The filters were checked on the plan carried out anew: the net was trained or refitted since.")
    carved = done.model if plan.removed or plan.init == "scratch" or trained else slim
    return difference(carved, reference, batches, for_training)


def _for_training(model: nn.Module, images: Tensor) -> Tensor:
    """``images``, larger where the net takes them in eval mode alone."""
    twin = copy.deepcopy(model).train()
    sizes = [size for size in _LARGER if size > max(images.shape[2:])]
    for batch in (images, *(nn.functional.interpolate(images, (size, size)) for size in sizes)):
        with torch.no_grad():
            try:
                twin(batch)
            except RuntimeError:
                continue
        return batch
    return images


def train_failure(model: nn.Module, slim: nn.Module, input_shape: tuple[int, int, int], seed: int = 0) -> str:
    """What fails in a training step of ``slim``, or "": a branch that only train mode has may no longer fit."""
    failures: list[str] = []
    with seeded(seed):
        images = _images(slim, input_shape, seed)
        _attempt(failures, "train forward and backward", lambda: _check_train(model, slim, images))
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
        content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(content.numpy().data)
    for name, module in model.named_modules():
        digest.update(f"{name}{module.training}{[sorted(known) for known in hooks_of(module)]}".encode())
    return digest.hexdigest()


class _FailedError(Exception):
    """A check found what must not be."""


def _attempt(failures: list[str], what: str, check: Any) -> bool:
    """Run one check; whatever goes wrong in the user's net is a failure with its first line, not a traceback."""
    try:
        check()
    except _FailedError as error:
        failures.append(f"{what}: {error}")
        return False
    except Exception as error:  # noqa: BLE001 (a proof must not die of what it is to find)
        failures.append(f"{what}: {explain(error)}")
        return False
    return True


def _check_likeness(model: nn.Module, slim: nn.Module, plan: Plan, shape: tuple[int, int, int], trained: bool) -> None:
    wanted = executed(model, plan, shape)
    different = unlikeness(slim, replace(wanted, fitted=None) if trained else wanted)
    if different:
        raise _FailedError(different)


def _check_eval(model: nn.Module, slim: nn.Module, plan: Plan, images: Tensor) -> None:
    for removal in plan.removes:
        there = dict(slim.named_modules()).get(removal.layer)
        if removal.kind == "layer" and isinstance(there, nn.Conv2d) and not isinstance(there, Adapter):
            raise _FailedError(f"{removal.layer} is still a conv")
    with torch.no_grad(), evaluation_mode(model), evaluation_mode(slim):
        wanted, found = tensors_of(model(images)), tensors_of(slim(images))
    if found.keys() != wanted.keys():
        raise _FailedError(f"the net gives {_named(found)}, the old net {_named(wanted)}")
    for name, one in found.items():
        if one.shape != wanted[name].shape:
            shapes = f"{tuple(one.shape)}, the old net's {tuple(wanted[name].shape)}"
            raise _FailedError(f"the {name} has shape {shapes}")
        if not bool(torch.isfinite(one).all()):
            raise _FailedError(f"the {name} has values that are NaN or infinite")


def _check_train(model: nn.Module, slim: nn.Module, images: Tensor) -> None:
    images = _for_training(model, images)
    try:
        missing, infinite = _gradients(slim, images)
    except RuntimeError as error:
        if _trains(model, images):
            raise
        raise _FailedError(f"the net that it was made of fails too: {explain(error)}") from error
    if missing:
        missing -= _gradients(model, images)[0]  # what the old net did not use either is no fault of the cut
    if missing:
        raise _FailedError(f"{sorted(missing)[0]} gets no gradient")
    if infinite:
        raise _FailedError(f"the gradient of {sorted(infinite)[0]} is NaN or infinite")


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


def _check_saved(
    model: nn.Module, slim: nn.Module, plan: Plan, shape: tuple[int, int, int], images: Tensor, notes: list[str]
) -> None:
    # A file keeps no memory format, and the same sums in another one round otherwise.
    plain = copy.deepcopy(slim).to(memory_format=torch.contiguous_format)
    with torch.no_grad(), evaluation_mode(plain):
        wanted = _on_cpu(plain(images))
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_file({"images": images.cpu().contiguous()}, folder / "images.safetensors")
        try:
            saved.save(slim, folder / "slim", input_shape=shape)
        except ModelError as error:
            notes.append(f"Saved and loaded in this process only. {error.message}")
            found = _loaded_here(model, slim, plan, shape, images, folder)
        else:
            found = _loaded_elsewhere(folder)
    if found.keys() != wanted.keys():
        raise _FailedError(f"the loaded net gives {_named(found)}, the net itself {_named(wanted)}")
    for name, one in wanted.items():
        same = torch.equal(found[name], one)
        if images.device.type != "cpu":  # the new process computes on the CPU, which rounds otherwise
            same = torch.allclose(found[name], one, rtol=1e-3, atol=1e-3)
        if not same:
            apart = float((found[name].double() - one.double()).abs().max())
            raise _FailedError(f"the loaded net's {name} differs by up to {apart:.3g}")


def _loaded_here(
    model: nn.Module, slim: nn.Module, plan: Plan, shape: tuple[int, int, int], images: Tensor, folder: Path
) -> dict[str, Tensor]:
    """For a class that nothing can build again: the user's net is cut once more and the weights go through a file."""
    save_file({key: value.contiguous().clone() for key, value in slim.state_dict().items()}, folder / "w.safetensors")
    twin = cut(model, plan, input_shape=shape).eval()
    twin.load_state_dict(load_file(folder / "w.safetensors"))
    with torch.no_grad():
        return _on_cpu(twin(images))


_SCRIPT = """
import sys, torch
from safetensors.torch import load_file, save_file
from cnngraph.models.outputs import tensors_of
from cnngraph.surgery.saved import load
folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
with torch.no_grad():
    found = tensors_of(load(folder + "/slim")(load_file(folder + "/images.safetensors")["images"]))
save_file({name: one.clone().contiguous() for name, one in found.items()}, folder + "/outputs.safetensors")
"""


def _loaded_elsewhere(folder: Path) -> dict[str, Tensor]:
    """The output of the saved net in a new Python process, tensor by tensor."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(folder), str(torch.get_num_threads())],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise _FailedError(f"a new process cannot load it: {last}")
    return load_file(folder / "outputs.safetensors")


def _check_export(slim: nn.Module, images: Tensor) -> None:
    with evaluation_mode(slim), torch.no_grad():
        # What a class of the user's own holds, torch.export does not know: its tensors are asked for.
        plain = isinstance(slim(images), Tensor)
        shipped = exported(slim if plain else _Tensors(slim).eval(), images).module()
        wanted, found = (list(tensors_of(net(images)).values()) for net in (slim, shipped))
    for one, other in zip(wanted, found, strict=True):
        if not (other.double() - one.double()).abs().max() <= _EXPORT_TOLERANCE * one.double().abs().max():
            raise _FailedError("the exported net gives other logits")


class _Tensors(nn.Module):
    """A net that gives the tensors of another's output, as a tuple."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_of(self.net(images)).values())


def _on_cpu(output: object) -> dict[str, Tensor]:
    """The tensors of an output by name."""
    return {name: one.cpu() for name, one in tensors_of(output).items()}


def _named(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(tensors) or "no tensor"
