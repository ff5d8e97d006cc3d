"""Exports a model out of the database: Parquet tables, files for neo4j-admin, or one GEXF, GraphML or JSON file.

Everything is written beside its place and then moved there, so that a break leaves nothing half-written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.console import Progress
from cnngraph.database import catalogue, cypher
from cnngraph.database.connection import Database
from cnngraph.database.import_files import is_own_file, write_import_files
from cnngraph.database.reader import read_network
from cnngraph.database.rows import camel
from cnngraph.errors import CnngraphError, ConflictError, UsageError, nearest
from cnngraph.network.edge_weights import RELATIONSHIPS, choose_relationships, class_weights
from cnngraph.network.graph_files import WRITERS
from cnngraph.network.interchange import Elements, elements
from cnngraph.network.parts import select_layers, select_view
from cnngraph.network.tables import Network

__all__ = ["FORMATS", "export"]

FORMATS = ("parquet", "neo4j-admin", *WRITERS)
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
    "coupling_groups": "CouplingGroup",
    "tensors": "Tensor",
    "car_runs": "MeasureRun",
    "serves": "SERVES",
}
# What a Model node says of itself (design of the graph, without what only the program needs).
_MODEL = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "name", "owner", "createdAt", "savedSha256", "sha256", "status")),
        *((name, pa.string()) for name in ("architecture", "recipe", "preprocessing", "dataset", "source", "patch")),
        ("inputShape", pa.list_(pa.int64())),
        *((name, pa.int64()) for name in ("parameters", "macs")),
        ("trained", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class GraphPart:
    """Which part of a model's graph is exported; ``None``: not said, the whole.

    Attributes:
        view: channels, positions or both.
        class_: whose weights the arcs get: a class's name or index, or ``mean``.
        layers: ``A..B``, both included, in network order.
        relationships: which types, of ARC, CONNECTS, FEEDS and RESEMBLES; where none was said, of one file all but
            RESEMBLES (see :func:`cnngraph.network.edge_weights.choose_relationships`), of parquet all.
    """

    view: str | None = None
    class_: str | int | None = None
    layers: str | None = None
    relationships: tuple[str, ...] | None = None


def export(
    db: Database,
    key: str,
    format: str,  # noqa: A002 (the option's name)
    out: str | Path,
    part: GraphPart | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write one model to ``out``; an export that is there is replaced.

    Parquet is a folder with one table a label or relationship type that has rows (``Position.parquet``,
    ``ARC.parquet``), columns named as the graph's properties. ``HAS_LAYER``, ``HAS_CLASS`` and ``HAS_FEATURE_MAP`` say
    no more than the columns ``layer`` and are left out. Only ``key``, ``name``, ``createdAt`` and ``savedSha256`` of
    ``Model.parquet`` depend on the run. The other formats hold the nodes and edges of the two views, see
    :mod:`cnngraph.network.interchange`.

    Args:
        db: the database.
        key: the model, ``owner/name``.
        format: parquet, neo4j-admin (the whole graph: :mod:`cnngraph.database.import_files`), gexf, graphml or json.
        out: the file, for the first two the folder.
        part: only this much of it.

    Returns:
        ``model, format, path``; ``nodes, relationships``: how many elements were written; of one file also ``directed``
        and ``weights``, a list of ``{relationship, meaning, edges, zero, negative}``; of neo4j-admin ``left_out`` and
        the ``command`` that imports it.

    Raises:
        UsageError: an unknown format, view or relationship, or A comes after B.
        NotFoundError: no such model, class or layer.
        ConflictError: ``out`` is a folder with other things in it.
        CnngraphError: the file cannot be written, or an arc has no weight.
    """
    if format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.", nearest(format, FORMATS))
    part = part or GraphPart()
    view, class_ = part.view or "both", "mean" if part.class_ is None else part.class_
    layers, relationships = part.layers, part.relationships
    target = Path(out)
    report = {"model": key, "format": format, "path": str(target)}
    if format == "neo4j-admin":
        if view != "both" or class_ != "mean" or layers is not None or relationships is not None:
            raise UsageError("neo4j-admin takes the whole graph.", "Leave view, class, layers and relationships out.")
        catalogue.require_complete(db, key)
        with _writing(target), _folder(target, is_own_file, "import.sh") as folder:
            return report | write_import_files(db, key, folder, progress=progress)
    network = read_network(db, key)
    if layers is not None:
        network = select_layers(network, layers)
    if format == "parquet":
        kept = RELATIONSHIPS if relationships is None else choose_relationships(network, view, relationships)
        tables = _tables(select_view(network, view), kept, class_)
        with _writing(target), _folder(target, _is_table, "Model.parquet") as folder:
            _write_tables({"Model": _model(db, key)} | tables, folder)
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
    if target.exists() and not target.is_file():  # a device or a pipe would become a file, a folder cannot
        raise ConflictError(f"{target} is there and is no file.", "Choose another --out.")
    part = _part(target)
    try:
        with part.open("w", encoding="utf-8") as stream:
            WRITERS[format](graph, stream)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _write_tables(tables: dict[str, pa.Table], folder: Path) -> None:
    import pyarrow.parquet as pq

    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")


