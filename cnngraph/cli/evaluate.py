"""``evaluate``: how well a net does on its test images."""

from __future__ import annotations

import typer

from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.option_groups import spread
from cnngraph.cli.options import Device, Json, Seed
from cnngraph.cli.source_options import DataOptions, Model, ModelOptions, RequiredData, judged
from cnngraph.console import emit_json, progress, say, table

__all__ = ["register"]


def evaluate(
    model: Model,
    data: RequiredData,
    net: ModelOptions,
    images: DataOptions,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Evaluate a model on the test images: accuracy, macro precision and recall, Cohen's kappa, and per class.

    Example: cnngraph evaluate runs/vgg16 --data digits
    """
    from cnngraph.api import offline

    keep_freed_memory()
    with progress() as bars:
        result = offline.evaluate(
            net.choose(model, seed=seed),
            images.choose(data, seed=seed),
            device=device,
            progress=bars,
        )
    if json:
        emit_json(result)
        return
    say(f"Judged on {judged(result)}.")
    table(("figure", "value"), [(name, result[name]) for name in ("accuracy", "precision", "recall", "kappa")])
    headers = list(result["per_class"][0]) if result["per_class"] else []
    table(headers, [list(row.values()) for row in result["per_class"]], title="\nper class")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(spread(evaluate))
