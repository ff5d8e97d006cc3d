"""What nets that are cut out of one net cost: predicted from its layers, measured on the net that is really built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cnngraph.console import Progress, Quiet
from cnngraph.errors import PlanError, TraceError
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.limits.target import Goal

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.network.graph import LayerGraph
    from cnngraph.pruning.limits.target import Kind, Target
    from cnngraph.surgery.cost import Cost, Costs
    from cnngraph.training.latency import Latency
    from cnngraph.training.latency_table import LatencyTable

__all__ = ["Comparison", "CostMeter", "Speeds", "Timing", "megabytes"]

_SECONDS = 2.0  # of measuring two nets in turns: long enough that a busy moment of the machine is a small part of it
_LEAST, _MOST = 7, 301  # passes of each, whatever they take
_TRIES = 3  # while they scatter
_BUSY = 0.3  # of the median between the quartiles: then it is said

Measure = Callable[..., "Latency"]


@dataclass(frozen=True)
class Timing:
    """How latency is measured; ``table``: a file of another device instead of a measured table; ``percentile``: of the
    times of all passes, 50 (the median) or 95.
    """

    device: str = "cpu"
    runtime: str = "eager"
    batch: int = 1
    table: Path | None = None
    percentile: int = 50


@dataclass(frozen=True)
class Speeds:
    """Milliseconds of the whole net and of one cut from it, medians of passes taken in turns, how they were run, and
    by what share of the median the passes scattered.
    """

    before_ms: float
    after_ms: float
    how: str
    scatter: float = 0.0

    @property
    def speedup(self) -> float:
        """How many times faster the cut net is."""
        return self.before_ms / self.after_ms


@dataclass
class Comparison:
    """One net, and what the nets that are cut out of it cost. ``measure_latency`` stands for the real one in tests."""

    model: nn.Module
    input_shape: tuple[int, int, int]
    timing: Timing = field(default_factory=Timing)
    progress: Progress = field(default_factory=Quiet)
    measure_latency: Measure | None = None
    _measured: dict[tuple[Removal, ...], list[Speeds]] = field(default_factory=dict, init=False)

    def built(self, removals: tuple[Removal, ...]) -> nn.Module:
        """The structure without these; its weights do not matter here. Raises as :func:`cnngraph.surgery.apply.cut`."""
        from cnngraph.surgery.apply import cut

        return cut(self.model, Plan(removes=removals), input_shape=self.input_shape)

    def speeds(self, removals: tuple[Removal, ...]) -> Speeds:
        """The whole net and the one without these, the median of all the times that this net was measured."""
        if removals not in self._measured:
            self.time(removals, self.built(removals))
        scatter = max(one.scatter for one in self._measured[removals])
        taken = sorted(self._measured[removals], key=lambda one: one.speedup)
        low, high = taken[(len(taken) - 1) // 2], taken[len(taken) // 2]
        return Speeds((low.before_ms + high.before_ms) / 2, (low.after_ms + high.after_ms) / 2, low.how, scatter)

    def time(self, removals: tuple[Removal, ...], slim: nn.Module) -> Speeds:
        """Both nets in turns, in the runtime, on the device and with the batch that were asked for."""
        from cnngraph.training.latency import Passes, measure_latency

        found = (self.measure_latency or measure_latency)(
            {"before": self.model, "after": slim},
            self.input_shape,
            Passes(self.repeats, tries=_TRIES),
            batch_size=self.timing.batch,
            device=self.timing.device,
            runtime=self.timing.runtime,
        )
        threads = f", {found.threads} thread{'s' if found.threads > 1 else ''}" if found.device == "cpu" else ""
        how = f"{found.runtime} on {found.device}{threads}, batch {found.batch_size}"
        taken = found.median_ms
        if self.timing.percentile == 95:
            taken, how = found.p95_ms, f"{how}, 95th percentile"
        speeds = Speeds(taken["before"], taken["after"], how, found.scatter)
        self._measured.setdefault(removals, []).append(speeds)
        return speeds

    @property
    def repeats(self) -> int:
        """Passes of each net."""
        return 3 * _LEAST

    def costs_of(self, slim: nn.Module) -> tuple[int, int]:
        """Parameters and multiply-accumulates of a net of this input shape."""
        from cnngraph.network.macs import count_parameters

        return count_parameters(slim), self._macs_of(slim)

    def _macs_of(self, slim: nn.Module) -> int:
        from cnngraph.network.graph import follow

        return sum(layer.macs for layer in follow(slim, self.input_shape).layers)

    def in_words(self, removals: tuple[Removal, ...]) -> list[str]:
        """Latency, MACs and parameters before and after, for a person; and whether the machine was busy."""
        speeds = self.speeds(removals)
        (old_parameters, old_macs), (parameters, macs) = map(self.costs_of, (self.model, self.built(removals)))
        costs = (
            f"Latency {speeds.before_ms:.3g} ms -> {speeds.after_ms:.3g} ms ({speeds.speedup:.2f} times as fast; "
            f"{speeds.how}), MACs {old_macs:,} -> {macs:,}, parameters {old_parameters:,} -> {parameters:,}."
        )
        if speeds.scatter <= _BUSY:
            return [costs]
        busy = (
            f"BUSY: passes of one net scattered by {speeds.scatter:.0%} of their median, so something else keeps "
            "this machine busy and the latencies may be far off. Measure again when it is quiet."
        )
        return [costs, busy]


@dataclass
class CostMeter(Comparison):
    """A comparison with targets: what is left of their costs, as one share of the whole net's.

    Attributes:
        tables: of this net, measured before, by how; one that is measured here is added.
    """

    targets: tuple[Target, ...] = field(kw_only=True)
    tables: dict[Timing, LatencyTable] = field(default_factory=dict, kw_only=True)
    _shares: dict[tuple[Removal, ...], dict[Kind, float]] = field(default_factory=dict, init=False)
    _wholes: dict[Kind, float] = field(default_factory=dict, init=False)

    @cached_property
    def graph(self) -> LayerGraph:
        """The net, followed."""
        from cnngraph.network.graph import follow

        return follow(self.model, self.input_shape)

    @cached_property
    def table(self) -> LatencyTable:
        """Milliseconds of each layer: from the file, or measured here."""
        from cnngraph.training.latency_table import measure_layers, read_table

        layers = [layer.layer for layer in self.graph.layers]
        if self.timing.table is not None:
            return read_table(self.timing.table, layers)
        if self.timing not in self.tables:
            self.progress.start(f"Timing each layer in its place ({self.timing.runtime} on {self.timing.device})")
            self.tables[self.timing] = measure_layers(
                self.model,
                self.input_shape,
                runtime=self.timing.runtime,
                device=self.timing.device,
                batch_size=self.timing.batch,
            )
        return self.tables[self.timing]

    @property
    def timed(self) -> bool:
        """Whether a target is about time."""
        return any(target.timed for target in self.targets)

    @property
    def counts(self) -> bool:
        """Whether all targets are counted, or reckoned from a file: then nothing scatters."""
        return not self.timed or self.timing.table is not None

    @cached_property
    def goal(self) -> Goal:
        """The targets as one.

        Raises:
            PlanError: the net has no more than a wanted amount already.
        """
        return Goal(self.targets, {target.kind: target.share(self._whole(target.kind)) for target in self.targets})

    def predict(self, removals: tuple[Removal, ...]) -> float | None:
        """The share that is left without these layers and blocks, reckoned without building; ``None``: impossible."""
        costs = self._costs  # outside of the try: a file that is no latency table is another matter
        try:
            left = costs.without(removals)
        except PlanError:
            return None
        return self.goal.combine(
            {target.kind: _part(left, self._reckoned_whole, target.kind) for target in self.targets}
        )

    def predict_built(self, removals: tuple[Removal, ...]) -> float | None:
        """The same for removals of every kind, by building the net; ``None`` where that is impossible."""
        try:
            slim = self.built(removals)
        except PlanError:
            return None
        try:
            return self.goal.combine({target.kind: self._counted(slim, target.kind) for target in self.targets})
        except TraceError:  # the user's own code does not take these widths
            return None

    def measure(self, removals: tuple[Removal, ...]) -> float:
        """The share that is left, of the net that is built: counted, or measured in turns with the whole net."""
        self.progress.start(f"Building and measuring a net without {_short(removals)}")
        slim = self.built(removals)
        speeds = None if self.counts else self.time(removals, slim)
        shares: dict[Kind, float] = {}
        for target in self.targets:
            if speeds is None or not target.timed:
                shares[target.kind] = self._counted(slim, target.kind)
            elif target.kind == "speedup":
                shares[target.kind] = 1 / speeds.speedup
            else:
                shares[target.kind] = speeds.after_ms / self._whole(target.kind)
        self._shares[removals] = shares
        self.progress.note(f"Without {_short(removals)}: {self.goal.shown_each(shares)}")
        return self.goal.combine(shares)

    def shares(self, removals: tuple[Removal, ...]) -> dict[Kind, float]:
        """What is left of the cost of each target, as it was measured last."""
        return self._shares[removals]

    @cached_property
    def repeats(self) -> int:
        """As many passes as fit into the time for a measurement."""
        whole_ms = self.table.whole_ms if not self.counts else None
        return max(_LEAST, min(_MOST, round(1000 * _SECONDS / (2 * whole_ms)))) if whole_ms else 3 * _LEAST

    @cached_property
    def _costs(self) -> Costs:
        from cnngraph.surgery.cost import Costs

        return Costs(self.graph, self.table.layers if self.timed else None)

    @cached_property
    def _reckoned_whole(self) -> Cost:
        return self._costs.without(())

    def _whole(self, kind: Kind) -> float:
        """The cost of the whole net; of a speed-up nothing looks at it."""
        if kind == "speedup":
            return 0.0
        if kind not in self._wholes:
            if kind != "latency_ms":
                self._wholes[kind] = self._count(self.model, kind)
            else:
                self._wholes[kind] = self.table.sum_ms if self.timing.table is not None else self.speeds(()).before_ms
        return self._wholes[kind]

    def _count(self, model: nn.Module, kind: Kind) -> float:
        from cnngraph.network.macs import count_parameters

        if kind == "macs":
            return self._macs_of(model)
        return count_parameters(model) if kind == "parameters" else megabytes(model)

    def _counted(self, slim: nn.Module, kind: Kind) -> float:
        """What is left of the count, or of the table's milliseconds, each layer's in proportion to its MACs."""
        from cnngraph.network.graph import follow

        if kind not in ("speedup", "latency_ms"):
            return self._count(slim, kind) / self._whole(kind)
        before = {layer.layer: layer.macs for layer in self.graph.layers}
        left = 0.0
        for layer in follow(slim, self.input_shape).layers:
            part = layer.macs / before[layer.layer] if before.get(layer.layer) else 1.0
            left += part * self.table.layers.get(layer.layer, 0.0)
        return left / self.table.sum_ms


def megabytes(model: nn.Module) -> float:
    """What the weights and buffers of ``model`` take as they are saved, in 10^6 bytes; shared ones count once."""
    tensors = {tensor.data_ptr(): tensor for tensor in model.state_dict().values() if tensor.numel()}
    return float(sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())) / 1e6


def _part(left: Cost, whole: Cost, kind: Kind) -> float:
    """What is left of a cost that was reckoned; of megabytes, what is left of the parameters."""
    if kind in ("speedup", "latency_ms"):
        assert left.latency_ms is not None
        assert whole.latency_ms is not None
        return left.latency_ms / whole.latency_ms
    name = "macs" if kind == "macs" else "parameters"
    return float(getattr(left, name)) / float(getattr(whole, name))


def _short(removals: tuple[Removal, ...]) -> str:
    filters = sum(len(removal.filters) for removal in removals)
    whole = [removal.layer for removal in removals if removal.is_whole or removal.kind == "replace"]
    parts = [f"{len(whole)} layers and blocks ({whole[0]} ...)" if len(whole) > 1 else "".join(whole)] if whole else []
    if filters:
        parts.append(f"{filters} filters")
    return " and ".join(parts) or "anything"
