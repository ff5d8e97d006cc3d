"""A model out of Neo4j as a Network: the exact inverse of the writer, row for row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.console import Progress, Quiet
from cnngraph.database import catalogue, cypher
from cnngraph.database.connection import Database
from cnngraph.database.fingerprint import details_of
from cnngraph.database.rows import camel, list_with_none
from cnngraph.network.spec import check
from cnngraph.network.tables import KERNEL, SCHEMAS, Network

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["connections_into", "frames", "read_network", "read_tensors"]

_POSITIONS = 20_000
_TENSORS = 50


def read_network(db: Database, key: str, *, progress: Progress | None = None) -> Network:
    """The Network that was written under ``key``: equal details, equal tables.

    What was added to the nodes afterwards (scores of measures) is left out, but for CAR: see :func:`frames`.

    Raises:
        NotFoundError: there is no such model.
        ConflictError: it is not complete.
        SpecError: somebody changed it, so that it contradicts itself.
    """
    catalogue.require_complete(db, key)
    shown = progress or Quiet()
    shown.start("Reading the model")
    layers = _table("layers", (row["row"] for row in db.read(cypher.load("read/layers"), key=key)))
    places = {name: place for place, name in enumerate(layers.column("layer").to_pylist())}
    numbers = catalogue.counts(db, key)["positions"]
    tables = {
        "layers": layers,
        "feeds": pa.Table.from_pylist(db.read(cypher.load("read/feeds"), key=key), schema=SCHEMAS["feeds"]),
        "feature_maps": _feature_maps(db, key, places),
        "connects": _connects(db, key, places),
        "resembles": _resembles(db, key, places),
        "positions": _positions(db, key, numbers),
        "arcs": _arcs(db, key, numbers),
        "classes": _table("classes", (row["row"] for row in db.read(cypher.load("read/classes"), key=key))),
        "blocks": _table("blocks", (row["row"] for row in db.read(cypher.load("read/blocks"), key=key))),
        "tensors": read_tensors(db, key),
        "coupling_groups": _coupling_groups(db, key, places),
        **_reductions(db, key, places),
    }
    return check(Network(details=details_of(catalogue.properties(db, key)), **tables))


def frames(db: Database, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nodes and edges for pandas, with everything that stands on them now, scores included.

    Returns:
        ``nodes``: one row a layer, feature map and position; index ``id`` (``conv1``, ``conv1[3]``, ``conv1(2,5)``),
        ``label``, and the properties as columns. ``edges``: ``type``, ``source``, ``target`` (ids of nodes) and the
        properties as columns.

    Raises:
        NotFoundError, ConflictError: as :func:`read_network`.
    """
    import pandas as pd

    catalogue.require_complete(db, key)
    nodes = db.read(cypher.load("read/frame_nodes"), key=key)
    edges = db.read(cypher.load("read/frame_edges"), key=key)
    return (
        pd.DataFrame([{"id": row["id"], "label": row["label"], **row["properties"]} for row in nodes]).set_index("id"),
        pd.DataFrame([{name: row[name] for name in ("type", "source", "target")} | row["properties"] for row in edges]),
    )


def _coupling_groups(db: Database, key: str, places: dict[str, int]) -> pa.Table:
    rows = [row["row"] for row in db.read(cypher.load("read/coupling_groups"), key=key)]
    for row in rows:
        members = sorted(row["members"], key=lambda member: (places[member[0]], member[1]))
        row["layers"], row["channels"] = ([member[end] for member in members] for end in (0, 1))
    return _table("coupling_groups", rows)


def _feature_maps(db: Database, key: str, places: dict[str, int]) -> pa.Table:
    found = (row["row"] for row in _by_layer(db, "read/feature_maps", key, places))
    return _table("feature_maps", sorted(found, key=lambda row: (places[row["layer"]], row["channel"])))


def _reductions(db: Database, key: str, places: dict[str, int]) -> dict[str, pa.Table]:
    """The tables of CAR; without rows where the model has none."""
    runs = [row["row"] for row in db.read(cypher.load("read/car_run"), key=key)]
    for row in runs:
        row["run"] = row["key"].removeprefix(f"{key}:")
        row["layers"], row["values"] = ([pair[end] for pair in row["scored"]] for end in (0, 1))
    rows = [row["row"] for row in _by_layer(db, "read/reductions", key, places)] if runs else []
    for row in rows:
        row["carByClass"] = list_with_none(row["carByClass"])
    served = [(row["layer"], row["channel"], *one) for row in rows for one in row["serves"]]
    columns = SCHEMAS["serves"].names
    serves = pa.Table.from_pylist([dict(zip(columns, one, strict=True)) for one in served], schema=SCHEMAS["serves"])
    return {"car_runs": _table("car_runs", runs), "reductions": _table("reductions", rows), "serves": serves}


