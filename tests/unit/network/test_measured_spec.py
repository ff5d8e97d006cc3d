"""CAR in a Network: what contradicts itself is refused, bundles carry it, and it makes a net no other net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cnngraph.database.fingerprint import fingerprint
from cnngraph.errors import SpecError
from cnngraph.network.bundle import read_bundle, write_bundle
from cnngraph.network.parts import select_layers, select_view
from cnngraph.network.spec import check
from cnngraph.network.tables import MEASURED, SCHEMAS, Network
from tests.synthetic import small_network, with_car

LAYERS = ("conv1", "block.conv3")


@pytest.fixture
def network() -> Network:
    return with_car(small_network(0), LAYERS, unjudged=[1])


def changed(network: Network, table: str, change: Callable[[list[dict[str, Any]]], object]) -> Network:
    rows = getattr(network, table).to_pylist()
    change(rows)
    return replace(network, **{table: pa.Table.from_pylist(rows, schema=SCHEMAS[table])})


def test_a_bundle_carries_it_and_one_without_it_has_no_such_files(network: Network, tmp_path: Path) -> None:
    again = read_bundle(write_bundle(network, tmp_path / "net"))
    assert all(again.tables()[name].equals(table) for name, table in network.tables().items())
    assert again.reductions["car_by_class"][0].as_py()[1] is None
    bare = write_bundle(small_network(0), tmp_path / "bare")
    assert not [name for name in MEASURED if (bare / f"{name}.parquet").exists()]
    assert not any(getattr(read_bundle(bare), name).num_rows for name in MEASURED)


@pytest.mark.parametrize("inputs", [{"seed": 1}, {}])
def test_it_makes_the_net_no_other_net(inputs: dict[str, Any]) -> None:
    network = small_network(0).with_details(inputs=inputs)
    assert fingerprint(with_car(network, LAYERS)) == fingerprint(network)


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("car_runs", lambda rows: rows.append(rows[0]), "more than one"),
        ("car_runs", lambda rows: rows.clear(), "no run that it is of"),
        ("car_runs", lambda rows: rows[0].update(images=0), "there is none"),
        ("car_runs", lambda rows: rows[0].update(values=[0.1]), "not as many as layers"),
        ("car_runs", lambda rows: rows[0].update(layers=["conv1", "conv9"]), "no layer 'conv9'"),
        ("car_runs", lambda rows: rows[0].update(class_images=[1]), "not 3 values"),
        ("reductions", lambda rows: rows[0].update(channel=9), "no such feature map"),
        ("reductions", lambda rows: rows.reverse(), "out of order"),
        ("reductions", lambda rows: rows[0].update(car=1.5), "not within -1 and 1"),
        ("reductions", lambda rows: rows[1].update(car_by_class=[0.0, -2.0, 0.0]), "row 1: a value is not within"),
        ("reductions", lambda rows: rows[1].update(car_by_class=[0.0]), "not 3 values"),
        ("reductions", lambda rows: rows.pop(1), "not measured"),
        ("serves", lambda rows: rows[0].update(class_index=3), "no such class"),
        ("serves", lambda rows: rows[0].update(rank=0), "not within 1 and the number"),
        ("serves", lambda rows: rows.insert(0, rows[0]), "there twice"),
        ("serves", lambda rows: rows[0].update(reduction=-1.5), "not within -1 and 1"),
    ],
)
def test_what_contradicts_itself_is_refused(network: Network, table: str, change: Any, said: str) -> None:
    assert check(network) is network
    with pytest.raises(SpecError, match=said):
        check(changed(network, table, change))


def test_parts_keep_what_is_of_them(network: Network) -> None:
    part = select_layers(network, "block.conv3..fc")
    assert part.car_runs.to_pylist()[0]["layers"] == ["block.conv3"]
    assert set(part.reductions["layer"].to_pylist()) == {"block.conv3"} == set(part.serves["layer"].to_pylist())
    assert not any(getattr(select_view(network, "positions"), name).num_rows for name in MEASURED)
