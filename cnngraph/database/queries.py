"""The saved queries, ``cypher/queries/STEM.cypher``: listed, run, or given as text to paste into Neo4j Browser.

A file begins with a comment line that is its title, more comment lines, and a line ``:params {...}`` of JSON that holds
every parameter with its default; ``model`` is always one. The columns before the first node are the query's figures,
the nodes and relationships after them are the picture that Browser draws, never more than 300 nodes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

from cnngraph.database import cypher, failures
from cnngraph.database.connection import Database
from cnngraph.errors import DatabaseError, NotFoundError, OptionError, UsageError, nearest

__all__ = ["SavedQuery", "find", "query_text", "run_cypher", "run_query", "saved"]

_PARAMS = re.compile(r"^:params?\s+(\{.*\})\s*;?\s*$", re.MULTILINE)
_NEEDS = "Needs: "  # begins the comment line that names the command which makes what a query shows
_BATCHED = re.compile(r"\bIN\s+([\w$]+\s+CONCURRENT\s+)?TRANSACTIONS\b", re.IGNORECASE)


@dataclass(frozen=True)
class SavedQuery:
    """One file of ``cypher/queries``.

    Attributes:
        stem: its name in commands. title: its first line. comment: what it shows, line by line.
        defaults: every parameter but the model, with the value that fits any model.
        body: the Cypher after the ``:params`` line.
    """

    stem: str
    title: str
    comment: tuple[str, ...]
    defaults: dict[str, Any]
    body: str

    @property
    def needs(self) -> str:
        """The command that makes what it shows, with NAME for the model; "" where the comment names none."""
        return next((line.removeprefix(_NEEDS) for line in self.comment if line.startswith(_NEEDS)), "")

    def parameters(self, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of the query for the model ``key``; those not given have their defaults.

        Raises:
            UsageError: an unknown parameter, or one that must be a number from 0 on and is not.
        """
        for name, value in given.items():
            if name not in self.defaults:
                known = nearest(name, self.defaults)
                raise UsageError(f"The query {self.stem} has no parameter {name!r}.", known)
            if isinstance(self.defaults[name], int | float) and not _is_count(value):
                raise UsageError(f"The parameter {name} is {value!r}, not a number from 0 on.", f"Write {name}=5, say.")
        return {"model": key} | self.defaults | dict(given)


def _is_count(value: object) -> bool:
    """A finite number from 0 on that Cypher can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**63


@cache
def saved() -> tuple[SavedQuery, ...]:
    """All saved queries, by stem."""
    return tuple(_parsed(path.stem) for path in sorted((cypher.folder() / "queries").glob("*.cypher")))


def find(stem: str) -> SavedQuery:
    """The saved query of that name.

    Raises:
        NotFoundError: there is none.
    """
    known = {query.stem: query for query in saved()}
    if stem not in known:
        raise NotFoundError(f"There is no saved query {stem!r}.", nearest(stem, known))
    return known[stem]


def query_text(stem: str, key: str, params: Mapping[str, Any]) -> str:
    """The query as text to paste into Neo4j Browser: one statement, with the values in the place of its parameters.

    Browser draws no graph for a paste of several statements, and ``:params`` is one of its own; so the line becomes a
    comment here. A JSON value is a Cypher literal.

    Raises:
        NotFoundError: an unknown query. UsageError: an unknown or impossible parameter.
    """
    query = find(stem)
    values = {name: json.dumps(value) for name, value in query.parameters(key, params).items()}
    line = ", ".join(f'"{name}": {value}' for name, value in values.items())
    head = [query.title, *query.comment, f":params {{{line}}}"]
    body = re.sub(r"\$(\w+)", lambda found: values[found[1]], query.body)
    return "".join(f"// {line}\n" for line in head) + body


def run_query(db: Database, stem: str, key: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures of a saved query: its rows up to the first column that holds a node.

    Raises:
        NotFoundError: an unknown query. UsageError: an unknown or impossible parameter.
        DatabaseError: the server refuses, or is gone.
    """
    query = find(stem)
    rows = db.read(query.body, **query.parameters(key, params))
    if not rows:
        return []
    figures = list(takewhile(lambda name: not any(_is_drawn(row[name]) for row in rows), rows[0]))
    return [{name: row[name] for name in figures} for row in rows]


def ask(
    db: Database, query: str, key: str | None, parameters: Mapping[str, Any], *, cypher: bool, write: bool
) -> list[dict[str, Any]]:
    """Rows of the saved query of that name about the model ``key``, or of ``query`` itself with ``cypher``.

    Raises:
        UsageError: a saved query without a model. Otherwise as :func:`run_query` and :func:`run_cypher`.
    """
    if cypher:
        return run_cypher(db, query, ({"model": key} if key else {}) | dict(parameters), write=write)
    if key is None:
        raise OptionError("A saved query asks about one model.", "Name it: {model=NAME}.")
    return run_query(db, query, key, parameters)


def run_cypher(
    db: Database, text: str, params: Mapping[str, Any] | None = None, *, write: bool = False
) -> list[dict[str, Any]]:
    """The rows of a person's Cypher, nodes and relationships as plain objects; it can change nothing unless ``write``.

    A pasted ``:params {...}`` line sets parameters; ``params`` override it.

    Raises:
        UsageError: there is no Cypher in the text, or its ``:params`` line is not JSON.
        DatabaseError: the server refuses, also a change without ``write``.
    """
    found = _PARAMS.search(text)
    parameters = _json(found[1]) if found else {}
    statement = _PARAMS.sub("", text).strip().removeprefix(":auto").strip().rstrip(";")
    if not cypher.statements(statement):
        raise UsageError("There is no Cypher to run.", "Pipe a query in: echo 'MATCH (m:Model) RETURN m.key' | ...")
    run = db.read
    if write:
        run = db.auto if _BATCHED.search(statement) else db.write
    try:
        rows = run(statement, **parameters | dict(params or {}))
    except DatabaseError as error:
        if not write and failures.refused(error, "AccessMode"):
            raise DatabaseError("This Cypher changes the database.", "Add --write to allow it.") from error
        raise
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _parsed(stem: str) -> SavedQuery:
    text = cypher.load(f"queries/{stem}")
    found = _PARAMS.search(text)
    if found is None:
        raise UsageError(
            f"The saved query {stem} has no :params line.", 'Begin with // title and :params {"model": ""};'
        )
    title, *comment = [line.removeprefix("//").strip() for line in text[: found.start()].splitlines()]
    defaults = {name: value for name, value in _json(found[1]).items() if name != "model"}
    return SavedQuery(stem, title, tuple(comment), defaults, text[found.end() :].lstrip("\n"))


def _json(text: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"The :params line is not JSON: {error}.", 'Write :params {"model": "me/net", "top": 5}'
        ) from error
    return content


def _is_drawn(value: object) -> bool:
    from neo4j.graph import Entity, Path

    if isinstance(value, list):
        return any(map(_is_drawn, value))
    return isinstance(value, Entity | Path)


def _plain(value: Any) -> Any:
    from neo4j.graph import Node, Path, Relationship

    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Node):
        return {"labels": sorted(value.labels)} | dict(value)
    if isinstance(value, Relationship):
        return {"type": value.type} | dict(value)
    if isinstance(value, Path):
        return [_plain(item) for item in (*value.nodes, *value.relationships)]
    return value
