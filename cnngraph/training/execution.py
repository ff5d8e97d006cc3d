"""How a training runs on this machine: device, precision, and the memory format that measures faster."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from cnngraph.errors import UsageError
from cnngraph.models.outputs import training_logits
from cnngraph.training.narrow_norms import has_narrow_norms, relay_narrow_norms

__all__ = [
    "Execution",
    "Precision",
    "choose_execution",
    "choose_for_many",
    "expect_epoch_seconds",
    "image_type",
    "logits_and_loss",
    "pick_device",
]

Precision = Literal["auto", "fp32", "bf16", "fp16"]

_LAYOUT_GAIN = 1.1  # below it the choice would hang on noise: torch's own layout stays
_NORMS_GAIN = 1.05  # the same, of copies beside norms
_PRECISION_GAIN = 1.15  # the same; and bf16 rounds coarsely, so that it must be worth it
_TIMED_STEPS = 3
_MOST_ROUNDS, _ROUND_SECONDS = 6, 3.0  # quick steps are repeated: on a busy machine few are undisturbed
_SECONDS_A_STEP = 1.0  # of those that are timed to choose between many ways: a large net takes fewer images for it
_FEWEST_IMAGES = 8
_AUXILIARY_WEIGHTS = {1: 0.4, 2: 0.3}  # Inception v3 has one auxiliary head, GoogLeNet two
_MORE_HEADS = 0.3


@dataclass(frozen=True)
class Execution:
    """How a training runs.

    Attributes:
        device: cpu or cuda. precision: fp32, bf16 or fp16.
        channels_last: whether tensors are NHWC in memory.
        narrow_norms: whether batch norms of few channels are computed in NCHW all the same.
    """

    device: str
    precision: str
    channels_last: bool
    narrow_norms: bool = False

    def safe_for(self, model: nn.Module) -> Execution:
        """This way, or NCHW where NHWC is not safe for the net.

        On a CPU with more than one thread, torch 2.15.0 was seen to spoil memory in the backward pass of a strided 1x1
        conv in NHWC that reads few channels: the process dies, or worse, does not. Whole registers of them (16) are
        safe as far as was tried.
        """
        if self.device == "cpu" and self.channels_last and torch.get_num_threads() > 1 and _has_thin_projection(model):
            return replace(self, channels_last=False, narrow_norms=False)
        return self

    @property
    def memory_format(self) -> torch.memory_format:
        """torch's name for the layout of a batch of images."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        """The context of a forward pass: what gains by it is computed in half precision, where that was chosen."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device, dtype=dtype, enabled=self.precision != "fp32")

    def place(self, model: nn.Module) -> nn.Module:
        """Move the net, in place, to the device and into the memory format."""
        # torch's type stubs know one argument at a time.
        return model.to(torch.device(self.device)).to(memory_format=self.memory_format)

    def require_possible(self) -> None:
        """Return if this machine can: it may have been measured on another.

        Raises:
            UsageError: it has no such device, or that does not compute in this precision.
        """
        _precision(pick_device(self.device), self.precision)

    def lay_out_norms(self, model: nn.Module) -> AbstractContextManager[None]:
        """Inside, the batch norms of the net are computed in the memory format that was chosen for them."""
        return relay_narrow_norms(model) if self.narrow_norms else nullcontext()


