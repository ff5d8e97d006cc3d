"""A model's whole graph as CSV files that ``neo4j-admin database import full`` reads: the bulk way into a store.

All nodes that belong to the model (runs, evaluations, whatever a person put on them), with every label and property,
and every relationship between them. What leads to or comes from another model is left out and counted. ``:ID`` spaces
are our labels, the ids our own keys.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from cnngraph.console import Progress, Quiet
from cnngraph.database import catalogue, cypher
from cnngraph.database.connection import Database
from cnngraph.database.empty_lists import in_cypher
from cnngraph.database.import_values import can_be_written, choose_delimiter, field, field_type, quoted
from cnngraph.database.schema import KEYS
from cnngraph.database.whole import in_parts, read_ids, read_nodes
from cnngraph.errors import CnngraphError

__all__ = ["is_own_file", "write_import_files"]

_AT_ONCE = 100  # nodes whose relationships come in one answer: a map of a dense layer has thousands
_BUFFER = 4 * 2**20  # bytes that neo4j-admin reads at once by itself; a row must fit
_LARGEST_ROW = 2**30
_OWN = re.compile(r"[\w-]+\.csv|README\.txt|after-import\.cypher|import\.sh|import\.report")
# The schema's record without a constraint made yet: cnngraph makes them when it meets the store.
_DATA_MODEL = {"name": "cnngraph", "version": 0, "program": "neo4j-admin import"}


def is_own_file(name: str) -> bool:
    """Whether an earlier export, or neo4j-admin beside it, may have written a file of this name."""
    return _OWN.fullmatch(name) is not None


def write_import_files(db: Database, key: str, folder: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Write the files into ``folder``, with the command that imports them (``import.sh``) and a README.

    Returns:
        ``nodes, relationships``: how many were written; ``left_out``: how many relationships of each type lead to or
        come from something that is not this model's, and how many empty values have no form in CSV;
        ``command``: what to run in the folder.

    Raises:
        NotFoundError, ConflictError: there is no such model, or it is not complete.
        CnngraphError: a property has no form in CSV.
    """
    catalogue.require_complete(db, key)
    shown = progress or Quiet()
    shown.start("Reading nodes")
    nodes = _read_nodes(db, key)
    names = _names(nodes, key)
    spaces = {identity: space for space, rows in nodes.items() for identity in (row["id"] for row in rows)}
    lists = [row["labels"] for rows in nodes.values() for row in rows] + [
        value
        for rows in nodes.values()
        for row in rows
        for value in row["properties"].values()
        if isinstance(value, list) and value and isinstance(value[0], str)
    ]
    files = _Files(folder, choose_delimiter(lists))
    with closing(files):  # also after an error
        for space, rows in nodes.items():
            common = _common_types(space, [row["properties"] for row in rows])
            for row in rows:
                fields = (names[row["id"]], row["labels"])
                files.add(space, (f":ID({space})", ":LABEL"), fields, row["properties"], common)
        empty = _empty_lists(nodes, key)
        record = _DATA_MODEL | ({"emptyLists": json.dumps(empty)} if empty else {})
        files.add("DataModel", (":ID(DataModel)", ":LABEL"), ("cnngraph", ["DataModel"]), record)
        count = sum(map(len, nodes.values()))
        shown.start("Writing relationships", count)
        outside: Counter[str] = Counter()
        for ids in _slices([row["id"] for rows in nodes.values() for row in rows], _AT_ONCE):
            for edge in db.read(cypher.load("read/whole_edges"), ids=ids):
                if edge["target"] not in names:
                    outside[edge["type"]] += 1
                    continue
                ends = [(end, spaces[edge[side]]) for end, side in (("START_ID", "source"), ("END_ID", "target"))]
                header = (*(f":{end}({space})" for end, space in ends), ":TYPE")
                cells = (names[edge["source"]], names[edge["target"]], edge["type"])
                files.add(edge["type"], header, cells, edge["properties"])
            shown.advance(len(ids))
        few = [row["id"] for space, rows in nodes.items() if space not in ("FeatureMap", "Position") for row in rows]
        for row in db.read(cypher.load("read/whole_entering"), ids=few):
            if row["source"] not in names:
                outside[row["type"]] += int(row["edges"])
    command = files.command()
    _write_command(folder, key, command)
    if empty:
        (folder / "after-import.cypher").write_text(in_cypher(empty), encoding="utf-8", newline="\n")
    return {
        "nodes": count,
        "relationships": files.relationships,
        "left_out": dict(outside) | dict(files.left_out),
        "command": shlex.join(["neo4j-admin", "database", "import", "full", "neo4j", *command]),
    }


