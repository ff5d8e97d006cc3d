"""How a training runs on this machine: device, precision, and the memory format that measures faster."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from cnngraph.errors import UsageError
from cnngraph.models.outputs import training_logits

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
_PRECISION_GAIN = 1.15  # the same; and bf16 rounds coarsely, so that it must be worth it
_TIMED_STEPS = 3
_SECONDS_A_STEP = 1.0  # of those that are timed to choose between many ways: a large net takes fewer images for it
_FEWEST_IMAGES = 8
_AUXILIARY_WEIGHTS = {1: 0.4, 2: 0.3}  # Inception v3 has one auxiliary head, GoogLeNet two
_MORE_HEADS = 0.3


@dataclass(frozen=True)
class Execution:
    """device: cpu or cuda. precision: fp32, bf16 or fp16. channels_last: whether tensors are NHWC in memory."""

    device: str
    precision: str
    channels_last: bool

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
    layouts = [Execution(place.type, numbers, layout) for layout in (False, True)]
    if channels_last is not None:
        return layouts[channels_last]
    plain, nhwc = _step_seconds(model, images, layouts)
    return layouts[nhwc * _LAYOUT_GAIN < plain]


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
    plain, nhwc, half, half_nhwc = (
        Execution("cpu", numbers, layout) for numbers in ("fp32", "bf16") for layout in (False, True)
    )
    images = _few_enough(model, images, plain)
    candidates = [plain, nhwc, *([half, half_nhwc] if not fp32 and _computes_in_bf16() else [])]
    seconds = dict(zip(candidates, _step_seconds(model, images, candidates), strict=True))
    chosen = _faster(plain, nhwc, seconds, _LAYOUT_GAIN)
    if half in seconds:
        chosen = _faster(chosen, _faster(half, half_nhwc, seconds, _LAYOUT_GAIN), seconds, _PRECISION_GAIN)
    return chosen


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
    return steps * _step_seconds(model, images, [execution])[0]


def _precision(place: torch.device, asked: Precision) -> str:
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
    """For each candidate the fastest of a few training steps on a copy of the net, taken in turns after a warm-up."""
    trials = [candidate.place(copy.deepcopy(model)).train() for candidate in candidates]
    seconds: list[list[float]] = [[] for _ in candidates]
    cuda = [torch.cuda.current_device()] if candidates[0].device == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        for _ in range(1 + steps):
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
