"""``latency``: how long each layer and block of a net takes where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.option_groups import spread
from cnngraph.cli.options import Json, known, writable
from cnngraph.console import emit_json, progress, say, table
from cnngraph.vocabulary import LATENCY_DEVICES, RUNTIMES

__all__ = ["LatencyOptions", "register"]


@dataclass(frozen=True)
class LatencyOptions:
    """How latency is measured; what was not typed is ``None``."""

    latency_on: Annotated[
        str | None,
        typer.Option(help="cpu (default) or cuda.", callback=lambda v: known(v, LATENCY_DEVICES, "device")),
    ] = None
    runtime: Annotated[
        str | None,
        typer.Option(
            help=f"What runs the net: {', '.join(RUNTIMES)} (default: eager).",
            callback=lambda v: known(v, RUNTIMES, "runtime"),
        ),
    ] = None
    batch: Annotated[int | None, typer.Option(min=1, max=65_536, help="Images a forward pass (default: 1).")] = None

    @property
    def said(self) -> dict[str, Any]:
        """The same with the defaults."""
        return {"latency_on": self.latency_on or "cpu", "runtime": self.runtime or "eager", "batch": self.batch or 1}


def latency(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A saved model's folder, or the NAME of a stored one.")],
    options: LatencyOptions,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the table there, as CSV; --latency-table of plan and prune reads it.", callback=writable
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Time every layer and block of a net in its place, beside the whole net. A saved model needs no database.

    Example: cnngraph latency demo --runtime onnxruntime

    Example: cnngraph latency runs/vgg16 --out table.csv
    """
    from cnngraph.api import offline

    said = options.said
    offline.check_latency(said["latency_on"], said["runtime"])  # before anything is looked up
    path = offline.saved_path(name)
    if path is not None:
        with progress() as bars:
            result = offline.latency(path, **said, out=out, progress=bars)
    else:
        connection.key(name)  # what is no name is said before any server is started
        with connection.graph() as graph, progress() as bars:
            result = graph.latency(name, **said, out=out, progress=bars)
    if json:
        emit_json({"model": name, **result})
        return
    columns = ("kind", "milliseconds", "share", "macs")
    layers = [(row["layer"], *_cells(row, columns)) for row in result["layers"]]
    table(("layer", "kind", "ms", "share", "MACs"), layers)
    if result["blocks"]:
        blocks = [(row["block"], *_cells(row, columns[:3])) for row in result["blocks"]]
        table(("block", "kind", "ms", "share"), blocks, title="\nblocks: their layers added up")
    print(f"\n{result['statement']}")
    if out is not None:
        say(f"Wrote {out}. Next: cnngraph plan NAME --target-speedup 2.0 --latency-table {out}")


def _cells(row: dict[str, Any], columns: tuple[str, ...]) -> list[Any]:
    return [f"{row[column]:.1%}" if column == "share" else row[column] for column in columns]


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(spread(latency))