def pick_device(name: str | torch.device) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` means here.

    Raises:
        UsageError: an unknown name, or CUDA where there is none.
    """
    if isinstance(name, torch.device):
        return name
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"There is no device {name!r}.", "Known: auto, cpu, cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("There is no CUDA device here.", "Use the CPU, or install a CUDA build of PyTorch.")
    return torch.device(name)


def image_type(model: nn.Module) -> torch.dtype:
    """The type of number in which ``model`` reads images: that of its weights; float32 where it has none.

    >>> image_type(nn.Conv2d(3, 8, 3).bfloat16())
    torch.bfloat16
    """
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)


def choose_execution(
    model: nn.Module,
    images: torch.Tensor,
    *,
    device: str,
    precision: Precision = "auto",
    channels_last: bool | None = None,
) -> Execution:
    """Decide how to train; the memory format by timing training steps on copies of ``model``.

    Args:
        model: the net; neither it nor its statistics change.
        images: one batch, float32 of shape (N, C, H, W).
        device: auto, cpu or cuda.
        precision: auto is half precision on CUDA and fp32 on a CPU, where results are to be repeatable; bf16 on a CPU
            is had by asking, where the processor has instructions for it.
        channels_last: None measures.

    Raises:
        UsageError: an unknown device, or a precision that it does not compute in.
    """
    place = pick_device(device)
    numbers = _precision(place, precision)
    if channels_last is not None:
        return Execution(place.type, numbers, channels_last)
    layouts = _layouts(model, place.type, numbers)
    return _fastest_layout(layouts, dict(zip(layouts, _step_seconds(model, images, layouts), strict=True)))


def choose_for_many(model: nn.Module, images: torch.Tensor, *, device: str, fp32: bool = False) -> Execution:
    """Decide how many trainings of one net, and of what is left of it, all run: whoever asks keeps the answer.

    Measured as :func:`choose_execution` measures, and on a CPU the precision too: bf16, where the processor has
    instructions for it and a step is faster by 15 % or more.

    Args:
        model: the net; neither it nor its statistics change.
        images: one batch, float32 of shape (N, C, H, W).
        device: auto, cpu or cuda.
        fp32: in no other precision, on a GPU either.
    """
    place = pick_device(device)
    if place.type != "cpu":  # half precision is what it is made for
        return choose_execution(model, images, device=place.type, precision="fp32" if fp32 else "auto")
    single = _layouts(model, "cpu", "fp32")
    half = _layouts(model, "cpu", "bf16") if not fp32 and _computes_in_bf16() else []
    candidates = [*single, *half]
    images = _few_enough(model, images, single[0])
    seconds = dict(zip(candidates, _step_seconds(model, images, candidates), strict=True))
    chosen = _fastest_layout(single, seconds)
    return _faster(chosen, _fastest_layout(half, seconds), seconds, _PRECISION_GAIN) if half else chosen


def _has_thin_projection(model: nn.Module) -> bool:
    """Whether a 1x1 conv with a stride reads a number of channels that is no multiple of 16."""
    return any(
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.in_channels % 16 != 0
        for module in model.modules()
    )


def _layouts(model: nn.Module, device: str, precision: str) -> list[Execution]:
    """The memory formats that may be the fastest for a net: torch's own, NHWC, and NHWC but for narrow norms."""
    layouts = [Execution(device, precision, channels_last) for channels_last in (False, True)]
    if layouts[1].safe_for(model) != layouts[1]:
        return layouts[:1]
    computed_in = torch.bfloat16 if precision == "bf16" else torch.float32
    if device == "cpu" and has_narrow_norms(model, computed_in):
        layouts.append(replace(layouts[-1], narrow_norms=True))
    return layouts


def _fastest_layout(layouts: Sequence[Execution], seconds: Mapping[Execution, float]) -> Execution:
    """Of what :func:`_layouts` gives, the one that is worth it."""
    plain, *others = layouts
    if not others:
        return plain
    chosen, *others = others
    for other in others:
        chosen = _faster(chosen, other, seconds, _NORMS_GAIN)
    return _faster(plain, chosen, seconds, _LAYOUT_GAIN)


def _faster(usual: Execution, other: Execution, seconds: Mapping[Execution, float], gain: float) -> Execution:
    """``other`` where it is faster by ``gain``, else ``usual``."""
    return other if seconds[other] * gain < seconds[usual] else usual


def _few_enough(model: nn.Module, images: torch.Tensor, execution: Execution) -> torch.Tensor:
    """As many of the images as a step takes about a second for."""
    few = images[:_FEWEST_IMAGES]
    (seconds,) = _step_seconds(model, few, [execution], steps=1)
    return images[: max(len(few), int(len(few) * _SECONDS_A_STEP / seconds))]


def expect_epoch_seconds(model: nn.Module, images: torch.Tensor, steps: int, execution: Execution) -> float:
    """Seconds of so many training steps, reckoned from a few on a copy of ``model``; decoding of images is not counted.

    Args:
        images: one batch, float32 of shape (N, C, H, W).
    """
    return steps * _step_seconds(model, images, [execution.safe_for(model)])[0]


def _precision(place: torch.device, asked: str) -> str:
    """What ``asked`` means on ``place``: half precision only where the hardware computes in it."""
    if place.type == "cuda":
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        if asked == "auto":
            return "bf16" if bf16 else "fp16"
        if asked == "bf16" and not bf16:
            raise UsageError("This CUDA device has no bfloat16.", "Use --precision fp16 or fp32.")
        return asked
    if asked == "fp16":
        raise UsageError("fp16 needs a CUDA device.", "Use --precision fp32.")
    if asked == "bf16" and not _computes_in_bf16():
        raise UsageError("This processor has no bfloat16 instructions.", "Use --precision fp32.")
    return "fp32" if asked == "auto" else asked


def _computes_in_bf16() -> bool:
    """Whether this processor has instructions for it; torch has no public name for these two questions."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def _step_seconds(
    model: nn.Module, images: torch.Tensor, candidates: Sequence[Execution], steps: int = _TIMED_STEPS
) -> list[float]:
    """For each candidate the fastest of a few training steps on a copy of the net, taken in turns after a warm-up.

    So many ``steps`` are taken at least, and up to six times as many while all of them take under three seconds.
    """
    trials = [candidate.place(copy.deepcopy(model)).train() for candidate in candidates]
    seconds: list[list[float]] = [[] for _ in candidates]
    cuda = [torch.cuda.current_device()] if candidates[0].device == "cuda" else []
    with torch.random.fork_rng(devices=cuda), ExitStack() as norms:
        for trial, candidate in zip(trials, candidates, strict=True):
            norms.enter_context(candidate.lay_out_norms(trial))
        began = time.perf_counter()
        for number in range(1 + _MOST_ROUNDS * steps):
            if number > steps and time.perf_counter() - began > _ROUND_SECONDS:
                break
            for trial, candidate, taken in zip(trials, candidates, seconds, strict=True):
                taken.append(_one_step(trial, images, candidate))
    return [min(taken[1:]) for taken in seconds]


def _one_step(model: nn.Module, images: torch.Tensor, execution: Execution) -> float:
    """Seconds of one forward and backward pass, the gradients dropped."""
    batch = images.to(execution.device, image_type(model), memory_format=execution.memory_format)
    labels = torch.zeros(len(batch), dtype=torch.long, device=execution.device)
    start = time.perf_counter()
    with execution.autocast():
        _, loss = logits_and_loss(model(batch), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    if batch.is_cuda:
        torch.cuda.synchronize()
    model.zero_grad()
    return time.perf_counter() - start


def logits_and_loss(
    output: object, labels: torch.Tensor, classes: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of a net's output in train mode and its mean cross-entropy, auxiliary heads added with their weights.

    Szegedy et al. 2015 (GoogLeNet: two heads, 0.3 each) and 2016 (Inception v3: one, 0.4), as torchvision trains them.
    In train mode alone a net may give several matrices of as many classes: the first, or the one that is called so, is
    the logits, the others are such heads.

    Raises:
        ModelError: there are no logits in it.
    """
    logits, heads = training_logits(output, len(labels), classes)
    loss = functional.cross_entropy(logits, labels)
    for head in heads:
        loss = loss + _AUXILIARY_WEIGHTS.get(len(heads), _MORE_HEADS) * functional.cross_entropy(head, labels)
    return logits, loss
