"""One plan carried out several times, and a prune that goes on: names and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cnngraph as cg
from cnngraph.database import catalogue, queries
from cnngraph.database.connection import Database
from cnngraph.database.writer import write_network
from cnngraph.errors import ConflictError
from cnngraph.jobs import execute
from cnngraph.jobs import ingest as ingesting
from cnngraph.jobs.report import pruning_of
from tests.synthetic import small_network

pytestmark = pytest.mark.db

FIGURES = ("accuracy", "precision", "recall", "kappa", "parameters", "macs", "epoch_seconds", "latency_ms")


@pytest.fixture(scope="module")
def graph(command: Callable[..., Any], server: Any) -> Iterator[cg.Graph]:
    """A small net, stored as ``again``."""
    done = command(
        *("ingest", "cnngraph:vgg11", "--width", 0.125, "--data", "digits", "--images-per-class", 8),
        *("--view", "channels", "--name", "again"),
    )
    assert done.code == 0, done.err
    with cg.connect() as opened:
        yield opened


def named(db: Database, start: str) -> set[str]:
    return {row["name"] for row in catalogue.list_models(db) if row["name"].startswith(start)}


def test_each_child_keeps_its_own_figures(graph: cg.Graph, database: Database, tmp_path: Path) -> None:
    """The same plan for one epoch and for two, and with data of another place: one PruningRun, figures for each."""
    how: dict[str, dict[str, Any]] = {
        "one": {"epochs": 1},
        "two": {"epochs": 2},
        "other": {"retrain": False, "data_root": tmp_path},
    }
    made = {
        name: graph.prune("again", as_name=f"again-{name}", remove_layers=["features.3"], **more)
        for name, more in how.items()
    }
    assert len({result["run"] for result in made.values()}) == 1
    for name, result in made.items():
        key = f"tester/again-{name}"
        _, told = pruning_of(database, key)
        kinds = [which for which in ("control", "before", "after") if result[which] is not None]
        for which in kinds:
            assert {figure: told[which].get(figure) for figure in FIGURES} == {
                figure: result[which][figure] for figure in FIGURES
            }, (name, which)
        rows = queries.run_query(database, "before-after", key, {})
        assert [row["which"] for row in rows] == kinds
        assert [row["latency_ms"] for row in rows] == [result[which]["latency_ms"] for which in kinds]
        assert [row["epoch_seconds"] for row in rows] == [result[which]["epoch_seconds"] for which in kinds]
    rows = queries.run_query(database, "before-after", "tester/again", {})
    assert sorted(row["pruned"][-3:] for row in rows) == [*["her"] * 2, *["one"] * 3, *["two"] * 3]


def test_an_interrupted_prune_finds_what_it_stored(
    graph: cg.Graph, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prune(**options: Any) -> str:
        return str(graph.prune("again", remove_layers=["features.8"], retrain=False, **options)["new_model"])

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for options, name in (({}, "again-pruned"), ({"as_name": "again-typed"}, "again-typed")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(execute, "record", killed)
            prune(**options)
        assert graph.lineage(name)["ancestors"] == []
        assert prune(**options) == f"tester/{name}"
        assert len(graph.lineage(name)["ancestors"]) == 1
    assert prune() == "tester/again-pruned"  # once more: it is there
    assert named(database, "again-pruned") == {"again-pruned"}


def test_a_name_that_is_taken_meanwhile_is_not_taken_again(
    graph: cg.Graph, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prune(**options: Any) -> str:
        return str(graph.prune("again", remove_layers=["features.11"], retrain=False, **options)["new_model"])

    def overtaken(*arguments: Any, **_: Any) -> None:
        """Somebody else stores another net under the name, and this prune fails."""
        write_network(database, small_network(0), arguments[2])
        raise ConflictError("The name is there with other inputs.")

    free = graph.prune("again", remove_layers=["features.11"], retrain=False, dry_run=True)["new_model"]
    for options, name in (({}, free.split("/")[1]), ({"as_name": "again-mine"}, "again-mine")):
        with monkeypatch.context() as patch, pytest.raises(ConflictError):
            patch.setattr(ingesting, "store", overtaken)
            prune(**options)
        assert named(database, name) == {name}
    with pytest.raises(ConflictError, match="There is a model again-mine already") as refused:
        prune(as_name="again-mine")
    assert "cnngraph delete again-mine" in refused.value.hint
    assert "--replace" not in refused.value.hint
    made = prune()
    assert made not in (free, "tester/again-mine")
    assert catalogue.properties(database, made)["status"] == "complete"


def test_the_same_cut_for_other_reasons_is_another_model(graph: cg.Graph) -> None:
    """Its recipe says why, so the writer would not take it for the same."""
    plan = graph.plan("again", remove_layers=["features.16"])
    said = plan.model_copy(update={"removes": tuple(one.model_copy(update={"reason": "else"}) for one in plan.removes)})
    names = [graph.prune("again", one, retrain=False)["new_model"] for one in (plan, said, plan)]
    assert names[0] == names[2] != names[1]
