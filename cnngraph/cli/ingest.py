"""``ingest``: a model with data, or a bundle, into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.option_groups import spread
from cnngraph.cli.options import (
    Data,
    Device,
    DryRun,
    Json,
    OnlyClasses,
    Seed,
    Yes,
    known,
    writable,
)
from cnngraph.cli.source_options import DataOptions, ModelOptions, NewHead
from cnngraph.console import emit_json, number, progress, say
from cnngraph.settings import check_name

__all__ = ["register"]

SOURCES = ("activation", "input", "output")
PATCHES = (
    "mean",
    "max",
    "sum",
    "max_filter",
    "mean_filter",
    "max_entropy",
    "min_entropy",
    "sum_entropy",
    "mean_entropy",
)
VIEWS = ("both", "channels", "positions")


def _connections(value: str) -> str:
    kind, _, k = value.partition(":")
    if value not in ("auto", "all", "none") and not (kind == "top" and k.isdecimal() and int(k) > 0):
        raise typer.BadParameter(f"{value!r} is none of auto, all, none, top:K")
    return value


def _switch(value: str) -> str:
    known(value, ("on", "off"), "value")
    return value


def ingest(
    model: Annotated[
        str,
        typer.Argument(
            help="cnngraph:vgg16, torchvision:resnet18, timm:NAME, python:module:factory; a saved model; a bundle."
        ),
    ],
    net: ModelOptions,
    images: DataOptions,
    data: Data = None,
    name: Annotated[str | None, typer.Option(help="Name of the model in the database.")] = None,
    new_head: NewHead = False,
    mean: Annotated[str | None, typer.Option(help="Per channel, comma separated, on the 0..1 scale.")] = None,
    std: Annotated[str | None, typer.Option(help="Per channel, comma separated, on the 0..1 scale.")] = None,
    source: Annotated[
        str,
        typer.Option(
            help="Which map weighs a position: activation, input or output of its conv.",
            callback=lambda v: known(v, SOURCES, "source"),
        ),
    ] = "activation",
    patch: Annotated[
        str, typer.Option(help="How a patch becomes one weight.", callback=lambda v: known(v, PATCHES, "patch"))
    ] = "mean",
    view: Annotated[
        str, typer.Option(help="both, channels or positions.", callback=lambda v: known(v, VIEWS, "view"))
    ] = "both",
    connections: Annotated[str, typer.Option(help="auto, all, none or top:K.", callback=_connections)] = "auto",
    correlations: Annotated[
        str, typer.Option(help="on or off: which maps resemble each other.", callback=_switch)
    ] = "on",
    kernels: Annotated[
        bool,
        typer.Option(
            "--kernels", help="Keep every weight in the graph too (all connections): cnngraph rebuild needs them."
        ),
    ] = False,
    only_classes: OnlyClasses = None,
    seed: Seed = 0,
    device: Device = "auto",
    to_bundle: Annotated[
        Path | None,
        typer.Option(help="Write a bundle there instead; `cnngraph ingest DIR --name N` reads it.", callback=writable),
    ] = None,
    without_parent: Annotated[
        bool, typer.Option("--without-parent", help="Of a pruned bundle: store it where its parent is not, alone.")
    ] = False,
    replace: Annotated[bool, typer.Option(help="Replace a model of that name.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --replace: also OWNER/NAME of another owner.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Map a net and write it into the graph. The same command finishes an ingest that was interrupted.

    Example: cnngraph ingest runs/vgg16 --data digits --name mine

    Example: cnngraph ingest slim-bundle --name slim

    Example: cnngraph ingest torchvision:resnet18 --weights pretrained --data folder:photos --new-head --name photos
    """
    from cnngraph.api import offline
    from cnngraph.api.choices import TraceOptions

    of_prune = data is None and offline.is_pruned_bundle(model)
    if without_parent and not of_prune:
        raise typer.BadParameter("--without-parent is for a bundle that cnngraph prune --to-bundle wrote")
    if of_prune and replace:
        raise typer.BadParameter("--replace is not for the bundle of a prune: choose another --name")
    if name is None and to_bundle is None and not of_prune:
        raise typer.BadParameter("--name NAME is needed, or --to-bundle DIR")
    if kernels:
        connections = _all_connections(connections, view, data)
    if name is not None:
        _require_writable(name, replace=replace, force=force)
    if to_bundle is None and not dry_run:
        offline.check_storage(connection.settings())  # said before the images are looked at
    with progress() as bars:
        if data is None:
            traced, pruned = offline.open_bundle(model)
        else:
            pruned = None
            traced = offline.map_model(
                net.choose(
                    model, seed=seed, new_head=new_head, mean=_floats(mean, "--mean"), std=_floats(std, "--std")
                ),
                images.choose(data, seed=seed),
                TraceOptions(
                    source=source,
                    patch=patch,
                    view=view,
                    connections=connections,
                    correlations=correlations == "on",
                    kernels=kernels,
                    only_classes=tuple(only_classes) if only_classes else None,
                    seed=seed,
                    device=device,
                ),
                progress=bars,
                yes=yes,
            )
        if to_bundle is not None:
            offline.write_bundle(traced, to_bundle)
            if json:
                emit_json({"bundle": str(to_bundle)} | traced.network.counts())
            else:
                say(f"Wrote the bundle {to_bundle}. Next: cnngraph ingest {to_bundle} --name NAME")
            return
    with connection.graph() as graph, progress() as bars:
        counts = graph.ingest(
            traced,
            name,
            pruned=pruned,
            without_parent=without_parent,
            replace=replace,
            dry_run=dry_run,
            yes=yes,
            force=force,
            progress=bars,
        )
    if json:
        emit_json(counts | {"dry_run": dry_run})
        return
    sizes = ", ".join(
        f"{number(counts[what])} {what.replace('_', ' ')}"
        for what in ("layers", "feature_maps", "connections", "positions", "arcs", "classes")
    )
    say(f"{'Would hold' if dry_run else 'Holds'} {counts['model']}: {sizes}.")
    if traced.images_from is not None:
        say(f"Mapped by {traced.images_from.words}.")
    name = counts["model"].split("/")[-1]
    if pruned is not None:
        parent = counts["pruned_from"]
        say(f"Pruned from {parent}." if parent else "Its parent is not in the database: it has no lineage.")
    if not dry_run:
        following = f"lineage {name}" if of_prune else f"plan {name} --method multilayer --measure degree"
        say(f"Next: cnngraph {following}")


def _require_writable(name: str, *, replace: bool, force: bool) -> None:
    """Refuse a name that is none, or another owner's, before the images are looked at."""
    from cnngraph.api import offline

    if not (replace and force):
        check_name(name)
    offline.check_own(connection.key(name), connection.settings().owner, force=replace and force)


def _all_connections(connections: str, view: str, data: str | None) -> str:
    """The policy that --kernels implies."""
    if data is None:
        raise typer.BadParameter("--kernels belongs where the bundle is written")
    if view == "positions":
        raise typer.BadParameter("--kernels needs --view channels or both")
    if connections not in ("auto", "all"):
        raise typer.BadParameter(f"--kernels keeps all connections, not {connections}")
    return "all"


def _floats(text: str | None, option: str) -> tuple[float, ...] | None:
    import math

    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r} is no list of numbers") from error
    if not all(map(math.isfinite, values)) or (option == "--std" and min(values) <= 0):
        raise typer.BadParameter(f"{option} {text!r} is out of range")
    return values


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(spread(ingest))
