"""``plan`` and ``prune``: what goes, and the net without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.baseline import BatchSize, Epochs, LearningRate
from cnngraph.cli.compute import Aggregate, Engine, Reference
from cnngraph.cli.options import MEASURE_NAMES, Data, DataRoot, Device, DryRun, Json, ModelName, Seed, finite, known
from cnngraph.console import emit_json, progress, say, table

if TYPE_CHECKING:
    from cnngraph.plan import Plan

__all__ = ["print_schedule", "register"]

INITS = ("least-squares", "inherit", "reset", "scratch")


def _method(value: str | None) -> str | None:
    if value is None:
        return None
    return known(value, ("multilayer",), "method")


def _measure(value: str) -> str:
    from cnngraph.measures.registry import MEASURES

    known(value, MEASURES, "measure")
    return value


def _points(value: float | None) -> float | None:
    if finite(value) is not None and value is not None and value > 100:
        raise typer.BadParameter(f"{value} is more than 100 points")
    return value


Method = Annotated[str | None, typer.Option(help="multilayer: layers whose every node is weak.", callback=_method)]
Measure = Annotated[
    str, typer.Option("--measure", "-m", help=f"What ranks the layers: {MEASURE_NAMES}.", callback=_measure)
]
Threshold = Annotated[float | None, typer.Option(help="Layers go whose theta is below it.", callback=finite)]
Remove = Annotated[int | None, typer.Option(min=1, help="This many layers go, lowest theta first.")]
Drop = Annotated[
    float | None,
    typer.Option(
        "--max-accuracy-drop",
        help="As many go as cost at most this much validation accuracy, in points of percent; trains on the way.",
        callback=_points,
    ),
]
Init = Annotated[
    str,
    typer.Option(
        help="Weights where ends are joined: least-squares, inherit, reset or scratch.",
        callback=lambda v: known(v, INITS, "init"),
    ),
]


def plan(
    name: ModelName,
    method: Method = "multilayer",
    measure: Measure = "degree",
    aggregate: Aggregate = "mean",
    threshold: Threshold = None,
    remove: Remove = None,
    max_accuracy_drop: Drop = None,
    reference: Reference = "median",
    schedule: Annotated[
        bool, typer.Option("--schedule", help="List every threshold at which the set changes.")
    ] = False,
    init: Init = "least-squares",
    engine: Engine = "auto",
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Write the plan there, as JSON that a person can edit.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Decide which layers go. Nothing is changed, and nothing is trained unless --max-accuracy-drop asks for it.

    Example: cnngraph plan demo --method multilayer --measure degree --schedule

    Example: cnngraph plan demo --measure degree --threshold 0.3 --out plan.json
    """
    from cnngraph.chain import decide as chain
    from cnngraph.chain.stored import other_data
    from cnngraph.measures.registry import find_measure
    from cnngraph.plan import write_plan

    _one_of({"--threshold": threshold, "--remove": remove, "--max-accuracy-drop": max_accuracy_drop}, at_least=0)
    find_measure(measure, aggregate=aggregate)
    with connection.graph() as graph, progress() as bars:
        decision = chain.Decision(
            method=method or "multilayer",
            measure=measure,
            aggregate=aggregate,
            threshold=threshold,
            remove=remove,
            max_accuracy_drop=max_accuracy_drop,
            reference=reference,
            engine=engine,
            init=init,
            seed=seed,
            device=device,
        )
        made = chain.decide(
            graph.database, graph.settings, name, decision, data=other_data(data, data_root), progress=bars
        )
    if out is not None:
        write_plan(made, out)
    if json:
        emit_json(_as_json(made))
        return
    _print_plan(made, schedule or not (threshold or remove or max_accuracy_drop))
    if out is not None:
        say(f"Wrote {out}. Next: cnngraph prune {name} --plan {out}")
    elif not made.removed:
        say(f"Next: choose a threshold, cnngraph prune {name} --method multilayer --measure {measure} --threshold T")


