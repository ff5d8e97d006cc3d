"""How much a server may hold, asked before anything is written: an Aura Free instance has room for a few nets only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnngraph.database import cypher
from cnngraph.errors import CnngraphError, listed
from cnngraph.network.sizes import estimate

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["check_fits", "check_network_fits", "totals"]


def totals(db: Database) -> tuple[int, int]:
    """Nodes and relationships in the database, everybody's and whatever they are of."""
    row = db.read(cypher.load("schema/totals"))[0]
    return int(row["nodes"]), int(row["relationships"])


def check_fits(db: Database, nodes: int, relationships: int) -> None:
    """Return if so many nodes and relationships more fit into the database; nothing is asked where it has no limits.

    Args:
        db: the database; its ``limits`` come from the profile.
        nodes, relationships: what is to come, without what is there already.

    Raises:
        CnngraphError: they do not fit; the message has what is there, what is to come and what is allowed.
    """
    limits = db.limits
    if not limits.limited:
        return
    there = totals(db)
    rows = zip(
        ("nodes", "relationships"), there, (nodes, relationships), (limits.nodes, limits.relationships), strict=True
    )
    over = [
        f"{found:,} {what} are there, {coming:,} would come, {allowed:,} are allowed"
        for what, found, coming, allowed in rows
        if allowed is not None and coming > 0 and found + coming > allowed
    ]
    if over:
        whose = f" ({limits.edition})" if limits.edition else ""
        raise CnngraphError(
            f"It does not fit into the database at {db.uri}{whose}: {listed(over)}. Nothing was written to it.",
            "Make it smaller (--view channels, --only-classes, a smaller --size), make room with cnngraph delete, "
            "or take a larger server.",
        )


def check_network_fits(db: Database, key: str, network: Network) -> None:
    """As :func:`check_fits`, of a network that is written as the model ``key``.

    What is under ``key`` already makes room: it is the beginning of this network, or goes before this one comes.
    """
    if not db.limits.limited:
        return
    size = estimate(network)
    measured = network.car_runs.num_rows  # a run each, with its model and the layers that it scored
    nodes = size["nodes"] + measured
    scored = sum(map(len, network.car_runs["layers"].to_pylist()))
    relationships = size["relationships"] + 2 * measured + scored + network.serves.num_rows
    rows = db.read(cypher.load("catalogue/size"), key=key)
    if rows:
        nodes -= rows[0]["nodes"]
        relationships -= rows[0]["relationships"]
    check_fits(db, nodes, relationships)
