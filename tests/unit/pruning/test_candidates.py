"""What may go, in which order."""

from __future__ import annotations

import pytest

from cnngraph.network.graph import follow
from cnngraph.plan import LayerScore, Plan
from cnngraph.pruning.candidates import candidates
from tests.toynets import toy, toy_shape


@pytest.fixture(scope="module")
def ranked() -> Plan:
    """Theta grows from the input to the output."""
    convs = follow(toy("residual"), toy_shape("residual")).convs
    return Plan(layers=tuple(LayerScore(layer=conv.layer, theta=i / 10, value=1.0) for i, conv in enumerate(convs)))


def test_blocks_stand_for_layers_that_cannot_go_alone(ranked: Plan) -> None:
    graph = follow(toy("residual"), toy_shape("residual"))
    order = candidates(graph, ranked, {"layer1.0.conv1": "glued"})
    (block,) = (removal for removal in order if removal.kind == "block")
    theta = {row.layer: row.theta for row in ranked.layers}
    assert (block.layer, block.score) == ("layer1.0", max(theta["layer1.0.conv1"], theta["layer1.0.conv2"]))
    assert "layer1.0.conv1" not in [removal.layer for removal in order]
    assert [removal.score for removal in order] == sorted(removal.score or 0 for removal in order)


def test_each_says_its_place(ranked: Plan) -> None:
    graph = follow(toy("residual"), toy_shape("residual"))
    order = candidates(graph, ranked, {})
    assert [removal.layer for removal in order] == [row.layer for row in ranked.layers]
    assert order[1].reason == f"Theta 0.1: number 2 of {len(order)} from the lowest."
    assert order[1].threshold == 0.15


def test_a_block_stands_by_its_own_score_where_it_has_one(ranked: Plan) -> None:
    graph = follow(toy("residual"), toy_shape("residual"))
    first, *_ = candidates(graph, ranked, {"layer1.0.conv1": "glued"}, {"layer1.0": -1.0})
    assert (first.layer, first.kind, first.score) == ("layer1.0", "block", -1.0)
    assert "the highest of its layers" not in first.reason
