"""What does not fit into a server with limits is refused before anything is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from cnngraph import trace
from cnngraph.database import catalogue, limits
from cnngraph.database.connection import Database
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import CnngraphError
from cnngraph.network.sizes import estimate
from cnngraph.network.tables import Network
from cnngraph.settings import ServerLimits
from tests.toynets import toy, toy_shape

pytestmark = pytest.mark.db
NAME = "limits-plain"


@pytest.fixture(scope="module")
def network() -> Network:
    data = [(torch.randn(4, *toy_shape("plain")), torch.tensor([0, 1, 0, 1]))]
    return trace(toy("plain"), data)


@pytest.fixture
def empty(database: Database) -> Iterator[Database]:
    yield database
    if database.read("MATCH (m:Model {key: $key}) RETURN m", key=f"{database.owner}/{NAME}"):
        catalogue.delete(database, f"{database.owner}/{NAME}")


def limited(database: Database, nodes: int, relationships: int) -> Database:
    """The database with room for so many more."""
    there = limits.totals(database)
    return dataclasses.replace(database, limits=ServerLimits(there[0] + nodes, there[1] + relationships, "aura-free"))


def test_counts_are_what_is_there(empty: Database, network: Network) -> None:
    before = limits.totals(empty)
    write_network(empty, network, NAME)
    size = estimate(network)
    after = limits.totals(empty)
    assert (after[0] - before[0], after[1] - before[1]) == (size["nodes"], size["relationships"])


@pytest.mark.parametrize(("nodes", "relationships"), [(-1, 0), (0, -1)])
@pytest.mark.parametrize("dry_run", [False, True])
def test_one_too_many(empty: Database, network: Network, nodes: int, relationships: int, dry_run: bool) -> None:
    size = estimate(network)
    full = limited(empty, size["nodes"] + nodes, size["relationships"] + relationships)
    there = limits.totals(empty)
    with pytest.raises(CnngraphError, match="does not fit") as refused:
        write_network(full, network, NAME, WriteOptions(dry_run=dry_run))
    what = "nodes" if nodes else "relationships"
    assert f"{size[what]:,} would come" in refused.value.message
    assert f"{there[0] if nodes else there[1]:,} {what} are there" in refused.value.message
    assert "aura-free" in refused.value.message
    assert "--view channels" in refused.value.hint
    assert limits.totals(empty) == there
    assert not empty.read("MATCH (m:Model {key: $key}) RETURN m", key=f"{empty.owner}/{NAME}")


def test_what_just_fits_is_written_resumed_and_replaced(empty: Database, network: Network) -> None:
    size = estimate(network)
    full = limited(empty, size["nodes"], size["relationships"])
    write_network(full, network, NAME)
    empty.write(
        "MATCH (m:Model {key: $key}) SET m.status = 'loading' WITH m "
        "MATCH (:Position {model: $key})-[r:ARC]->() DELETE r",
        key=f"{empty.owner}/{NAME}",
    )
    assert write_network(full, network, NAME)["action"] == "resume"
    assert write_network(full, network, NAME)["action"] == "nothing"
    other = network.with_details(dataset="another")
    assert write_network(full, other, NAME, WriteOptions(replace=True))["action"] == "replace"
    with pytest.raises(CnngraphError, match="1 would come"):
        limits.check_fits(full, 1, 0)
    limits.check_fits(full, 0, 0)


def test_aura_free() -> None:
    assert ServerLimits.of("aura-free") == ServerLimits(200_000, 400_000, "aura-free")
    assert ServerLimits.of("aura-free", nodes=5) == ServerLimits(5, 400_000, "aura-free")
    assert ServerLimits.of("community") == ServerLimits(None, None, "community")
