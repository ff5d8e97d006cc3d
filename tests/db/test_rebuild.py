"""Net -> graph -> net: the logits of a net whose every weight comes out of Neo4j are identical to the stored net's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.errors import ConflictError, ModelError, NotFoundError, SpecError, UsageError, VerificationError
from cnngraph.jobs import ingest
from cnngraph.jobs.blocks import blocks_of
from cnngraph.jobs.rebuild import rebuild_from_graph
from cnngraph.jobs.session import Session
from cnngraph.network.trace_options import TraceOptions
from cnngraph.settings import load_settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import ModelChoice
from cnngraph.surgery import saved

pytestmark = pytest.mark.db

Run = Callable[..., Any]
DIGITS = DataChoice(name="digits", images_per_class=1)
KERNELS = TraceOptions(view="channels", connections="all", correlations=False, kernels=True)


def ingested(db: Database, model: ModelChoice, name: str, mapping: TraceOptions = KERNELS) -> str:
    prepared = ingest.prepare(model, DIGITS, mapping)
    return str(ingest.store(Session(load_settings(), connected=db), prepared, name)["model"])


@pytest.fixture(scope="module")
def resnet(database: Database) -> Iterator[str]:
    key = ingested(database, ModelChoice(name="cnngraph:resnet20", width=0.25), "rebuild-resnet")
    yield key
    catalogue.delete(database, key)


def assert_identical(result: dict[str, Any], stored: str | Path) -> None:
    assert (result["identical"], result["max_abs_diff"], result["changed"]) == (True, 0.0, [])
    mine, theirs = saved.read_saved(result["path"]), saved.read_saved(stored)
    assert result["tensors"] == len(theirs.model.state_dict())
    for name, tensor in theirs.model.state_dict().items():
        assert torch.equal(mine.model.state_dict()[name], tensor), name
    assert (mine.origin, mine.preprocessing, mine.classes, mine.trained, mine.dataset) == (
        theirs.origin,
        theirs.preprocessing,
        theirs.classes,
        theirs.trained,
        theirs.dataset,
    )


def artifact(db: Database, key: str) -> Path:
    return Path(str(catalogue.show(db, key)["artifact"]))


def test_resnet20_comes_back_identical(database: Database, resnet: str, tmp_path: Path) -> None:
    result = rebuild_from_graph(database, resnet, tmp_path / "net")
    assert_identical(result, artifact(database, resnet))
    assert result["sha256"] == saved.read_saved(artifact(database, resnet)).sha256


def test_without_the_stored_model_the_hash_of_the_weights_decides(
    database: Database, resnet: str, tmp_path: Path
) -> None:
    there = artifact(database, resnet)
    aside = there.with_name("aside")
    there.rename(aside)
    try:
        result = rebuild_from_graph(database, resnet, tmp_path / "net")
        assert (result["identical"], result["max_abs_diff"]) == (None, None)
    finally:
        aside.rename(there)
    assert_identical(rebuild_from_graph(database, resnet, tmp_path / "again"), there)


def test_a_kernel_that_somebody_changed_is_named_and_kept_on_demand(
    database: Database, resnet: str, tmp_path: Path
) -> None:
    change = (
        "MATCH (:FeatureMap {model: $key, layer: 'input', channel: 0})-[c:CONNECTS]->"
        "(:FeatureMap {model: $key, layer: 'conv1', channel: 1}) "
        "WITH c, c.kernel AS old SET c.kernel = [x IN old | x + $by] RETURN old"
    )
    (row,) = database.write(change, key=resnet, by=1.0)
    try:
        with pytest.raises(VerificationError, match=r"first conv1\.weight") as refused:
            rebuild_from_graph(database, resnet, tmp_path / "net")
        assert "--changed" in refused.value.hint and not (tmp_path / "net").exists()
        result = rebuild_from_graph(database, resnet, tmp_path / "net", changed=True)
        assert result["changed"] == ["conv1.weight"] and result["identical"] is False
        new = saved.load(tmp_path / "net").get_parameter("conv1.weight")
        old = saved.load(artifact(database, resnet)).get_parameter("conv1.weight")
        assert torch.allclose((new - old)[1, 0], torch.ones(3, 3)) and torch.equal(new[0], old[0])
    finally:
        database.write(
            "MATCH (:FeatureMap {model: $key, layer: 'input', channel: 0})-[c:CONNECTS]->"
            "(:FeatureMap {model: $key, layer: 'conv1', channel: 1}) SET c.kernel = $old",
            key=resnet,
            old=row["old"],
        )


def test_a_connection_that_is_gone_is_said(database: Database, resnet: str, tmp_path: Path) -> None:
    source, target = (
        f"({name}:FeatureMap {{model: $key, layer: '{layer}', channel: 0}})"
        for name, layer in (("s", "input"), ("t", "conv1"))
    )
    gone = f"MATCH {source}-[c:CONNECTS]->{target} WITH c, properties(c) AS old DELETE c RETURN old"
    (row,) = database.write(gone, key=resnet)
    try:
        with pytest.raises(SpecError, match=r"kernels of conv1\.weight are not all there"):
            rebuild_from_graph(database, resnet, tmp_path / "net")
    finally:
        again = f"MATCH {source}, {target} CREATE (s)-[c:CONNECTS]->(t) SET c = $old"
        database.write(again, key=resnet, old=row["old"])


def test_a_net_that_is_ingested_without_kernels_says_the_command(database: Database, tmp_path: Path) -> None:
    mapping = TraceOptions(view="channels", correlations=False)
    key = ingested(database, ModelChoice(name="cnngraph:lenet5"), "rebuild-plain", mapping)
    try:
        with pytest.raises(ModelError, match="without its weights") as refused:
            rebuild_from_graph(database, key, tmp_path / "net")
        folder = artifact(database, key)
        assert f"cnngraph ingest {folder} --data digits --name rebuild-plain --kernels" in refused.value.hint
        with pytest.raises(NotFoundError):
            rebuild_from_graph(database, "rebuild-nothing", tmp_path / "net")
        tmp_path.joinpath("there").mkdir()
        with pytest.raises(ConflictError, match="exists"):
            rebuild_from_graph(database, key, tmp_path / "there")
    finally:
        catalogue.delete(database, key)


def test_a_net_too_large_with_its_kernels_is_refused_before_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnngraph.network.sizes.LARGE_GB", 0.0001)
    with pytest.raises(UsageError, match=r"With its kernels .* connections\)") as refused:
        ingest.prepare(ModelChoice(name="cnngraph:lenet5"), DIGITS, KERNELS)
    assert "--yes" in refused.value.hint


def test_a_small_mobilenet_through_a_bundle_and_by_the_command(
    database: Database, command: Run, tmp_path: Path
) -> None:
    prepared = ingest.prepare(ModelChoice(name="cnngraph:mobilenet_v2", width=0.25), DIGITS, KERNELS)
    ingest.write_bundle(prepared, tmp_path / "bundle")
    counts = ingest.store(
        Session(load_settings(), connected=database), ingest.from_bundle(str(tmp_path / "bundle")), "rebuild-mobilenet"
    )
    try:
        assert (counts["blocks"], counts["tensors"]) == (17, len(saved.load(prepared.model).state_dict()))
        done = command("rebuild", "rebuild-mobilenet", "--from-graph", "--out", tmp_path / "net", "--json")
        assert done.code == 0, done.err
        assert_identical(done.json, prepared.model)
        shown = command("show", "rebuild-mobilenet", "--blocks", "--json").json
        assert [block["kind"] for block in shown["blocks"]].count("residual") == 10
        assert shown == blocks_of(database, "rebuild-mobilenet")
    finally:
        catalogue.delete(database, counts["model"])


def test_a_pruned_net_keeps_its_plans_and_its_kernels(
    database: Database, resnet: str, command: Run, tmp_path: Path
) -> None:
    name = resnet.partition("/")[2]
    done = command(
        "prune", name, "--remove-block", "layer1.1", "--no-retrain", "--as", "rebuild-pruned", "--json", timeout=300
    )
    assert done.code == 0, done.err
    key = f"{database.owner}/rebuild-pruned"
    try:
        rows = database.read(
            "MATCH (:Model {key: $key})<-[:PRODUCED]-(run)-[:REMOVES]->(b:Block) RETURN b.name AS block", key=key
        )
        assert [row["block"] for row in rows] == ["layer1.1"]
        result = rebuild_from_graph(database, key, tmp_path / "net")
        assert_identical(result, artifact(database, key))
        assert len(saved.read_saved(tmp_path / "net").origin.plans) == 1
    finally:
        catalogue.delete(database, key)


@pytest.mark.slow
def test_the_mobilenet_v2_of_torchvision_comes_back_identical(database: Database, tmp_path: Path) -> None:
    key = ingested(database, ModelChoice(name="torchvision:mobilenet_v2", size=32), "rebuild-torchvision")
    try:
        assert_identical(rebuild_from_graph(database, key, tmp_path / "net"), artifact(database, key))
    finally:
        catalogue.delete(database, key)


# The blocks of a model


def test_the_blocks_of_a_model_and_what_can_go(database: Database, resnet: str) -> None:
    blocks = blocks_of(database, resnet)["blocks"]
    assert [block["name"] for block in blocks] == [f"layer{s}.{n}" for s in (1, 2, 3) for n in (0, 1, 2)]
    assert {block["removable"] for block in blocks} == {None}
    assert blocks[0]["layers"][0] == "layer1.0.conv1" and blocks[0]["entry"] == "relu"


def test_blocks_of_a_model_that_was_stored_before_there_were_any(database: Database, resnet: str) -> None:
    before = blocks_of(database, resnet)
    database.write("MATCH (b:Block {model: $key}) SET b.model = 'aside'", key=resnet)
    try:
        found = blocks_of(database, resnet)["blocks"]
        assert [(b["name"], list(b["layers"])) for b in found] == [(b["name"], b["layers"]) for b in before["blocks"]]
    finally:
        database.write("MATCH (b:Block {model: 'aside'}) SET b.model = $key", key=resnet)
    there = artifact(database, resnet)
    aside = there.with_name("aside")
    there.rename(aside)
    try:
        assert blocks_of(database, resnet)["blocks"][0]["removable"].startswith("the saved model cannot say")
    finally:
        aside.rename(there)
