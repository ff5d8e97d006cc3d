"""``demo``: the whole chain on real digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import Json
from cnngraph.cli.plan_tables import print_schedule
from cnngraph.console import emit_json, progress, say, table

if TYPE_CHECKING:
    from cnngraph.api.results import Outcome

__all__ = ["register"]


def demo(json: Json = False) -> None:
    """The whole chain on real digits: train, ingest, measure, plan, prune, verify, retrain, look at it.

    Example: cnngraph demo
    """
    from cnngraph.api import offline

    with progress() as bars:
        outcome = offline.demo(connection.settings(), bars)
    if json:
        emit_json(outcome.result | {"sentence": outcome.sentence, "page": str(outcome.page)})
        return
    _print(outcome)


def _print(outcome: Outcome) -> None:
    from cnngraph.reporting.page import figures_table, remarks_on

    print_schedule(outcome.schedule)
    print(f"\nRemoved: {', '.join(outcome.plan.removed) or 'nothing'}")
    for removal in outcome.plan.removes:
        print(f"  {removal.layer}: {removal.reason}")
    for note in outcome.plan.notes:
        print(f"  {note}")
    table(("", "before", "after", "change", "control"), figures_table(outcome.result), title="")
    print("control: the unpruned net, retrained for as long with the same settings")
    for remark in remarks_on(outcome.result):
        print(remark)
    print(f"\n{outcome.sentence}")
    print(f"\nThe summary as a page: {outcome.page}")
    if outcome.browser:
        print(f"Neo4j Browser: {outcome.browser}")
        print(f"  log in as neo4j; the password is in {connection.settings().home / 'server' / 'password'}")
    print("\nThree queries to paste there:")
    for _, text in outcome.queries:  # a text begins with its title
        print(f"\n{text.strip()}")
    say("")
    if outcome.embedded:
        _print_server()
    print(
        "\nYour own net and folder:\n"
        "  cnngraph train torchvision:resnet18 --data folder:PATH/TO/IMAGES --out runs/mine\n"
        "  cnngraph ingest runs/mine --data folder:PATH/TO/IMAGES --name mine\n"
        "  cnngraph prune mine --method multilayer --max-accuracy-drop 1"
    )
    print(f"\nSee also: cnngraph show {outcome.name}, cnngraph lineage {outcome.name}, cnngraph query")


def _print_server() -> None:
    import psutil

    from cnngraph.api import server

    running = server.status(connection.settings())
    if running is not None:
        used = psutil.Process(running.pid).memory_info().rss / 2**20
        print(f"The server goes on running (process {running.pid}, {used:,.0f} MiB). Stop it: cnngraph db down")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(demo)
