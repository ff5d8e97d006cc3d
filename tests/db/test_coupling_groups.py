"""What Cypher says goes along with a filter is what the surgeon takes, of a residual net and of a depthwise one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cnngraph import trace
from cnngraph.console import Quiet
from cnngraph.database import catalogue, queries
from cnngraph.database.connection import Database
from cnngraph.database.reader import read_network
from cnngraph.database.writer import write_network
from cnngraph.jobs.coupling_groups import with_coupling_groups
from cnngraph.models.registry import build
from cnngraph.surgery.channels.coupling import coupled

pytestmark = pytest.mark.db

SHAPE = (3, 32, 32)


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2"])
def test_the_groups_of_the_graph_are_the_surgeons(database: Database, name: str) -> None:
    net = build(f"cnngraph:{name}", classes=4, width=0.25).eval()
    batch = (torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1]))
    network = trace(net, [batch], view="channels", connections="none", correlations=False)
    network = with_coupling_groups(network, net, Quiet())
    key = write_network(database, network, f"coupling-{name}")["model"]
    try:
        _compare(database, key, coupled(net, SHAPE))
        assert read_network(database, key).coupling_groups.equals(network.coupling_groups)
    finally:
        catalogue.delete(database, key)
    rows = database.read("MATCH (g:CouplingGroup {model: $key}) RETURN g", key=key)
    assert rows == []


def _compare(database: Database, key: str, coupling: Any) -> None:
    rows = database.read(
        "MATCH (f:FeatureMap {model: $key})-[:COUPLED_IN]->(g:CouplingGroup) "
        "RETURN g.index AS index, g.size AS size, g.fixed AS fixed, collect([f.layer, f.channel]) AS maps",
        key=key,
    )
    found = {frozenset((layer, channel) for layer, channel in row["maps"]): row for row in rows}
    expected = {
        frozenset((*group.filters, *group.units)): group.fixed
        for group in coupling.groups
        if group.fixed or len(group.filters) + len(group.units) > 1
    }
    assert found.keys() == expected.keys()
    for maps, row in found.items():
        assert (row["size"], row["fixed"] or "") == (len(maps), expected[maps])
    free = next(group for group in coupling.groups if len(group.filters) > 1 and not group.fixed)
    layer, channel = free.filters[0]
    along = queries.run_query(database, "goes-with-filter", key, {"layer": layer, "channel": channel})
    assert {(row["layer"], row["channel"]) for row in along} == set(free.filters)
    assert {row["cannot_go"] for row in along} == {None}
