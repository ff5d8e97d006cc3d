"""``doctor``: what this machine and its server can do, and what to do where they cannot."""

from __future__ import annotations

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import Json
from cnngraph.console import emit_json

__all__ = ["register"]


def doctor(json: Json = False) -> None:
    """Check Python, torch, device, memory, disk, Java, server, GDS, Browser, schema; exit 1 where one must be mended.

    Example: cnngraph doctor
    """
    from cnngraph.api import offline

    checks = offline.examine(connection.settings(ask=True))
    if json:
        emit_json({"ok": all(check.ok is not False for check in checks), "checks": [vars(check) for check in checks]})
    else:
        for check in checks:
            mark = {True: "ok", None: "--", False: "NO"}[check.ok]
            print(f"{mark}  {check.name:<8} {check.found}")
            if check.advice:
                print(f"    {'':<8} {check.advice}")
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(doctor)
