"""Reads class networks in the format that the authors of `multilayer` publish.

One GEXF file (plain or gzip) holds the topology: nodes with ``x``, ``y`` and ``layer_name``, directed arcs. One CSV
file a class holds, for each node, ``mean_output``: the weight of all arcs that leave it. The result is a position view;
nothing is known of channels, images or the net's parameters. Format: the reference implementation of Amelio et al.,
Cognitive Computation 2022, doi 10.1007/s12559-022-10084-6.
"""

from __future__ import annotations

import csv
import glob
import gzip
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast
from xml.etree.ElementTree import Element, ParseError

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cnngraph.errors import DataError, NotFoundError
from cnngraph.files import file_sha256
from cnngraph.network.spec import check
from cnngraph.network.tables import SCHEMAS, Details, Network, empty_table

__all__ = ["class_files", "read_gexf"]

_GZIP_MAGIC = b"\x1f\x8b"
_INT32_MAX = 2**31 - 1
_ATTRIBUTES = ("x", "y", "layer_name")


@dataclass(frozen=True)
class _Node:
    number: int
    x: int
    y: int
    layer: str


def read_gexf(gexf: str | Path, classes: Sequence[str | Path]) -> Network:
    """One published multilayer network as a :class:`Network` with the position view.

    The nodes' ids are kept as ``number``; every ``layer_name`` becomes a Conv layer, in the order of its smallest id,
    and feeds the layers that its arcs reach. The classes are the CSV files in the order given, named by their stems. A
    node from which no arc leaves has no weight, so the last layer's ``activation`` is null; ``activation_all`` is null
    everywhere, since how many images each class had is not published.

    Args:
        gexf: the topology, ``.gexf`` or ``.gexf.gz``.
        classes: CSV files or patterns, see :func:`class_files`; plain or gzip, each with a header and the columns node
            id and ``mean_output``.

    Raises:
        NotFoundError: a file is not there.
        DataError: a file is broken or the files contradict each other; the message names file and place.
    """
    topology, sheets = Path(gexf), class_files(classes)
    if not sheets:
        raise DataError(f"{topology.name} was given without any class.", "Give one CSV file a class with --classes.")
    _distinct_classes(sheets)
    nodes, arcs = _read_topology(topology)
    layers = list(dict.fromkeys(node.layer for node in nodes))
    place = {layer: index for index, layer in enumerate(layers)}
    source, target = _check_arcs(topology, nodes, place, arcs)
    sources = {nodes[row].layer for row in np.unique(source)}
    activation = _activations(nodes, sources, np.unique(source), sheets)
    numbers = np.array([node.number for node in nodes], dtype=np.int32)
    network = Network(
        details=Details(
            architecture="cnn2multilayer",
            input_shape=(0, 0, 0),
            source="input",
            patch="mean",
            view="positions",
            connections="none",
            inputs={
                "sha256": {path.name: file_sha256(path) for path in (topology, *sheets)},
                "classes": _class_names(sheets),
            },
        ),
        layers=_layer_table(layers),
        feeds=_feed_table(layers, [place[node.layer] for node in nodes], source, target),
        feature_maps=empty_table("feature_maps"),
        connects=empty_table("connects"),
        resembles=empty_table("resembles"),
        positions=_rows(
            "positions",
            (
                {"number": node.number, "layer": node.layer, "x": node.x, "y": node.y, "activation": weights}
                for node, weights in zip(nodes, activation, strict=True)
            ),
        ),
        arcs=pa.table({"source": numbers[source], "target": numbers[target]}, schema=SCHEMAS["arcs"]),
        classes=_rows("classes", ({"index": index, "name": stem} for index, stem in enumerate(_class_names(sheets)))),
    )
    return check(network)


def class_files(entries: Iterable[str | Path]) -> list[Path]:
    """The CSV files that ``--classes`` names, in order.

    A pattern (``'class_*.csv'``) is expanded in the order of the number in the name.

    Raises:
        NotFoundError: a file is not there, or a pattern fits none.
        DataError: the numbers that a pattern finds leave a gap, so that a class is missing.
    """
    files: list[Path] = []
    for entry in map(str, entries):
        if Path(entry).exists() or not glob.has_magic(entry):
            files.append(Path(entry))
            continue
        found = sorted((Path(match) for match in glob.glob(entry)), key=lambda path: (_last_number(path), path.name))  # noqa: PTH207 - an absolute pattern
        if not found:
            raise NotFoundError(f"No file fits the pattern {entry!r}.", "Quote the pattern and check its folder.")
        _no_gap(entry, found)
        files += found
    for path in files:
        _require_file(path)
    return files


def _last_number(path: Path) -> int:
    numbers = re.findall(r"\d+", path.name.split(".")[0])
    return int(numbers[-1]) if numbers else -1


