"""``measure``: compute and store measures."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import DryRun, Json, Measures, ModelName, Seed, known
from cnngraph.console import emit_json, progress, say, table
from cnngraph.errors import UsageError
from cnngraph.vocabulary import AGGREGATES, ENGINES, REFERENCES

if TYPE_CHECKING:
    from cnngraph.api import Graph
    from cnngraph.api.results import MeasureResult

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


def measure(
    name: ModelName,
    measures: Measures = None,
    aggregate: Aggregate = "mean",
    engine: Engine = "auto",
    reference: Reference = "median",
    dry_run: DryRun = False,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the calls of Graph Data Science, to paste; compute nothing.")
    ] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compute measures and store them in the graph: degree unless others are named.

    Example: cnngraph measure demo -m degree -m pagerank -m depth
    """
    from cnngraph.api import offline

    chosen = measures or ["degree"]
    for wanted in chosen:
        offline.check_measure(wanted, aggregate=aggregate)  # refused before any look-up
    if print_ and engine == "local":
        raise UsageError(
            "--print shows what a server is asked, and --engine local asks none.", "Leave out one of them."
        )
    options: dict[str, Any] = {"aggregate": aggregate, "engine": engine, "reference": reference, "seed": seed}
    with connection.graph() as graph, progress() as bars:
        if print_:
            _print_calls(graph, name, chosen, seed, json)
            return
        if dry_run:
            key = graph.key(name)
            _print_preview(key, [graph.preview_measure(key, wanted, **options) for wanted in chosen], json)
            return
        runs = [graph.measure(name, wanted, **options, progress=bars) for wanted in chosen]
    if json:
        emit_json({"model": runs[0].model, "runs": [_as_json(run) for run in runs]})
        return
    for run in runs:
        table(
            ("layer", "value", "theta"),
            [list(score) for score in run.layers],
            title=f"\n{run.measure} (reference {run.reference:.6g})",
        )
    say(f"Next: cnngraph plan {name} --method multilayer --measure {runs[0].measure}")


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


def _as_json(run: MeasureResult) -> dict[str, Any]:
    layers = [score._asdict() for score in run.layers]
    return {"key": run.key, "measure": run.measure, "reference": run.reference, "layers": layers}


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(measure)
