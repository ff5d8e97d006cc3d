"""``rebuild``: a net out of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import Json, ModelName, writable
from cnngraph.console import emit_json, progress, say

__all__ = ["register"]


def rebuild(
    name: ModelName,
    out: Annotated[
        Path, typer.Option(help="Folder of the saved model to write; must not be there yet.", callback=writable)
    ],
    from_graph: Annotated[
        bool, typer.Option("--from-graph", help="Take every weight out of the graph, none from the stored files.")
    ] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Keep the net although somebody changed its weights in the graph.")
    ] = False,
    json: Json = False,
) -> None:
    """Build a net again from what the graph holds, and compare it with the stored one: the logits are identical.

    The model must have been ingested with --kernels.

    Example: cnngraph rebuild mine --from-graph --out rebuilt
    """
    if not from_graph:
        raise typer.BadParameter("say where the weights come from: --from-graph")
    with connection.graph() as graph, progress() as bars:
        result = graph.rebuild(name, out, changed=changed, progress=bars)
    if json:
        emit_json(result)
        return
    said = {
        True: "its logits are identical to the stored model's",
        False: f"its logits differ from the stored model's by up to {result['max_abs_diff']:.3g}"
        if result["max_abs_diff"] is not None
        else "",
        None: "there is no stored model here to compare with; the weights are those that were ingested",
    }[result["identical"]]
    say(f"Wrote {out}: {result['tensors']} tensors from the graph; {said}.")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(rebuild)
