"""Lists without an element: ``neo4j-admin database import`` has no form for them, so they are set after an import.

The shape of a scalar tensor is one. The files of an import carry them as a text on the schema's record (DataModel); the
first migration sets them and forgets the text. ``after-import.cypher`` beside the files does the same by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cnngraph.database import cypher
from cnngraph.database.connection import Database

__all__ = ["in_cypher", "left_to_set", "set_empty_lists"]


def left_to_set(db: Database) -> list[dict[str, Any]]:
    """Rows ``{label, match, set}`` of what an import left open; empty in every other database."""
    found = db.read(cypher.load("schema/empty_lists"))
    return list(json.loads(found[0]["rows"])) if found else []


def set_empty_lists(db: Database) -> None:
    """Set what an import left open. Safe to repeat."""
    rows = left_to_set(db)
    if rows:
        db.write(cypher.load("schema/restore_empty_lists"), rows=rows)
        db.write(cypher.load("schema/forget_empty_lists"))


def in_cypher(rows: Iterable[dict[str, Any]]) -> str:
    """The same as statements that a person can run.

    >>> print(in_cypher([{"label": "Tensor", "match": {"name": "n"}, "set": {"shape": []}}]), end="")
    MATCH (n:`Tensor` {`name`: "n"}) SET n.`shape` = [];
    """
    lines = []
    for row in rows:
        match = ", ".join(f"{_name(name)}: {_value(value)}" for name, value in row["match"].items())
        new = ", ".join(f"n.{_name(name)} = {_value(value)}" for name, value in row["set"].items())
        lines.append(f"MATCH (n:{_name(row['label'])} {{{match}}}) SET {new};\n")
    return "".join(lines)


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
