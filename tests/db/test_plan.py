"""The whole way of the decision: import, Neo4j, measure, plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.lineage import read_pruning_run, store_pruning_run
from cnngraph.database.writer import write_network
from cnngraph.errors import PlanError, UsageError
from cnngraph.measures.registry import MEASURES
from cnngraph.network.cnn2multilayer import read_gexf
from cnngraph.pruning.multilayer import Extent, Ranking, plan, plan_network
from tests.synthetic import small_network
from tests.unit.pruning.test_multilayer import GOLDEN, additions

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
def authors(database: Database, shared: Path) -> Iterator[str]:
    folder = shared / "golden" / "cnn2multilayer-cifar10"
    network = read_gexf(folder / "graph.gexf.gz", [folder / f"class_{k}.csv" for k in range(10)])
    key = write_network(database, network, "golden-plan")["model"]
    yield key
    catalogue.delete(database, key)


@pytest.fixture(scope="module")
def small(database: Database) -> Iterator[str]:
    key = write_network(database, small_network(4), "small-plan")["model"]
    yield key
    catalogue.delete(database, key)


@pytest.mark.parametrize("measure", ["degree", "entropy"])
def test_the_golden_schedule_comes_out_of_the_database(database: Database, authors: str, measure: str) -> None:
    reference, thetas, schedule = GOLDEN[measure]
    found = plan(database, authors, ranking=Ranking(measure=measure))
    assert found.reference == pytest.approx(reference, abs=5e-7)
    if thetas:
        assert [row.theta for row in found.layers] == pytest.approx(list(thetas), abs=5e-5)
    assert additions(found) == schedule
    assert found.correlations["depth"] == pytest.approx(0.97, abs=0.01)
    assert found.correlations["activation"] > 0.9  # type: ignore[operator]


def test_a_negative_reference_is_refused_by_its_value(database: Database, authors: str) -> None:
    with pytest.raises(PlanError, match=r"-37\.8195.*--reference mean\|median-positive"):
        plan(database, authors, ranking=Ranking(aggregate="median"))


@pytest.mark.parametrize("measure", sorted(name for name in MEASURES if not MEASURES[name].of_net))
def test_a_plan_by_every_measure_equals_that_without_a_database(database: Database, small: str, measure: str) -> None:
    stored = plan(
        database, small, ranking=Ranking(measure=measure, reference="median-positive"), extent=Extent(remove=1)
    )
    assert len(stored.removes) == 1
    if measure == "leiden":  # there the communities differ
        return
    local = plan_network(
        small_network(4), ranking=Ranking(measure=measure, reference="median-positive"), extent=Extent(remove=1)
    )
    assert stored.removed == local.removed
    assert [row.theta for row in stored.layers] == pytest.approx([row.theta for row in local.layers], rel=1e-6)
    assert stored.correlations == pytest.approx(local.correlations)


def test_a_plan_measures_once(database: Database, small: str) -> None:
    first = plan(database, small, ranking=Ranking(measure="single"))
    database.write("MATCH (p:Position {model: $key}) SET p.single = -1", key=small)
    assert plan(database, small, ranking=Ranking(measure="single")) == first
    (row,) = database.read("MATCH (p:Position {model: $key}) RETURN max(p.single) AS largest", key=small)
    assert row["largest"] == -1  # the stored run was used, nothing was computed again


def test_a_plan_can_be_stored_and_read(database: Database, small: str) -> None:
    made = plan(database, small, extent=Extent(threshold=2.0))
    assert made.architecture
    run = store_pruning_run(database, made)
    assert read_pruning_run(database, run) == made.model_copy(update={"run": run})


def test_as_many_as_all_convs_is_wrong_usage(database: Database, small: str) -> None:
    with pytest.raises(UsageError, match="would leave no convolution"):
        plan(database, small, extent=Extent(remove=3))
    with pytest.raises(UsageError, match="threshold"):
        plan(database, small, extent=Extent(threshold=float("nan")))
    with pytest.raises(UsageError, match="reference"):
        plan(database, small, ranking=Ranking(reference="max"))
