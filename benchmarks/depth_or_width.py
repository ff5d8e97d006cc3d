"""ResNet-56: the same multiply-accumulates taken by depth and by width, and what that does to the latency.

    python benchmarks/depth_or_width.py [--shares 0.75 0.5 0.25] [--repeats 21]

Blocks and layers go evenly spread over the net; of filters the lowest norms, once any number of a layer and once in
multiples of 8. All variants of a share are timed in turns, at batch 1 and 64. The weights are untrained: only sizes and
times are compared here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from torch import nn

from benchmarks.report import machine, markdown, write_result, write_section
from cnngraph import plan_filters
from cnngraph.errors import PlanError
from cnngraph.models.registry import build
from cnngraph.network.graph import follow
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filter_scores import magnitude
from cnngraph.surgery.check import removable, removable_blocks
from cnngraph.training.latency import Passes, measure_latency

SHAPE = (3, 32, 32)
BATCHES = (1, 64)
_STEPS = 99  # ratios that are tried


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.75, 0.5, 0.25], help="of the MACs that stay")
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    model = build("cnngraph:resnet56", classes=10).eval()
    rows = [row for share in options.shares for row in compare(model, share, options.repeats)]
    result = {"benchmark": "depth_or_width", "machine": machine(), "rows": rows}
    write_result("depth_or_width", result)
    write_section("depth_or_width", page(rows, options.repeats))
    print(json.dumps(result, indent=2))


def compare(model: nn.Module, share: float, repeats: int) -> list[dict[str, Any]]:
    """The variants whose MACs come nearest to ``share`` of the whole net's, timed in turns with it."""
    wanted = share * macs(model)
    nets = {"whole": model} | {name: _nearest(model, make, wanted) for name, make in VARIANTS.items()}
    timed = {
        batch: measure_latency(nets, SHAPE, passes=Passes(repeats=repeats), batch_size=batch).median_ms
        for batch in BATCHES
    }
    return [
        {
            "share": share,
            "variant": name,
            "macs": macs(net),
            "parameters": sum(parameter.numel() for parameter in net.parameters()),
            **{f"latency_ms_batch_{batch}": round(timed[batch][name], 3) for batch in BATCHES},
            **{f"speedup_batch_{batch}": round(timed[batch]["whole"] / timed[batch][name], 3) for batch in BATCHES},
        }
        for name, net in nets.items()
    ]


def macs(model: nn.Module) -> int:
    """Multiply-accumulates for one image."""
    return sum(layer.macs for layer in follow(model, SHAPE).layers)


Candidates = Callable[[nn.Module], list[Callable[[], Plan]]]


def _nearest(model: nn.Module, candidates: Candidates, wanted: float) -> nn.Module:
    """The net with the MACs nearest to ``wanted`` among plans that take more and more: found by bisection."""
    plans = candidates(model)
    built: dict[int, nn.Module] = {}

    def at(index: int) -> nn.Module:
        if index not in built:
            built[index] = cut(model, plans[index](), input_shape=SHAPE)
        return built[index]

    low, high = 0, len(plans) - 1
    while low < high:
        middle = (low + high) // 2
        if macs(at(middle)) > wanted:
            low = middle + 1
        else:
            high = middle
    near = [at(index) for index in (low - 1, low) if index >= 0]
    return min(near, key=lambda net: abs(macs(net) - wanted))


def _spread(names: list[str]) -> list[str]:
    """All names, in an order whose every beginning is spread evenly over the net (van der Corput)."""
    bits = max(len(names) - 1, 1).bit_length()
    order = sorted(range(1 << bits), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))
    return [names[place] for place in order if place < len(names)]


def _blocks(model: nn.Module) -> list[Callable[[], Plan]]:
    graph = follow(model, SHAPE)
    can = [name for name, reason in removable_blocks(graph).items() if reason is None]
    return _growing([Removal(layer=name, kind="block") for name in _spread(can)])


def _layers(model: nn.Module) -> list[Callable[[], Plan]]:
    """The first conv of each block first: with it gone, the block still does something."""
    can = [name for name, reason in removable(follow(model, SHAPE)).items() if reason is None]
    first, second = ([name for name in can if name.endswith(end)] for end in ("conv1", "conv2"))
    inside = [name for name in first if "." in name]
    return _growing([Removal(layer=name) for name in _spread(inside) + _spread(second)])


def _growing(removals: list[Removal]) -> list[Callable[[], Plan]]:
    return [lambda n=n: Plan(removes=tuple(removals[:n]), init="inherit") for n in range(1, len(removals))]


def _filters(round_to: int) -> Candidates:
    def plans(model: nn.Module) -> list[Callable[[], Plan]]:
        coupling = coupled(model, SHAPE)
        scores = magnitude(model, coupling)
        return [
            lambda step=step: plan_filters(coupling, scores, ratio=step / (_STEPS + 1), round_to=round_to)
            for step in range(1, _STEPS + 1)
            if _takes_any(coupling, scores, step / (_STEPS + 1), round_to)
        ]

    return plans


def _takes_any(coupling: Any, scores: Any, ratio: float, round_to: int) -> bool:
    try:
        return bool(plan_filters(coupling, scores, ratio=ratio, round_to=round_to).removes)
    except PlanError:
        return False


VARIANTS: dict[str, Candidates] = {
    "blocks": _blocks,
    "layers": _layers,
    "filters": _filters(1),
    "filters, rounded to 8": _filters(8),
}


def page(rows: list[dict[str, Any]], repeats: int) -> str:
    """The section of docs/results.md."""
    whole = next(row["macs"] for row in rows if row["variant"] == "whole")
    header = ("share wanted", "taken by", "MACs", "parameters", "ms, batch 1", "speed-up", "ms, batch 64", "speed-up")
    table = markdown(
        header,
        (
            (
                row["share"],
                row["variant"],
                f"{row['macs'] / whole:.2f}",
                f"{row['parameters']:,}",
                *(row[f"{what}_batch_{batch}"] for batch in BATCHES for what in ("latency_ms", "speedup")),
            )
            for row in rows
        ),
    )
    known = machine()
    return (
        f"Medians of {repeats} passes in turns, eager, {known['threads']} thread, {known['processor']}, "
        f"{known['date']}.\n\n{table}"
    )


if __name__ == "__main__":
    main()
