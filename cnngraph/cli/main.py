"""``cnngraph``: gathers the commands, places the global options, turns errors into one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from cnngraph import __version__
from cnngraph.cli import connection, own_process
from cnngraph.console import be_verbose, say
from cnngraph.errors import CnngraphError, explain, for_command

__all__ = ["app", "main"]

app = typer.Typer(
    name="cnngraph",
    help="Convolutional networks as multilayer graphs in Neo4j: find redundant layers, remove them, prove the result.",
    epilog="Start with: cnngraph demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

# Options that mean the same everywhere may stand anywhere on the line; True where a value follows.
_GLOBAL = {
    "--profile": True,
    "--uri": True,
    "--username": True,
    "--database": True,
    "--owner": True,
    "--verbose": False,
    "-v": False,
}

_OF_PROFILES = frozenset({"--uri", "--username", "--database", "--owner"})


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    profile: Annotated[str | None, typer.Option(help="Profile of the config file that names a server.")] = None,
    uri: Annotated[
        str | None, typer.Option(help="Bolt address of your own server (else NEO4J_URI, else the embedded one).")
    ] = None,
    username: Annotated[
        str | None, typer.Option(help="User on that server; the password comes from NEO4J_PASSWORD.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="Database on that server.")] = None,
    owner: Annotated[str | None, typer.Option(help="Label of your own models (default: the login name).")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say what is passed over; show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Convolutional networks as multilayer graphs in Neo4j: find redundant layers, remove them, prove the result."""
    connection.choose(profile=profile, uri=uri, username=username, database=database, owner=owner)


def _register() -> None:
    if app.registered_commands:  # a second call in this process
        return
    from cnngraph.cli import (  # each file adds its command to `app`'s list, in the order of --help
        adopt,
        bench,
        compare,
        criticality,
        curate,
        db,
        demo,
        doctor,
        evaluate,
        export,
        import_networks,
        ingest,
        latency,
        measure,
        models,
        plan,
        profile,
        prune,
        push,
        query,
        rebuild,
        review,
        train,
        verify,
    )

    for module in (
        demo,
        db,
        profile,
        doctor,
        train,
        evaluate,
        ingest,
        import_networks,
        export,
        measure,
        plan,
        review,
        criticality,
        prune,
        bench,
        verify,
        compare,
        latency,
        adopt,
        rebuild,
        models,
        curate,
        push,
        query,
    ):
        module.register(app)


def hoist(arguments: list[str]) -> list[str]:
    """Move the global options to the front, so that ``cnngraph list --profile team`` works.

    >>> hoist(["list", "--profile", "team", "--json"])
    ['--profile', 'team', 'list', '--json']
    >>> hoist(["profile", "add", "team", "--uri", "bolt://host", "-v"])
    ['-v', 'profile', 'add', 'team', '--uri', 'bolt://host']
    """
    front: list[str] = []
    rest: list[str] = []
    own: frozenset[str] = frozenset()  # options of the command itself that have the name of a global one
    items = iter(arguments)
    for item in items:
        if item == "--":
            rest += [item, *items]
            break
        flag = item.partition("=")[0]
        if flag not in _GLOBAL or flag in own:
            rest.append(item)
            own = _OF_PROFILES if rest == ["profile", "add"] else own
            continue
        front.append(item)
        if _GLOBAL[flag] and "=" not in item:
            front += [value for value in [next(items, None)] if value is not None]
    return front + rest


def main() -> None:
    """Entry point of the installed command."""
    if not own_process.is_own(main):
        _main()
        return
    own_process.collect_rarely()
    try:
        _main()
    except SystemExit as end:
        own_process.leave(end)
        raise


def _main() -> None:
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to stop
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = hoist(sys.argv[1:])
    verbose = "-v" in arguments or "--verbose" in arguments
    if verbose:
        be_verbose()
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)
    _register()
    try:
        app(arguments)
    except CnngraphError as error:
        _end(*for_command(error), error.exit_code, verbose)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  the last line of defence: no traceback unless asked for
        _end(*_in_words(error), 1, verbose)


# Faults of the input or the machine that may show anywhere, and what to do about each.
_MACHINE: tuple[tuple[type[Exception], str, str], ...] = (
    (
        MemoryError,
        "There is not enough memory",
        "Take a smaller --size or --view, fewer images or classes, or close other programs.",
    ),
    (
        RecursionError,
        "Something that was read or built is nested too deeply",
        "A net of thousands of modules in each other, or a JSON file of as many brackets; -v shows where.",
    ),
    (
        UnicodeError,
        "A file or a name is no UTF-8 text",
        "Write it again as UTF-8, or rename it; -v shows where it was read.",
    ),
    (
        OverflowError,
        "A number is too large",
        "Whole numbers go to 9,223,372,036,854,775,807; -v shows where it was used.",
    ),
)


def _in_words(error: Exception) -> tuple[str, str]:
    """What went wrong and what to do, for an error that nobody named before."""
    if isinstance(error, OSError):  # no room, no right, no such folder: the person's machine
        named = f"{error.filename}: " if error.filename else ""
        hint = "Look at that file or folder and the space that is left; -v shows where it happened."
        return f"{named}{error.strerror or explain(error)}", hint
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):  # torch's are RuntimeErrors
        error = MemoryError(explain(error))
    for kind, message, hint in _MACHINE:
        if isinstance(error, kind):
            said = explain(error)
            return f"{message}{f': {said}' if said != type(error).__name__ else ''}.", hint
    hint = "This is a fault in cnngraph: run the command again with -v and report the traceback."
    return f"unexpected {type(error).__name__}: {explain(error)}", hint


def _end(message: str, hint: str, code: int, verbose: bool) -> NoReturn:
    """Say what went wrong and what to do about it, and leave."""
    if verbose:
        traceback.print_exc()
    say(f"error: {message}")
    if hint:
        say(f"  {hint}")
    sys.exit(code)
