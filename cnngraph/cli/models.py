"""``list``, ``show``, ``lineage``, ``report``, ``delete``: what is in the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import DryRun, Force, Json, ModelName, Yes, ask, writable
from cnngraph.cli.plan_tables import STEP_COLUMNS, print_pruned_weights
from cnngraph.console import emit_json, line, number, progress, say, table

__all__ = ["register"]


def list_models(
    tag: Annotated[str | None, typer.Option(help="Only models with this tag.")] = None, json: Json = False
) -> None:
    """List the models in the database, everybody's; with --owner OWNER only theirs.

    Example: cnngraph list

    Example: cnngraph list --owner ada --tag paper
    """
    owner = connection.typed_owner()
    with connection.graph() as graph:
        models = graph.models(owner, tag)
    if json:
        emit_json({"models": models})
        return
    columns = ["name", "architecture", "dataset", "pruned_from", "accuracy", "parameters", "macs", "latency_ms"]
    if any(model["status"] != "complete" for model in models):
        columns.insert(3, "status")
    if any(model["tags"] for model in models):
        columns.append("tags")
    mine = connection.settings().owner
    for model in models:
        for column in ("name", "pruned_from"):
            model[column] = _as_typed(model[column], model["owner"], mine)
    table(columns, [[_flat(model[column]) for column in columns] for model in models])
    if not models:
        chosen = owner or tag
        say("No such model: cnngraph list has all." if chosen else "There is no model yet. Begin with: cnngraph demo")


def show(
    name: ModelName,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="List its blocks instead, and which can be removed as a whole.")
    ] = False,
    json: Json = False,
) -> None:
    """Show one model: what it is, how large it is in the graph, what was measured.

    Example: cnngraph show demo

    Example: cnngraph show demo --blocks
    """
    with connection.graph() as graph:
        found: dict[str, Any] = {"model": graph.key(name), "blocks": graph.blocks(name)} if blocks else graph.show(name)
    if json:
        emit_json(found)
        return
    if blocks:
        _list_blocks(found["model"], found["blocks"])
        return
    if found.get("recipe"):
        from cnngraph.reporting.recipe import in_words

        found["recipe"] = in_words(found["recipe"], found["model"])
    pruned = found.pop("sparsity", None)
    table(("property", "value"), [(key, _flat(value)) for key, value in found.items()])
    if pruned:
        print_pruned_weights(pruned)


def _list_blocks(model: str, blocks: list[dict[str, Any]]) -> None:
    columns = ("name", "kind", "layers", "parent", "removable", "replaceable")
    rows = [
        (
            *(block["name"], block["kind"], len(block["layers"]), block["parent"]),
            *(block[can] or "yes" for can in ("removable", "replaceable")),
        )
        for block in blocks
    ]
    table(columns, rows)
    if not blocks:
        say(f"{model} has no blocks: it is a chain.")
        return
    free = next((block["name"] for block in blocks if block["removable"] is None), None)
    if free is not None:
        say(f"Next: cnngraph prune {model.split('/')[-1]} --remove-block {free}")


def _as_typed(name: str | None, owner: str, mine: str) -> str | None:
    """A model as a person would type it: NAME of one's own, OWNER/NAME of others."""
    if name is None:
        return None
    return (name if "/" in name else f"{owner}/{name}").removeprefix(f"{mine}/")


# What `lineage` shows of each list, in this order; the JSON has everything.
_LINEAGE = {
    "ancestors": ("model", "became", "relation", "method", "removed", "replaced", "filters"),
    "descendants": ("model", "pruned_from", "relation", "method", "removed", "replaced", "filters"),
    "measure_runs": ("key", "measure", "reference", "current", "created_at"),
    "pruning_runs": ("key", "method", "created_at", "removed", "replaced", "filters", "produced"),
    "steps": STEP_COLUMNS,
    "edits": ("module", "kind", "reason"),
    "evaluations": ("name", "child", "images", "accuracy", "recall", "epoch_seconds", "latency_ms", "created_at"),
}

_EDITS_SHOWN = 40  # a cut of filters changes hundreds of modules


