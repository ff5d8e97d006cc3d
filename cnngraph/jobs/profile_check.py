"""What a server is that a profile names: version, edition, schema, whether one may write, how far away it is."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from cnngraph.database import cypher, schema
from cnngraph.database.address import is_encrypted
from cnngraph.database.connection import Database, connect
from cnngraph.database.limits import totals
from cnngraph.errors import CnngraphError, DatabaseError
from cnngraph.settings import Settings

__all__ = ["ServerFacts", "check_server"]

_PINGS = 5


@dataclass(frozen=True)
class ServerFacts:
    """What was found, and what to do about what is not as it should be.

    Attributes:
        facts: under the names of the JSON of ``cnngraph profile test``. advice: one line for each thing.
        error: what keeps every command from working there, said after the rest; ``None`` where nothing does.
    """

    facts: dict[str, Any]
    advice: list[str] = field(default_factory=list)
    error: CnngraphError | None = None


def check_server(settings: Settings) -> ServerFacts:
    """Look at the server that ``settings`` name; nothing stays changed there.

    Raises:
        DatabaseError: it cannot be reached or refuses; the message says why.
    """
    with connect(settings) as db:
        row = db.read(cypher.load("schema/components"))[0]
        nodes, relationships = totals(db)
        may_write, why_not = _may_write(db)
        version, error = _schema(db)
        limits = db.limits
        facts = {
            "profile": settings.profile,
            "uri": db.uri,
            "encrypted": is_encrypted(db.uri),
            "server_version": row["version"],
            "edition": row["edition"],
            "gds": db.gds_version,
            "schema_version": version,
            "schema_newest": schema.migrations()[-1].version,
            "may_write": may_write,
            "latency_ms": round(_latency(db), 2),
            "nodes": nodes,
            "relationships": relationships,
            "max_nodes": limits.nodes,
            "max_relationships": limits.relationships,
        }
    advice = [] if may_write else [f"{why_not} Commands that only read work."]
    if not facts["gds"]:
        advice.append("Without Graph Data Science: cnngraph measure NAME -m pagerank --engine local")
    if limits.edition == "community" and row["edition"] != "community":
        advice.append(f"The profile says community, the server says {row['edition']}.")
    if limits.edition not in (None, "community") and row["edition"] == "community":
        advice.append(f"The profile says {limits.edition}, the server says community.")
    return ServerFacts(facts, advice, error)


def _may_write(db: Database) -> tuple[bool, str]:
    """Whether this user may write here; else why not."""
    try:
        db.require_writable()
    except DatabaseError as error:
        return False, error.message
    return True, ""


def _schema(db: Database) -> tuple[int, CnngraphError | None]:
    """The version of our schema there (0: none), and the error that every other command would give."""
    rows = db.read(cypher.load("schema/version"))
    version = int(rows[0]["version"]) if rows else 0
    try:
        if schema.pending(db) and not db.embedded:
            schema.require_current(db)
    except CnngraphError as error:
        return version, error
    return version, None


def _latency(db: Database) -> float:
    """Milliseconds from a question to its answer: the median of a few."""
    taken = []
    for _ in range(_PINGS):
        begun = time.perf_counter()
        db.read("RETURN 1")
        taken.append(time.perf_counter() - begun)
    return 1000 * statistics.median(taken)