def _read_nodes(db: Database, key: str) -> dict[str, list[dict[str, Any]]]:
    """All nodes of the model by the first of our labels that they bear, in the order of their keys."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part in in_parts(read_ids(db, key)):
        space = part[0].label
        for row in read_nodes(db, [node.id for node in part]):
            row["labels"] = [space, *sorted(set(row["labels"]) - {space})]
            found.setdefault(space, []).append(row)
    return found


def _common_types(space: str, nodes: list[dict[str, Any]]) -> dict[str, str]:
    """The properties whose values are of one type on all nodes that have them: one column of one file."""
    found: dict[str, set[str]] = {}
    for properties in nodes:
        for word, value in properties.items():
            if can_be_written(value):
                found.setdefault(word, set()).add(field_type(value, f"{space}.{word}"))
    return {word: next(iter(types)) for word, types in found.items() if len(types) == 1}


def _empty_lists(nodes: dict[str, list[dict[str, Any]]], key: str) -> list[dict[str, Any]]:
    """What CSV has no form for, with the properties by which its node is found again."""
    found = []
    for space, rows in nodes.items():
        for properties in (row["properties"] for row in rows):
            lists = {name: value for name, value in properties.items() if isinstance(value, list)}
            empty = {name: value for name, value in lists.items() if not can_be_written(value)}
            if empty:
                match = {name: properties.get(name) for name in KEYS[space] or ("key",)}
                match |= {"model": key} if "model" in properties else {}
                found.append({"label": space, "match": match, "set": empty})
    return found


def _names(nodes: dict[str, list[dict[str, Any]]], key: str) -> dict[str, str]:
    """The id of each node in the files, by its element id: the model's key and what tells it apart within the model."""
    names: dict[str, str] = {}
    for space, rows in nodes.items():
        taken: set[str] = set()
        for row in rows:
            name = " ".join([key, *(str(row["properties"].get(part)) for part in KEYS[space])])
            while name in taken:  # made by hand, without a key of its own
                name += " again"
            taken.add(name)
            names[row["id"]] = name
    return names


