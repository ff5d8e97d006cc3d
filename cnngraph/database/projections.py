"""Names of GDS projections that are ours alone, by host, process and its start, and their end, whatever happens.

A projection lives in the server's memory. One that a killed command left behind is dropped by the next command on the
same host, which sees from the name that its process is gone. Every call goes to the server that writes: in a cluster
each member has projections of its own.
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import TYPE_CHECKING

import psutil

from cnngraph.database import cypher
from cnngraph.database.lease import this_host
from cnngraph.errors import DatabaseError

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["PREFIX", "drop", "drop_stale", "new_name"]

PREFIX = "cnngraph."


def new_name() -> str:
    """A fresh name, ``cnngraph.PID.START.TOKEN.HOST``; the host comes last since it may hold dots."""
    pid = os.getpid()
    return f"{PREFIX}{pid}.{_started(pid)}.{uuid.uuid4().hex[:8]}.{this_host()}"


def drop_stale(db: Database) -> list[str]:
    """Drop the projections of processes of this host that have ended; returns their names.

    Those of other hosts, of living processes, and every name that is not of our making stay untouched.
    """
    rows = db.write(cypher.load("measures/projections"), prefix=PREFIX)
    stale = [row["name"] for row in rows if _is_stale(row["name"])]
    for name in stale:
        db.auto(cypher.load("measures/drop_projection"), name=name)
    return stale


def drop(db: Database, name: str) -> None:
    """Drop without hiding the error that is on its way: a server that is gone has forgotten the projection as well.

    None of that name is no failure.
    """
    failing = sys.exc_info()[0] is not None
    try:
        db.auto(cypher.load("measures/drop_projection"), name=name)
    except DatabaseError:
        if not failing:
            raise


def _started(pid: int) -> int | None:
    """When a process began, in whole seconds; ``None`` where there is none, so that a reused pid is told apart."""
    try:
        return int(psutil.Process(pid).create_time())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _is_stale(name: str) -> bool:
    parts = name.removeprefix(PREFIX).split(".", 3)
    if len(parts) != 4 or not (parts[0].isdigit() and parts[1].isdigit()) or parts[3] != this_host():
        return False
    return _started(int(parts[0])) != int(parts[1])
