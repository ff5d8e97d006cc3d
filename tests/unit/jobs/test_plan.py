"""What a person names, and a plan in a few words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
import torch

from cnngraph import save
from cnngraph.database.connection import Database
from cnngraph.errors import NotFoundError, PlanError, UsageError, for_command
from cnngraph.jobs.plan import Opened, plan_stored
from cnngraph.jobs.plan_by_hand import open_plan, plan_removing
from cnngraph.jobs.session import Session
from cnngraph.models.registry import build
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.choice import choose
from cnngraph.pruning.multilayer import Ranking
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.saved import SavedSource
from cnngraph.sources.stored import OtherData, StoredModel


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow MobileNetV2, saved."""
    folder = tmp_path_factory.mktemp("decide") / "mobile"
    torch.manual_seed(0)
    save(build("cnngraph:mobilenet_v2", classes=3, width=0.25), folder)
    return folder


def test_a_plan_that_prunes_weights_is_refused_with_what_to_do_instead() -> None:
    made = Plan(
        method="imp",
        removes=(Removal(layer="fc", kind="weights", mask="0" * 64, alive=3),),
        settings={"rounds": 2, "rate": 0.5, "rewind": "lr", "mask": "magnitude", "one_shot": True, "structured": False},
    )
    with pytest.raises(PlanError, match="its masks are not here") as refused:
        open_plan(made)
    _, told = for_command(refused.value)
    assert told.endswith(": --method imp --rounds 2 --rate 0.5 --rewind lr --mask magnitude --one-shot")


def test_a_layer_brings_its_unit_along_and_says_why(mobile: Path) -> None:
    made = plan_removing(mobile, ("features.2.conv.2",), ())
    assert made.removes[0] == Removal(layer="features.2.conv.2", reason="named by hand")
    assert made.removed[1:] == ["features.2.conv.0.0", "features.2.conv.1.0"]
    assert {one.reason for one in made.removes[1:]} == {
        "goes with features.2.conv.2: half of what they do together makes no sense"
    }
    assert plan_removing(mobile, tuple(made.removed), ()).removed == made.removed
    assert {one.reason for one in plan_removing(mobile, tuple(made.removed), ()).removes} == {"named by hand"}


def test_a_layer_that_is_not_there_has_its_nearest_named(mobile: Path) -> None:
    with pytest.raises(NotFoundError) as refused:
        plan_removing(mobile, ("features.2.conv.9",), ())
    assert "features.2.conv" in refused.value.hint


def test_a_plan_in_words() -> None:
    assert Plan().in_words == "nothing"
    one = Removal(layer="a", kind="filters", filters=(1,))
    assert Plan(removes=(one,)).in_words == "1 filter of 1 layer"
    more = Removal(layer="b", kind="filters", filters=(0, 2))
    assert Plan(removes=(one, more, Removal(layer="c"))).in_words == "c, 3 filters of 2 layers"


def test_a_ranking_of_the_net_on_its_own_data_refuses_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = json.dumps({"data": {"name": "digits", "root": "/here"}})
    model = StoredModel("ada/m", {"key": "ada/m", "architecture": "a", "inputShape": [1, 8, 8], "inputs": inputs})
    monkeypatch.setattr("cnngraph.jobs.plan.stored", lambda db, name: model)
    ranked: list[str] = []

    def rank(_: object, __: object, ranking: Ranking, *___: object) -> Plan:
        ranked.append(ranking.measure)
        return Plan()

    monkeypatch.setattr("cnngraph.pruning.multilayer.plan", rank)
    settings = Settings(None, "neo4j", None, None, "ada", tmp_path, tmp_path)

    def plan(measure: str, data: OtherData) -> None:
        session = Session(settings, connected=cast(Database, object()))
        plan_stored(session, "m", choose({"measure": measure}), data)

    for other in (OtherData("mnist"), OtherData(root="/there")):
        with pytest.raises(UsageError, match="join reads the data that ada/m was ingested with"):
            plan("join", other)
    for same in (OtherData(), OtherData("digits"), OtherData("digits", "/here")):
        plan("join", same)
    plan("degree", OtherData("mnist"))
    assert ranked == ["join", "join", "join", "degree"]


def test_a_decision_opens_model_and_images_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that read images, and each beginning of a search, have the same ones."""
    save(build("cnngraph:lenet5", classes=10, in_channels=1, width=0.25, size=32), tmp_path / "net")
    opened: list[str] = []

    def count(choice: ModelChoice, data: DataChoice) -> LoadedModel:
        opened.append(choice.name)
        return open_model(choice, data)

    monkeypatch.setattr("cnngraph.jobs.plan.open_model", count)
    source = SavedSource("net", tmp_path / "net", {"data": {"name": "digits", "images_per_class": 2}})
    found = Opened(source, OtherData())
    assert found.model is found.model
    assert found.images(seed=0).classes == 10
    assert opened == [str(tmp_path / "net")]
