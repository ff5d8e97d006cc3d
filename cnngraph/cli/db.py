"""``db``: the embedded Neo4j server, and the schema of any server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import Json, Yes, ask
from cnngraph.console import emit_json, number, progress, say, table

__all__ = ["register"]

db = typer.Typer(
    help="The embedded Neo4j server: up, down, status, logs, backup, restore, clean; of any server: migrate, usage.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Stop = Annotated[bool, typer.Option("--stop", help="Stop the server although others are connected to it.")]


@db.command()
def up(json: Json = False) -> None:
    """Start the embedded server; the first time it is fetched.

    Example: cnngraph db up
    """
    from cnngraph.api import server

    with progress() as bars:
        running = server.up(connection.settings(), progress=bars)
    _report(running, json)


@db.command()
def down(json: Json = False) -> None:
    """Stop the embedded server.

    Example: cnngraph db down
    """
    from cnngraph.api import server

    stopped = server.down(connection.settings())
    if json:
        emit_json({"stopped": bool(stopped)})
    else:
        say("Stopped." if stopped else "It was not running.")


@db.command()
def status(json: Json = False) -> None:
    """Say whether the embedded server runs, where, and how to log in.

    Example: cnngraph db status
    """
    from cnngraph.api import server

    _report(server.status(connection.settings()), json)


@db.command()
def logs(lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines.")] = 50) -> None:
    """Print the end of the embedded server's log.

    Example: cnngraph db logs -n 100
    """
    from cnngraph.api import server

    print(server.logs(connection.settings(), lines))


@db.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    stop: Stop = False,
    json: Json = False,
) -> None:
    """Write the embedded database and its saved models into one file; the server is stopped meanwhile.

    Example: cnngraph db backup monday.backup
    """
    from cnngraph.api import backup as backups

    with progress() as bars:
        done = backups.back_up(connection.settings(), file, force=force, stop=stop, progress=bars)
    if json:
        emit_json(asdict(done))
        return
    counted = (
        f"{number(done.nodes)} nodes, {number(done.relationships)} relationships" if done.nodes is not None else ""
    )
    say(
        f"Backed up Neo4j {done.neo4j}: {counted or 'written to by others meanwhile, so not counted'}, "
        f"{len(done.models)} models, {done.saved_models} saved models; {done.bytes / 1e6:.1f} MB in {done.file}."
    )
    if done.storage:
        say(f"The saved models are in {done.storage}, which is not in the backup.")
    say(f"Next: cnngraph db restore {done.file}")


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What db backup has written.")],
    stop: Stop = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make the embedded database that of a backup, also an older Neo4j's; what was there is removed last.

    Example: CNNGRAPH_SERVER=latest cnngraph db restore monday.backup
    """
    from cnngraph.api import backup as backups

    settings = connection.settings()
    there = backups.has_database(settings)
    if there and not yes:
        ask(f"Replace the embedded database under {settings.home} with every model in it?")
    with progress() as bars:
        done = backups.restore(settings, file, replace=there or yes, stop=stop, progress=bars)
    if json:
        emit_json(asdict(done))
        return
    upgraded = f", made by {done.made_by}" if done.made_by != done.neo4j else ""
    say(
        f"Restored on Neo4j {done.neo4j}{upgraded}: {number(done.nodes)} nodes, "
        f"{number(done.relationships)} relationships, {len(done.models)} models, {done.saved_models} saved models."
    )
    say("Next: cnngraph list")


@db.command()
def clean(
    downloads: Annotated[bool, typer.Option("--downloads", help="Remove the downloaded server too.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Stop the embedded server and remove its database: every model in it is gone (saved model files stay).

    Example: cnngraph db clean
    """
    from cnngraph.api import server

    settings = connection.settings()
    if not yes:
        ask(f"Remove the embedded database under {settings.home} with every model in it?")
    removed = server.clean(settings, downloads=downloads)
    if json:
        emit_json({"removed": removed})
    else:
        say(f"Removed {', '.join(map(str, removed))}." if removed else "There was nothing to remove.")


@db.command()
def usage(json: Json = False) -> None:
    """Say what each owner and each model takes of the database: nodes and relationships.

    Example: cnngraph db usage
    """
    with connection.graph() as graph:
        found = graph.usage()
    if json:
        emit_json(found)
        return
    for what, columns in (
        ("owners", ("owner", "models", "nodes", "relationships")),
        ("models", ("model", "status", "created_at", "nodes", "relationships")),
    ):
        rows = [[str(row[name])[:10] if name == "created_at" else row[name] for name in columns] for row in found[what]]
        table(columns, rows, title=f"\n{what}")


@db.command()
def migrate(
    print_: Annotated[
        bool, typer.Option("--print", help="Print the Cypher for an administrator; change nothing.")
    ] = False,
    share_database: Annotated[
        bool, typer.Option("--share-database", help="Go on where others use the same labels.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring the schema of the configured server up to date.

    Example: cnngraph db migrate --print
    """
    with connection.graph(prepare=False) as graph:
        if print_:
            text = graph.pending_cypher()
            emit_json({"cypher": text}) if json else print(text, end="")
            return
        done = graph.migrate(share_database=share_database)
    if json:
        emit_json({"migrations": done})
    else:
        say(f"Applied: {', '.join(done)}." if done else "The schema is up to date.")


def _report(running: object, json: bool) -> None:
    facts = {
        "running": running is not None,
        "neo4j": getattr(running, "neo4j", None),
        "gds": getattr(running, "gds", None),
        "uri": getattr(running, "uri", None),
        "browser": f"{running.http}/browser/" if running is not None else None,  # type: ignore[attr-defined]
        "username": getattr(running, "username", None),
        "password_file": str(getattr(running, "password_file", "")) or None,
        "pid": getattr(running, "pid", None),
        "home": str(getattr(running, "home", "")) or None,
    }
    if json:
        emit_json(facts)
    else:
        table(("", ""), list(facts.items()))


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(db, name="db")