def _no_gap(pattern: str, files: Sequence[Path]) -> None:
    for before, after in pairwise(files):
        if 0 <= _last_number(before) < _last_number(after) - 1:
            raise DataError(
                f"The pattern {pattern!r} finds {before.name} and then {after.name}: a class is missing.",
                "Add the file, or name the files one by one if some classes are left out on purpose.",
            )


def _class_names(sheets: Sequence[Path]) -> list[str]:
    return [path.name.removesuffix(".gz").removesuffix(".csv") for path in sheets]


def _distinct_classes(sheets: Sequence[Path]) -> None:
    names = _class_names(sheets)
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"The class {name} is given more than once.", "Name each class's CSV file once.")


def _require_file(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(f"There is no file {path}.", "Check the path.")
    if not path.is_file():
        raise DataError(f"{path} is no file.", "Name a GEXF file and one CSV file a class.")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where they are gzip; every fault of reading becomes a DataError."""
    _require_file(path)
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            yield cast("IO[bytes]", stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is broken or truncated gzip: {error}.", "Fetch or write the file again.") from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the file and its permissions."
        ) from error


def _read_topology(path: Path) -> tuple[list[_Node], list[tuple[str, str]]]:
    """Nodes by rising number, and arcs as pairs of ids as they are written."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    nodes: list[_Node] = []
    arcs: list[tuple[str, str]] = []
    titles: dict[str, str] = {}
    holder: Element | None = None
    root = ""
    with _opened(path) as stream:
        try:
            for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
                tag = element.tag.rpartition("}")[2]
                root = root or tag
                if event == "start":
                    if tag in ("nodes", "edges"):
                        holder = element
                    elif tag == "graph" and element.get("defaultedgetype", "directed") != "directed":
                        raise DataError(f"{path} holds an undirected graph.", "Arcs run from a layer to the next.")
                elif tag == "attribute":
                    titles[element.get("id", "")] = element.get("title", "")
                elif tag == "node":
                    nodes.append(_node(path, element, titles))
                elif tag == "edge":
                    arcs.append((element.get("source", ""), element.get("target", "")))
                if event == "end" and tag in ("node", "edge") and holder is not None:
                    holder.clear()  # else the whole tree would stay in memory
        except DefusedXmlException as error:
            raise DataError(
                f"{path} declares a document type or entities, which is refused.", "Remove its DTD."
            ) from error
        except (ParseError, UnicodeDecodeError, LookupError) as error:
            raise DataError(f"{path} is broken or truncated XML: {error}.", "Fetch or write the file again.") from error
    if root != "gexf":
        raise DataError(f"{path} is no GEXF: its root element is {root!r}.", "Give the authors' graph.gexf[.gz].")
    if not nodes:
        raise DataError(f"{path} holds no node.", "Give the authors' graph.gexf[.gz].")
    return _ordered(path, nodes), arcs


def _node(path: Path, element: Element, titles: dict[str, str]) -> _Node:
    identity = element.get("id", "")
    values = {titles.get(value.get("for", "")): value.get("value", "") for value in element.iter() if value.get("for")}
    for title in _ATTRIBUTES:
        if not values.get(title):
            raise DataError(f"{path}: node {identity!r} has no {title}.", "Every node needs x, y and layer_name.")
    return _Node(
        number=_whole(path, "a node's id", identity),
        x=_whole(path, f"x of node {identity}", values["x"]),
        y=_whole(path, f"y of node {identity}", values["y"]),
        layer=values["layer_name"],
    )


def _whole(path: Path, what: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _INT32_MAX):
        raise DataError(f"{path}: {what} is {text!r}, not a whole number from 0 to {_INT32_MAX}.", "Correct the file.")
    return int(text)


def _ordered(path: Path, nodes: list[_Node]) -> list[_Node]:
    """The nodes by number, which must count 1, 2, ... layer by layer, row by row, as :class:`Network` numbers them."""
    ordered = sorted(nodes, key=lambda node: node.number)
    for expected, node in enumerate(ordered, start=1):
        if node.number != expected:
            fault = "is used more than once" if node.number < expected else f"comes where {expected} is missing"
            raise DataError(f"{path}: the node id {node.number} {fault}.", "Ids must count 1, 2, 3, ...")
    place = {layer: index for index, layer in enumerate(dict.fromkeys(node.layer for node in ordered))}
    for before, after in pairwise(ordered):
        if (place[before.layer], before.x, before.y) >= (place[after.layer], after.x, after.y):
            raise DataError(
                f"{path}: node {after.number} ({after.layer}, {after.x}, {after.y}) is out of order after node "
                f"{before.number} ({before.layer}, {before.x}, {before.y}).",
                "Nodes must be numbered layer by layer, by x, then by y.",
            )
    return ordered


def _check_arcs(
    path: Path, nodes: list[_Node], place: dict[str, int], arcs: list[tuple[str, str]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Arcs as rows of ``nodes``, sorted by source and target; each must lead from a layer to a later one, once."""
    row = {str(node.number): index for index, node in enumerate(nodes)}
    pairs: list[tuple[int, int]] = []
    for ends in arcs:
        unknown = next((end for end in ends if end not in row), None)
        if unknown is not None:
            raise DataError(f"{path}: an arc names the node {unknown!r}, which is not there.", "Correct the file.")
        source, target = row[ends[0]], row[ends[1]]
        if place[nodes[source].layer] >= place[nodes[target].layer]:
            raise DataError(
                f"{path}: the arc {ends[0]} -> {ends[1]} does not lead to a later layer.", "Correct the file."
            )
        pairs.append((source, target))
    pairs.sort()
    for before, after in pairwise(pairs):
        if before == after:
            ends_text = f"{nodes[after[0]].number} -> {nodes[after[1]].number}"
            raise DataError(f"{path}: the arc {ends_text} is there more than once.", "Correct the file.")
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _activations(
    nodes: list[_Node], sources: set[str], leaving: NDArray[np.int64], sheets: Sequence[Path]
) -> list[list[float] | None]:
    """The weights of each node, one a class; ``None`` where no file has any."""
    by_class = [_read_class(path) for path in sheets]
    layer_of = {node.number: node.layer for node in nodes}
    for path, weights in zip(sheets, by_class, strict=True):
        for number in weights:
            if number not in layer_of:
                raise DataError(
                    f"{path} names the node {number}, which the graph does not have.", "Give files of one network."
                )
            if layer_of[number] not in sources:
                raise DataError(
                    f"{path} gives node {number} a weight, but no arc leaves its layer {layer_of[number]}.",
                    "Give files of one network.",
                )
    needed = {nodes[row].number for row in leaving}
    rows: list[list[float] | None] = []
    for node in nodes:
        having = [path for path, weights in zip(sheets, by_class, strict=True) if node.number in weights]
        if len(having) == len(sheets):
            rows.append([weights[node.number] for weights in by_class])
        elif having or node.number in needed:
            lacking = next(path for path in sheets if path not in having)
            raise DataError(
                f"{lacking} has no row for the node {node.number}.", "The file is truncated or of another network."
            )
        else:
            rows.append(None)
    return rows


def _read_class(path: Path) -> dict[int, float]:
    """Node id -> weight of one class network."""
    with _opened(path) as stream:
        try:
            content = stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text in UTF-8.", "Give the authors' class CSV files.") from error
    lines = csv.reader(content.splitlines(), strict=True)
    weights: dict[int, float] = {}
    try:
        header = next(lines, [])
        if len(header) != 2 or header[1].strip() != "mean_output":
            raise DataError(
                f"{path} does not begin with the header ',mean_output'.", "Give the authors' class CSV files."
            )
        for row in lines:
            if len(row) != 2:
                raise DataError(
                    f"{path}, line {lines.line_num}: {len(row)} columns instead of 2.",
                    "The file is broken or truncated.",
                )
            number = _whole(path, f"the id in line {lines.line_num}", row[0])
            if number in weights:
                raise DataError(f"{path}: the node {number} is there more than once.", "Correct the file.")
            weights[number] = _finite(path, lines.line_num, row[1])
    except csv.Error as error:
        raise DataError(f"{path}, line {lines.line_num}: {error}.", "The file is broken or truncated.") from error
    return weights


def _finite(path: Path, line: int, text: str) -> float:
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}, line {line}: {text!r} is not a finite number.", "Correct the file.")
    return value


def _layer_table(layers: Sequence[str]) -> pa.Table:
    return _rows(
        "layers",
        (
            {"index": index, "layer": layer, "kind": "Conv", "operation": "Conv2d", "parameters": 0, "macs": 0}
            for index, layer in enumerate(layers)
        ),
    )


def _feed_table(
    layers: Sequence[str], place: Sequence[int], source: NDArray[np.int64], target: NDArray[np.int64]
) -> pa.Table:
    """One row for each pair of layers that arcs connect: all that the format says about the wiring."""
    index = np.array(place, dtype=np.int64)
    pairs = np.unique(np.stack([index[target], index[source]], axis=1), axis=0)  # the order of every feeds table
    return _rows(
        "feeds",
        (
            {"source": layers[a], "target": layers[b], "port": 0, "omitted": 0, "omitted_share": 0.0}
            for b, a in pairs.tolist()
        ),
    )


def _rows(table: str, rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
