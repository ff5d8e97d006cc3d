"""The embedded Neo4j server that is used where no other is named: started, stopped, looked at, removed."""

from __future__ import annotations

from cnngraph.database.embedded.server import Server, clean, down, logs, status, up

__all__ = ["Server", "clean", "down", "logs", "status", "up"]
