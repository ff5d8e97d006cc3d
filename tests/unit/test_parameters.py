"""Hardly a function takes more than eight parameters: what belongs together is an object with a name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import cnngraph

MOST = 8
# What a person types, or writes as keywords, is spread out there: cli/ and api/ are free to.
FREE = ("cli", "api")
# This list only shrinks.
KNOWN = {
    "training/fit.py fit": "the trainer: a user's own one takes these very keywords",
    "network/observe.py observe": "what one pass looks for, each with its own kind of answer",
}


def parameters() -> Iterator[tuple[str, int]]:
    """Each function of the package and how many parameters it has, ``self`` aside."""
    root = Path(cnngraph.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = node.args
                names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                names += [one.arg for one in (given.vararg, given.kwarg) if one is not None]
                yield (
                    f"{path.relative_to(root)} {node.name}",
                    len([name for name in names if name not in ("self", "cls")]),
                )


def test_no_function_takes_more_than_eight() -> None:
    many = {where for where, count in parameters() if count > MOST and where.partition("/")[0] not in FREE}
    assert many == KNOWN.keys()
