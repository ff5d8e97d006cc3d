"""``plan`` and ``prune``: what goes, and the net without it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.baseline import own_trainer
from cnngraph.cli.decide_options import ByHand, Choice, Training
from cnngraph.cli.decide_tables import as_json, print_plan, print_pruned
from cnngraph.cli.elsewhere import ModelOrFolder, ToBundle, prune_file, require_of_database
from cnngraph.cli.latency import TargetLatency
from cnngraph.cli.option_groups import spread
from cnngraph.cli.options import Data, DataRoot, Device, DryRun, Json, ModelName, Seed, writable
from cnngraph.console import emit_json, progress, say

if TYPE_CHECKING:
    from cnngraph.plan import Plan

__all__ = ["register"]


def plan(
    name: ModelName,
    choice: Choice,
    speed: TargetLatency,
    schedule: Annotated[
        bool, typer.Option("--schedule", help="List every threshold at which the set changes.")
    ] = False,
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Write the plan there, as JSON that a person can edit.", callback=writable)
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Decide what goes. Nothing is changed, and nothing is trained unless --max-accuracy-drop asks for it.

    Example: cnngraph plan demo --method multilayer --measure degree --schedule

    Example: cnngraph plan demo --measure degree --threshold 0.3 --out plan.json

    Example: cnngraph plan demo --ratio 0.3 --score strength --round-to 8

    Example: cnngraph plan demo --target-speedup 1.5 --runtime onnxruntime --batch 1
    """
    from cnngraph.jobs import decide as jobs
    from cnngraph.jobs.stored import other_data
    from cnngraph.plan import write_plan

    method = choice.resolved(limit_needed=False)
    choice.require_reader(data, data_root)
    timing = speed.timing_for(choice.target())
    decision = choice.decision(seed=seed, device=device, timing=timing)
    with connection.graph() as graph, progress() as bars:
        other = other_data(data, data_root)
        made = jobs.decide(graph.database, graph.settings, name, decision, data=other, progress=bars)
    if out is not None:
        write_plan(made, out)
    if json:
        emit_json(as_json(made))
        return
    limited = choice.threshold or choice.remove or choice.max_accuracy_drop or choice.target()
    print_plan(made, schedule=bool(made.schedule) and (schedule or not limited))
    if out is not None:
        say(f"Wrote {out}. Next: cnngraph prune {name} --plan {out}")
    elif not made.removes and method != "filters":
        say(f"Next: choose a threshold, cnngraph prune {name} --method multilayer -m {made.measure} --threshold T")


def prune(
    name: ModelOrFolder,
    choice: Choice,
    speed: TargetLatency,
    by_hand: ByHand,
    training: Training,
    as_: Annotated[
        str | None, typer.Option("--as", help="Name of the new model; default: one is made and said.")
    ] = None,
    data: Data = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Also write the saved model there.", callback=writable)] = None,
    to_bundle: ToBundle = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Plan, rebuild, verify, retrain, evaluate, store the new model with its lineage; goes on after an interruption.

    Example: cnngraph prune demo --method multilayer --measure degree --threshold 0.3 --as demo-slim

    Example: cnngraph prune demo --ratio 0.3 --round-to 8

    Example: cnngraph prune demo --target-macs 0.6 --no-retrain

    Example: cnngraph prune demo --remove-layer features.24 --no-retrain

    Example: cnngraph prune runs/vgg16 --plan plan.json --to-bundle slim
    """
    from cnngraph.jobs import decide as jobs
    from cnngraph.jobs.execute import carry_out, require_free
    from cnngraph.jobs.kept_plan import decided
    from cnngraph.jobs.stored import other_data
    from cnngraph.settings import check_name

    if as_ is not None:
        check_name(as_)
    training.require_consistent()
    method = choice.resolved(limit_needed=True)
    chosen = by_hand.chosen(method)
    if not method:
        choice.require_unused(chosen)
    timing = speed.timing_for(choice.target())
    decision = choice.decision(seed=seed, device=device, timing=timing, tuned=not training.no_retrain)
    other = other_data(data, data_root)
    keep_freed_memory()
    if to_bundle is not None:
        with progress() as bars:
            made, result = prune_file(
                name,
                to_bundle,
                choice,
                decision,
                by_hand,
                training,
                forbidden={"--as": as_, "--out": out},
                data=other,
                dry_run=dry_run,
                progress=bars,
            )
    else:
        require_of_database(name)
        trainer = own_trainer(training.trainer)
        with connection.graph() as graph, progress() as bars:
            require_free(graph.database, graph.settings, as_, out)
            deciding: AbstractContextManager[Plan]
            if method:
                deciding = decided(
                    graph.database,
                    graph.settings,
                    name,
                    decision,
                    data=other,
                    training=vars(training) | {"trainer": trainer and (trainer.name, trainer.sha256)},
                    dry_run=dry_run,
                    progress=bars,
                )
            else:
                deciding = nullcontext(
                    jobs.given(
                        graph.database,
                        name,
                        layers=by_hand.remove_layer,
                        blocks=by_hand.remove_block,
                        made=by_hand.plan_file,
                        run=by_hand.run,
                        init=choice.init,
                    )
                )
            with deciding as made:
                result = carry_out(
                    graph.database,
                    graph.settings,
                    name,
                    made,
                    as_name=as_,
                    retrain=not training.no_retrain,
                    control=not training.no_control,
                    reconstruct=training.reconstruct,
                    typed=training.typed,
                    trainer=trainer,
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
    print_pruned(made, result)
    if not dry_run:
        say(f"Next: {_next(result, out, untrained=training.no_retrain)}")


def _next(result: dict[str, Any], out: Path | None, *, untrained: bool) -> str:
    if "bundle" in result:
        return f"where the database is, cnngraph ingest {result['bundle']} --name NAME"
    new = result["new_model"].split("/")[-1]
    if untrained:
        return f"train {out or result['artifact']} elsewhere, then cnngraph adopt {new} --weights FILE"
    return f"cnngraph lineage {new}"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(spread(plan))
    app.command()(spread(prune))