class _Files:
    """The CSV files of an import: one for each name, begin of the header and set of typed properties."""

    def __init__(self, folder: Path, delimiter: str) -> None:
        self._folder = folder
        self._delimiter = delimiter
        self._open: dict[tuple[str, ...], TextIO] = {}
        self._names: Counter[str] = Counter()
        self._paths: list[tuple[str, str]] = []  # option, file name
        self._longest = 0
        self._lines = False
        self.left_out: Counter[str] = Counter()
        self.relationships = 0

    def add(
        self,
        name: str,
        begin: tuple[str, ...],
        fields: tuple[Any, ...],
        properties: dict[str, Any],
        common: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Write one node or relationship.

        Args:
            name: its label or type. begin: the columns of ``fields`` in the header.
            common: types of properties that have a column whether this one has the property or not.
        """
        kept: dict[str, Any] = {}
        for word in sorted(properties.keys() | common.keys()):
            value = properties.get(word)
            if can_be_written(value):
                kept[word] = value
            elif word in common:
                kept[word] = None
            lost = begin[-1] == ":TYPE" or not isinstance(value, list)  # of nodes lists are set after the import
            if lost and not can_be_written(value):
                self.left_out[f"empty {name}.{word}"] += 1
        header = (
            *begin,
            *(f"{word}:{self._type(name, word, value, common.get(word))}" for word, value in kept.items()),
        )
        stream = self._open.get((name, *header)) or self._begin(name, header)
        row = ",".join(field(value, self._delimiter) for value in (*fields, *kept.values()))
        self._longest = max(self._longest, len(row))
        self._lines = self._lines or "\n" in row or "\r" in row
        self.relationships += begin[-1] == ":TYPE"
        stream.write(row + "\n")

    def close(self) -> None:
        """Finish the files."""
        for stream in self._open.values():
            stream.close()

    def command(self) -> list[str]:
        """The options of ``neo4j-admin database import full`` for these files.

        Raises:
            CnngraphError: a value is too large for it.
        """
        if self._longest > _LARGEST_ROW:
            raise CnngraphError(f"One node takes {self._longest / 1e9:.1f} GB of text.", "Export it as parquet.")
        sign = self._delimiter if self._delimiter.isprintable() else f"U+{ord(self._delimiter):04X}"
        return [
            *(f"--{option}={name}" for option, name in self._paths),
            f"--array-delimiter={sign}",
            *(["--multiline-fields=true"] if self._lines else []),
            *([f"--read-buffer-size={4 * self._longest}"] if 2 * self._longest > _BUFFER else []),
            "--strict=true",
            "--bad-tolerance=0",
            "--report-file=import.report",
        ]

    def _type(self, name: str, word: str, value: Any, known: str | None) -> str:
        if ":" in word or "\n" in word or not word.strip():
            raise CnngraphError(f"The property {word!r} of {name} cannot stand in a CSV header.", "Rename it.")
        texts = value if isinstance(value, list) and isinstance(value[0], str) else []
        if any(self._delimiter in text for text in texts):
            raise CnngraphError(f"A text in the list {name}.{word} holds {self._delimiter!r}.", "Keep it as one text.")
        return known or field_type(value, f"{name}.{word}")

    def _begin(self, name: str, header: tuple[str, ...]) -> TextIO:
        stem = re.sub(r"[^\w-]", "_", name)
        self._names[stem] += 1
        file = f"{stem}.csv" if self._names[stem] == 1 else f"{stem}-{self._names[stem]}.csv"
        self._paths.append(("relationships" if ":TYPE" in header else "nodes", file))
        stream = (self._folder / file).open("w", encoding="utf-8", newline="")
        self._open[(name, *header)] = stream
        stream.write(",".join(map(quoted, header)) + "\n")
        return stream


def _slices(ids: list[str], size: int) -> Iterator[list[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _write_command(folder: Path, key: str, options: Iterable[str]) -> None:
    lines = " \\\n  ".join(map(shlex.quote, options))
    script = f"""#!/bin/sh
# Makes the graph of {key} a database: sh import.sh [DATABASE] [more options of neo4j-admin]
# Run it where the server is, as its user, while the database is stopped. One that is there is replaced only with
# --overwrite-destination=true, which deletes it. NEO4J_ADMIN may say where neo4j-admin is.
cd "$(dirname "$0")" || exit 1
database="${{1:-neo4j}}"
[ "$#" -gt 0 ] && shift
exec "${{NEO4J_ADMIN:-neo4j-admin}}" database import full "$database" \\
  {lines} \\
  "$@"
"""
    (folder / "import.sh").write_text(script, encoding="utf-8", newline="\n")
    (folder / "import.sh").chmod(0o755)
    (folder / "README.txt").write_text(
        f"""The whole graph of the model {key}, written by cnngraph for neo4j-admin (Neo4j 5.26 and newer).

Import it, on the machine of the server and while the database is stopped:

    sh import.sh [DATABASE] [more options of neo4j-admin]

or, in this folder:

    {shlex.join(["neo4j-admin", "database", "import", "full", "neo4j", *options])}

A database that is there already is replaced, and what it held deleted, only with --overwrite-destination=true.
neo4j-admin makes no constraints and has no form for a list without an element. The first command of cnngraph mends
both on an embedded server; elsewhere run cnngraph db migrate. Without cnngraph: after-import.cypher, where it is there.
""",
        encoding="utf-8",
        newline="\n",
    )
