"""Convs with a forward of their own, and code around convs that people write: each goes as any other conv does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnngraph.network.graph import follow
from cnngraph.surgery.apply import apply_with_report, cut
from cnngraph.surgery.check import removable, removable_blocks
from cnngraph.surgery.check_runs import check_runs
from cnngraph.surgery.layers.bypass import Adapter
from cnngraph.surgery.verify import train_failure
from tests.unit.surgery.nets import batches, images, plan, seeded

from .joint_nets import ByKeyword, LearnedScales, OwnForwards, image

SHAPE = (1, 9, 9)


def test_convs_with_a_forward_of_their_own_are_layers_by_their_paths() -> None:
    graph = follow(seeded(OwnForwards), SHAPE)
    assert [layer.layer for layer in graph.convs] == ["stem", "down", "wide", "gained", "head"]
    assert removable(graph) == dict.fromkeys(("stem", "down", "wide", "gained"), None) | {
        "head": "head cannot go: it gives the net's output."
    }


@pytest.mark.parametrize("layer", ["stem", "down", "wide", "gained"])
def test_what_is_left_without_one_runs_and_trains(layer: str) -> None:
    model = seeded(OwnForwards)
    slim = cut(model, plan(layer), input_shape=SHAPE)
    assert slim(images(2, *SHAPE)).shape == (2, 2)
    assert not train_failure(model, slim, SHAPE)
    assert not isinstance(slim.get_submodule(layer), type(model.get_submodule(layer)))


def test_the_stride_of_one_becomes_a_pool_and_the_map_is_as_large_as_its_own_padding_made_it() -> None:
    model = seeded(OwnForwards)
    slim = cut(model, plan("down"), input_shape=SHAPE)
    assert isinstance(slim.down, nn.AvgPool2d)
    maps = images(1, 4, 9, 9)
    assert slim.down(maps).shape == model.down(maps).shape == (1, 4, 5, 5)


def test_one_takes_another_width_unless_more_than_its_weight_follows_it() -> None:
    model = seeded(OwnForwards)
    slim = cut(model, plan("down"), input_shape=SHAPE)
    assert slim.wide.in_channels == 4
    gap = cut(model, plan("wide"), input_shape=SHAPE)  # gained keeps its gain: an adapter gives it what it had
    assert isinstance(gap.wide, Adapter)
    assert (gap.wide.in_channels, gap.wide.out_channels) == (4, 6)
    assert torch.equal(gap.gained.weight, model.gained.weight)
    stem = cut(model, plan("stem"), input_shape=SHAPE)
    assert stem.down.weight.shape == (4, 1, 3, 3)


def test_weights_that_a_forward_remakes_are_not_fitted() -> None:
    _, report = apply_with_report(seeded(OwnForwards), plan("stem", init="least-squares"), loader=batches(SHAPE))
    assert {join.layer: join.reason for join in report.joins} == {"down": "it has a forward of its own"}


def test_a_branch_goes_although_all_branches_read_one_parameter() -> None:
    model = LearnedScales().eval()
    graph = follow(model, (1, 2, 2))
    assert set(removable_blocks(graph).values()) == {None}
    slim = cut(model, plan(blocks=["add"]), input_shape=(1, 2, 2))
    # stem 1, 2; the second branch adds a quarter of it; the head sums
    assert slim(image([1.0, 1.0], [1.0, 1.0])).item() == 3.75


@pytest.mark.parametrize("layer", ["first", "middle"])
def test_what_stands_for_a_conv_is_called_by_keyword_too(layer: str) -> None:
    model = ByKeyword().eval()
    check_runs(model, plan(layer), input_shape=(1, 4, 4))
    assert cut(model, plan(layer), input_shape=(1, 4, 4))(images(1, 1, 4, 4)).shape == (1, 1)


def test_a_layer_that_is_called_by_keyword_is_refitted() -> None:
    made = plan("first", init="least-squares")
    _, report = apply_with_report(ByKeyword().eval(), made, loader=batches((1, 4, 4)))
    assert all(join.relative_error is not None for join in report.joins)
