"""The lease on a Model: one writer at a time, and a dead one is no hindrance.

Host, process and the time at which the process began stand on the Model node. A writer that died on this host is
recognised at once; one on another host after 60 s without a sign of life. All times are the server's.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import neo4j
import psutil

from cnngraph.database import cypher
from cnngraph.database.connection import Database
from cnngraph.errors import ConflictError, DatabaseError

__all__ = ["EXPIRES_AFTER", "HEARTBEAT", "Lease", "lease", "require_unwritten", "this_host"]

EXPIRES_AFTER = 60.0
HEARTBEAT = 10.0
_CLOCK_TOLERANCE = 2.0  # s; the system derives the start of a process from a clock that may be set


@dataclass
class Lease:
    """A lease that is held; ``check`` before every batch."""

    db: Database
    key: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _lost: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Return if the lease is still ours.

        Raises:
            ConflictError: another writer took it over, because this process showed no sign of life for a minute.
        """
        if self._lost.is_set():
            raise self._taken_over()

    def fence(self, tx: neo4j.ManagedTransaction) -> None:
        """Let nothing in ``tx`` happen once the lease is somebody else's.

        It locks the Model until ``tx`` ends: who takes the lease of a dead writer waits for what the server still does
        for that one, and what comes after that is refused.

        Raises:
            ConflictError: another writer took it over.
        """
        if tx.run(cypher.load("lease/renew"), key=self.key, token=self.token).single() is None:
            raise self._taken_over()

    def _taken_over(self) -> ConflictError:
        return ConflictError(f"Another writer took {self.key} over.", "Let it finish, then look with: cnngraph list")

    def renew(self) -> None:
        """Show a sign of life."""
        if not self.db.write(cypher.load("lease/renew"), key=self.key, token=self.token):
            self._lost.set()


@contextmanager
def lease(db: Database, key: str) -> Iterator[Lease]:
    """Hold the lease on an existing Model.

    Raises:
        ConflictError: a live writer holds it, or the Model is gone.
    """
    held = Lease(db, key)
    if db.transact(lambda tx: _take(tx, held)):
        with suppress(DatabaseError):  # where transactions may not be looked at, locks alone keep the two apart
            db.auto(cypher.load("lease/end_orphans"), key=key)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(held, stop), name=f"lease on {key}", daemon=True)
    heart.start()
    try:
        yield held
    finally:
        stop.set()
        heart.join()
        with suppress(DatabaseError):  # a lost connection was reported already; the lease expires by itself
            db.write(cypher.load("lease/release"), key=key, token=held.token)


def _take(tx: neo4j.ManagedTransaction, held: Lease) -> bool:
    """Take the lease; True where a dead writer had it."""
    row = tx.run(cypher.load("lease/look"), key=held.key).single()
    if row is None:
        raise ConflictError(f"The model {held.key} has just been deleted by somebody else.", "Run the command again.")
    if row["token"] is not None and _alive(row):
        raise ConflictError(
            f"Another process writes {held.key} now ({_writer(row)}).",
            "Wait until it is done, or stop it and run this command again.",
        )
    who = {"owner": held.db.owner, "pid": os.getpid(), "started": _started(), "host": this_host()}
    tx.run(cypher.load("lease/take"), {"key": held.key, "token": held.token, **who})
    return row["token"] is not None


def require_unwritten(db: Database, key: str) -> None:
    """Return if nobody writes the model now; nothing is locked, and no right to write is needed.

    Raises:
        ConflictError: somebody does.
    """
    rows = db.read(cypher.load("lease/read"), key=key)
    if rows and rows[0]["token"] is not None and _alive(rows[0]):
        raise ConflictError(
            f"Another process writes {key} now ({_writer(rows[0])}).", "Wait until it is done; then run this again."
        )


def _writer(row: Mapping[str, Any]) -> str:
    """Who holds a lease: whose process, its number and its machine."""
    whose = f"{row['owner']}'s process" if row["owner"] else "process"
    return f"{whose} {row['pid']} on {str(row['host']).split()[0]}"


def _alive(row: Mapping[str, Any]) -> bool:
    if row["host"] == this_host():
        started = _started(row["pid"])
        return started is not None and abs(started - row["started"]) < _CLOCK_TOLERANCE
    return bool(row["age"] is not None and row["age"] < EXPIRES_AFTER)


def _started(pid: int | None = None) -> float | None:
    """When a process began (seconds since 1970), ``None`` where there is none. Numbers are used again."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def this_host() -> str:
    """This host, as far as process numbers mean the same: two containers may share a name but not a namespace."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (the link's text names no path)
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def _beat(held: Lease, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        # The next beat tries again; a server that stays away is reported by the writer's own statement.
        with suppress(DatabaseError):
            held.renew()
