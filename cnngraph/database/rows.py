"""Arrow tables as the parameters of the writing queries: camelCase properties, edges grouped by one of their ends."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.network.tables import KERNEL, Network

__all__ = [
    "Rows",
    "arc_rows",
    "block_rows",
    "camel",
    "car_run_rows",
    "class_rows",
    "connect_rows",
    "coupling_group_rows",
    "feature_map_rows",
    "feed_rows",
    "layer_rows",
    "list_with_nan",
    "list_with_none",
    "position_rows",
    "reduction_rows",
    "resemble_rows",
    "snake",
    "tensor_rows",
]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Rows of a query, made a slice at a time so that the client never holds them all.

    Attributes:
        make: the rows from a start to a stop.
        count: how many rows there are.
        sizes: how much each row writes, in elements mostly; ``None`` for one each.
    """

    make: Callable[[int, int], list[Any]]
    count: int
    sizes: Integers | None = None

    @property
    def elements(self) -> int:
        """How many nodes or relationships all rows write."""
        return self.count if self.sizes is None else int(self.sizes.sum())


def camel(name: str) -> str:
    """A column's name as a property.

    >>> camel("out_height")
    'outHeight'
    """
    first, *others = name.split("_")
    return first + "".join(part.title() for part in others)


def snake(name: str) -> str:
    """A property's name as a column.

    >>> snake("outHeight")
    'out_height'
    """
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def class_rows(network: Network, key: str) -> Rows:
    """Class nodes; a class without a count of images has no such property."""
    return _nodes(network.classes, key, lambda row: str(row["name"]))


def block_rows(network: Network, key: str) -> Rows:
    """Block nodes, each with the names of its layers."""
    return _nodes(network.blocks, key, lambda row: str(row["name"]))


def coupling_group_rows(network: Network, key: str) -> Rows:
    """CouplingGroup nodes, each with its feature maps as ``members``; the size of a row is the number of these."""
    made = _nodes(network.coupling_groups, key, lambda row: _caption(row["layers"], row["channels"]))

    def make(start: int, stop: int) -> list[Any]:
        rows = made.make(start, stop)
        for row in rows:
            row["members"] = list(zip(row.pop("layers"), row.pop("channels"), strict=True))
            row["size"] = len(row["members"])
        return rows

    sizes = pc.list_value_length(network.coupling_groups.column("layers")).to_numpy().astype(np.int64)
    return replace(made, make=make, sizes=sizes)


def _caption(layers: list[str], channels: list[int]) -> str:
    """The first feature map of a group, and how many more there are.

    >>> _caption(["conv1", "conv3"], [2, 2])
    'conv1 2 + 1'
    """
    return f"{layers[0]} {channels[0]}" + (f" + {len(layers) - 1}" if len(layers) > 1 else "")


