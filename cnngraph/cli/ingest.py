"""``ingest``: a model with data, or a bundle, into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import (
    Data,
    DataRoot,
    Device,
    DryRun,
    ImagesPerClass,
    Json,
    OnlyClasses,
    Seed,
    Size,
    Yes,
    known,
)
from cnngraph.console import emit_json, number, progress, say

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
    data: Data = None,
    name: Annotated[str | None, typer.Option(help="Name of the model in the database.")] = None,
    data_root: DataRoot = None,
    weights: Annotated[
        str | None, typer.Option(help="pretrained, or a file of weights (safetensors or state dict).")
    ] = None,
    new_head: Annotated[bool, typer.Option(help="A fresh classifier where the weights' classes do not fit.")] = False,
    width: Annotated[float, typer.Option(min=0.01, max=8, help="Width factor of the small-image nets.")] = 1.0,
    size: Size = None,
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
    images_per_class: ImagesPerClass = None,
    only_classes: OnlyClasses = None,
    seed: Seed = 0,
    device: Device = "auto",
    to_bundle: Annotated[
        Path | None, typer.Option(help="Write a bundle there instead; `cnngraph ingest DIR --name N` reads it.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace a model of that name.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Map a net and write it into the graph. The same command finishes an ingest that was interrupted.

    Example: cnngraph ingest runs/vgg16 --data digits --name mine

    Example: cnngraph ingest torchvision:resnet18 --weights pretrained --data folder:photos --new-head --name photos
    """
    from cnngraph.chain import ingest as chain
    from cnngraph.chain.subject import DataChoice, ModelChoice
    from cnngraph.settings import check_name

    if name is None and to_bundle is None:
        raise typer.BadParameter("--name NAME is needed, or --to-bundle DIR")
    if name is not None:
        check_name(name)
    with progress() as bars:
        if data is None:
            prepared = chain.from_bundle(model)
        else:
            prepared = chain.prepare(
                ModelChoice(
                    name=model,
                    weights=weights,
                    new_head=new_head,
                    width=width,
                    size=size,
                    mean=_floats(mean, "--mean"),
                    std=_floats(std, "--std"),
                    seed=seed,
                ),
                DataChoice(
                    name=data,
                    root=str(data_root.resolve()) if data_root else None,
                    seed=seed,
                    images_per_class=images_per_class,
                ),
                chain.Mapping(
                    source=source,
                    patch=patch,
                    view=view,
                    connections=connections,
                    correlations=correlations == "on",
                    only_classes=tuple(part.strip() for part in only_classes.split(",")) if only_classes else None,
                    seed=seed,
                    device=device,
                ),
                progress=bars,
            )
        if to_bundle is not None:
            chain.write_bundle(prepared, to_bundle)
            if json:
                emit_json({"bundle": str(to_bundle)} | prepared.network.counts())
            else:
                say(f"Wrote the bundle {to_bundle}. Next: cnngraph ingest {to_bundle} --name NAME")
            return
    assert name is not None
    with connection.graph() as graph, progress() as bars:
        counts = chain.store(
            graph.database, graph.settings, prepared, name, replace=replace, dry_run=dry_run, yes=yes, progress=bars
        )
    if json:
        emit_json(counts | {"dry_run": dry_run})
        return
    sizes = ", ".join(
        f"{number(counts[what])} {what.replace('_', ' ')}"
        for what in ("layers", "feature_maps", "connections", "positions", "arcs", "classes")
    )
    say(f"{'Would hold' if dry_run else 'Holds'} {counts['model']}: {sizes}.")
    if not dry_run:
        say(f"Next: cnngraph plan {name} --method multilayer --measure degree")


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
    app.command()(ingest)
