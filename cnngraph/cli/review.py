"""``review``: a person judges filters on a page, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.option_groups import Grouped, spread
from cnngraph.cli.options import Json, ModelName, known, writable
from cnngraph.cli.review_options import PageOptions
from cnngraph.console import emit_json, line, progress, say, table
from cnngraph.errors import UsageError
from cnngraph.vocabulary import AGREE

__all__ = ["register"]

_WITHOUT_PAGE = "Without a page"


def review(
    name: ModelName,
    page: PageOptions,
    status: Annotated[
        bool,
        typer.Option(
            "--status", help="Say how far it is, what goes, who disagrees on what.", rich_help_panel=_WITHOUT_PAGE
        ),
    ] = False,
    agree: Annotated[
        str | None,
        typer.Option(
            help=f"With --status: a filter goes if so many of those who judged it say so: {', '.join(AGREE)}. "
            "Default: all.",
            callback=lambda v: known(v, AGREE, "rule of agreement"),
            rich_help_panel=_WITHOUT_PAGE,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write all that was decided there: .json or .csv.", callback=writable, rich_help_panel=_WITHOUT_PAGE
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(help="Store the choices of such a file.", rich_help_panel=_WITHOUT_PAGE),
    ] = None,
    json: Json = False,
) -> None:
    """Judge filters by eye: opens a page on this machine alone, on which a person keeps or drops one after the other.

    What is decided is stored at once; Ctrl-C ends the page, and the same command goes on. What goes by it is carried
    out by --method review of plan and prune.

    Example: cnngraph review demo --layer features.0 --open

    Example: cnngraph review demo --by ann --shuffle --hide-scores

    Example: cnngraph review demo --status --agree majority

    Example: cnngraph review demo --export review.json
    """
    from cnngraph.api import offline

    ways = {"--status": status, "--export": export, "--replay": replay}
    said = [way for way, value in ways.items() if value]
    if len(said) > 1:
        raise UsageError(f"{said[0]} and {said[1]} exclude each other.", "Give one of them.")
    if agree is not None and not status:
        raise UsageError(
            "--agree belongs to --status: everybody's choices are stored whatever the rule.",
            f"Say it where they are carried out: cnngraph plan {name} --method review --agree {agree}",
        )
    strange = next(iter(page.typed), None)
    if said and strange is not None:
        raise UsageError(f"{strange} belongs to the page, and {said[0]} opens none.", f"Leave out {strange}.")
    if json and not said:
        raise UsageError("--json belongs to --status, --export and --replay.", "The page has nothing to say as JSON.")
    for file in (export, replay):
        if file is not None:
            offline.check_review_file(file)
    if not said:
        _show_page(name, page)
        return
    with connection.graph() as graph:
        if status:
            found = graph.review_status(name, agree=agree or "all")
        else:
            found = graph.export_review(name, export) if export else graph.replay_review(name, replay or Path())
    if json:
        emit_json(found)
    elif status:
        _print_status(name, found)
    elif export:
        say(f"Wrote {found['choices']:,} choices into {found['file']}.")
    else:
        say(f"Stored {found['new']:,} of {found['choices']:,} choices of {found['file']}; the others were there.")


def _show_page(name: str, page: PageOptions) -> None:
    """Serve the page until Ctrl-C, which is an interruption here as everywhere (exit 130)."""
    with connection.graph() as graph:
        with progress() as bars:
            opened = graph.open_review(name, **page.said, progress=bars)
        with opened:
            try:
                opened.serve(open_browser=page.open)
            except KeyboardInterrupt:
                say(f"What was decided is stored. Next: cnngraph review {name} --status")
                raise


def _print_status(name: str, found: dict[str, Any]) -> None:
    judged = f"{found['judged']:,} of {found['filters']:,} filters of {found['model']}"
    line(f"{judged} were judged; {found['left']:,} are left.")
    layers = [(one["layer"], one["filters"], one["judged"], one["drops"]) for one in found["layers"]]
    table(("layer", "filters", "judged", f"go (--agree {found['agree']})"), layers)
    if found["people"]:
        columns = ("by", "keep", "drop", "unknown", "left", "concordance")
        rows = [[one[column] for column in columns] for one in found["people"]]
        table(columns, rows, title=f"\npeople; concordance with the machine's {found['machine']}, 0.5 is chance")
    if found["kappa"]:
        rows = [[one[column] for column in ("first", "second", "filters", "agreed", "kappa")] for one in found["kappa"]]
        table(("first", "second", "both judged", "agreed", "Cohen's kappa"), rows, title="\nagreement between people")
    if found["disagreements"]:
        rows = [[one["layer"], one["channel"], _answers(one["answers"])] for one in found["disagreements"]]
        table(("layer", "filter", "answers"), rows, title="\ndisagreements")
    if found["drops"]:
        say(f"Next: cnngraph plan {name} --method review --agree {found['agree']}")
    else:
        say(f"Next: cnngraph review {name}")


def _answers(answers: dict[str, str]) -> str:
    return ", ".join(f"{by}: {'does not know' if said == 'unknown' else said}" for by, said in answers.items())


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(cls=Grouped)(spread(review))