def tensor_rows(network: Network, key: str) -> Rows:
    """Tensor nodes; the size of a row is that of its values in KiB, so that a batch of a few large ones is full."""
    made = _nodes(network.tensors, key, lambda row: str(row["name"]))
    sizes = pc.fill_null(pc.binary_length(network.tensors.column("data")), 0).to_numpy().astype(np.int64)
    return replace(made, sizes=1 + sizes // 1024)


def list_with_nan(values: Sequence[float | None]) -> list[float]:
    """One number a class as a node holds them: a list there cannot hold null, so that what is not known is NaN."""
    return [math.nan if value is None else value for value in values]


def list_with_none(values: Sequence[float]) -> list[float | None]:
    """The inverse of :func:`list_with_nan`."""
    return [None if math.isnan(value) else value for value in values]


def car_run_rows(network: Network, key: str) -> Rows:  # noqa: ARG001 (one signature for all tables)
    """The run that the reductions are of, with the layers that it measured."""
    table = network.car_runs

    def make(start: int, stop: int) -> list[Any]:
        rows = _properties(table, start, stop)
        for row in rows:
            row["scored"] = list(zip(row.pop("layers"), row.pop("values"), strict=True))
        return rows

    return Rows(make, table.num_rows)


def reduction_rows(network: Network, key: str) -> Rows:  # noqa: ARG001
    """CAR of feature maps, each with the classes that it serves: ``[index of the class, reduction, rank]``."""
    table, serves = network.reductions, network.serves
    served: dict[tuple[str, int], list[list[Any]]] = {}
    for row in serves.to_pylist():
        served.setdefault((row["layer"], row["channel"]), []).append(
            [row["class_index"], row["reduction"], row["rank"]]
        )

    def make(start: int, stop: int) -> list[Any]:
        rows = _properties(table, start, stop)
        for row in rows:
            row["carByClass"] = list_with_nan(row["carByClass"])
            row["serves"] = served.get((row["layer"], row["channel"]), [])
        return rows

    return Rows(make, table.num_rows)


def layer_rows(network: Network, key: str) -> Rows:
    """Layer nodes."""
    return _nodes(network.layers, key, lambda row: str(row["layer"]))


def feature_map_rows(network: Network, key: str) -> Rows:
    """FeatureMap nodes."""
    return _nodes(network.feature_maps, key, lambda row: f"{row['layer']} {row['channel']}")


def position_rows(network: Network, key: str) -> Rows:
    """Position nodes."""
    return _nodes(network.positions, key, lambda row: f"{row['x']},{row['y']}")


def feed_rows(network: Network, key: str) -> Rows:  # noqa: ARG001 (one signature for all tables)
    """FEEDS relationships, one a row."""
    return Rows(lambda start, stop: _properties(network.feeds, start, stop), network.feeds.num_rows)


def arc_rows(network: Network, key: str) -> Rows:  # noqa: ARG001
    """ARC relationships grouped by source: ``[number, weight, [target numbers]]``.

    The weight is the mean of the source's activations over the classes, ``None`` where they are not known. Groups of
    the first and the second half of the network alternate in pieces of one inner transaction: two transactions that
    run at the same time then touch no common position, and neither waits for the other.
    """
    source = network.arcs.column("source").to_numpy()
    target = network.arcs.column("target").to_numpy()
    starts, sizes = _groups(source)
    order = _alternating(len(starts), 1000)
    starts, sizes = starts[order], sizes[order]
    weights = _mean_weights(network.positions)

    def make(start: int, stop: int) -> list[Any]:
        made = []
        for begin, size in zip(starts[start:stop].tolist(), sizes[start:stop].tolist(), strict=True):
            number = int(source[begin])
            made.append([number, weights[number - 1], target[begin : begin + size].tolist()])
        return made

    return Rows(make, len(starts), sizes)


def connect_rows(network: Network, key: str) -> Rows:  # noqa: ARG001
    """CONNECTS relationships grouped by target: ``[source layer, source channel, channel, weight, kernel]``."""
    table = network.connects
    columns = ["source_layer", "source_channel", "channel", "weight"]
    if KERNEL.name in table.column_names:
        columns.append(KERNEL.name)
    return _grouped(table, "target", columns, padding=5 - len(columns))


def resemble_rows(network: Network, key: str) -> Rows:  # noqa: ARG001
    """RESEMBLES relationships grouped by source: ``[target layer, target channel, correlation, scope]``."""
    columns = ["target_layer", "target_channel", "correlation", "scope"]
    return _grouped(network.resembles, "source", columns, padding=0)


def _nodes(table: pa.Table, key: str, caption: Callable[[dict[str, Any]], str]) -> Rows:
    def make(start: int, stop: int) -> list[Any]:
        made = _properties(table, start, stop)
        for row in made:
            row["name"] = caption(row)
            row["model"] = key
        return made

    return Rows(make, table.num_rows)


def _properties(table: pa.Table, start: int, stop: int) -> list[dict[str, Any]]:
    part = table.slice(start, stop - start)
    rows: list[dict[str, Any]] = part.rename_columns([camel(name) for name in part.column_names]).to_pylist()
    return rows


def _grouped(table: pa.Table, end: str, columns: Sequence[str], padding: int) -> Rows:
    """Rows ``{layer, channel, edges}``, one for each run of rows with the same ``end`` (the table is sorted by it)."""
    codes = table.column(f"{end}_layer").combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    starts, sizes = _groups(codes * 2**32 + table.column(f"{end}_channel").to_numpy())

    def make(start: int, stop: int) -> list[Any]:
        if start >= stop:
            return []
        first, last = int(starts[start]), int(starts[stop - 1] + sizes[stop - 1])
        part = table.slice(first, last - first)
        edges = list(
            zip(*(part.column(name).to_pylist() for name in columns), *[[None] * len(part)] * padding, strict=True)
        )
        layers, channels = part.column(f"{end}_layer"), part.column(f"{end}_channel")
        made = []
        for begin, size in zip((starts[start:stop] - first).tolist(), sizes[start:stop].tolist(), strict=True):
            made.append(
                {
                    "layer": layers[begin].as_py(),
                    "channel": channels[begin].as_py(),
                    "edges": edges[begin : begin + size],
                }
            )
        return made

    return Rows(make, len(starts), sizes)


def _groups(values: npt.NDArray[Any]) -> tuple[Integers, Integers]:
    """Where each run of equal values begins, and how long it is."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]]).astype(np.int64)
    return starts, np.diff(np.r_[starts, len(values)])


def _alternating(count: int, piece: int) -> Integers:
    """0 .. count-1 in pieces, one of the first half and one of the second by turns.

    >>> _alternating(6, 2).tolist()
    [0, 1, 4, 5, 2, 3]
    """
    pieces = [np.arange(start, min(start + piece, count)) for start in range(0, count, piece)]
    half = (len(pieces) + 1) // 2
    turns = [part for pair in zip(pieces[:half], pieces[half:], strict=False) for part in pair]
    turns += pieces[len(pieces) // 2 : half]
    return np.concatenate(turns) if turns else np.zeros(0, np.int64)


def _mean_weights(positions: pa.Table) -> list[float | None]:
    """For each position the mean of its activations over the classes."""
    column = positions.column("activation").combine_chunks()
    known = pc.is_valid(column).to_numpy(zero_copy_only=False)
    values = column.flatten().to_numpy()
    weights: list[float | None] = [None] * len(column)
    if known.any():
        means = values.reshape(int(known.sum()), -1).mean(axis=1)
        for place, mean in zip(np.flatnonzero(known).tolist(), means.tolist(), strict=True):
            weights[place] = mean
    return weights
