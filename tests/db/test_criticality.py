"""``criticality``: what each block is worth, stored as it is found; killed, out of time, and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnngraph import connect
from cnngraph.database.criticality import read_criticality
from cnngraph.errors import ConflictError, NotFoundError, PlanError
from cnngraph.jobs import criticality as job

pytestmark = pytest.mark.db
Run = Callable[..., Any]

HOW: dict[str, Any] = {"blocks": ["layer3.1", "layer3.2"], "epochs": 1, "device": "cpu"}
NODES = (
    "MATCH (c:Criticality)-[:OF]->(place {model: $key}) RETURN c {.*} AS node, labels(place) AS labels, place.name AS "
)
NODES += "place, place.layer AS layer ORDER BY c.block, c.scheme, c.seed"


@pytest.fixture(scope="module")
def model(command: Run, server: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small residual net, trained a little."""
    folder = tmp_path_factory.mktemp("critical")
    few = ("--data", "digits", "--images-per-class", 8)
    for line in (
        ("train", "cnngraph:resnet20", "--width", 0.25, *few, "--epochs", 1, "--out", folder / "net"),
        ("ingest", folder / "net", *few, "--view", "channels", "--name", "critical"),
    ):
        done = command(*line)
        assert done.code == 0, done.err
    return "tester/critical"


@pytest.fixture(scope="module")
def found(model: str) -> dict[str, Any]:
    with connect() as graph:
        return graph.criticality("critical", **HOW, seeds=2)


def nodes(database: Any, key: str) -> list[dict[str, Any]]:
    return [dict(row) for row in database.read(NODES, key=key)]


def test_each_trial_is_in_the_graph_once(command: Run, found: dict[str, Any], database: Any) -> None:
    assert [block["block"] for block in found["blocks"]] == ["layer3.1", "layer3.2"]
    assert found["trainings"] == 4
    assert found["left"] == []
    trials = {
        (block["block"], one["scheme"], one["seed"]): one for block in found["blocks"] for one in block["schemes"]
    }
    stored = nodes(database, "tester/critical")
    assert len(stored) == len(trials) == 8
    for row in stored:
        node = row["node"]
        trial = trials[node["block"], node["scheme"], node["seed"]]
        assert (row["place"], "Block" in row["labels"]) == (node["block"], True)
        assert (node["curve"], node["accuracy"], node["kappa"]) == (trial["curve"], trial["accuracy"], trial["kappa"])
        assert node["value"] == pytest.approx(found["parent"]["accuracy"] - trial["accuracy"])
        assert node.get("epochsTo95") == trial["epochs_to_95"]
        assert len(node["curve"]) == (2 if node["scheme"] == "tuned" else 1)
    done = command("criticality", "critical", "--blocks", "layer3.1,layer3.2", "--epochs", 1, "--seeds", 2, "--json")
    assert done.code == 0, done.err
    assert done.json == found | {"seconds": done.json["seconds"]}  # nothing was trained again
    assert "8 trials of these were done before" in done.err
    assert len(nodes(database, "tester/critical")) == 8


def test_the_saved_query_shows_it_beside_the_thetas(command: Run, found: dict[str, Any]) -> None:
    assert command("measure", "critical", "-m", "depth").code == 0
    rows = command("query", "criticality", "--model", "critical", "--json").json["rows"]
    by_block = {block["block"]: block for block in found["blocks"]}
    assert {row["block"] for row in rows} == by_block.keys()
    for row in rows:
        block = by_block[row["block"]]
        assert row["criticality"] == pytest.approx(block["criticality"])
        assert (row["epochs_to_95"], row["trials"], row["measure"]) == (block["epochs_to_95"], 2, "depth")
    thetas = {row["block"]: row["theta"] for row in rows}
    assert thetas["layer3.2"] < thetas["layer3.1"]  # the mean over its two convs: the deeper, the lower


def test_the_report_shows_it(command: Run, found: dict[str, Any], tmp_path: Path) -> None:
    with connect() as graph:
        more = graph.triage(
            "critical", **HOW | {"blocks": ["layer3.2"]}, schemes=["parent-local", "distill"], alpha=0.5
        )
    assert [one["scheme"] for one in more["blocks"][0]["schemes"]] == ["parent-local", "distill"]
    done = command("report", "critical", "--out", tmp_path / "page.html", "--json")
    assert done.code == 0, done.err
    assert done.json["colour_selective"] == []
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("filters of layer3.2.conv1, the new layer") == 2
    with connect() as graph:
        rows = read_criticality(graph.database, "tester/critical")
    mine = {(row["scheme"], row["seed"]): row for row in rows if row["block"] == "layer3.2"}
    assert (mine["distill", 0]["temperature"], mine["distill", 0]["alpha"]) == (4.0, 0.5)
    assert "alpha" not in mine["parent-local", 0]
    for row in mine.values():
        assert row["curve"][row["epochs_to_95"]] >= 0.95 * row["parent_accuracy"] if "epochs_to_95" in row else True
    soon = {one["scheme"]: one["epochs_to_95"] for one in more["blocks"][0]["schemes"]}
    assert {scheme: mine[scheme, 0].get("epochs_to_95") for scheme in soon} == soon


