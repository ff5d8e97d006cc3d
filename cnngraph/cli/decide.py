"""``plan`` and ``prune``: what goes, and the net without it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.decide_options import ByHand, Choice, Training
from cnngraph.cli.decide_tables import as_json, gone, print_plan
from cnngraph.cli.option_groups import spread
from cnngraph.cli.options import Data, DataRoot, Device, DryRun, Json, ModelName, Seed
from cnngraph.console import emit_json, progress, say, table

__all__ = ["register"]


def plan(
    name: ModelName,
    choice: Choice,
    schedule: Annotated[
        bool, typer.Option("--schedule", help="List every threshold at which the set changes.")
    ] = False,
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Write the plan there, as JSON that a person can edit.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Decide what goes. Nothing is changed, and nothing is trained unless --max-accuracy-drop asks for it.

    Example: cnngraph plan demo --method multilayer --measure degree --schedule

    Example: cnngraph plan demo --measure degree --threshold 0.3 --out plan.json
    """
    from cnngraph.chain import decide as chain
    from cnngraph.chain.stored import other_data
    from cnngraph.plan import write_plan

    method = choice.resolved(limit_needed=False)
    decision = choice.decision(seed=seed, device=device)
    with connection.graph() as graph, progress() as bars:
        other = other_data(data, data_root)
        made = chain.decide(graph.database, graph.settings, name, decision, data=other, progress=bars)
    if out is not None:
        write_plan(made, out)
    if json:
        emit_json(as_json(made))
        return
    limited = choice.threshold or choice.remove or choice.max_accuracy_drop
    print_plan(made, schedule=bool(made.schedule) and (schedule or not limited))
    if out is not None:
        say(f"Wrote {out}. Next: cnngraph prune {name} --plan {out}")
    elif not made.removes and method != "filters":
        say(f"Next: choose a threshold, cnngraph prune {name} --method multilayer -m {made.measure} --threshold T")


def prune(
    name: ModelName,
    choice: Choice,
    by_hand: ByHand,
    training: Training,
    as_: Annotated[
        str | None, typer.Option("--as", help="Name of the new model; default: one is made and said.")
    ] = None,
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
    from cnngraph.settings import check_name

    if as_ is not None:
        check_name(as_)
    method = choice.resolved(limit_needed=True)
    chosen = by_hand.chosen(method)
    if not method:
        choice.require_unused(chosen)
    decision = choice.decision(seed=seed, device=device)
    with connection.graph() as graph, progress() as bars:
        other = other_data(data, data_root)
        if method:
            made = chain.decide(graph.database, graph.settings, name, decision, data=other, progress=bars, costs=False)
        else:
            made = chain.given(
                graph.database,
                name,
                layers=by_hand.remove_layer,
                blocks=by_hand.remove_block,
                file=by_hand.plan_file,
                run=by_hand.run,
                init=choice.init,
            )
        result = carry_out(
            graph.database,
            graph.settings,
            name,
            made,
            as_name=as_,
            retrain=not training.no_retrain,
            control=not training.no_control,
            typed=training.typed,
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
        say(f"Would remove {gone(made)} and store {result['new_model']}: {result['would_write']}.")
        return
    table(("", "before", "after", "change", "control"), figures_table(result))
    print(f"\nremoved: {gone(made)}\nstored:  {result['new_model']}")
    say(f"Next: cnngraph lineage {result['new_model'].split('/')[-1]}")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(spread(plan))
    app.command()(spread(prune))