@contextmanager
def _folder(target: Path, ours: Callable[[str], bool], always: str) -> Iterator[Path]:
    """A folder to write into that becomes ``target`` when it is whole; an earlier export there is replaced.

    Args:
        ours: whether an export may have written a file of this name. always: the one that each export holds.

    Raises:
        ConflictError: ``target`` is anything else.
    """
    if target.exists():
        names = {path.name for path in target.iterdir()} if target.is_dir() else {""}
        if not all(map(ours, names)) or (names and always not in names):
            raise ConflictError(f"{target} is there and is no export.", "Choose a new folder with --out.")
    part, old = _part(target), target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        part.mkdir()
        yield part
        if target.exists():
            target.rename(old)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _is_table(name: str) -> bool:
    return name in {f"{table}.parquet" for table in ("Model", *_TABLES.values())}


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def _tables(network: Network, kept: Collection[str], class_: str | int) -> dict[str, pa.Table]:
    """One table a label, and a relationship type of ``kept``, that has rows; arcs with the weights of one class."""
    tables = {label: getattr(network, name) for name, label in _TABLES.items()}
    weights = class_weights(network, network.positions["activation"], class_)
    sources = pc.index_in(network.arcs["source"], value_set=network.positions["number"].combine_chunks())
    tables["FeatureMap"] = _with_reductions(network)
    tables["ARC"] = network.arcs.append_column("weight", weights.take(sources.combine_chunks()))
    return {
        label: table.rename_columns([camel(column) for column in table.column_names])
        for label, table in tables.items()
        if table.num_rows and (label not in RELATIONSHIPS or label in kept)
    }


def _with_reductions(network: Network) -> pa.Table:
    """The feature maps, with the columns of CAR where it was measured; null for maps that cannot go."""
    maps = network.feature_maps
    if not network.reductions.num_rows:
        return maps
    known = {(row["layer"], row["channel"]): row for row in network.reductions.to_pylist()}
    pairs = zip(maps["layer"].to_pylist(), maps["channel"].to_pylist(), strict=True)
    rows = [known.get(pair, {}) for pair in pairs]
    for field in network.reductions.schema:
        if field.name not in maps.column_names:
            column = pa.array([row.get(field.name) for row in rows], field.type)
            maps = maps.append_column(pa.field(field.name, field.type), column)
    return maps


def _model(db: Database, key: str) -> pa.Table:
    properties = db.read(cypher.load("catalogue/model"), key=key)[0]["model"]
    return pa.Table.from_pylist([{name: properties.get(name) for name in _MODEL.names}], schema=_MODEL)
