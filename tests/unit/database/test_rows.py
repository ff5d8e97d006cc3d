"""Tables as the rows of the writing queries."""

from __future__ import annotations

import doctest
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph.database import cypher, fingerprint, rows
from cnngraph.database.fingerprint import details_of, model_properties
from cnngraph.network.spec import check
from cnngraph.network.tables import Network
from tests.synthetic import small_network, vgg16_positions

SMALL = small_network(1, kernels=True)


@pytest.mark.parametrize("module", [rows, cypher])
def test_examples(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("side", [32, 64])
def test_synthetic_networks_pass_the_spec(side: int) -> None:
    network = check(vgg16_positions(side))
    if side == 32:
        assert (network.positions.num_rows, network.arcs.num_rows) == (2318, 17877)
    check(SMALL)


def test_nodes_carry_key_caption_and_camel_case() -> None:
    row = rows.position_rows(SMALL, "ada/net").make(0, 1)[0]
    assert row["model"] == "ada/net"
    assert row["name"] == "1,1"
    assert set(row) == {"number", "layer", "x", "y", "activation", "activationAll", "model", "name"}
    assert rows.feature_map_rows(SMALL, "ada/net").make(3, 4)[0]["name"] == "conv1 0"


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.lists(st.integers(0, 40), max_size=4))
def test_slices_together_are_the_whole(cuts: list[int]) -> None:
    for make in (rows.arc_rows, rows.connect_rows, rows.resemble_rows, rows.position_rows, rows.feed_rows):
        made = make(SMALL, "k")
        ends = [0, *sorted(min(cut, made.count) for cut in cuts), made.count]
        parts = [row for start, stop in pairwise(ends) for row in made.make(start, stop)]
        assert parts == made.make(0, made.count)


def test_arcs_are_grouped_by_source_with_the_mean_weight() -> None:
    network = vgg16_positions(64)
    made = rows.arc_rows(network, "k")
    pairs, activation = [], network.positions.column("activation")
    for number, weight, targets in made.make(0, made.count):
        pairs += [(number, target) for target in targets]
        assert weight == pytest.approx(float(np.mean(activation[number - 1].as_py())), rel=1e-12)
    assert sorted(pairs) == list(
        zip(*(network.arcs.column(end).to_pylist() for end in ("source", "target")), strict=True)
    )
    assert made.elements == len(pairs)


def test_connections_are_grouped_by_target() -> None:
    connects = rows.connect_rows(SMALL, "k")
    made = connects.make(0, connects.count)
    (third,) = [row for row in made if (row["layer"], row["channel"]) == ("add", 2)]
    assert [edge[:4] for edge in third["edges"]] == [("conv1", 2, 2, 1.0), ("block.conv2", 2, 6, 1.0)]
    assert len(made[0]["edges"][0][4]) == 9


@pytest.mark.parametrize("seed", [0, 1])
def test_details_survive_as_properties(seed: int) -> None:
    network = small_network(seed)
    properties = model_properties(network, saved_sha256=None, sha256=None)
    assert None not in properties.values()
    assert not [name for name, value in properties.items() if isinstance(value, dict)]
    assert details_of(properties) == network.details


def test_the_fingerprint_tells_inputs_apart() -> None:
    def mark(network: Network) -> str:
        return fingerprint.fingerprint(network)

    assert mark(small_network(0)) == mark(small_network(0)) != mark(small_network(1))
    assert mark(small_network(0)) != mark(small_network(0).with_details(patch="max"))
    # Without inputs the values themselves decide.
    bare, other = (small_network(seed).with_details(inputs={}, recipe=None, preprocessing=None) for seed in (0, 1))
    assert mark(bare) != mark(other)
    assert mark(bare) == mark(small_network(0).with_details(inputs={}, recipe=None, preprocessing=None))


def test_stages_that_were_found_later_make_no_other_network() -> None:
    bare = small_network(0).with_details(inputs={}, recipe=None, preprocessing=None)
    stage = bare.blocks.slice(0, 1).to_pylist()[0] | {"index": 0, "name": "stage1", "kind": "stage", "parent": None}
    before = replace(bare, blocks=bare.blocks.slice(0, 0))
    since = replace(bare, blocks=pa.Table.from_pylist([stage], schema=bare.blocks.schema))
    assert fingerprint.fingerprint(since) == fingerprint.fingerprint(before) != fingerprint.fingerprint(bare)
