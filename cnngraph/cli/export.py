"""``export``: a network for other tools, as its graph or as the net itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import DryRun, Json, known, writable
from cnngraph.console import emit_json, number, progress, say

__all__ = ["register"]

RELATIONSHIPS = ("CONNECTS", "FEEDS", "ARC", "RESEMBLES")
GRAPH_FORMATS = ("parquet", "neo4j-admin", "bundle", "gexf", "graphml", "json")
# The formats of the net itself, and what opens each.
NET_FORMATS = {
    "safetensors": 'cnngraph.load("{out}")',
    "pt2": 'torch.export.load("{out}").module()',
    "onnx": 'onnxruntime.InferenceSession("{out}")',
}
FORMATS = (*GRAPH_FORMATS, *NET_FORMATS)


def _relationships(value: str | None) -> str | None:
    for name in [] if value is None else value.split(","):
        known(name, RELATIONSHIPS, "relationship")
    return value


def export(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="NAME of one's own model, or OWNER/NAME; for a net also a saved model."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="File to write, a new one for a net; for parquet, neo4j-admin and bundle a folder.", callback=writable
        ),
    ],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="The graph: parquet, neo4j-admin, gexf, graphml or json. The net: safetensors, pt2 or onnx. Both, for "
            "another database: bundle.",
            callback=lambda v: known(v, FORMATS, "format"),
        ),
    ] = "parquet",
    view: Annotated[
        str | None,
        typer.Option(
            help="Of the graph: channels, positions or both (default).",
            callback=lambda v: known(v, ("channels", "positions", "both"), "view"),
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option("--class", help="Of the graph: class (name or number) whose weights the edges get, or mean."),
    ] = None,
    layers: Annotated[str | None, typer.Option(help="Of the graph: only layers A..B, in network order.")] = None,
    relationships: Annotated[
        str | None,
        typer.Option(
            help="Of the graph: these, separated by commas, of CONNECTS, FEEDS, ARC, RESEMBLES (default of one file: "
            "all but RESEMBLES, whose weight is a correlation).",
            callback=_relationships,
        ),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Export a network for other tools: its graph, or the net itself.

    A net is compared with the stored one in a process that does not know cnngraph, over several batch sizes.

    Example: cnngraph export demo --format gexf --view positions --class 3 --out demo.gexf

    Example: cnngraph export demo-pruned --format onnx --out demo.onnx
    """
    whole = ("neo4j-admin", "bundle")
    if format_ in (*NET_FORMATS, *whole) and (view or class_ or layers or relationships):
        what = "is the whole graph" if format_ in whole else "is the net"
        raise typer.BadParameter(
            f"--view, --class, --layers and --relationships choose a part of the graph; {format_} {what}"
        )
    if format_ in NET_FORMATS:
        _export_net(name, out, format_, dry_run=dry_run, json=json)
        return
    connection.key(name)  # what is no name is said before any server is started
    with connection.graph() as graph, progress() as bars:
        report = graph.export(
            name,
            out,
            format=format_,
            view=view,
            class_=class_,
            layers=layers,
            relationships=relationships.split(",") if relationships else None,
            dry_run=dry_run,
            progress=bars,
        )
    if json:
        emit_json(report)
        return
    if dry_run:
        say(f"Would write {out}.")
        return
    say(f"Wrote {out}: {number(report['nodes'])} nodes, {number(report['relationships'])} relationships.")
    for line in _weights_in_words(report):
        say(line)
    if format_ == "bundle":
        say(f"Take it into another database: cnngraph ingest {out} --name NAME")
    if format_ == "neo4j-admin":
        left_out = ", ".join(f"{number(count)} {what}" for what, count in report["left_out"].items())
        if left_out:
            say(f"Left out, since it leads to other models or CSV has no form for it: {left_out}.")
        say(
            f"Import it where the server is, while the database is stopped: sh {out}/import.sh [DATABASE], or in {out}:"
        )
        say(f"  {report['command']}")


def _weights_in_words(report: dict[str, Any]) -> Iterator[str]:
    """What the weights of one file mean, and what zero and negative ones do elsewhere."""
    found = report.get("weights", [])
    if len(found) > 1:
        yield "Each type of edge has a weight of its own meaning; --relationships chooses one:"
    for weights in found:
        yield f"{'  ' if len(found) > 1 else ''}weight of {weights['relationship']}: {weights['meaning']}"
    if any(weights["relationship"] == "RESEMBLES" for weights in found) and report["directed"]:
        yield "RESEMBLES has no direction: each stands there once, from the map that comes first."
    for what, consequence in (
        ("negative", "infomap refuses them, and PageRank is not defined for them."),
        ("zero", "infomap leaves out nodes that have no other link."),
    ):
        counts = ", ".join(
            f"{number(weights[what])} of {weights['relationship']}" for weights in found if weights[what]
        )
        if counts:
            yield f"Weights that are {what}: {counts}; {consequence}"


def _export_net(name: str, out: Path, form: str, *, dry_run: bool, json: bool) -> None:
    from cnngraph.api import offline

    how: dict[str, Any] = {"format": form, "dry_run": dry_run}
    path = offline.saved_path(name)
    if path is not None:
        with progress() as bars:
            report = offline.export(path, out, **how, progress=bars)
    else:
        connection.key(name)  # what is no name is said before any server is started
        with connection.graph() as graph, progress() as bars:
            report = graph.export(name, out, **how, progress=bars)
    report |= {"model": name, "dry_run": dry_run}
    if json:
        emit_json(report)
        return
    if dry_run:
        say(f"Would write {out}: {number(report['parameters'])} parameters as {form}.")
        return
    allowed = f"{report['tolerance']:g} of the largest logit allowed" if report["tolerance"] else "none allowed"
    opset = f", opset {report['opset']}" if report["opset"] else ""
    batches = ", ".join(map(str, report["batches"]))
    say(
        f"Wrote {out}: {number(report['bytes'])} bytes{opset}. Largest difference from the stored net "
        f"{report['max_abs_diff']:.3g} ({allowed}), at batches of {batches}, in a process without cnngraph."
    )
    for note in report["notes"]:
        say(f"Note: {note}")
    say(f"Open it with: {NET_FORMATS[form].format(out=out)}")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(export)
