"""``import``: networks that other programs wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import DryRun, Json
from cnngraph.console import emit_json, number, progress, say
from cnngraph.settings import check_name

__all__ = ["register"]

import_app = typer.Typer(help="Read networks that other programs wrote.", no_args_is_help=True, rich_markup_mode=None)


@import_app.command("cnn2multilayer")
def import_cnn2multilayer(
    gexf: Annotated[Path, typer.Argument(help="The network: a GEXF file, may be gzipped.")],
    classes: Annotated[
        list[str], typer.Option(help="CSV of one class network; repeat in class order, or one quoted pattern.")
    ],
    name: Annotated[str, typer.Option(help="Name of the model in the database.")],
    replace: Annotated[bool, typer.Option(help="Replace a model of that name.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Import class networks in the published format of the multilayer method's authors.

    Example: cnngraph import cnn2multilayer graph.gexf.gz --classes 'class_*.csv' --name published
    """
    from cnngraph.api import offline

    check_name(name)
    network = offline.read_cnn2multilayer(gexf, classes)
    with connection.graph() as graph, progress() as bars:
        counts = graph.write(network, name, replace=replace, dry_run=dry_run, progress=bars)
    if json:
        emit_json(counts | {"dry_run": dry_run})
        return
    say(
        f"{'Would hold' if dry_run else 'Holds'} {counts['model']}: "
        f"{number(counts['positions'])} positions, {number(counts['arcs'])} arcs."
    )
    say(f"Next: cnngraph plan {name} --method multilayer --measure degree")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(import_app, name="import")
