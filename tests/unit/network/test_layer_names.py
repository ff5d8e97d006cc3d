"""Columns of names: what they say does not depend on how they lie in memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cnngraph.network.layer_names import names_column

NAMES = ["conv1", "layer1.0.conv2", "fc"]


def test_names_are_those_of_the_places_over_many_chunks() -> None:
    places = np.sort(np.random.default_rng(0).integers(0, 3, 50_000))
    column = names_column(places, NAMES)
    assert column.type == pa.string()
    assert column.to_pylist() == [NAMES[place] for place in places]


def test_mixed_places_and_none_at_all() -> None:
    places = np.random.default_rng(1).integers(0, 3, 20_000)
    assert names_column(places, NAMES).to_pylist() == [NAMES[place] for place in places]
    assert names_column(places[:0], NAMES).to_pylist() == []


def test_a_name_that_repeats_is_in_memory_once() -> None:
    column = names_column(np.zeros(1_000_000, dtype=np.int32), ["a.layer.with.a.long.name"])
    assert len({chunk.buffers()[2].address for chunk in column.chunks}) == 1
