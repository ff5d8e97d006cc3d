"""An ingest that is killed while it writes, and finished by the same command, equals one that nobody disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.reader import read_network
from cnngraph.database.rows import arc_rows
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import ConflictError
from cnngraph.network.tables import Network
from tests.db.test_writer import elements
from tests.synthetic import small_network, vgg16_positions

pytestmark = pytest.mark.db

ROOT = Path(__file__).resolve().parents[2]

# The writer in a process of its own, with small batches. It says on stdout what it has done, so that it can be shot.
CHILD = """
import sys
from cnngraph.database import writer
from cnngraph.database.connection import connect
from cnngraph.settings import load_settings
from tests.synthetic import small_network, vgg16_positions

class Told:
    def start(self, what, total=None):
        self.what, self.done = what, 0
        print(what, 0, flush=True)
    def advance(self, amount=1):
        self.done += amount
        print(self.what, self.done, flush=True)
    def note(self, text):
        pass

network = small_network(7) if sys.argv[2] == "small" else vgg16_positions(64)
size = 7 if sys.argv[2] == "small" else 4_000
writer._PHASES = tuple((phase, query, rows, size) for phase, query, rows, _ in writer._PHASES)
with connect(load_settings()) as db:
    how = writer.WriteOptions(replace="replace" in sys.argv, yes=True)
    writer.write_network(db, network, sys.argv[1], how, progress=Told())
"""


def shoot(name: str, net: str, moment: str, *options: str) -> bool:
    """Start the writer and kill -9 it when it says ``moment``; False where it was done before."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, name, net, *options], cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            if line.strip() == moment:
                child.send_signal(signal.SIGKILL)
                break
    return child.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(database: Database) -> Iterator[dict[str, list[Any]]]:
    """All elements of both networks, written in peace."""
    found, keys = {}, []
    for net, network in (("small", small_network(7)), ("positions", vgg16_positions(64))):
        keys.append(write_network(database, network, f"undisturbed-{net}")["model"])
        found[net] = elements(database, keys[-1])
    yield found
    for key in keys:
        catalogue.delete(database, key)


@pytest.mark.parametrize(
    ("net", "moment"),
    [
        ("small", "Writing layers 10"),
        ("small", "Writing feature maps 14"),
        ("small", "Writing connections 30"),
        ("small", "Writing resemblances 0"),
        ("positions", "Writing positions 4000"),
        ("positions", "Writing arcs 0"),
        ("positions", "Writing arcs, tenth batch"),
    ],
)
def test_a_killed_ingest_is_finished_by_the_same_command(
    database: Database, undisturbed: dict[str, list[Any]], net: str, moment: str
) -> None:
    network: Network = small_network(7) if net == "small" else vgg16_positions(64)
    name = f"killed-{net}"
    key = f"{database.owner}/{name}"
    try:
        said = _after_ten_batches(network) if moment.endswith("tenth batch") else moment
        assert shoot(name, net, said), f"it never came to {said}"
        assert catalogue.properties(database, key)["status"] == "loading"
        with pytest.raises(ConflictError, match="not complete"):
            catalogue.require_complete(database, key)
        # The dead writer's lease is taken over at once, and nothing is there twice.
        assert write_network(database, network, name)["action"] == "resume"
        assert elements(database, key) == undisturbed[net]
    finally:
        catalogue.delete(database, key)


def test_a_killed_replacement_is_finished_by_the_same_command(
    database: Database, undisturbed: dict[str, list[Any]]
) -> None:
    name, network = "killed-replacement", small_network(7)
    key = write_network(database, small_network(8), name)["model"]
    try:
        assert shoot(name, "small", "Deleting 0", "replace")
        assert catalogue.properties(database, key)["status"] in ("deleting", "complete")
        write_network(database, network, name, WriteOptions(replace=True))
        assert elements(database, key) == undisturbed["small"]
        assert read_network(database, key).details == network.details
    finally:
        catalogue.delete(database, key)


def _after_ten_batches(network: Network) -> str:
    """What the writer says then: a batch ends where a source ends."""
    sizes = arc_rows(network, "").sizes
    assert sizes is not None
    done = 0
    ends = sizes.cumsum()
    for _ in range(10):
        done = int(ends[ends <= done + 4_000][-1])
    return f"Writing arcs {done}"
