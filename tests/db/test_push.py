"""A model from one server into another: all of it, once, and again after a break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database import catalogue
from cnngraph.database.comparisons import SimilarLayers, StoredComparison, store_comparison
from cnngraph.database.connection import Database
from cnngraph.database.criticality import CriticalityRecord, store_criticality
from cnngraph.database.lineage import store_evaluation, store_produced, store_pruning_run, store_steps
from cnngraph.database.records import Evaluation, StepTaken
from cnngraph.database.reviews import Choice, append, bind
from cnngraph.database.writer import write_network
from cnngraph.jobs.push import PushOptions, pull, push
from cnngraph.jobs.session import Session
from cnngraph.measures.registry import measure
from cnngraph.plan import Plan, Removal
from cnngraph.settings import load_settings
from tests.synthetic import small_network, with_car
from tests.two_servers import Address, everything, open_as, second_server, write_profile

pytestmark = pytest.mark.db

EDIT = {"module": "mul", "kind": "removed", "reason": "chosen", "removed": []}


@dataclass(frozen=True)
class Sides:
    """Ada's database and the team's, and how she pushes; ``home`` has the profiles ``team`` and ``mine``."""

    mine: Database
    team: Database
    home: Path

    def push(self, name: str, **how: Any) -> dict[str, Any]:
        return push(Session(load_settings(), connected=self.mine), name, "team", PushOptions(**how))

    def pull(self, name: str, **how: Any) -> dict[str, Any]:
        return pull(Session(load_settings(), connected=self.mine), name, "team", PushOptions(**how))


@pytest.fixture(scope="module")
def sides(database: Database, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    home = tmp_path_factory.mktemp("ada")
    with second_server(tmp_path_factory.mktemp("team")) as team, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNGRAPH_HOME", str(home))
        patch.setenv("CNNGRAPH_OWNER", "ada")
        write_profile(home, "team", team)
        mine = replace(database, owner="ada")
        with open_as(team, "ada", home) as other:
            write_profile(home, "mine", Address(database.uri, "neo4j", _password(server)))
            yield Sides(mine, other, home)


def _password(server: Any) -> str:
    import os

    return str(server.password) if server is not None else os.environ["NEO4J_TEST_PASSWORD"]


@pytest.fixture
def clean(sides: Sides) -> Iterator[Callable[[], None]]:
    """What a test has left of ada's and bob's goes, on both servers."""

    def remove() -> None:
        for db in (sides.mine, sides.team):
            for key in [row["key"] for row in db.read("MATCH (m:Model) RETURN m.key AS key")]:
                if key.startswith(("ada/", "Ada/", "bob/")):
                    catalogue.delete(replace(db, owner=key.partition("/")[0]), key, yes=True)

    yield remove
    remove()


def everything_of_a_kind(db: Database, name: str = "net", seed: int = 1) -> tuple[str, str]:
    """A net with a run of each kind, and one that was pruned from it; their keys."""
    whole = with_car(small_network(seed, kernels=True), ["conv1", "block.conv3"], unjudged=[1])
    parent = write_network(db, whole, name, sha256="aa")["model"]
    child = write_network(db, small_network(seed + 10), f"{name}-short", sha256="bb")["model"]
    for word in ("depth", "degree"):
        measure(db, parent, word, engine="local") if word == "degree" else measure(db, parent, word)
    run = store_pruning_run(
        db,
        Plan(model=parent, removes=(Removal(layer="mul"), Removal(layer="conv1", kind="filters", filters=(1, 2)))),
    )
    store_produced(db, run, child, parent, {"conv1": "conv1", "relu": "relu"}, [EDIT])
    store_steps(db, run, child, [StepTaken(1, "conv1", 2, 9, 1, 0.5, 0.4, 1.5)])
    store_evaluation(db, parent, Evaluation.of({"accuracy": 0.75}))
    store_evaluation(db, child, Evaluation.of({"accuracy": 0.5}, run=run, child=child))
    append(db, bind(db, parent), [Choice("1", "conv1", 0, "drop", "ann"), Choice("2", "conv1", 0, "keep", "ben")])
    layers = (SimilarLayers("conv1", "conv1", 0.75, 0.25, "unbiased", 64, 8, "name"),)
    store_comparison(db, StoredComparison(parent, child, "cka", {"x": 1}, {"images": 8}, layers, ("aa", "bb")))
    record = CriticalityRecord(
        *("block", "block.conv3", "join", 0, None, None, 0.25, 0.5, 0.4, 0.75, (0.1, 0.5), 1, 10, 20, 1.5, "{}", "/x")
    )
    store_criticality(db, parent, "aa", record)
    return parent, child


def test_all_of_a_model_and_its_lineage_is_there_element_for_element(sides: Sides, clean: Any) -> None:
    parent, child = everything_of_a_kind(sides.mine)
    counted = sides.push("net-short", dry_run=True)
    assert not everything(sides.team, parent, child)
    report = sides.push("net-short")
    assert [row["action"] for row in report["models"]] == ["new", "new"]
    assert everything(sides.team, parent, child) == everything(sides.mine, parent, child)
    assert {name: report[name] for name in ("nodes", "relationships")} == {
        name: counted[name] for name in ("nodes", "relationships")
    }
    again = sides.push("net-short")
    assert (again["action"], again["nodes"], again["relationships"], again["changed"]) == ("nothing", 0, 0, 0)
