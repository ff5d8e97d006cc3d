"""How a training runs on this machine: device, precision and memory format, the last two chosen by measurement."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from cnngraph.errors import UsageError

__all__ = ["Execution", "Precision", "choose_execution", "logits_and_loss", "pick_device"]

Precision = Literal["auto", "fp32", "bf16", "fp16"]

# Below these gains a choice would hang on noise: fp32 and torch's own layout stay.
_LAYOUT_GAIN, _PRECISION_GAIN = 1.1, 1.3
_TIMED_STEPS = 2
_AUXILIARY_WEIGHTS = {1: 0.4, 2: 0.3}  # Inception v3 has one auxiliary head, GoogLeNet two


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
        raise UsageError("There is no CUDA device here.", "Use --device cpu, or install a CUDA build of PyTorch.")
    return torch.device(name)


def choose_execution(
    model: nn.Module,
    images: torch.Tensor,
    *,
    device: str,
    precision: Precision = "auto",
    channels_last: bool | None = None,
) -> Execution:
    """Fill in what was left open by timing training steps on a copy of ``model``.

    Args:
        model: the net; neither it nor its statistics change.
        images: one batch, float32 of shape (N, C, H, W).
        device: auto, cpu or cuda.
        precision: auto takes half precision on CUDA, and bfloat16 on a CPU that has instructions for it and is faster.
        channels_last: None measures.
    """
    place = pick_device(device)
    half = _half_precision(place) if precision == "auto" else precision
    if place.type == "cpu" and half == "fp16":
        raise UsageError("fp16 needs a CUDA device.", "Use --precision fp32 or bf16.")
    layouts = [False, True] if channels_last is None else [channels_last]
    timed = dict.fromkeys(layouts, 0.0)
    if len(layouts) > 1:
        timed = {layout: _step_seconds(model, images, Execution(place.type, "fp32", layout)) for layout in layouts}
    best = layouts[-1] if timed[layouts[-1]] * _LAYOUT_GAIN < timed[layouts[0]] else layouts[0]
    chosen = Execution(place.type, "fp32" if precision == "auto" else half, best)
    if precision != "auto" or half == "fp32":
        return chosen
    candidate = Execution(place.type, half, best)
    if place.type == "cuda":
        return candidate
    full = timed[best] or _step_seconds(model, images, chosen)
    return candidate if _step_seconds(model, images, candidate) * _PRECISION_GAIN < full else chosen


def _half_precision(place: torch.device) -> str:
    """The half precision that the device computes in hardware, or fp32."""
    if place.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # torch has no public name for these two questions.
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "fp32"


def _step_seconds(model: nn.Module, images: torch.Tensor, execution: Execution) -> float:
    """The fastest of a few forward and backward passes on a copy of the net, after one that warms up."""
    trial = copy.deepcopy(model).to(execution.device, memory_format=execution.memory_format).train()
    batch = images.to(execution.device, memory_format=execution.memory_format)
    labels = torch.zeros(len(batch), dtype=torch.long, device=execution.device)
    dtype = torch.float16 if execution.precision == "fp16" else torch.bfloat16
    seconds = []
    with torch.random.fork_rng():
        for _ in range(1 + _TIMED_STEPS):
            start = time.perf_counter()
            with torch.autocast(execution.device, dtype=dtype, enabled=execution.precision != "fp32"):
                _, loss = logits_and_loss(trial(batch), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            if batch.is_cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def logits_and_loss(output: object, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of a net's output and its mean cross-entropy, auxiliary heads added with their papers' weights.

    Szegedy et al. 2015 (GoogLeNet: two heads, 0.3 each) and 2016 (Inception v3: one, 0.4), as torchvision trains them.
    """
    if isinstance(output, torch.Tensor):
        return output, functional.cross_entropy(output, labels)
    assert isinstance(output, tuple)
    logits, *heads = output
    auxiliary = [head for head in heads if head is not None]
    loss = functional.cross_entropy(logits, labels)
    for head in auxiliary:
        loss = loss + _AUXILIARY_WEIGHTS[len(auxiliary)] * functional.cross_entropy(head, labels)
    return logits, loss
