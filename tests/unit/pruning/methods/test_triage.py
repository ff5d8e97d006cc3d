"""Blocks are replaced by least criticality: what counts of what is stored, the order, what stays, what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnngraph import save
from cnngraph.errors import OptionError, PlanError
from cnngraph.jobs.plan import plan_saved
from cnngraph.jobs.session import Session
from cnngraph.models.registry import build
from cnngraph.pruning.choice import choose
from cnngraph.pruning.context import Context
from cnngraph.pruning.limits.cost_meter import CostMeter
from cnngraph.pruning.limits.target import Target
from cnngraph.pruning.limits.target_search import reach
from cnngraph.pruning.methods.triage import METHOD, Options, find_path
from cnngraph.pruning.path import PruningPath
from cnngraph.pruning.worth_of_blocks import rank_blocks
from cnngraph.settings import Settings
from cnngraph.sources.saved import SavedSource, open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.saved import read_saved

SHAPE = (3, 32, 32)
WORTH = {"stage1": 0.2, "stage2": 0.1, "stage3": 0.3, "stage4": 0.0, "stage5": 0.1}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SavedSource:
    folder = tmp_path_factory.mktemp("triage") / "net"
    save(build("cnngraph:vgg16", classes=3, size=32, width=0.0625, seed=0), folder, input_shape=SHAPE)
    return open_source(str(folder))


def trial(block: str, value: float, **more: Any) -> dict[str, Any]:
    return {"block": block, "scheme": "join", "seed": 0, "value": value, "seconds": 2.0} | more


def context(source: SavedSource, **more: Any) -> Context:
    saved = read_saved(source.folder)
    return Context("ada/net", "cnngraph:vgg16", lambda: saved, lambda: None, open_database=object(), **more)  # type: ignore[arg-type,return-value]


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the graph holds."""
    found = [trial(block, value) for block, value in WORTH.items()]
    monkeypatch.setattr("cnngraph.database.criticality.read_criticality", lambda *_: found)
    return found


def path(made: Context, **bounds: Any) -> PruningPath:
    return find_path(made, Options(), bounds)


def test_the_least_critical_go_first(source: SavedSource, stored: list[dict[str, Any]]) -> None:
    made = path(context(source), remove=3).whole
    assert made.replaced == ["stage4", "stage2", "stage5"]  # of equal ones the first in the net
    assert [removal.score for removal in made.removes] == [0.0, 0.1, 0.1]
    assert made.removes[0].reason == "Its criticality is 0.0000, by join."
    assert made.settings["criticality"] == {"schemes": ["join"], "trials": 5, "seconds": 10.0, "blocks": WORTH}
    assert made.notes[0] == "By the criticality of 5 blocks, from 5 trials (join)."


def test_blocks_go_until_a_target_is_reached(source: SavedSource, stored: list[dict[str, Any]]) -> None:
    how = context(source)
    meter = CostMeter(how.saved.model, SHAPE, targets=(Target("parameters", 0.7),), measure_latency=quick)
    made = reach(meter, path(how))
    assert made.replaced[0] == "stage4"
    assert made.settings["target"]["reached"] == pytest.approx(0.7, rel=0.15)


def quick(nets: Any, *_: Any, **__: Any) -> Any:
    from cnngraph.training.latency import Latency

    return Latency(dict.fromkeys(nets, 1.0), dict.fromkeys(nets, 0.0), "cpu", 1, 1, 2)


def test_what_is_to_be_kept_stays(source: SavedSource, stored: list[dict[str, Any]]) -> None:
    layer = next(block.layers[0] for block in context(source).saved.followed.blocks if block.name == "stage4")
    made = path(context(source, keep={layer: "it is to be kept"})).whole
    assert "stage4" not in made.replaced
    assert f"stage4 stays: The block stage4 cannot be replaced: {layer} is in it, and it is to be kept." in made.notes


def test_what_is_not_stored_is_found_out_or_refused(source: SavedSource, stored: list[dict[str, Any]]) -> None:
    known = list(stored)
    stored.clear()
    with pytest.raises(PlanError, match="does not know what the blocks of ada/net are worth") as refused:
        path(context(source))
    assert "cnngraph criticality net --schemes join" in refused.value.hint
    assert path(context(source, try_blocks=lambda: stored.extend(known))).levels == 5
    with pytest.raises(PlanError, match="6 blocks cannot be replaced: the graph knows what 5 that can are worth"):
        path(context(source), remove=6)


def test_a_block_is_worth_what_its_best_scheme_loses() -> None:
    trials = [
        trial("a", 0.5),
        trial("a", 0.1, scheme="tuned", seed=0),
        trial("a", 0.3, scheme="tuned", seed=1),
        trial("a", 0.0, scheme="fitted", failed="the loss became NaN"),
        trial("b", 0.15, scheme="distill", temperature=4.0, alpha=0.9),
    ]
    b, a = rank_blocks(trials)
    assert (b.block, b.criticality, b.scheme) == ("b", 0.15, "distill")
    assert (a.block, a.criticality, a.scheme, a.trials) == ("a", 0.2, "tuned", 2)
    assert "the mean of 2 trials" in a.words
    assert rank_blocks([trial("a", 0.1, failed="no")]) == []


def test_names_need_no_graph_and_no_limit(source: SavedSource, tmp_path: Path) -> None:
    session = Session(Settings(None, "neo4j", None, None, "ada", tmp_path, tmp_path))
    named = choose({"method": "triage", "replace_block": ["stage4"]}, needed=True)
    assert plan_saved(session, source, named, OtherData()).replaced == ["stage4"]
    with pytest.raises(OptionError, match="method=triage is decided by the graph"):
        plan_saved(session, source, choose({"method": "triage", "remove": 1}), OtherData())
    with pytest.raises(OptionError, match="One of these is needed: remove, "):
        choose({"method": "triage"}, needed=True)
    assert METHOD.says_all == "replace_block"
