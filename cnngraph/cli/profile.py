"""``profile``: servers by name, with their users, stores and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import Json, known
from cnngraph.console import emit_json, line, say, table, warn
from cnngraph.vocabulary import EDITIONS

__all__ = ["register"]

profile = typer.Typer(
    help="Servers by name (add, list, use, test, remove): address, user, store and limits.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ProfileName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the profile.")]


@profile.command()
def add(
    name: ProfileName,
    uri: Annotated[str, typer.Option(help="neo4j+s://HOST:7687, bolt+s://HOST:7687; without +s not encrypted.")],
    username: Annotated[str | None, typer.Option(help="User on that server (default: neo4j).")] = None,
    database: Annotated[str | None, typer.Option(help="Database there (default: the user's home database).")] = None,
    owner: Annotated[str | None, typer.Option(help="Label of your own models there.")] = None,
    store: Annotated[str | None, typer.Option(help="Where the saved models of that server's graphs are.")] = None,
    edition: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(EDITIONS)}; the last may hold 200,000 nodes and 400,000 relationships.",
            callback=lambda value: known(value, EDITIONS, "edition"),
        ),
    ] = None,
    max_nodes: Annotated[int | None, typer.Option(min=0, help="Nodes that it may hold in all.")] = None,
    max_relationships: Annotated[int | None, typer.Option(min=0, help="Relationships that it may hold in all.")] = None,
    ca: Annotated[
        Path | None,
        typer.Option(help="Certificate (PEM) of the authority that signed the server's, if not a public one."),
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password in its first line, for you alone (chmod 600).")
    ] = None,
    save_password: Annotated[
        bool, typer.Option("--save-password", help="Keep the password (of NEO4J_PASSWORD, else typed) in such a file.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write a profile of that name anew.")] = False,
    json: Json = False,
) -> None:
    """Give a server a name. No password is typed on the command line, where others could see it.

    Without --password-file and --save-password no password is kept: NEO4J_PASSWORD says it, else a command asks.

    Example: cnngraph profile add team --uri neo4j+s://graph.example:7687 --username ada --save-password
    """
    from cnngraph.api import profiles

    if save_password and password_file is not None:
        raise typer.BadParameter("--save-password is for a password that is in no file yet")
    profiles.check_profile_name(name)
    new = profiles.NewProfile(
        uri, username, database, owner, store, edition, max_nodes, max_relationships, ca, password_file
    )
    remarks = new.check()
    for remark in remarks:
        warn(remark)
    password = connection.password_to_keep(new.username or "neo4j", uri) if save_password else None
    profiles.add(name, new, password=password, replace=replace)
    if json:
        emit_json({"profile": name, "uri": uri, "password_kept": bool(password or password_file), "remarks": remarks})
        return
    say(f"Wrote the profile {name}. Next: cnngraph profile test {name}, then cnngraph profile use {name}")


@profile.command("list")
def list_(json: Json = False) -> None:
    """List the profiles, and say which server is used and why.

    Example: cnngraph profile list
    """
    from cnngraph.api import profiles

    found, used = profiles.list_profiles(), profiles.used()
    if json:
        emit_json({"profiles": found, "used": used})
        return
    columns = ("name", "uri", "username", "database", "owner", "storage", "edition", "password")
    there = [column for column in columns if any(row[column] is not None for row in found)]
    if found:
        table(there, [[row[column] for column in there] for row in found])
    if used["problem"]:
        line(f"What would be used is not usable: {used['problem']}")
    elif used["profile"]:
        line(f"Used: {used['profile']} ({used['why']}).")
    elif used["uri"]:
        line(f"Used: {used['uri']} ({used['why']}).")
    else:
        line(f"Used: the embedded server ({used['why']}).")


@profile.command()
def use(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the profile; embedded: as --none.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Go back to the embedded server.")] = False,
    json: Json = False,
) -> None:
    """Let a profile be the server of every command that names none.

    --profile, CNNGRAPH_PROFILE, --uri and NEO4J_URI come before it; --profile embedded is the embedded server.

    Example: cnngraph profile use team
    """
    from cnngraph.api import profiles

    if (name is None) != none:
        raise typer.BadParameter("name a profile, or say --none")
    profiles.use(name)
    used = profiles.used()
    if json:
        emit_json({"used": used})
        return
    chosen = None if name == "embedded" else name
    if used["problem"] is None and used["profile"] != chosen:
        warn(f"{used['profile'] or used['uri'] or 'the embedded server'} is used all the same ({used['why']}).")
    say(f"Commands use {chosen} from now on." if chosen else "Commands use the embedded server from now on.")


@profile.command()
def remove(name: ProfileName, json: Json = False) -> None:
    """Forget a server, and the password that was kept for it. Nothing happens to the server.

    Example: cnngraph profile remove team
    """
    from cnngraph.api import profiles

    was_used = profiles.remove(name)
    if json:
        emit_json({"removed": name, "was_used": was_used})
        return
    say(f"Removed the profile {name}.{' Commands use the embedded server from now on.' if was_used else ''}")


@profile.command()
def test(name: ProfileName, json: Json = False) -> None:
    """Connect, and say what the server is, whether its schema is ours, whether you may write, how far away it is.

    Example: cnngraph profile test team
    """
    from cnngraph.api import profiles

    connection.choose(profile=name)
    found = profiles.check_server(connection.settings(ask=True))
    if json:
        problem = str(found.error) if found.error else None
        emit_json(found.facts | {"ok": problem is None, "advice": found.advice, "problem": problem})
    else:
        table(("", name), list(found.facts.items()))
        for advice in found.advice:
            line(advice)
    if found.error:
        raise found.error


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(profile, name="profile")
