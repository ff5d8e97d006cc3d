"""The one way to a Neo4j server: embedded, one's own, or Aura, all through the same code."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any, TypeVar

import neo4j

from cnngraph.console import Progress, Quiet
from cnngraph.database import address, cypher, failures
from cnngraph.errors import DatabaseError
from cnngraph.settings import ServerLimits, Settings
from cnngraph.storage import Storage, default_storage, storage_of

__all__ = ["MINIMUM_SERVER", "Database", "connect", "connect_again"]

MINIMUM_SERVER = (5, 26)
_ATTEMPTS = 5
_FIRST_PAUSE = 0.3
_T = TypeVar("_T")


@dataclass(frozen=True)
class Database:
    """An open connection; use it in a ``with``.

    Attributes:
        driver: the neo4j driver, for what is not offered here.
        database: name of the database on the server, ``None`` for the user's home database.
        owner: whose models have no owner before their name.
        uri: Bolt address. http: address of Neo4j Browser, where it is known.
        embedded: True for the server that cnngraph runs itself. profile: by whose name it was found, if by one.
        server_version: as the server says it, ``5.26.30``.
        storage: where the saved models are that its graph names by their sha256.
        limits: how much it may hold: see :func:`cnngraph.database.limits.check_fits`.
    """

    driver: neo4j.Driver
    database: str | None
    owner: str
    uri: str
    http: str | None = None
    embedded: bool = False
    server_version: str = ""
    storage: Storage = field(default_factory=default_storage)
    limits: ServerLimits = field(default_factory=ServerLimits)
    profile: str | None = None

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self.driver.close()

    def read(self, cypher: str, /, **params: Any) -> list[dict[str, Any]]:
        """The rows of a query that changes nothing, in a managed transaction.

        Raises:
            DatabaseError: the server refuses, or is gone.
        """
        with failures.translated(self.uri), self._session(neo4j.READ_ACCESS) as session:
            return session.execute_read(lambda tx: _rows(tx.run(cypher, params)))

    def write(self, cypher: str, /, **params: Any) -> list[dict[str, Any]]:
        """The rows of a statement that may change something, in a managed transaction: all of it or nothing."""
        return self.transact(lambda tx: _rows(tx.run(cypher, params)))

    def transact(self, work: Callable[[neo4j.ManagedTransaction], _T]) -> _T:
        """What ``work`` returns, run in one write transaction; it may be called again after a deadlock."""
        with failures.translated(self.uri), self._session(neo4j.WRITE_ACCESS) as session:
            return session.execute_write(work)

    def require_writable(self) -> None:
        """Return if this user may write here, asked before anything long: a node is made and taken back.

        Raises:
            DatabaseError: the database is read-only, or the user may only read.
        """
        with (
            failures.translated(self.uri),
            self._session(neo4j.WRITE_ACCESS) as session,
            session.begin_transaction() as tx,
        ):
            tx.run(cypher.load("schema/try_to_write")).consume()
            tx.rollback()

    def auto(self, cypher: str, /, **params: Any) -> list[dict[str, Any]]:
        """The rows of an auto-commit statement (``CALL {} IN TRANSACTIONS``, schema).

        The driver repeats none of these, so it is done here: after a deadlock, a change of leader or a broken
        connection, a few times. The statement must therefore be idempotent. Too little memory is not repeated.
        """
        pause = _FIRST_PAUSE
        for left in reversed(range(_ATTEMPTS)):
            try:
                with failures.translated(self.uri), self._session(neo4j.WRITE_ACCESS) as session:
                    return _rows(session.run(cypher, params))
            except DatabaseError as error:
                if not left or not failures.is_worth_repeating(error.__cause__):
                    raise
            time.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    @cached_property
    def gds_version(self) -> str | None:
        """The version of Graph Data Science on the server, ``None`` where there is none."""
        try:
            return str(self.read(cypher.load("schema/gds_version"))[0]["version"])
        except DatabaseError as error:
            if failures.refused(error, "ClientError"):
                return None
            raise

    def _session(self, access: str) -> neo4j.Session:
        return self.driver.session(database=self.database, default_access_mode=access)


def connect(settings: Settings, progress: Progress | None = None) -> Database:
    """Connect to the server that ``settings`` name; the embedded one is fetched and started where it has to be.

    Raises:
        DatabaseError: no server answers, it refuses the password, or it is too old.
    """
    if settings.uri is not None:
        auth = (settings.username, settings.password) if settings.password else None
        return _open(settings, settings.uri, auth, http=None)
    from cnngraph.database.embedded import server

    running = server.up(settings, progress or Quiet())
    return _open(settings, running.uri, (running.username, running.password), http=running.http)


def connect_again(settings: Settings, uri: str) -> Database | None:
    """Connect to the embedded server where it answers at another address than ``uri`` now; ``None`` where it does not.

    It is not started; a server of somebody's own keeps its address, and the driver finds it again.
    """
    if settings.uri is not None:
        return None
    from cnngraph.database.embedded import server

    try:
        running = server.status(settings)
        if running is None or running.uri == uri:
            return None
        return _open(settings, running.uri, (running.username, running.password), http=running.http)
    except DatabaseError:
        return None


def _open(settings: Settings, uri: str, auth: tuple[str, str] | None, http: str | None) -> Database:
    try:
        driver, version = _connected(settings, uri, auth)
    except DatabaseError as error:
        raise failures.as_said_in_profile(error, settings.profile) from error.__cause__
    return Database(
        driver,
        settings.database,
        settings.owner,
        uri,
        http,
        settings.embedded,
        version,
        storage_of(settings),
        settings.limits,
        settings.profile,
    )


def _connected(settings: Settings, uri: str, auth: tuple[str, str] | None) -> tuple[neo4j.Driver, str]:
    """A driver that has been answered, and the version of the server."""
    address.check_address(uri)
    ca = None if settings.embedded else settings.ca
    plain_uri, trust = address.driver_options(uri, ca)
    with failures.translated(uri, connecting=True):
        driver = neo4j.GraphDatabase.driver(
            plain_uri,
            auth=auth,
            connection_timeout=10,
            max_transaction_retry_time=15,
            notifications_min_severity="OFF",
            user_agent="cnngraph",
            **trust,
        )
    try:
        # A session's own run: a managed transaction would look for a server that is not there for 15 s.
        with (
            failures.translated(uri, connecting=True),
            driver.session(database=settings.database, default_access_mode=neo4j.READ_ACCESS) as session,
        ):
            version = str(_rows(session.run(cypher.load("schema/components")))[0]["version"])
        _require_new_enough(version)
    except DatabaseError as error:
        driver.close()
        reason = address.explain_silence(uri, ca) if failures.is_silent(error.__cause__) else None
        if reason is not None:
            raise reason from error.__cause__
        raise
    except BaseException:
        driver.close()
        raise
    return driver, version


def _require_new_enough(version: str) -> None:
    """Refuse a server without the Cypher that we use; versions are 5.26.30, 5.27-aura, 2025.04.0."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < MINIMUM_SERVER:
        needed = ".".join(map(str, MINIMUM_SERVER))
        raise DatabaseError(f"The server is Neo4j {version}, too old.", f"Use Neo4j {needed} or newer.")


def _rows(result: neo4j.Result) -> list[dict[str, Any]]:
    # Not Result.data(): that walks through every list of every row.
    return [dict(record) for record in result]
