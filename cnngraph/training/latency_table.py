"""How long each layer of a net takes where it stands: measured, or read from a file that another device has written."""

from __future__ import annotations

import csv
import math
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from cnngraph.errors import NotFoundError, PlanError, nearest
from cnngraph.files import write_text
from cnngraph.modes import evaluation_mode
from cnngraph.network.graph import LayerGraph, follow
from cnngraph.training.execution import image_type, pick_device
from cnngraph.training.latency import Clock, Passes, device_name, in_turns, measure_latency
from cnngraph.training.onnx_profile import profile_layers
from cnngraph.training.runtimes import check_runtime

__all__ = ["WHOLE", "LatencyTable", "measure_layers", "read_table", "write_table"]

WHOLE = "(whole net)"  # the row of a file that is no layer
_HEADER = ("layer", "milliseconds")
_WARMUP = 3


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of one forward pass, by layer.

    Attributes:
        layers: by name, in network order. A layer that the runtime melted into another has 0.
        whole_ms: of the whole net, measured in turns with the layers; ``None`` where a file does not say it.
        runtime, device, batch_size, threads: what was measured; of a file the device is the file's path.
        scaled_from_ms: where the layers could not be timed in place, the sum of the eager table that was scaled to
            ``whole_ms``; else ``None``.
    """

    layers: dict[str, float]
    whole_ms: float | None
    runtime: str = "eager"
    device: str = "cpu"
    batch_size: int = 1
    threads: int = 1
    scaled_from_ms: float | None = None

    @property
    def sum_ms(self) -> float:
        """The layers added up."""
        return math.fsum(self.layers.values())

    @property
    def error(self) -> float | None:
        """How far the sum is from the whole net, as a share of the whole net; ``None`` where that is not known.

        >>> LatencyTable({"a": 1.0, "b": 2.0}, 4.0).error
        -0.25
        """
        return (self.sum_ms - self.whole_ms) / self.whole_ms if self.whole_ms else None

    def part_ms(self, layers: Iterable[str]) -> float:
        """Several layers added up, those of a block say."""
        return math.fsum(self.layers.get(layer, 0.0) for layer in layers)

    def sentence(self) -> str:
        """What was measured and how far the sum is off, for a person."""
        measured = f"{self.runtime} on {self.device}, batch {self.batch_size}"
        where = self.device if self.runtime == "file" else measured
        if self.whole_ms is None or self.error is None:
            return f"Latency table ({where}): the layers add up to {self.sum_ms:.3g} ms; the whole net is not in it."
        if self.scaled_from_ms is not None:
            return (
                f"Latency table ({where}): no layer of a compiled net can be timed in place, so the eager table "
                f"({self.scaled_from_ms:.3g} ms) is scaled to the whole compiled net, {self.whole_ms:.3g} ms."
            )
        return (
            f"Latency table ({where}): the layers add up to {self.sum_ms:.3g} ms, the whole net takes "
            f"{self.whole_ms:.3g} ms, an error of {self.error:+.1%}."
        )


def measure_layers(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    runtime: str = "eager",
    device: str | torch.device = "cpu",
    batch_size: int = 1,
    repeats: int = 11,
    clock: Clock = time.perf_counter,
) -> LatencyTable:
    """Time every layer of ``model`` in its place, in turns with the whole net: medians of ``repeats`` passes.

    eager: each step of the net by itself, on CUDA by events of the device. onnxruntime: its own profile, a fused kernel
    counted with its weighted layer. compile: the eager table scaled to the whole compiled net, since there no layer
    has a place any more.

    Args:
        model: stays as it is, but for the device. input_shape: (channels, height, width).

    Raises:
        UsageError: an unknown runtime or device, or CUDA where there is none.
        CnngraphError: the runtime is not installed. ModelError, TraceError: it cannot run the net, or it cannot be
        followed.
    """
    check_runtime(runtime)
    place = pick_device(device)
    graph = follow(model, input_shape)
    images = torch.rand(batch_size, *input_shape, generator=torch.Generator().manual_seed(0))
    images = images.to(place, image_type(model))
    model.to(place)
    with evaluation_mode(model), evaluation_mode(graph.graph_module), torch.no_grad():
        if runtime == "onnxruntime":
            layers, whole = profile_layers(model, graph, images, repeats=repeats, warmup=_WARMUP, clock=clock)
        else:
            layers, whole = _eager(model, graph, images, repeats, clock)
    table = LatencyTable(layers, whole, runtime, device_name(place), batch_size, torch.get_num_threads())
    if runtime != "compile":
        return table
    found = measure_latency(
        {"whole": model}, input_shape, Passes(repeats), batch_size=batch_size, device=place, runtime=runtime
    )
    return _scaled(table, found.median_ms["whole"])


def _scaled(table: LatencyTable, whole_ms: float) -> LatencyTable:
    factor = whole_ms / table.sum_ms if table.sum_ms else 1.0
    layers = {layer: factor * taken for layer, taken in table.layers.items()}
    return replace(table, layers=layers, whole_ms=whole_ms, scaled_from_ms=table.sum_ms)


def _eager(
    model: nn.Module, graph: LayerGraph, images: torch.Tensor, repeats: int, clock: Clock
) -> tuple[dict[str, float], float]:
    timer = _CudaTimer(graph.graph_module) if images.is_cuda else _Timer(graph.graph_module, clock)

    def whole() -> None:
        model(images.clone())  # a net may write into its input
        if images.is_cuda:
            torch.cuda.synchronize()

    passes = {"whole": whole, "layers": lambda: timer.run(images.clone())}
    times = in_turns(passes, repeats=repeats, warmup=_WARMUP, clock=clock)
    taken = timer.milliseconds()
    layers = {
        layer.layer: statistics.median(taken[layer.node][_WARMUP:]) for layer in graph.layers if layer.kind != "Input"
    }
    return layers, 1000 * statistics.median(times["whole"])


class _Timer(fx.Interpreter):
    """Runs a net step by step and notes how long each call takes, without the interpreter's own work."""

    def __init__(self, module: fx.GraphModule, clock: Clock) -> None:
        super().__init__(module)
        self._clock = clock
        self._seconds: dict[str, list[float]] = {}
        self._last = 0.0

    def milliseconds(self) -> dict[str, list[float]]:
        """By node, of every pass so far."""
        return {name: [1000 * seconds for seconds in taken] for name, taken in self._seconds.items()}

    def run_node(self, n: fx.Node) -> Any:
        self._last = 0.0
        value = super().run_node(n)
        self._seconds.setdefault(n.name, []).append(self._last)
        return value

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        return self._timed(module, args, kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._timed(target, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._timed(getattr(args[0], target), args[1:], kwargs)

    def _timed(self, call: Any, args: Any, kwargs: Any) -> Any:
        start = self._clock()
        value = call(*args, **kwargs)
        self._last = self._clock() - start
        return value


class _CudaTimer(fx.Interpreter):
    """The same on CUDA: an event before and after each step, read when the pass is over, so that nothing waits."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self._milliseconds: dict[str, list[float]] = {}
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    def milliseconds(self) -> dict[str, list[float]]:
        """By node, of every pass so far."""
        return self._milliseconds

    def run(self, *args: Any, **kwargs: Any) -> Any:
        self._events.clear()
        value = super().run(*args, **kwargs)
        torch.cuda.synchronize()
        for name, before, after in self._events:
            self._milliseconds.setdefault(name, []).append(before.elapsed_time(after))
        return value

    def run_node(self, n: fx.Node) -> Any:
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        before.record()
        value = super().run_node(n)
        after.record()
        self._events.append((n.name, before, after))
        return value


def write_table(table: LatencyTable, path: str | Path) -> Path:
    """Write ``table`` as CSV (layer, milliseconds), the whole net as its last row; atomic."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows((layer, f"{taken:.6g}") for layer, taken in table.layers.items())
    if table.whole_ms is not None:
        writer.writerow((WHOLE, f"{table.whole_ms:.6g}"))
    return write_text(path, text.getvalue())


def read_table(path: str | Path, layers: Iterable[str]) -> LatencyTable:
    """Read a table of the net with these ``layers``; a layer that it does not name takes 0 ms.

    Raises:
        NotFoundError: there is no such file.
        PlanError: it is no such table, has a time that is no number of at least 0, or layers that the net does not
            have; each is named.
    """
    source = Path(path)
    if not source.is_file():
        raise NotFoundError(f"There is no latency table {source}.", "Write one: cnngraph latency NAME --out table.csv")
    try:
        rows = [row for row in csv.reader(StringIO(source.read_text(encoding="utf-8-sig"))) if row]
    except (ValueError, csv.Error) as error:
        raise PlanError(f"{source} is no CSV file: {error}.", "Its columns are layer,milliseconds.") from error
    if not rows or tuple(cell.strip().lower() for cell in rows[0]) != _HEADER:
        raise PlanError(f"{source} does not begin with the header layer,milliseconds.", "See docs/latency.md.")
    times: dict[str, float] = {}
    for number, row in enumerate(rows[1:], start=2):
        layer, taken = _row(source, number, row)
        if layer in times:
            raise PlanError(f"{source}, row {number}: {layer} stands there twice.", "Leave one row a layer.")
        times[layer] = taken
    whole = times.pop(WHOLE, None)
    _require_known(source, times, list(layers))
    return LatencyTable(times, whole, runtime="file", device=str(source))


def _row(source: Path, number: int, row: list[str]) -> tuple[str, float]:
    try:
        layer, cell = row
        taken = float(cell)
    except ValueError as error:
        raise PlanError(
            f"{source}, row {number}: {','.join(row)!r} is not a layer and a number of milliseconds.",
            "Its columns are layer,milliseconds.",
        ) from error
    if not (math.isfinite(taken) and taken >= 0):
        raise PlanError(
            f"{source}, row {number}: {layer} takes {cell.strip()} ms.", "Use finite numbers of at least 0."
        )
    return layer.strip(), taken


def _require_known(source: Path, times: Mapping[str, float], known: list[str]) -> None:
    strangers = [layer for layer in times if layer not in set(known)]
    if strangers:
        shown = ", ".join(strangers[:10]) + (f" and {len(strangers) - 10} more" if len(strangers) > 10 else "")
        raise PlanError(f"{source} names layers that the net does not have: {shown}.", nearest(strangers[0], known))
    if not sum(times.values()) > 0:
        raise PlanError(f"{source} gives no layer any time.", "Its columns are layer,milliseconds.")
