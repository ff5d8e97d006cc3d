"""``rename``, ``note``, ``tag``: keep in order what several people share."""

from __future__ import annotations

from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import Force, Json, ModelName
from cnngraph.console import emit_json, line, say
from cnngraph.settings import check_name

__all__ = ["register"]


def rename(
    name: ModelName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name, without an owner.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Give a model another name; its runs, its lineage and its saved files stay with it.

    Example: cnngraph rename demo-pruned demo-small
    """
    from cnngraph.api import offline

    check_name(new)
    offline.check_own(connection.key(name), connection.settings().owner, force=force)
    with connection.graph() as graph:
        found = graph.rename(name, new, force=force)
    if json:
        emit_json(found)
    else:
        say(f"{found['before']} is {found['model']} now.")


def note(
    name: ModelName,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What to say; else what was said.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the note away.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Say something of a model, for everybody who uses the database: in show, list --json and Neo4j Browser.

    Example: cnngraph note demo-pruned "half the layers, for the talk in May"
    """
    if text is not None and remove:
        raise typer.BadParameter("a text and --remove contradict each other")
    with connection.graph() as graph:
        changes = text is not None or remove
        found = graph.note(name, text, force=force) if changes else graph.tag(name)
    if json:
        emit_json(found)
    else:
        line(found["note"] or f"Nothing is noted of {found['model']}.")


def tag(
    name: ModelName,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Tags to add.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to take away; repeat it for several.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Put tags on a model, by which list --tag and the saved query models find it; without any, list what it has.

    Example: cnngraph tag demo-pruned paper reviewed

    Example: cnngraph tag demo-pruned --remove reviewed
    """
    with connection.graph() as graph:
        found = graph.tag(name, *(tags or ()), remove=remove or (), force=force)
    if json:
        emit_json(found)
    else:
        line(f"{found['model']}: {', '.join(found['tags'])}" if found["tags"] else f"{found['model']} has no tags.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(rename)
    app.command()(note)
    app.command()(tag)
