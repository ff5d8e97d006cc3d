"""Values that were stored as JSON, read back: whoever damaged one is told which, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from cnngraph.errors import ModelError

__all__ = ["json_file", "understood"]

_Kind = TypeVar("_Kind")


def understood(kind: type[_Kind], value: object, what: str) -> _Kind:
    """``value`` as a ``kind`` (a pydantic model or a dataclass); ``what`` names it in the message.

    Raises:
        ModelError: it is none; the message names the first field that is wrong.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}." for part in first["loc"])[:-1]
        why = first["msg"].removeprefix("Value error, ")
        raise ModelError(
            f"{what} cannot be read: {f'{where}: ' if where else ''}{why}.",
            "It was changed by hand, or a newer cnngraph wrote it: install that one, or ingest the model again.",
        ) from error


def json_file(path: Path) -> dict[str, Any]:
    """The object that a stage of a job has left in ``path``.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ModelError(
            f"{path} is damaged: it is no JSON object.", f"Delete {path.parent}: the same command then does it again."
        )
    return content