def test_a_dry_run_counts_and_a_kill_loses_nothing(
    found: dict[str, Any], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect() as graph:
        more = HOW | {"blocks": ["layer3.0", "layer3.2"]}
        said = graph.criticality("critical", **more, dry_run=True)
        assert (said["trainings"], said["would_write"], said["dry_run"]) == (1, {"criticalities": 4, "blocks": 0}, True)
        run = job.run_trial  # type: ignore[attr-defined]

        def kill(setup: Any, trial: Any) -> dict[str, Any]:
            if trial.scheme.name == "tuned":
                raise KeyboardInterrupt
            return run(setup, trial)

        monkeypatch.setattr(job, "run_trial", kill)
        with pytest.raises(KeyboardInterrupt):
            graph.criticality("critical", **more)
        mine = [row["node"]["scheme"] for row in nodes(database, "tester/critical") if row["place"] == "layer3.0"]
        assert mine == ["join"]
        monkeypatch.setattr(job, "run_trial", run)
        assert graph.criticality("critical", **more)["left"] == []
        assert len([row for row in nodes(database, "tester/critical") if row["place"] == "layer3.0"]) == 2


def test_out_of_time_says_what_is_missing(found: dict[str, Any]) -> None:
    with connect() as graph:
        part = graph.criticality("critical", **HOW | {"blocks": ["layer3.2", "layer2.2"]}, minutes=1e-3)
        assert [one["block"] for one in part["left"]] == ["layer2.2", "layer2.2"]
        with pytest.raises(PlanError, match=r"layer2\.2 join, seed 0 and 1 trial more: nothing was tried"):
            graph.criticality("critical", **HOW | {"blocks": ["layer2.2"]}, minutes=1e-3)


def test_a_model_that_was_stored_before_there_were_blocks(command: Run, model: str, database: Any) -> None:
    few = ("--data", "digits", "--images-per-class", 8)
    artifact = command("show", "critical", "--json").json["artifact"]
    assert command("ingest", artifact, *few, "--view", "channels", "--name", "critical-old").code == 0
    key, one = "tester/critical-old", {"schemes": ["join"], "blocks": ["layer3.2"]}
    database.write("MATCH (b:Block {model: $key}) DETACH DELETE b", key=key)
    with connect() as graph:
        assert graph.criticality("critical-old", **one, dry_run=True)["would_write"] == {
            "criticalities": 1,
            "blocks": 9,
        }
        graph.criticality("critical-old", **one)
        assert graph.criticality("critical-old", **one, dry_run=True)["would_write"]["blocks"] == 0
    (row,) = nodes(database, key)
    assert ("Block" in row["labels"], row["place"]) == (True, "layer3.2")
    database.write("MATCH (b:Block {model: $key, name: 'layer3.2'}) DETACH DELETE b", key=key)
    done = command("criticality", "critical-old", "--blocks", "layer3.2", "--schemes", "join")
    assert done.code == 0, done.err
    assert f"{key} has no Block node for layer3.2" in done.err
    (row,) = nodes(database, key)
    assert (row["labels"][0], row["layer"]) == ("Layer", "layer3.2.relu2")
    assert command("query", "criticality", "--model", "critical-old", "--json").json["rows"][0]["theta"] is None
    assert command("delete", "critical-old", "--yes", "--json").json["criticalities"] == 1
    assert nodes(database, key) == []


def test_what_cannot_be_tried(command: Run, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = command("criticality", "critical", "--blocks", "layer9.1")
    assert (done.code, "Did you mean layer" in done.err) == (3, True)
    assert command("criticality", "absent").code == 3
    with connect() as graph:
        with pytest.raises(NotFoundError, match="no block 'conv1'"):
            graph.criticality("critical", blocks=["conv1"])
        monkeypatch.setattr(job, "store_criticality", lambda *_: raise_conflict())
        with pytest.raises(ConflictError):
            graph.criticality("critical", **HOW)


def raise_conflict() -> None:
    raise ConflictError("replaced")
