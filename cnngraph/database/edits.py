"""What a prune changed and why, as one property of the relationship between its run and the new model.

Compact JSON: names of removed layers stand once, changes refer to them by number. A net of a thousand changed modules
takes about 100 KB; beyond :data:`LIMIT` the last changes are left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cnngraph.errors import SpecError
from cnngraph.validation import read_object

__all__ = ["LIMIT", "pack_edits", "unpack_edits"]

LIMIT = 200_000  # characters of the changes themselves


def pack_edits(edits: Iterable[Mapping[str, Any]]) -> str:
    """Return the text to store for ``edits``, each with ``module``, ``kind``, ``reason`` and ``removed``."""
    removed: dict[str, int] = {}
    rows: list[list[Any]] = []
    room, left_out = LIMIT, 0
    for edit in edits:
        row = [edit["module"], edit["kind"], edit["reason"]]
        row.append([removed.setdefault(name, len(removed)) for name in edit["removed"]])
        room -= len(json.dumps(row))
        if room < 0:
            left_out += 1
        else:
            rows.append(row)
    return json.dumps({"removed": list(removed), "edits": rows, "left_out": left_out}, separators=(",", ":"))


def unpack_edits(text: str, child: str) -> tuple[list[dict[str, Any]], int]:
    """Return the edits of a stored text, and how many were left out of it.

    Args:
        child: key of the model that was made, for messages.

    Raises:
        SpecError: somebody changed the text.
    """

    def fail(why: str) -> SpecError:
        return SpecError(
            f"The edits of {child} in the graph are damaged: {why}.",
            "Remove the property `edits` of the PRODUCED relationship that leads to it.",
        )

    content = read_object(text, fail)
    try:
        names = content["removed"]
        edits = [
            {"module": module, "kind": kind, "reason": reason, "removed": [names[number] for number in removed]}
            for module, kind, reason, removed in content["edits"]
        ]
        return edits, int(content["left_out"])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise fail("it is not what a prune writes") from error