def _resembles(db: Database, key: str, places: dict[str, int]) -> pa.Table:
    rows = list(_by_layer(db, "read/resembles", key, places))
    rows.sort(
        key=lambda row: (
            places[row["source_layer"]],
            row["source_channel"],
            places[row["target_layer"]],
            row["target_channel"],
        )
    )
    return pa.Table.from_pylist(rows, schema=SCHEMAS["resembles"])


def _connects(db: Database, key: str, places: dict[str, int]) -> pa.Table:
    table = _unfolded(_by_layer(db, "read/connects", key, places))
    order = pa.array(list(places))

    def places_of(column: str) -> Any:
        return pc.index_in(table.column(column), value_set=order).to_numpy()

    keys = [
        table.column("source_channel").to_numpy(),
        places_of("source_layer"),
        table.column("channel").to_numpy(),
        table.column("target_channel").to_numpy(),
        places_of("target_layer"),
    ]
    return table.take(pa.array(np.lexsort(keys)))


def _unfolded(found: Iterable[dict[str, Any]]) -> pa.Table:
    """Connections, of which rows come a pair of target map and source layer at a time, one a row; in no order."""
    rows = list(found)
    sizes = [len(row["channel"]) for row in rows]
    columns: dict[str, Any] = {
        name: list(chain.from_iterable(repeat(row[name], size) for row, size in zip(rows, sizes, strict=True)))
        for name in ("target_layer", "target_channel", "source_layer")
    }
    columns |= {
        name: list(chain.from_iterable(row[name] for row in rows)) for name in ("source_channel", "channel", "weight")
    }
    schema = SCHEMAS["connects"]
    if any(row["kernel"] for row in rows):
        columns[KERNEL.name] = list(
            chain.from_iterable(row["kernel"] or [None] * size for row, size in zip(rows, sizes, strict=True))
        )
        schema = schema.append(KERNEL)
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)


def _positions(db: Database, key: str, numbers: int) -> pa.Table:
    parts = [
        _table(
            "positions", (row["row"] for row in db.read(cypher.load("read/positions"), key=key, first=first, last=last))
        )
        for first, last in _ranges(numbers)
    ]
    return pa.concat_tables(parts).combine_chunks() if parts else SCHEMAS["positions"].empty_table()


def _arcs(db: Database, key: str, numbers: int) -> pa.Table:
    sources, targets = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for first, last in _ranges(numbers):
        for row in db.read(cypher.load("read/arcs"), key=key, first=first, last=last):
            targets.append(np.array(row["target"], np.int32))
            sources.append(np.full(len(row["target"]), row["source"], np.int32))
    source, target = np.concatenate(sources), np.concatenate(targets)
    order = np.lexsort([target, source])
    return pa.table({"source": source[order], "target": target[order]}, schema=SCHEMAS["arcs"])


def read_tensors(db: Database, key: str) -> pa.Table:
    """The table ``tensors`` of a model; empty where it was ingested without its kernels."""
    count = catalogue.counts(db, key)["tensors"]
    rows = (
        row["row"]
        for first in range(0, count, _TENSORS)
        for row in db.read(cypher.load("read/tensors"), key=key, first=first, last=first + _TENSORS - 1)
    )
    return _table("tensors", rows)


def connections_into(db: Database, key: str, layer: str) -> pa.Table:
    """The connections into the maps of one layer, in no order."""
    return _unfolded(db.read(cypher.load("read/connects"), key=key, layers=[layer]))


def _by_layer(db: Database, query: str, key: str, places: dict[str, int]) -> Iterator[dict[str, Any]]:
    """The rows of a query, a layer at a time: no answer gets too large for the client."""
    for layer in places:
        yield from db.read(cypher.load(query), key=key, layers=[layer])


def _ranges(numbers: int) -> Iterable[tuple[int, int]]:
    return [(first, first + _POSITIONS - 1) for first in range(1, numbers + 1, _POSITIONS)]


def _table(name: str, found: Iterable[dict[str, Any]]) -> pa.Table:
    """Properties of nodes as the columns of a table; what the table does not know is left out."""
    schema = SCHEMAS[name]
    rows = list(found)
    return pa.table(
        {field.name: pa.array([row.get(camel(field.name)) for row in rows], field.type) for field in schema},
        schema=schema,
    )
