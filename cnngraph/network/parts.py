"""Parts of a Network: one of its views, or the layers between two."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.errors import NotFoundError, UsageError, nearest
from cnngraph.network.tables import MEASURED, Network

__all__ = ["VIEWS", "select_layers", "select_view"]

VIEWS = ("channels", "positions", "both")


def select_view(network: Network, view: str) -> Network:
    """The network with only one of its views, or both; layers, feeds, blocks and classes stay.

    Raises:
        UsageError: ``view`` is none of channels, positions, both.
    """
    if view not in VIEWS:
        raise UsageError(f"There is no view {view!r}.", nearest(view, VIEWS))
    dropped = {
        "channels": ("positions", "arcs"),
        "positions": ("feature_maps", "connects", "resembles", "tensors", "coupling_groups", *sorted(MEASURED)),
        "both": (),
    }[view]
    return replace(network, **{name: getattr(network, name).slice(0, 0) for name in dropped})


def select_layers(network: Network, layers: str) -> Network:
    """The part of the network between two layers, both included, in network order.

    Args:
        layers: ``A..B``, ``A..`` (to the last), ``..B`` (from the first) or ``A`` alone.

    Raises:
        NotFoundError: a layer is not there.
        UsageError: A comes after B.
    """
    names = network.layers["layer"].to_pylist()
    first, dots, last = layers.partition("..")
    begin = _index(names, first, 0)
    end = _index(names, last, len(names) - 1) if dots else begin
    if begin > end:
        raise UsageError(f"The layer {first} comes after {last}.", f"Write {last}..{first}.")
    kept = pa.array(names[begin : end + 1], pa.string())

    def inside(table: pa.Table, *columns: str) -> pa.Table:
        for column in columns:
            table = table.filter(pc.is_in(table[column], value_set=kept))
        return table

    positions = inside(network.positions, "layer")
    numbers = positions["number"].combine_chunks()
    arcs = network.arcs
    for column in ("source", "target"):
        arcs = arcs.filter(pc.is_in(arcs[column], value_set=numbers))
    return replace(
        network,
        layers=inside(network.layers, "layer"),
        feeds=inside(network.feeds, "source", "target"),
        feature_maps=inside(network.feature_maps, "layer"),
        connects=inside(network.connects, "source_layer", "target_layer"),
        resembles=inside(network.resembles, "source_layer", "target_layer"),
        positions=positions,
        arcs=arcs,
        blocks=_blocks_inside(network.blocks, set(kept.to_pylist())),
        tensors=inside(network.tensors, "layer"),
        coupling_groups=_groups_inside(network.coupling_groups, set(kept.to_pylist())),
        car_runs=_runs_inside(network.car_runs, set(kept.to_pylist())),
        reductions=inside(network.reductions, "layer"),
        serves=inside(network.serves, "layer"),
    )


def _blocks_inside(blocks: pa.Table, layers: set[str]) -> pa.Table:
    """The blocks that are wholly made of ``layers``; one whose parent is not has none."""
    rows = [row for row in blocks.to_pylist() if layers.issuperset(row["layers"])]
    names = {row["name"] for row in rows}
    for row in rows:
        row["parent"] = row["parent"] if row["parent"] in names else None
    return pa.Table.from_pylist(rows, schema=blocks.schema)


def _groups_inside(groups: pa.Table, layers: set[str]) -> pa.Table:
    """What is left of each coupling group in ``layers``."""
    rows = []
    for row in groups.to_pylist():
        members = [pair for pair in zip(row["layers"], row["channels"], strict=True) if pair[0] in layers]
        if members:
            row["layers"], row["channels"] = ([member[end] for member in members] for end in (0, 1))
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=groups.schema)


def _runs_inside(runs: pa.Table, layers: set[str]) -> pa.Table:
    """The runs with what they say of ``layers``."""
    rows = runs.to_pylist()
    for row in rows:
        scored = [pair for pair in zip(row["layers"], row["values"], strict=True) if pair[0] in layers]
        row["layers"], row["values"] = ([pair[end] for pair in scored] for end in (0, 1))
    return pa.Table.from_pylist(rows, schema=runs.schema)


def _index(names: list[str], name: str, default: int) -> int:
    if not name:
        return default
    if name not in names:
        raise NotFoundError(f"There is no layer {name!r}.", nearest(name, names))
    return names.index(name)
