"""The latency table of one net: each layer and block in its place, beside the whole net."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress
from cnngraph.pruning.limits.cost_meter import Timing

if TYPE_CHECKING:
    from cnngraph.training.latency_table import LatencyTable

__all__ = ["tabulate"]


def tabulate(folder: Path, timing: Timing, progress: Progress, out: Path | None = None) -> dict[str, Any]:
    """Measure the table of the saved model in ``folder``; the JSON of ``cnngraph latency``.

    Args:
        out: also write the table there, as a CSV file that ``--latency-table`` reads.

    Raises:
        ModelError: there is no saved model. UsageError, CnngraphError: the runtime or device is not there.
    """
    from cnngraph.surgery.saved import read_saved
    from cnngraph.training.latency_table import measure_layers, write_table

    saved = read_saved(folder)
    progress.start(f"Timing each layer in its place ({timing.runtime} on {timing.device})")
    table = measure_layers(
        saved.model, saved.input_shape, runtime=timing.runtime, device=timing.device, batch_size=timing.batch
    )
    if out is not None:
        write_table(table, out)
    layers = [
        {"layer": layer.layer, "kind": layer.kind, "macs": layer.macs, **_part(table, [layer.layer])}
        for layer in saved.followed.graph.layers
        if layer.layer in table.layers
    ]
    blocks = [
        {"block": block.name, "kind": block.kind, **_part(table, block.layers)} for block in saved.followed.blocks
    ]
    return {
        "runtime": table.runtime,
        "device": table.device,
        "batch": table.batch_size,
        "threads": table.threads,
        "layers": layers,
        "blocks": blocks,
        "sum_ms": table.sum_ms,
        "whole_ms": table.whole_ms,
        "error": table.error,
        "statement": table.sentence(),
    }


def _part(table: LatencyTable, layers: list[str] | tuple[str, ...]) -> dict[str, float]:
    taken = table.part_ms(layers)
    return {"milliseconds": taken, "share": taken / table.sum_ms if table.sum_ms else 0.0}