def lineage(name: ModelName, json: Json = False) -> None:
    """Show where a model comes from and what came of it.

    Example: cnngraph lineage demo-pruned
    """
    with connection.graph() as graph:
        found = graph.lineage(name)
    if json:
        emit_json(found)
        return
    for key, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            if key == "masks":
                _print_masks(value)
                continue
            there = {name for row in value for name, cell in row.items() if cell not in (None, "", [], {})}
            headers = [name for name in _LINEAGE.get(key, value[0]) if name in there]
            rows = [
                [
                    _counted(row[name])
                    if isinstance(row.get(name), dict)
                    else _flat(_to_the_minute(name, row.get(name)))
                    for name in headers
                ]
                for row in value
            ]
            shown = rows[:_EDITS_SHOWN] if key == "edits" else rows
            table(headers, shown, title=f"\n{key}")
            if len(shown) < len(rows):
                line(f"... and {len(rows) - len(shown)} more changes: see --json, or cnngraph report")
        elif key not in ("edits", "steps", "masks"):  # of a model that no prune made, or none that had or noted them
            line(f"{key}: {_flat(value) if value else '-'}")


def _print_masks(masks: list[dict[str, Any]]) -> None:
    """Which share of each layer's weights is left after each round."""
    from cnngraph.reporting.weights_left import weights_left

    found = weights_left(masks)
    assert found is not None
    rows = [[row["layer"], row["weights"], *(f"{share:.1%}" for share in row["shares"])] for row in found["rows"]]
    headers = ["layer", "weights", *(f"round {number}" for number in found["rounds"])]
    table(headers, rows, title="\nWeights left, by round")


def delete(
    name: ModelName, dry_run: DryRun = False, yes: Yes = False, force: Force = False, json: Json = False
) -> None:
    """Delete one model from the database: its nodes and nothing else. Its saved files stay.

    What people decided on its filters (cnngraph review) is written to a file first, and wants --yes.

    Example: cnngraph delete demo --dry-run
    """
    from cnngraph.api import offline

    offline.check_own(connection.key(name), connection.settings().owner, force=force)
    with connection.graph() as graph:
        counts = graph.delete(name, dry_run=True, force=force)
        if not dry_run:
            if not yes:
                sizes = ", ".join(f"{number(count)} {what}" for what, count in counts.items() if isinstance(count, int))
                if not counts["choices"]:  # what people decided goes only with --yes, which the api says
                    ask(f"Delete {_whose(graph.key(name))} ({sizes})?")
            with progress() as bars:
                counts = graph.delete(name, yes=yes, force=force, progress=bars)
    if json:
        emit_json(counts | {"dry_run": dry_run})
        return
    log = counts.pop("review_log", None)
    table(("what", "would go" if dry_run else "deleted"), [(what, count) for what, count in counts.items()])
    if log is not None:
        say(f"What people decided on its filters is in {log}.")


def _whose(key: str) -> str:
    """A model that is to go, and whose it is where that is somebody else."""
    owner, _, name = key.partition("/")
    return name if owner == connection.settings().owner else f"{key}, which is {owner}'s"


def report(
    name: ModelName,
    out: Annotated[Path | None, typer.Option(help="File to write (default: NAME.html).", callback=writable)] = None,
    pictures: Annotated[
        bool,
        typer.Option("--pictures", help="Look at the training images once, to show what excites the filters."),
    ] = False,
    json: Json = False,
) -> None:
    """Write a page about a pruned model: the decision, its numbers, before, after and the control.

    Example: cnngraph report demo-pruned --out demo.html

    Of a model that lost filters it shows those that went beside those that stay, and counts the colour-selective ones.
    What blocks are worth (criticality, triage) is on it too, and on the page of a model that was not pruned.
    """
    with connection.graph() as graph:
        with progress() as bars:
            sentence, page = graph.report(
                name, out or Path(f"{name.split('/')[-1]}.html"), pictures=pictures, progress=bars
            )
        colours = graph.colour_selective(name) if json else []
    if json:
        emit_json({"page": str(page), "sentence": sentence, "colour_selective": colours})
    else:
        say(f"{sentence}\nWrote {page}.")


def _counted(filters: dict[str, list[int]]) -> str:
    """How many filters went; which ones stands in the JSON."""
    return f"{sum(map(len, filters.values())):,} of {len(filters)} layers" if filters else ""


def _to_the_minute(name: str, value: Any) -> Any:
    return str(value)[:16].replace("T", " ") if name == "created_at" and value else value


def _flat(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(str(_flat(item)) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {number(item)}" for key, item in value.items())
    return value


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("list")(list_models)
    app.command()(show)
    app.command()(lineage)
    app.command()(report)
    app.command()(delete)