def prune(
    name: ModelName,
    method: Method = None,
    measure: Measure = "degree",
    aggregate: Aggregate = "mean",
    threshold: Threshold = None,
    remove: Remove = None,
    max_accuracy_drop: Drop = None,
    reference: Reference = "median",
    engine: Engine = "auto",
    remove_layer: Annotated[list[str] | None, typer.Option(help="This layer goes; repeat for several.")] = None,
    remove_block: Annotated[
        list[str] | None, typer.Option(help="This residual block goes; repeat for several.")
    ] = None,
    plan_file: Annotated[Path | None, typer.Option("--plan", help="Carry out this plan.")] = None,
    run: Annotated[
        str | None, typer.Option(help="Carry out this PruningRun of the graph, also one made by hand.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Weights where ends are joined: least-squares, inherit, reset or scratch.",
            callback=lambda v: known(v, INITS, "init"),
        ),
    ] = None,
    as_: Annotated[
        str | None, typer.Option("--as", help="Name of the new model; default: one is made and said.")
    ] = None,
    no_retrain: Annotated[bool, typer.Option("--no-retrain", help="Evaluate and store without training.")] = False,
    no_control: Annotated[bool, typer.Option("--no-control", help="Do not train the unpruned net beside it.")] = False,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Also write the saved model there.")] = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Plan, rebuild, verify, retrain, evaluate, store the new model with its lineage; goes on after an interruption.

    Example: cnngraph prune demo --method multilayer --measure degree --threshold 0.3 --as demo-slim

    Example: cnngraph prune demo --remove-layer features.24 --no-retrain
    """
    from cnngraph.chain import decide as chain
    from cnngraph.chain.execute import carry_out
    from cnngraph.chain.stored import other_data
    from cnngraph.measures.registry import find_measure
    from cnngraph.settings import check_name

    if as_ is not None:
        check_name(as_)
    by_hand = (remove_layer or []) + (remove_block or []) or None
    chosen = _one_of(
        {"--method": method, "--remove-layer or --remove-block": by_hand, "--plan": plan_file, "--run": run}, at_least=1
    )
    limits = {"--threshold": threshold, "--remove": remove, "--max-accuracy-drop": max_accuracy_drop}
    if chosen == "--method":
        _one_of(limits, at_least=1)
        find_measure(measure, aggregate=aggregate)
    else:
        _unused(limits, chosen)
    with connection.graph() as graph, progress() as bars:
        other = other_data(data, data_root)
        if chosen == "--method":
            decision = chain.Decision(
                method=method or "multilayer",
                measure=measure,
                aggregate=aggregate,
                threshold=threshold,
                remove=remove,
                max_accuracy_drop=max_accuracy_drop,
                reference=reference,
                engine=engine,
                init=init or "least-squares",
                seed=seed,
                device=device,
            )
            made = chain.decide(graph.database, graph.settings, name, decision, data=other, progress=bars, costs=False)
        else:
            made = chain.given(
                graph.database, name, layers=remove_layer, blocks=remove_block, file=plan_file, run=run, init=init
            )
        result = carry_out(
            graph.database,
            graph.settings,
            name,
            made,
            as_name=as_,
            retrain=not no_retrain,
            control=not no_control,
            typed={"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate},
            data=other,
            device=device,
            seed=seed,
            out=out,
            dry_run=dry_run,
            progress=bars,
        )
    if json:
        emit_json(result)
        return
    from cnngraph.reporting.page import figures_table

    for note in made.notes:
        say(note)
    if dry_run:
        say(f"Would remove {', '.join(result['removed'])} and store {result['new_model']}: {result['would_write']}.")
        return
    table(("", "before", "after", "change", "control"), figures_table(result))
    print(f"\nremoved: {', '.join(result['removed']) or 'nothing'}\nstored:  {result['new_model']}")
    say(f"Next: cnngraph lineage {result['new_model'].split('/')[-1]}")


def _one_of(options: dict[str, Any], at_least: int) -> str:
    """The one option that was given; exit 2 names them where there are none or several."""
    given = [option for option, value in options.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other")
    if len(given) < at_least:
        raise typer.BadParameter(f"one of these is needed: {', '.join(options)}")
    return given[0] if given else ""


def _unused(options: dict[str, Any], chosen: str) -> None:
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise typer.BadParameter(f"{given[0]} belongs to --method, not to {chosen}")


def _as_json(made: Plan) -> dict[str, Any]:
    return made.model_dump(mode="json") | {"removed": made.removed}


def _print_plan(made: Plan, schedule: bool) -> None:
    gone = set(made.removed)
    rows = [(score.layer, score.value, score.theta, "goes" if score.layer in gone else "") for score in made.layers]
    table(
        ("layer", "value", "theta", ""),
        rows,
        title=f"{made.model}: {made.measure}, reference ({made.reference_rule}) {made.reference:.6g}",
    )
    if schedule:
        print_schedule(made)
    if made.correlations:
        known_values = ", ".join(
            f"{null} {value:.2f}" if value is not None else f"{null} -" for null, value in made.correlations.items()
        )
        print(f"\nSpearman correlation of this ranking with the nulls: {known_values}")
    for note in made.notes:
        print(note)


def print_schedule(made: Plan) -> None:
    """The schedule as a table; a step names the layers that it adds to the one before."""
    rows, before = [], frozenset[str]()
    for step in made.schedule:
        added = ", ".join(layer for layer in step.removed if layer not in before)
        before = frozenset(step.removed)
        rows.append((step.threshold, len(step.removed), step.parameters, step.macs, step.latency_ms, f"+ {added}"))
    headers = ("threshold", "layers", "parameters", "MACs", "~latency ms", "removed")
    table(headers, rows, title="\nThe schedule: what goes at which threshold")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(plan)
    app.command()(prune)
