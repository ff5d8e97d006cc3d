"""Exports a model out of the database: Parquet tables, or one GEXF, GraphML or JSON file.

Everything is written beside its place and then moved there, so that a break leaves nothing half-written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.database import cypher
from cnngraph.database.connection import Database
from cnngraph.database.reader import read_network
from cnngraph.database.rows import camel
from cnngraph.errors import CnngraphError, ConflictError, UsageError, nearest
from cnngraph.network.edge_weights import RELATIONSHIPS, choose_relationships, class_weights
from cnngraph.network.graph_files import WRITERS
from cnngraph.network.interchange import Elements, elements
from cnngraph.network.parts import select_layers, select_view
from cnngraph.network.tables import Network

__all__ = ["FORMATS", "export"]

FORMATS = ("parquet", *WRITERS)
_TABLES = {
    "layers": "Layer",
    "feeds": "FEEDS",
    "feature_maps": "FeatureMap",
    "connects": "CONNECTS",
    "resembles": "RESEMBLES",
    "positions": "Position",
    "arcs": "ARC",
    "classes": "Class",
    "blocks": "Block",
    "tensors": "Tensor",
}
# What a Model node says of itself (design of the graph, without what only the program needs).
_MODEL = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "name", "owner", "createdAt", "artifact", "sha256", "status")),
        *((name, pa.string()) for name in ("architecture", "recipe", "preprocessing", "dataset", "source", "patch")),
        ("inputShape", pa.list_(pa.int64())),
        *((name, pa.int64()) for name in ("parameters", "macs")),
        ("trained", pa.bool_()),
    ]
)


def export(
    db: Database,
    key: str,
    format: str,  # noqa: A002 (the option's name)
    out: str | Path,
    view: str = "both",
    class_: str | int = "mean",
    layers: str | None = None,
    relationships: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Write one model to ``out``; an export that is there is replaced.

    Parquet is a folder with one table a label or relationship type that has rows (``Position.parquet``,
    ``ARC.parquet``), columns named as the graph's properties. ``HAS_LAYER``, ``HAS_CLASS`` and ``HAS_FEATURE_MAP`` say
    no more than the columns ``layer`` and are left out. Only ``key``, ``name``, ``createdAt`` and ``artifact`` of
    ``Model.parquet`` depend on the run. The other formats hold the nodes and edges of the two views, see
    :mod:`cnngraph.network.interchange`.

    Args:
        db: the database.
        key: the model, ``owner/name``.
        format: parquet, gexf, graphml or json.
        out: the file, for parquet the folder.
        view: channels, positions or both.
        class_: whose weights the arcs get: a class's name or index, or ``mean``.
        layers: ``A..B``, both included, in network order; ``None`` for all.
        relationships: which types, of ARC, CONNECTS, FEEDS and RESEMBLES; default: of one file all but RESEMBLES (see
            :func:`cnngraph.network.edge_weights.choose_relationships`), of parquet all.

    Returns:
        ``model, format, path``; ``nodes, relationships``: how many elements were written; of one file also ``directed``
        and ``weights``, a list of ``{relationship, meaning, edges, zero, negative}``.

    Raises:
        UsageError: an unknown format, view or relationship, or A comes after B.
        NotFoundError: no such model, class or layer.
        ConflictError: ``out`` is a folder with other things in it.
        CnngraphError: the file cannot be written, or an arc has no weight.
    """
    if format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.", nearest(format, FORMATS))
    network = read_network(db, key)
    if layers is not None:
        network = select_layers(network, layers)
    target = Path(out)
    report = {"model": key, "format": format, "path": str(target)}
    if format == "parquet":
        kept = RELATIONSHIPS if relationships is None else choose_relationships(network, view, relationships)
        tables = _tables(select_view(network, view), kept, class_)
        with _writing(target):
            _write_tables({"Model": _model(db, key)} | tables, target)
        sizes = {label: table.num_rows for label, table in tables.items()}
        return report | {
            "nodes": sizes.get("FeatureMap", 0) + sizes.get("Position", 0),
            "relationships": sum(sizes.get(label, 0) for label in RELATIONSHIPS if label != "FEEDS"),
        }
    graph = elements(network, class_, relationships, view)
    with _writing(target):
        _write_file(format, graph, target)
    counts = {"nodes": graph.nodes.num_rows, "relationships": graph.edges.num_rows}
    return report | counts | {"directed": graph.directed, "weights": [asdict(weights) for weights in graph.weights]}


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CnngraphError(
            f"{target} cannot be written: {error.strerror or error}.", "Choose another --out, or make room."
        ) from error


def _write_file(format: str, graph: Elements, target: Path) -> None:  # noqa: A002
    part = _part(target)
    try:
        with part.open("w", encoding="utf-8") as stream:
            WRITERS[format](graph, stream)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _write_tables(tables: dict[str, pa.Table], target: Path) -> None:
    import pyarrow.parquet as pq

    _require_own(target)
    part, old = _part(target), target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        part.mkdir()
        for name, table in tables.items():
            pq.write_table(table, part / f"{name}.parquet")
        if target.exists():
            target.rename(old)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def _require_own(target: Path) -> None:
    """Refuse to replace anything that is no earlier export."""
    if not target.exists():
        return
    known = {f"{name}.parquet" for name in ("Model", *_TABLES.values())}
    if not target.is_dir() or {path.name for path in target.iterdir()} - known:
        raise ConflictError(f"{target} is there and is no export.", "Choose a new folder with --out.")


def _tables(network: Network, kept: Collection[str], class_: str | int) -> dict[str, pa.Table]:
    """One table a label, and a relationship type of ``kept``, that has rows; arcs with the weights of one class."""
    tables = {label: getattr(network, name) for name, label in _TABLES.items()}
    weights = class_weights(network, network.positions["activation"], class_)
    sources = pc.index_in(network.arcs["source"], value_set=network.positions["number"].combine_chunks())
    tables["ARC"] = network.arcs.append_column("weight", weights.take(sources.combine_chunks()))
    return {
        label: table.rename_columns([camel(column) for column in table.column_names])
        for label, table in tables.items()
        if table.num_rows and (label not in RELATIONSHIPS or label in kept)
    }


def _model(db: Database, key: str) -> pa.Table:
    properties = db.read(cypher.load("catalogue/model"), key=key)[0]["model"]
    return pa.Table.from_pylist([{name: properties.get(name) for name in _MODEL.names}], schema=_MODEL)
