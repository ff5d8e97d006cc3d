"""A py2neo ``Graph`` from cnngraph's settings, for programs that are written against py2neo.

py2neo is archived upstream and speaks Bolt up to 4.3; plain reads and writes work. ``pip install 'cnngraph[py2neo]'``.
"""

from __future__ import annotations

from typing import Any

from cnngraph.console import Progress
from cnngraph.errors import CnngraphError, DatabaseError, explain
from cnngraph.settings import Settings, load_settings

__all__ = ["graph"]


def graph(settings: Settings | None = None, progress: Progress | None = None) -> Any:
    """A connected ``py2neo.Graph``; the embedded server is started where no other is configured.

    Args:
        settings: whose server; ``None`` for those of the environment, as the commands find them.
        progress: what shows that the embedded server is fetched.

    Raises:
        CnngraphError: py2neo is not installed.
        DatabaseError: no server answers, or it refuses the password.
    """
    try:
        import py2neo
    except ImportError as error:
        raise CnngraphError("py2neo is not installed.", "Run: pip install 'cnngraph[py2neo]'") from error
    chosen = settings or load_settings()
    uri, username, password = chosen.uri, chosen.username, chosen.password
    if uri is None:
        from cnngraph.console import Quiet
        from cnngraph.database.embedded import server

        running = server.up(chosen, progress or Quiet())
        uri, username, password = running.uri, running.username, running.password
    try:
        found = py2neo.Graph(uri, auth=(username, password), name=chosen.database)
        found.query("RETURN 1").evaluate()
    except (py2neo.ConnectionUnavailable, py2neo.ConnectionBroken, py2neo.Neo4jError, OSError) as error:
        raise DatabaseError(f"py2neo cannot use {uri}: {explain(error)}.", "Check with: cnngraph doctor") from error
    return found
