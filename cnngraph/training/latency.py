"""How long one forward pass takes: interleaved medians, so that a slow moment of the machine hits every net alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from cnngraph.modes import evaluation_mode
from cnngraph.training.execution import image_type, pick_device
from cnngraph.training.runtimes import prepare

__all__ = ["STEADY", "Clock", "Latency", "Passes", "device_name", "in_turns", "latency_ms", "measure_latency"]

Clock = Callable[[], float]  # seconds, as time.perf_counter gives them
STEADY = 0.1  # distance between the quartiles as a share of the median, up to which nobody else is at work


@dataclass(frozen=True)
class Latency:
    """Forward passes of several nets, measured in turns.

    Attributes:
        median_ms: by name, milliseconds for one batch.
        spread_ms: by name, distance between the first and third quartile.
        device: cpu, or the name of the CUDA device.
        threads: that torch used inside an operation.
        batch_size, repeats: what was measured, and how often each.
        runtime: eager, compile or onnxruntime.
        p95_ms: by name, milliseconds within which 95 of 100 passes were done.
    """

    median_ms: dict[str, float]
    spread_ms: dict[str, float]
    device: str
    threads: int
    batch_size: int
    repeats: int
    runtime: str = "eager"
    p95_ms: dict[str, float] = field(default_factory=dict)

    @property
    def scatter(self) -> float:
        """The largest spread of a net as a share of its median; on a quiet machine a few hundredths."""
        return max(self.spread_ms[name] / self.median_ms[name] for name in self.median_ms if self.median_ms[name])


def latency_ms(
    models: Mapping[str, nn.Module],
    input_shape: tuple[int, int, int],
    *,
    batch_size: int = 1,
    repeats: int = 30,
    device: str | torch.device = "cpu",
    runtime: str = "eager",
) -> dict[str, float]:
    """The medians of :func:`measure_latency` by name, in milliseconds for one batch."""
    return measure_latency(
        models, input_shape, Passes(repeats), batch_size=batch_size, device=device, runtime=runtime
    ).median_ms


@dataclass(frozen=True)
class Passes:
    """How often nets are run.

    Attributes:
        repeats: timed passes a net (at least 2), after ``warmup`` that do not count.
        tries: measure so often at most while the passes of a net scatter by more than a tenth, and keep the try that
            scattered least: another job that takes the processor away makes a long pass look longer than it is.
        clock: that they are timed by.
    """

    repeats: int = 30
    warmup: int = 5
    tries: int = 1
    clock: Clock = time.perf_counter


def measure_latency(
    models: Mapping[str, nn.Module],
    input_shape: tuple[int, int, int],
    passes: Passes | None = None,
    *,
    batch_size: int = 1,
    device: str | torch.device = "cpu",
    runtime: str = "eager",
) -> Latency:
    """Time eval-mode forward passes on random images in the precision of the weights, one pass of each net in turn.

    Args:
        models: nets by name; their modes are restored, they stay on ``device``.
        input_shape: (channels, height, width).
        batch_size: images a pass.
        device: auto, cpu or cuda.
        runtime: eager, compile or onnxruntime; compiling and exporting happens before anything is timed.

    Raises:
        UsageError: an unknown device or runtime, or CUDA where there is none.
        CnngraphError: the runtime is not installed. ModelError: it cannot run the net.
    """
    often = passes or Passes()
    repeats = max(often.repeats, 2)
    place = pick_device(device)
    images = torch.rand(batch_size, *input_shape, generator=torch.Generator().manual_seed(0)).to(place)
    with ExitStack() as modes, torch.no_grad():
        for model in models.values():
            modes.enter_context(evaluation_mode(model.to(place)))
        if runtime == "compile":
            torch.compiler.reset()  # nets of one class share the compiler's cache, which holds few of them
        runs = {
            name: _synchronised(prepare(model, images.to(image_type(model)), runtime), place)
            for name, model in models.items()
        }
        with torch.inference_mode(runtime != "compile"):  # a net compiled outside of it would be compiled anew
            found = _steadiest(
                lambda: in_turns(runs, repeats=repeats, warmup=often.warmup, clock=often.clock), often.tries
            )
    quartiles = {name: statistics.quantiles(taken, n=4) for name, taken in found.items()}
    return Latency(
        median_ms={name: 1000 * statistics.median(taken) for name, taken in found.items()},
        spread_ms={name: 1000 * (high - low) for name, (low, _, high) in quartiles.items()},
        device=device_name(place),
        threads=torch.get_num_threads(),
        batch_size=batch_size,
        repeats=repeats,
        runtime=runtime,
        p95_ms={name: 1000 * float(np.quantile(taken, 0.95)) for name, taken in found.items()},
    )


def _steadiest(measure: Callable[[], dict[str, list[float]]], tries: int) -> dict[str, list[float]]:
    """The first of ``tries`` measurements that is steady, else the one that scatters least."""
    best: tuple[float, dict[str, list[float]]] | None = None
    for _ in range(max(tries, 1)):
        times = measure()
        scatter = max(_scatter(taken) for taken in times.values())
        if best is None or scatter < best[0]:
            best = scatter, times
        if scatter <= STEADY:
            break
    assert best is not None
    return best[1]


def _scatter(taken: list[float]) -> float:
    low, middle, high = statistics.quantiles(taken, n=4)
    return (high - low) / middle if middle else 0.0


def in_turns(
    passes: Mapping[str, Callable[[], object]], *, repeats: int, warmup: int, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each of ``repeats`` calls by name, one call of each in turn; ``warmup`` rounds before do not count."""
    times: dict[str, list[float]] = {name: [] for name in passes}
    for turn in range(warmup + repeats):
        for name, run in passes.items():
            start = clock()
            run()
            seconds = clock() - start
            if turn >= warmup:
                times[name].append(seconds)
    return times


def device_name(place: torch.device) -> str:
    """``cpu``, or the name of the CUDA device."""
    return torch.cuda.get_device_name(place) if place.type == "cuda" else place.type


def _synchronised(run: Callable[[], object], place: torch.device) -> Callable[[], object]:
    """``run`` that comes back when the device has finished."""
    if place.type != "cuda":
        return run

    def waiting() -> None:
        run()
        torch.cuda.synchronize()

    return waiting
