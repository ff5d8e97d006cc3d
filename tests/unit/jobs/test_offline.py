"""A prune where no database is: what is read from a folder, and what the bundle says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cnngraph import save
from cnngraph.errors import ConflictError, ModelError, NotFoundError, PlanError, SpecError
from cnngraph.jobs import pruned_bundle
from cnngraph.jobs.ingest import from_bundle, prepare, write_bundle
from cnngraph.jobs.offline import prune_to_bundle, require_new
from cnngraph.jobs.plan import plan_saved
from cnngraph.jobs.prune import PlannedPrune
from cnngraph.jobs.prune_job import PruneJob, TrainingChoice
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder, Workspace
from cnngraph.network.trace import weights_sha256
from cnngraph.network.trace_options import TraceOptions
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.choice import Choice
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import ModelChoice
from cnngraph.sources.saved import SavedSource, open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.saved import load
from cnngraph.surgery.verify import Verification

DATA = DataChoice(name="digits", images_per_class=6)
PLAN = Plan(model="me/net", removes=(Removal(layer="features.8"),))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, mapped by positions only, with its saved model in ``model/``."""
    folder = tmp_path_factory.mktemp("offline") / "bundle"
    choice = ModelChoice(name="cnngraph:vgg11", width=0.125)
    write_bundle(prepare(choice, DATA, TraceOptions(view="positions", correlations=False)), folder)
    return folder


def test_what_was_prepared_is_gone_with_it() -> None:
    prepared = prepare(
        ModelChoice(name="cnngraph:lenet5", width=0.5), DATA, TraceOptions(view="positions", correlations=False)
    )
    folder = prepared.model.parent
    assert load(prepared.model)
    del prepared
    assert not folder.exists()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof has tests of its own."""
    sound = Verification(None, True, True, True, (), (), 0.0)
    monkeypatch.setattr("cnngraph.surgery.verify.verify", lambda *_, **__: sound)


def session(tmp_path: Path) -> Session:
    return Session(Settings(None, "neo4j", None, None, "ada", tmp_path, tmp_path))


def run(source: SavedSource, plan: Plan, to: Path, *, dry_run: bool = False) -> dict[str, Any]:
    job = PruneJob(source.typed, Choice(device="cpu"), TrainingChoice(retrain=False, control=False), dry_run=dry_run)
    return prune_to_bundle(session(to.parent), source, job, PlannedPrune(plan), to)[1]


def test_a_bundle_is_pruned_to_a_bundle_that_is_mapped_alike(bundle: Path, tmp_path: Path, quick: None) -> None:
    source = open_source(str(bundle))
    dry = run(source, PLAN, tmp_path / "slim", dry_run=True)
    assert dry["would_write"]["nodes"] > 0
    assert not (tmp_path / "slim").exists()
    result = run(source, PLAN, tmp_path / "slim")
    assert result["removed"] == ["features.8"]
    prepared = from_bundle(str(tmp_path / "slim"))
    assert prepared.network.details.view == "positions"
    assert prepared.network.details.inputs["data"]["images_per_class"] == 6
    card = pruned_bundle.read_card(tmp_path / "slim", prepared)
    assert (card.plan.model, card.control) == ("me/net", None)
    assert card.parent_sha256 == weights_sha256(load(bundle / "model"))
    assert card.sha256 == weights_sha256(load(tmp_path / "slim" / "model")) != card.parent_sha256
    assert card.after["parameters"] == result["after"]["parameters"]
    assert {"module": "features.8", "kind": "replace", "reason": "the plan removes it", "removed": ["features.8"]} in (
        card.edits
    )
    assert "edits" not in json.loads((tmp_path / "slim" / "pruning.json").read_text())  # as earlier versions read it
    (tmp_path / "slim" / "edits.json").write_text('{"edits": [{"module": 3}]}')
    with pytest.raises(SpecError, match=r"edits.json is damaged"):
        pruned_bundle.read_card(tmp_path / "slim", prepared)
    (tmp_path / "slim" / "edits.json").unlink()  # a bundle of an earlier version
    assert pruned_bundle.read_card(tmp_path / "slim", prepared).edits == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slim", "work"]
    assert list((tmp_path / "work").iterdir()) == []
    with pytest.raises(ConflictError, match="slim exists"):
        require_new(tmp_path / "slim")


def test_the_second_of_two_identical_prunes_is_told(bundle: Path, tmp_path: Path, monkeypatch: Any) -> None:
    source = open_source(str(bundle))
    monkeypatch.setattr(Workspace, "job", lambda *_: JobFolder(tmp_path / "job"))
    with JobFolder(tmp_path / "job").locked(), pytest.raises(ConflictError, match="The same job is running now"):
        run(source, PLAN, tmp_path / "slim")


def test_a_saved_model_alone_takes_the_data_that_it_names(bundle: Path, tmp_path: Path) -> None:
    source = open_source(str(bundle / "model"))
    assert source.data(OtherData()) == DataChoice(name="digits")
    assert source.data(OtherData("mnist", "/data")) == DataChoice(name="mnist", root="/data")
    assert source.mapping == TraceOptions()
    save(load(bundle / "model"), tmp_path / "nameless", input_shape=(3, 32, 32))
    with pytest.raises(ModelError, match="It is not known which data"):
        open_source(str(tmp_path / "nameless")).data(OtherData())


def test_what_is_no_model_or_no_plan(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no saved model"):
        open_source(str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="is no saved model and no bundle"):
        open_source(str(tmp_path))
    bare = shutil.copytree(bundle, tmp_path / "bare", ignore=shutil.ignore_patterns("model"))
    with pytest.raises(ModelError, match="no bundle with one"):
        open_source(str(bare))
    source = open_source(str(bundle))
    with pytest.raises(NotFoundError, match=r"features\.88"):
        plan_saved(session(tmp_path), source, Choice(layers=("features.88",)), OtherData())
    named = plan_saved(session(tmp_path), source, Choice(layers=("features.8",), init="inherit"), OtherData())
    assert (named.architecture, named.init, named.model) == ("cnngraph:vgg11", "inherit", "")
    with pytest.raises(PlanError, match="removes nothing"):
        run(source, Plan(), tmp_path / "slim")
