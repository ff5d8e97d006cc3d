"""What a measure asks of Graph Data Science, as text to paste: Python with Neo4j's client, or Cypher for Browser."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.database import cypher
from cnngraph.database.algorithm import Algorithm
from cnngraph.errors import UsageError
from cnngraph.measures.measure import Measure, Options

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["Calls", "calls"]

_BATCHES = re.compile(r" IN \d+ CONCURRENT TRANSACTIONS OF \d+ ROWS")
_HEAD = """\
import os

from graphdatascience import GraphDataScience

gds = GraphDataScience({arguments})
"""
_BODY = """\
with gds.graph.project.cypher(
    \"\"\"
{query}
    \"\"\",
{parameters}
) as G:
    {call}
"""


@dataclass(frozen=True)
class Calls:
    """The same calls twice, each whole: a Python script, and statements for Neo4j Browser."""

    measure: str
    python: str
    cypher: str


def calls(db: Database, key: str, measure: Measure, options: Options, username: str, *, password: bool) -> Calls:
    """The calls by which :func:`cnngraph.measures.registry.measure` would compute ``measure``; nothing is computed.

    Args:
        username: of the server. password: whether it wants one; it is read from NEO4J_PASSWORD, never printed.

    Raises:
        UsageError: the measure is none of Graph Data Science's.
        PlanError: the model has no such nodes.
    """
    if measure.algorithm is None:
        stem = measure.name.replace("-", "_")
        own = (cypher.folder() / "measures" / f"{stem}.cypher").is_file()
        raise UsageError(
            f"The measure {measure.name} is not computed by Graph Data Science.",
            f"Its query is cypher/measures/{stem}.cypher." if own else "cnngraph computes it by itself.",
        )
    from cnngraph.database import gds

    size = gds.measured_size(db, key, measure.algorithm(0, options).projecting)
    algorithm = measure.algorithm(size.nodes, options)
    parameters = {"name": f"{measure.name} {key}"} | algorithm.projecting.parameters(key)
    where = [json.dumps(db.uri)]
    if password:
        where.append(f'auth=({json.dumps(username)}, os.environ["NEO4J_PASSWORD"])')
    if db.database is not None:
        where.append(f"database={json.dumps(db.database)}")
    return Calls(
        measure.name,
        _HEAD.format(arguments=", ".join([*where, "arrow=False"])) + _python(algorithm, parameters, key),
        _cypher(algorithm, parameters, key),
    )


def _python(algorithm: Algorithm, parameters: Mapping[str, Any], key: str) -> str:
    settings = [f"{name}={value!r}" for name, value in algorithm.settings.items()]
    if algorithm.write_property is not None:
        call = f"gds.{algorithm.name}.write({', '.join(['G', repr(algorithm.write_property), *settings])})"
    else:
        call = f"print(gds.{algorithm.name}.stream({', '.join(['G', *settings])}))"
    query = "\n".join("    " + line for line in _code(algorithm.projecting.query).splitlines())
    given = "\n".join(f"    {name}={value!r}," for name, value in parameters.items())
    text = _BODY.format(query=query, parameters=given, call=call)
    if algorithm.then is None:
        return text
    # The client runs a query in one transaction.
    query = _BATCHES.sub("", _code(cypher.load(algorithm.then)))
    return text + f'gds.run_cypher(\n    """\n{query}\n    """,\n    {{"model": {key!r}}},\n)\n'


def _cypher(algorithm: Algorithm, parameters: Mapping[str, Any], key: str) -> str:
    settings = {_camel(name): value for name, value in algorithm.settings.items()}
    mode = "stream"
    if algorithm.write_property is not None:
        mode, settings = "write", settings | {"writeProperty": algorithm.write_property}
    config = ", ".join(f"{name}: {json.dumps(value)}" for name, value in settings.items())
    name = json.dumps(parameters["name"])
    statements = [
        _filled(_code(algorithm.projecting.query), parameters),
        f"CALL gds.{_camel(algorithm.name)}.{mode}({name}, {{{config}}})",
        f"CALL gds.graph.drop({name}) YIELD graphName",
    ]
    if algorithm.then is not None:
        statements.append(":auto " + _filled(_code(cypher.load(algorithm.then)), {"model": key}))
    return ";\n".join(statements) + ";\n"


def _code(text: str) -> str:
    """A query without the comment above it."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("//")).strip()


def _filled(text: str, parameters: Mapping[str, Any]) -> str:
    """A query with values in the place of its parameters; a JSON value is a Cypher literal."""
    return re.sub(r"\$(\w+)", lambda found: json.dumps(parameters[found[1]]), text)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
