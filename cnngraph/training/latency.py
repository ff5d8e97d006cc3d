"""How long one forward pass takes: interleaved medians, so that a slow moment of the machine hits every net alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import nn

from cnngraph.modes import evaluation_mode
from cnngraph.training.execution import pick_device

__all__ = ["Latency", "latency_ms", "measure_latency"]


@dataclass(frozen=True)
class Latency:
    """Forward passes of several nets, measured in turns.

    Attributes:
        median_ms: by name, milliseconds for one batch.
        spread_ms: by name, distance between the first and third quartile.
        device: cpu, or the name of the CUDA device.
        threads: that torch used inside an operation.
        batch_size, repeats: what was measured, and how often each.
    """

    median_ms: dict[str, float]
    spread_ms: dict[str, float]
    device: str
    threads: int
    batch_size: int
    repeats: int


def latency_ms(
    models: Mapping[str, nn.Module],
    input_shape: tuple[int, int, int],
    *,
    batch_size: int = 1,
    repeats: int = 30,
    device: str | torch.device = "cpu",
) -> dict[str, float]:
    """The medians of :func:`measure_latency` by name, in milliseconds for one batch."""
    return measure_latency(models, input_shape, batch_size=batch_size, repeats=repeats, device=device).median_ms


def measure_latency(
    models: Mapping[str, nn.Module],
    input_shape: tuple[int, int, int],
    *,
    batch_size: int = 1,
    repeats: int = 30,
    warmup: int = 5,
    device: str | torch.device = "cpu",
) -> Latency:
    """Time eval-mode forward passes on random images, one pass of each net in turn.

    Args:
        models: nets by name; their modes are restored, they stay on ``device``.
        input_shape: (channels, height, width).
        batch_size: images a pass.
        repeats: timed passes a net (at least 2), after ``warmup`` that do not count.
        device: auto, cpu or cuda.
    """
    place = pick_device(device)
    images = torch.rand(batch_size, *input_shape, generator=torch.Generator().manual_seed(0)).to(place)
    times: dict[str, list[float]] = {name: [] for name in models}
    with ExitStack() as modes, torch.inference_mode():
        for model in models.values():
            modes.enter_context(evaluation_mode(model.to(place)))
        for turn in range(warmup + max(repeats, 2)):
            for name, model in models.items():
                seconds = _time_once(model, images)
                if turn >= warmup:
                    times[name].append(seconds)
    quartiles = {name: statistics.quantiles(taken, n=4) for name, taken in times.items()}
    return Latency(
        median_ms={name: 1000 * statistics.median(taken) for name, taken in times.items()},
        spread_ms={name: 1000 * (high - low) for name, (low, _, high) in quartiles.items()},
        device=torch.cuda.get_device_name(place) if place.type == "cuda" else place.type,
        threads=torch.get_num_threads(),
        batch_size=batch_size,
        repeats=max(repeats, 2),
    )


def _time_once(model: nn.Module, images: torch.Tensor) -> float:
    if images.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    model(images)
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start
