"""The spec of what was found out about a net by measuring it: of the tables ``MEASURED``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.network.rules import Integers, fail, integers, lengths, require, unique
from cnngraph.network.tables import Network

__all__ = ["check_measured"]

Places = Callable[[pa.ChunkedArray, str, str], Integers]


def check_measured(network: Network, places: Places, maps: Integers, classes: int) -> None:
    """Return if the CAR of a network contradicts nothing; a network that was not measured has none.

    Args:
        places: the place in network order of each layer that a column names (column, table, column's name).
        maps: by layer, how many feature maps it has. classes: how many there are.

    Raises:
        SpecError: with table, column and row.
    """
    _car_runs(network, places, classes)
    rows = _reductions(network.reductions, places, maps, classes)
    _serves(network.serves, places, rows, classes)


def _car_runs(network: Network, places: Places, classes: int) -> None:
    table = network.car_runs
    if table.num_rows > 1:
        raise fail("car_runs", "run", 1, "the network has more than one")
    if not table.num_rows and (network.reductions.num_rows or network.serves.num_rows):
        raise fail("reductions", "car", 0, "there is no run that it is of")
    require(integers(table, "images") >= 1, "car_runs", "images", "there is none")
    lengths(table.column("class_images"), classes, "car_runs", "class_images")
    sizes, others = (pc.list_value_length(table.column(name)).to_numpy() for name in ("layers", "values"))
    require(sizes == others, "car_runs", "values", "there are not as many as layers")
    layers = places(pc.list_flatten(table.column("layers")), "car_runs", "layers")
    unique([layers], "car_runs", "layers", ordered=True)


def _reductions(table: pa.Table, places: Places, maps: Integers, classes: int) -> set[tuple[str, int]]:
    """Check the reductions; return whose they are."""
    layers, channels = places(table.column("layer"), "reductions", "layer"), integers(table, "channel")
    require((channels >= 0) & (channels < maps[layers]), "reductions", "channel", "there is no such feature map")
    unique([layers, channels], "reductions", "channel", ordered=True)
    _within(table.column("car"), "reductions", "car")
    lengths(table.column("car_by_class"), classes, "reductions", "car_by_class")
    good: Any = np.abs(pc.fill_null(pc.list_flatten(table.column("car_by_class")), 0.0).to_numpy()) <= 1
    if not good.all():
        row = int(pc.list_parent_indices(table.column("car_by_class")).to_numpy()[int(np.argmin(good))])
        raise fail("reductions", "car_by_class", row, "a value is not within -1 and 1")
    return set(zip(table.column("layer").to_pylist(), channels.tolist(), strict=True))


def _serves(table: pa.Table, places: Places, rows: set[tuple[str, int]], classes: int) -> None:
    layers = places(table.column("layer"), "serves", "layer")
    channels, ranks = integers(table, "channel"), integers(table, "rank")
    known = [pair in rows for pair in zip(table.column("layer").to_pylist(), channels.tolist(), strict=True)]
    require(np.array(known, dtype=bool), "serves", "channel", "its filter was not measured")
    index = integers(table, "class_index")
    require((index >= 0) & (index < classes), "serves", "class_index", "there is no such class")
    require((ranks >= 1) & (ranks <= classes), "serves", "rank", "it is not within 1 and the number of classes")
    unique([layers, channels, ranks, index], "serves", "rank", ordered=True)
    _within(table.column("reduction"), "serves", "reduction")


def _within(column: pa.ChunkedArray, table: str, name: str) -> None:
    require(np.abs(column.to_numpy()) <= 1, table, name, "it is not within -1 and 1")
