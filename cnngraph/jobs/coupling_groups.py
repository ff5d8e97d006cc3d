"""Which feature maps only go together, for the graph: the groups of the surgeon's own tracer."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from torch import nn

from cnngraph.console import Progress
from cnngraph.errors import ModelError, TraceError
from cnngraph.network.tables import SCHEMAS, Network

__all__ = ["with_coupling_groups"]


def with_coupling_groups(network: Network, model: nn.Module, progress: Progress) -> Network:
    """``network``, the map of ``model``, with the groups of feature maps that go together.

    They are those of :func:`cnngraph.surgery.channels.coupling.coupled`. Where a module is called several times, its
    filter makes a map in each call, and all of them are in the group. A group of one map is only there where it cannot
    go. A network without feature maps has no groups, nor has one that the surgeon cannot follow, which is said.
    """
    from cnngraph.surgery.channels.coupling import coupled

    if not network.feature_maps.num_rows:
        return network
    progress.start("Finding what goes together")
    try:
        coupling = coupled(model, network.details.input_shape)
    except (ModelError, TraceError) as error:
        progress.note(f"Which filters go together is not known: {error.message}")
        return network
    calls = _calls(network)
    found: list[tuple[list[tuple[int, int]], str]] = []
    for group in coupling.groups:
        channels = (*group.filters, *group.units)
        members = sorted((place, channel) for layer, channel in channels for place in calls.get(layer, ()))
        if len(members) > 1 or (members and group.fixed):
            found.append((members, group.fixed))
    names = network.layers["layer"].to_pylist()
    rows = [
        {
            "index": index,
            "layers": [names[place] for place, _ in members],
            "channels": [channel for _, channel in members],
            "fixed": fixed or None,
        }
        for index, (members, fixed) in enumerate(sorted(found))
    ]
    return replace(network, coupling_groups=pa.Table.from_pylist(rows, schema=SCHEMAS["coupling_groups"]))


def _calls(network: Network) -> dict[str, list[int]]:
    """By the path of a module, the places in network order of its calls that have maps."""
    mapped = set(network.feature_maps["layer"].unique().to_pylist())
    calls: dict[str, list[int]] = {}
    for row in network.layers.select(["index", "layer", "shared_with"]).to_pylist():
        if row["layer"] in mapped:
            calls.setdefault(row["shared_with"] or row["layer"], []).append(row["index"])
    return calls
