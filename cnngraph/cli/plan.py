"""``plan``: what goes, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.option_groups import Grouped, spread
from cnngraph.cli.options import Data, DataRoot, Device, Json, ModelName, Seed, writable
from cnngraph.cli.plan_options import Limits
from cnngraph.cli.plan_tables import as_json, print_plan
from cnngraph.console import emit_json, progress, say

__all__ = ["register"]


def plan(
    name: ModelName,
    choice: Limits,
    schedule: Annotated[
        bool, typer.Option("--schedule", help="List every threshold at which the set changes.")
    ] = False,
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Write the plan there, as JSON that a person can edit.", callback=writable)
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Decide what goes. Nothing is changed, and nothing is trained unless --max-accuracy-drop asks for it.

    Example: cnngraph plan demo --method multilayer --measure degree --schedule

    Example: cnngraph plan demo --measure degree --threshold 0.3 --out plan.json

    Example: cnngraph plan demo --ratio 0.3 --score strength --round-to 8

    Example: cnngraph plan demo --target-speedup 1.5 --runtime onnxruntime --batch 1

    Example: cnngraph plan demo --target-macs 0.7 --target-parameters 0.5 --max-accuracy-drop 2
    """
    from cnngraph.api import offline, write_plan

    said: dict[str, Any] = vars(choice) | {"keep": choice.keep or None, "seed": seed, "device": device}
    said |= {"data": data, "data_root": data_root}
    limited = offline.check_plan(said)  # before any server is started
    with connection.graph() as graph, progress() as bars:
        made = graph.plan(name, **said, costs=True, progress=bars)
    if out is not None:
        write_plan(made, out)
    if json:
        emit_json(as_json(made))
        return
    print_plan(made, schedule=bool(made.schedule) and (schedule or not limited))
    if out is not None:
        say(f"Wrote {out}. Next: cnngraph prune {name} --plan {out}")
    elif not made.removes and made.schedule:
        say(f"Next: choose a threshold, cnngraph prune {name} --method multilayer -m {made.measure} --threshold T")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(cls=Grouped)(spread(plan))
