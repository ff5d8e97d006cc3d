"""``query``: a saved query, or Cypher from standard input."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import Json
from cnngraph.console import emit_json, say, table

__all__ = ["register"]


def query(
    stem: Annotated[
        str | None, typer.Argument(help="Name of a saved query, or - for Cypher on standard input; none: list them.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model that the query asks about.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, repeat for several; every one has a default.")
    ] = None,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the text to paste into Neo4j Browser; run nothing.")
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Allow Cypher from standard input to change the database.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a saved query (cypher/queries), or Cypher from standard input, read-only unless --write.

    Example: cnngraph query overview --model demo

    Example: echo 'MATCH (m:Model) RETURN m.key' | cnngraph query -
    """
    from cnngraph.api import offline

    if stem is None:
        rows = offline.list_queries()
        if json:
            emit_json({"queries": rows})
        else:
            table(("query", "title"), [list(row.values()) for row in rows])
        return
    parameters = _parameters(param or [])
    key = connection.key(model) if model is not None else ""
    if stem != "-":  # what is wrong is said before any server is started
        if model is None:
            offline.check_query(stem, "", {})
            raise typer.BadParameter("--model NAME is needed: cnngraph query overview --model demo")
        offline.check_query(stem, key, parameters)
        if print_:
            text = offline.query_text(stem, key, parameters)
            emit_json({"query": stem, "cypher": text}) if json else print(text)
            return
    with connection.graph() as graph:
        found = graph.query(
            sys.stdin.read() if stem == "-" else stem,
            model=model,
            parameters=parameters,
            cypher=stem == "-",
            write=write,
        )
    if json:
        emit_json({"query": stem, "rows": found})
        return
    if not found:
        say(_why_none(stem, model))
        return
    headers = list(found[0])
    table(headers, [[_short(row[header]) for header in headers] for row in found])


def _why_none(stem: str, model: str | None) -> str:
    from cnngraph.api import offline

    if stem == "-":
        return "No rows."
    command = offline.query_needs(stem, model or "NAME")
    if command:
        return f"No rows: nothing is so, or it was not measured. To measure it: {command}"
    return "No rows: the model lacks what this query shows (a measure, a view, a pruning)."


def _parameters(items: list[str]) -> dict[str, Any]:
    import json

    parameters: dict[str, Any] = {}
    for item in items:
        key, sign, value = item.partition("=")
        if not sign or not key.isidentifier():
            raise typer.BadParameter(f"--param {item!r} is not KEY=VALUE")
        try:
            parameters[key] = json.loads(value)
        except ValueError:
            parameters[key] = value
    return parameters


def _short(value: Any) -> Any:
    if isinstance(value, int | float | None):
        return value
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(query)
