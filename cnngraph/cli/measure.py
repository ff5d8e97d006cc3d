"""``measure``: compute and store measures."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.option_groups import Grouped
from cnngraph.cli.options import Device, DryRun, Json, Measures, ModelName, Seed, above_zero, known
from cnngraph.console import emit_json, progress, say, table
from cnngraph.errors import UsageError
from cnngraph.vocabulary import AGGREGATES, ENGINES, JUDGED_ON, REFERENCES, UNRANKED_MEASURES

if TYPE_CHECKING:
    from cnngraph.api import Graph
    from cnngraph.api.results import CarResult, MeasureResult

__all__ = ["register"]

Aggregate = Annotated[
    str, typer.Option(help="Over classes: mean, sum or median.", callback=lambda v: known(v, AGGREGATES, "aggregate"))
]
Engine = Annotated[
    str,
    typer.Option(
        help="auto; database (Cypher, GDS); local: on the graph read back.",
        callback=lambda v: known(v, ENGINES, "engine"),
    ),
]
Reference = Annotated[
    str,
    typer.Option(
        help="Of all scores: median, mean, median-positive.", callback=lambda v: known(v, REFERENCES, "reference")
    ),
]
_OF_CAR = "Of --measure car"
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", help="Whose filters; repeat it. Default: all layers.", rich_help_panel=_OF_CAR),
]
JudgedOn = Annotated[
    str,
    typer.Option(
        help=f"The images that accuracy is judged on: {', '.join(JUDGED_ON)}.",
        callback=lambda v: known(v, JUDGED_ON, "part"),
        rich_help_panel=_OF_CAR,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(help="Begin no layer that would end later than this.", callback=above_zero, rich_help_panel=_OF_CAR),
]
# What each option is where nothing is typed; what was typed goes to the measures that read it.
_DEFAULTS: dict[str, Any] = {"aggregate": "mean", "engine": "auto", "reference": "median", "seed": 0}
_DEFAULTS |= {"layer": None, "judged_on": "validation", "device": "auto", "minutes": None}


def measure(
    name: ModelName,
    measures: Measures = None,
    aggregate: Aggregate = "mean",
    engine: Engine = "auto",
    reference: Reference = "median",
    layer: Layers = None,
    judged_on: JudgedOn = "validation",
    device: Device = "auto",
    minutes: Minutes = None,
    dry_run: DryRun = False,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the calls of Graph Data Science, to paste; compute nothing.")
    ] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compute measures and store them in the graph: degree unless others are named.

    Example: cnngraph measure demo -m degree -m pagerank -m depth

    Example: cnngraph measure demo -m car --layer features.3
    """
    from cnngraph.api import offline

    chosen = measures or ["degree"]
    typed: dict[str, Any] = {"aggregate": aggregate, "engine": engine, "reference": reference, "seed": seed}
    typed |= {"layer": layer, "judged_on": judged_on, "device": device, "minutes": minutes}
    said = {option: value for option, value in typed.items() if value != _DEFAULTS[option]}
    each = list(zip(chosen, offline.choose_measures(chosen, said), strict=True))  # refused before any look-up
    if print_ and engine == "local":
        raise UsageError(
            "--print shows what a server is asked, and --engine local asks none.", "Leave out one of them."
        )
    with connection.graph() as graph, progress() as bars:
        if print_:
            _print_calls(graph, name, chosen, seed, json)
            return
        if dry_run:
            key = graph.key(name)
            _print_preview(key, [graph.preview_measure(key, one, progress=bars, **how) for one, how in each], json)
            return
        runs: list[MeasureResult | CarResult] = [graph.measure(name, one, progress=bars, **how) for one, how in each]
    if json:
        emit_json({"model": runs[0].model, "runs": [_as_json(run) for run in runs]})
        return
    for run in runs:
        _print_run(run)
    if any(one not in UNRANKED_MEASURES for one in chosen):
        ranked = next(one for one in chosen if one not in UNRANKED_MEASURES)
        say(f"Next: cnngraph plan {name} --method multilayer --measure {ranked}")
    else:
        say(f"Next: cnngraph query filters-of-class --model {name}; cnngraph query redundant-filters --model {name}")


def _print_run(run: MeasureResult | CarResult) -> None:
    if run.reference is not None:
        rows = [list(score) for score in run.layers]
        table(("layer", "value", "theta"), rows, title=f"\n{run.measure} (reference {run.reference:.6g})")
        return
    cars = [(layer, [value for value in layer.car if value is not None]) for layer in run.layers]
    rows = [[layer.layer, len(mine), layer.value, min(mine), max(mine)] for layer, mine in cars]
    title = f"\n{run.measure}, the accuracy that is lost without a filter, of {run.baseline:.4f} on {run.judged_on}"
    table(("layer", "filters", "mean", "least", "most"), rows, title=title)


def _print_calls(graph: Graph, name: str, measures: list[str], seed: int, json: bool) -> None:
    key = graph.key(name)
    seen = [graph.measure_calls(key, wanted, seed=seed) for wanted in measures]
    if json:
        emit_json({"model": key, "calls": [asdict(one) for one in seen]})
        return
    for one in seen:
        print(f"# {one.measure}, in Python\n{one.python}")
        print(f"// {one.measure}, in Neo4j Browser\n{one.cypher}")


def _print_preview(key: str, runs: list[dict[str, Any]], json: bool) -> None:
    if json:
        emit_json({"model": key, "runs": runs, "dry_run": True})
        return
    headers = ("measure_runs", "scored", "scores")
    rows = [(run["measure"], *(run["would_write"][header] for header in headers)) for run in runs]
    table(("measure", "new runs", "layers scored", "node scores"), rows, title=f"Would write for {key}")
    for run in (run for run in runs if "serves" in run["would_write"]):
        say(f"{run['measure']}: {run['would_write']['serves']} SERVES from feature maps to classes")


def _as_json(run: MeasureResult | CarResult) -> dict[str, Any]:
    layers = [score._asdict() for score in run.layers]
    for layer in layers:
        layer.pop("by_class", None)  # a number a filter and class: it stands in the graph
    found = {"key": run.key, "measure": run.measure, "reference": run.reference, "layers": layers}
    if run.reference is None:
        found |= {name: getattr(run, name) for name in ("baseline", "images", "judged_on", "class_images", "left")}
    return found


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(cls=Grouped)(measure)
