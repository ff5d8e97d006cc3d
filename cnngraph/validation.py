"""One way to read what was stored as JSON: whoever damaged it is told the first wrong field, and what to do.

Whoever reads something says with ``fail`` which error a reason becomes: its class, what it names, and the hint.

>>> from cnngraph.errors import PlanError
>>> read_object("[1]", lambda why: PlanError(f"plan.json is no plan: {why}."))
Traceback (most recent call last):
    ...
cnngraph.errors.PlanError: plan.json is no plan: it is no JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cnngraph.errors import CnngraphError, ModelError

__all__ = ["Fail", "parse_as", "parse_json", "parse_stored", "read_object", "read_stage"]

_Kind = TypeVar("_Kind")
Fail = Callable[[str], CnngraphError]


def parse_json(text: str | bytes, fail: Fail) -> Any:
    """The value that ``text`` holds as JSON.

    Raises:
        what ``fail`` makes of the reason: it is not JSON, no UTF-8 text, or nested without end.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise fail(f"it is not JSON ({error})") from error


def read_object(text: str | bytes, fail: Fail) -> dict[str, Any]:
    """The JSON object in ``text``. Raises what ``fail`` makes of the reason why it is none."""
    content = parse_json(text, fail)
    if not isinstance(content, dict):
        raise fail("it is no JSON object")
    return content


def parse_as(kind: type[_Kind], value: object, fail: Fail) -> _Kind:
    """``value`` as a ``kind`` (a pydantic model or a dataclass).

    Raises:
        what ``fail`` makes of the reason: the first field that is wrong, and why.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = first["msg"].removeprefix("Value error, ")
        raise fail(f"{where}: {why}" if where else why) from error


def parse_stored(kind: type[_Kind], value: object, what: str) -> _Kind:
    """``value``, which the graph or a saved model holds, as a ``kind``; ``what`` names it in the message.

    Raises:
        ModelError: it is none; the message names the first field that is wrong.
    """

    def fail(why: str) -> ModelError:
        hint = "It was changed by hand, or a newer cnngraph wrote it: install that one, or ingest the model again."
        return ModelError(f"{what} cannot be read: {why}.", hint)

    return parse_as(kind, value, fail)


def read_stage(path: Path) -> dict[str, Any]:
    """The object that a finished stage of a job has left in the file ``path``.

    Raises:
        ModelError: the file is damaged.
    """

    def fail(why: str) -> ModelError:
        hint = f"Delete {path.parent}: the same command then does it again."
        return ModelError(f"{path} is damaged: {why}.", hint)

    return read_object(path.read_bytes(), fail)
