"""``adopt``: weights that were trained elsewhere come back to their model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.options import Data, DataRoot, Device, DryRun, Json, ModelName
from cnngraph.cli.plan_tables import in_words
from cnngraph.cli.source_options import WeightsKey
from cnngraph.console import emit_json, progress, say, table
from cnngraph.settings import check_name

__all__ = ["register"]


def adopt(
    name: ModelName,
    weights: Annotated[
        Path, typer.Option(help="File of weights (safetensors or state dict) or folder of a saved model.")
    ],
    weights_key: WeightsKey = None,
    as_: Annotated[str | None, typer.Option("--as", help="Name of the new model (default: NAME-adopted).")] = None,
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Store weights that you trained elsewhere as a new model, checked, evaluated, and with its lineage.

    NAME, usually a model that prune --no-retrain made, gives the structure, and stays as it is. The same command again
    writes nothing.

    Example: cnngraph adopt demo-pruned --weights tuned.safetensors
    """
    if as_ is not None:
        check_name(as_)
    keep_freed_memory()
    with connection.graph() as graph, progress() as bars:
        result = graph.adopt(
            name,
            weights,
            weights_key=weights_key,
            as_name=as_,
            data=data,
            data_root=data_root,
            device=device,
            dry_run=dry_run,
            progress=bars,
        )
    if json:
        emit_json(result)
        return
    from cnngraph.reporting.page import figures_table, judged_on

    table(("", "before", "after", "change"), [row[:4] for row in figures_table(result)])
    if judged_on(result):
        say(judged_on(result))
    if dry_run and result["action"] != "nothing":
        say(f"Would store {result['new_model']}: {in_words(result['would_write'])}.")
        return
    print(f"\nstored: {result['new_model']}, adopted from {result['model']}")
    say(f"Next: cnngraph lineage {result['new_model'].split('/')[-1]}")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(adopt)
