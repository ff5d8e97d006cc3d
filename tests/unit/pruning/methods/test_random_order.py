"""The null: a seed decides the order, what cannot go together is passed over, bounds and layers to keep hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnngraph import save
from cnngraph.errors import LimitError, NotFoundError, OptionError, PlanError
from cnngraph.jobs.plan import plan_saved
from cnngraph.jobs.session import Session
from cnngraph.models.registry import build
from cnngraph.network.graph import follow
from cnngraph.plan import Plan
from cnngraph.pruning.choice import choose
from cnngraph.settings import Settings
from cnngraph.sources.saved import SavedSource, open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.apply import cut
from cnngraph.surgery.check import removable
from cnngraph.surgery.saved import load

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SavedSource:
    folder = tmp_path_factory.mktemp("random") / "net"
    save(build("cnngraph:resnet20", classes=3, width=0.125, seed=0), folder, input_shape=SHAPE)
    return open_source(str(folder))


def planned(source: SavedSource, **said: Any) -> Plan:
    home = source.folder.parent
    session = Session(Settings(None, "neo4j", None, None, "ada", home, home))
    return plan_saved(session, source, choose({"method": "random"} | said), OtherData())


def test_a_seed_decides_and_another_decides_otherwise(source: SavedSource) -> None:
    plans = [planned(source, remove=3, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert plans[0] == plans[1]
    assert len({tuple(plan.removed) for plan in plans}) > 2
    assert {len(plan.removed) for plan in plans} == {3}
    assert (plans[0].method, plans[0].settings) == ("random", {"of": "layers", "seed": 0})
    assert plans[0].removes[0].reason.endswith("in the random order of seed 0.")


def test_more_takes_what_less_takes(source: SavedSource) -> None:
    few, more = (set(planned(source, remove=count, seed=4).removed) for count in (2, 5))
    assert few < more


def test_blocks_go_together(source: SavedSource) -> None:
    made = planned(source, of="blocks", remove=4)
    assert {removal.kind for removal in made.removes} == {"block"}
    assert cut(load(source.folder), made, input_shape=SHAPE)


def test_a_share_of_the_layers_is_not_exceeded(source: SavedSource) -> None:
    graph = follow(load(source.folder), SHAPE)
    able = [layer for layer, reason in removable(graph).items() if reason is None]
    assert len(planned(source, ratio=0.3).removed) == int(0.3 * len(able))
    assert len(planned(source, ratio=0.9, remove=2).removed) == 2


def test_filters_go_at_random_too(source: SavedSource) -> None:
    plans = [planned(source, of="filters", ratio=0.5, seed=seed) for seed in (0, 1)]
    assert plans[0].method == "random"
    assert plans[0].filters.keys() == plans[1].filters.keys()
    assert plans[0].filters != plans[1].filters
    with pytest.raises(OptionError, match="remove=3 counts layers or blocks"):
        planned(source, of="filters", remove=3)


@pytest.mark.parametrize("of", ["layers", "blocks", "filters"])
def test_a_target_is_reached_in_that_order(source: SavedSource, of: str) -> None:
    made = planned(source, of=of, target_macs=0.6)
    net = load(source.folder)
    macs = [sum(layer.macs for layer in follow(one, SHAPE).layers) for one in (net, cut(net, made, input_shape=SHAPE))]
    assert made.settings["target"]["reached"] == pytest.approx(macs[1] / macs[0])
    assert made.settings["target"]["landed"] or of == "filters"  # of two or four filters a share is coarse


def test_layers_to_keep_stay(source: SavedSource) -> None:
    everything = planned(source, target_macs=0.4, seed=1)
    kept = everything.removed[0]
    assert kept not in planned(source, target_macs=0.4, seed=1, keep=[kept]).removed
    filters = planned(source, of="filters", ratio=0.5, keep=["layer1.0.conv1"])
    assert "layer1.0.conv1" not in filters.filters
    assert "layer1.1.conv1" in filters.filters
    with pytest.raises(NotFoundError, match=r"no layer 'layer1\.0\.conv' to keep"):
        planned(source, remove=1, keep=["layer1.0.conv"])


def test_more_than_can_go_is_refused(source: SavedSource) -> None:
    with pytest.raises(PlanError, match=r"Only \d+ blocks can go together in the order of seed 0, not 99"):
        planned(source, of="blocks", remove=99)


def test_a_bound_that_stands_against_a_target_is_named(source: SavedSource) -> None:
    with pytest.raises(LimitError, match=r"^target_macs=0\.4 cannot be reached within remove=1: ") as refused:
        planned(source, target_macs=0.4, remove=1)
    assert "Nothing was changed" in refused.value.hint


def test_what_only_the_graph_can_say_is_refused_without_one(tmp_path: Path, source: SavedSource) -> None:
    session = Session(Settings(None, "neo4j", None, None, "ada", tmp_path, tmp_path))
    with pytest.raises(OptionError, match="method=multilayer is decided by the graph") as refused:
        plan_saved(session, source, choose({"remove": 1}), OtherData())
    assert "the methods filters, random, car, progressive and imp" in refused.value.hint
    with pytest.raises(OptionError, match="score=strength is decided by the graph"):
        plan_saved(session, source, choose({"ratio": 0.3, "score": "strength"}), OtherData())
