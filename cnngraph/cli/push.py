"""``push``, ``pull``: a model with its lineage and its weights into the database of a profile, or out of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.option_groups import spread
from cnngraph.cli.options import DryRun, Force, Json, ModelName, Yes
from cnngraph.console import emit_json, number, progress, say, table
from cnngraph.settings import check_name

__all__ = ["register"]


@dataclass(frozen=True)
class CopyOptions:
    """How a model goes into another database."""

    as_: Annotated[
        str | None, typer.Option("--as", help="Name there, as your own model (default: it keeps its name).")
    ] = None
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take the place of another model of that name, or of values that differ there."),
    ] = False
    alone: Annotated[bool, typer.Option("--alone", help="Without the models that it was pruned or adopted from.")] = (
        False
    )
    dry_run: DryRun = False
    yes: Yes = False
    force: Force = False
    json: Json = False

    def chosen(self) -> dict[str, Any]:
        """What the api is told; what is no name is said before any server is started."""
        if self.as_ is not None:
            check_name(self.as_)
        said = {name: value for name, value in asdict(self).items() if name not in ("as_", "json")}
        return said | {"as_name": self.as_}


def push(
    name: ModelName,
    to: Annotated[str, typer.Option("--to", help="Profile of the database that it goes into.")],
    how: CopyOptions,
) -> None:
    """Copy a model into another database: its graph, runs, evaluations, reviews, its ancestors, and its weights.

    The weights go into the store of the profile, by their sha256; without one the graph goes alone. The same command
    again brings what is new, or writes nothing; after a break it goes on.

    Example: cnngraph push lenet --to team
    """
    chosen = how.chosen()
    connection.key(name)  # what is no name is said before any server is started
    with connection.graph() as graph, progress() as bars:
        report = graph.push(name, to, **chosen, progress=bars)
    _show(report, json=how.json, there=f"in the database of {to}")


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="OWNER/NAME in the other database.")],
    from_: Annotated[str, typer.Option("--from", help="Profile of the database that it comes from.")],
    how: CopyOptions,
) -> None:
    """Copy a model out of another database into yours: its graph, runs, reviews, its ancestors, and its weights.

    It keeps its owner, and you prune or compare it as any other. The same command again brings what is new, or writes
    nothing; after a break it goes on.

    Example: cnngraph pull ada/lenet --from team
    """
    chosen = how.chosen()
    connection.key(name)
    with connection.graph() as graph, progress() as bars:
        report = graph.pull(name, from_, **chosen, progress=bars)
    _show(report, json=how.json, there="here")


def _show(report: dict[str, Any], *, json: bool, there: str) -> None:
    if json:
        emit_json(report)
        return
    for note in report["notes"]:
        say(f"Note: {note}")
    rows = [
        (row["model"], _ACTIONS[row["action"]], row["nodes"], row["relationships"], row["changed"])
        for row in report["models"]
    ]
    table(("model", "", "nodes", "relationships", "changed"), rows)
    weights = report["weights"]
    if weights["files"]:
        verb = "Would copy" if report["dry_run"] else "Copied"
        say(f"{verb} {number(weights['files'])} saved models, {number(weights['bytes'])} bytes, to {weights['store']}.")
    left_out = {what: count for row in report["models"] for what, count in row["left_out"].items()}
    if left_out:
        words = ", ".join(f"{number(count)} {what}" for what, count in left_out.items())
        say(f"Left out, since the other end is not {there}: {words}.")
    if report["differs"]:
        say(
            f"{number(report['differs'])} nodes or relationships are otherwise {there} and stay so; --replace takes "
            "what this model says."
        )
    if report["dry_run"]:
        say("Nothing was written.")
    elif report["action"] == "nothing":
        say(f"All of {report['model']} is {there} already: nothing was written.")
    else:
        say(f"{report['model']} is {there}.")


_ACTIONS = {
    "new": "new",
    "resume": "goes on after a break",
    "replace": "replaced",
    "update": "brought up to date",
    "nothing": "nothing to do",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(spread(push))
    app.command()(spread(pull))
