"""The spec accepts every traced Network and names table, column and row of each contradiction."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import torch

from cnngraph import trace
from cnngraph.errors import SpecError
from cnngraph.network.spec import check, is_connections_policy
from cnngraph.network.tables import SCHEMAS, Network
from tests.toynets import TOYS, toy, toy_shape


def network_of(name: str, **options: Any) -> Network:
    images = torch.randn(6, *toy_shape(name), generator=torch.Generator().manual_seed(0))
    return trace(toy(name), [(images, torch.tensor([0, 1] * 3))], **options)


@pytest.fixture(scope="module")
def sound() -> Network:
    groups = [
        {"index": index, "layers": ["stem.0", "layer1.0.conv1"], "channels": [index, index], "fixed": None}
        for index in range(2)
    ]
    return replace(
        network_of("residual"), coupling_groups=pa.Table.from_pylist(groups, schema=SCHEMAS["coupling_groups"])
    )


def changed(network: Network, table: str, change: Callable[[list[dict[str, Any]]], Any]) -> Network:
    """``network`` with the rows of one table changed in place by ``change``."""
    rows = getattr(network, table).to_pylist()
    change(rows)
    return replace(network, **{table: pa.Table.from_pylist(rows, schema=SCHEMAS[table])})


def put(row: int, **values: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[row].update(values)


def swap(rows: list[dict[str, Any]]) -> None:
    rows[0], rows[1] = rows[1], rows[0]


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("view", ["channels", "positions", "both"])
def test_traced_networks_are_sound(name: str, view: str) -> None:
    network = network_of(name, view=view)
    assert check(network) is network


def test_a_kernel_column_is_allowed() -> None:
    assert "kernel" in check(network_of("plain", kernels=True)).connects.column_names


CONTRADICTIONS: list[tuple[str, str, int | None, Callable[[list[dict[str, Any]]], Any]]] = [
    ("layers", "index", 3, put(3, index=7)),
    ("layers", "layer", 2, put(2, layer="stem.0")),
    ("layers", "kind", 1, put(1, kind="Convolution")),
    ("layers", "out_channels", 1, put(1, out_channels=0)),
    ("layers", "parameters", 1, put(1, parameters=-1)),
    ("layers", "kernel", 1, put(1, kernel=[3])),
    ("layers", "shared_with", 4, put(4, shared_with="nothing")),
    ("layers", "-", None, lambda rows: rows.clear()),
    ("feeds", "source", 0, put(0, source="nothing")),
    ("feeds", "target", 5, lambda rows: rows[5].update(source=rows[5]["target"], target=rows[5]["source"])),
    ("feeds", "port", 1, lambda rows: rows.insert(1, dict(rows[0]))),
    ("feeds", "omitted", 2, put(2, omitted=-1)),
    ("feeds", "omitted_share", 2, put(2, omitted_share=1.5)),
    ("feeds", "omitted_share", 2, put(2, omitted_share=float("nan"))),
    ("feature_maps", "layer", 0, put(0, layer="nothing")),
    ("feature_maps", "channel", 1, swap),
    ("feature_maps", "channel", 4, lambda rows: rows.pop(4)),
    ("feature_maps", "layer", None, lambda rows: [rows.pop(3) for _ in range(4)]),
    ("feature_maps", "l2", 3, put(3, l2=-0.5)),
    ("feature_maps", "apoz", 3, put(3, apoz=1.01)),
    ("feature_maps", "strength_in", 3, put(3, strength_in=float("inf"))),
    ("feature_maps", "activation", 2, put(2, activation=[1.0])),
    ("feature_maps", "activation", 2, put(2, activation=[1.0, float("nan")])),
    ("feature_maps", "activation", 2, put(2, activation=[1.0, None])),
    ("connects", "source_layer", 0, put(0, source_layer="nothing")),
    ("connects", "source_channel", 0, put(0, source_channel=3)),
    ("connects", "target_channel", 0, put(0, target_channel=-1)),
    ("connects", "weight", 4, put(4, weight=-1.0)),
    ("connects", "weight", 4, put(4, weight=float("nan"))),
    ("connects", "channel", 1, lambda rows: rows.insert(1, dict(rows[0]))),
    ("connects", "target_layer", 0, put(0, target_layer="input", target_channel=0)),
    ("resembles", "correlation", 0, put(0, correlation=1.5)),
    ("resembles", "scope", 0, put(0, scope="beside")),
    ("resembles", "target_channel", 0, put(0, source_channel=2, target_layer="input", target_channel=1)),
    ("resembles", "target_channel", 1, lambda rows: rows.insert(1, dict(rows[0]))),
    ("positions", "number", 0, put(0, number=2)),
    ("positions", "layer", 0, put(0, layer="fc")),
    ("positions", "x", 0, put(0, x=8)),
    ("positions", "y", 0, put(0, y=-1)),
    ("positions", "y", 1, put(1, x=1, y=1)),
    ("positions", "activation", 0, put(0, activation=[1.0, 2.0, 3.0])),
    ("positions", "activation_all", 0, put(0, activation_all=float("nan"))),
    ("arcs", "source", 0, put(0, source=0)),
    ("arcs", "target", 0, put(0, target=100_000)),
    ("arcs", "target", 1, lambda rows: rows.insert(1, dict(rows[0]))),
    ("arcs", "target", 0, put(0, target=2)),
    ("coupling_groups", "index", 1, put(1, index=0)),
    ("coupling_groups", "layers", 1, put(0, layers=["stem.0", "no"])),
    ("coupling_groups", "layers", 0, put(0, layers=[], channels=[])),
    ("coupling_groups", "channels", 0, put(0, channels=[0])),
    ("coupling_groups", "channels", 1, put(0, channels=[0, 99])),
    ("coupling_groups", "channels", 1, put(0, channels=[0, 0], layers=["stem.0", "stem.0"])),
    ("coupling_groups", "channels", 2, put(1, channels=[0, 1])),
    ("coupling_groups", "channels", 1, put(0, layers=["layer1.0.conv1", "stem.0"])),
    ("classes", "index", 1, put(1, index=0)),
    ("classes", "name", 1, put(1, name="0")),
    ("classes", "images", 0, put(0, images=0)),
    ("classes", "-", None, lambda rows: rows.clear()),
]


@pytest.mark.parametrize(("table", "column", "row", "change"), CONTRADICTIONS, ids=lambda v: str(v)[:20])
def test_contradictions_are_named(
    sound: Network, table: str, column: str, row: int | None, change: Callable[[list[dict[str, Any]]], Any]
) -> None:
    where = rf"table {table}, column {re.escape(column)}, row {'-' if row is None else row}:"
    with pytest.raises(SpecError, match=where):
        check(changed(sound, table, change))


def test_an_arc_over_a_conv_is_refused() -> None:
    sound = network_of("plain")
    with pytest.raises(SpecError, match="does not come next"):
        check(changed(sound, "feeds", lambda rows: rows.pop(1)))


def test_columns_and_types() -> None:
    sound = network_of("plain")
    with pytest.raises(SpecError, match="table arcs, column target"):
        check(replace(sound, arcs=sound.arcs.drop_columns(["target"])))
    wide = sound.arcs.set_column(0, "source", sound.arcs.column("source").cast(pa.int64()))
    with pytest.raises(SpecError, match="the type is int64, not int32"):
        check(replace(sound, arcs=wide))
    holes = pa.array([None, *sound.arcs.column("source").to_pylist()[1:]], pa.int32())
    with pytest.raises(SpecError, match="table arcs, column source, row 0: a value is missing"):
        check(replace(sound, arcs=sound.arcs.set_column(0, "source", holes)))


@pytest.mark.parametrize(
    ("details", "match"),
    [
        ({"view": "all"}, "column view"),
        ({"source": "norm"}, "column source"),
        ({"patch": "median"}, "column patch"),
        ({"connections": "top"}, "column connections"),
        ({"input_shape": (3, 0, 8)}, "column input_shape"),
        ({"parameters": -1}, "column parameters"),
        ({"view": "channels"}, "the view is channels"),
        ({"view": "positions"}, "the view is positions"),
    ],
)
def test_details(sound: Network, details: dict[str, Any], match: str) -> None:
    with pytest.raises(SpecError, match=match):
        check(sound.with_details(**details))


def test_policies() -> None:
    assert all(map(is_connections_policy, ("auto", "all", "none", "top:1", "top:64")))
    assert not any(map(is_connections_policy, ("", "top", "top:", "top:0", "top:-1", "top:1.5", "AUTO")))
