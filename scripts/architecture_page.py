"""Draw the parts of docs/architecture.md that follow from the code: ``.venv/bin/python scripts/architecture_page.py``.

Between ``<!-- NAME: made by ... -->`` and ``<!-- end of NAME -->`` stand the map of rooms and imports and the table of
methods; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import grimp

from cnngraph.pruning.method import Method, Need
from cnngraph.pruning.registry import METHODS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"


def drawing() -> str:
    """The rooms and who imports whom, as a Mermaid graph; an import that another one implies is left out."""
    graph = grimp.build_graph("cnngraph")
    rooms = sorted(child for child in graph.find_children("cnngraph") if graph.find_children(child))
    imports = {
        room: {
            other
            for other in rooms
            if other != room and graph.direct_import_exists(importer=room, imported=other, as_packages=True)
        }
        for room in rooms
    }
    lines = ["```mermaid", "graph TD"]
    for room in rooms:
        implied = {far for near in imports[room] for far in _reached(imports, near)}
        lines += [f"    {_short(room)} --> {_short(other)}" for other in sorted(imports[room] - implied)]
    return "\n".join([*lines, "```"])


def _reached(imports: Mapping[str, set[str]], room: str) -> set[str]:
    found: set[str] = set()
    left = list(imports[room])
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += imports[one]
    return found


def _short(room: str) -> str:
    return room.removeprefix("cnngraph.")


def table() -> str:
    """Which method takes which limits and options, and what it needs."""
    rows = [
        "| method | removes | limits | options | without a database | reads images |",
        "|---|---|---|---|---|---|",
    ]
    for method in METHODS.values():
        limits = ", ".join(f"`{_flag(name)}`" for name in method.limits)
        options = ", ".join(f"`{_flag(one.name)}`" for one in method.fields)
        without = _only(method, {Need.GRAPH}, without=True)
        images = _only(method, {Need.IMAGES, Need.OWN_IMAGES}, without=False)
        rows.append(f"| `{method.name}` | {method.removes} | {limits} | {options} | {without} | {images} |")
    return "\n".join(rows)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _only(method: Method, need: set[Need], *, without: bool) -> str:
    """In words, for which values of its options a method needs this, or does ``without``."""
    default = method.options()
    usual = bool(need & method.needs(default)) != without
    told = {
        f"`{_flag(one.name)}{f' {value}' if one.words else ''}`": {one.name: value}
        for one in method.fields
        for value in (one.words if one.kind is not tuple else [("NAME",)])
    }
    unusual = [
        words
        for words, changed in told.items()
        if (bool(need & method.needs(replace(default, **changed))) != without) != usual
    ]
    if not unusual:
        return "yes" if usual else "no"
    return f"{'yes, but not' if usual else 'only'} with {', '.join(unusual)}"


def page(text: str) -> str:
    """``text`` with the parts that follow from the code."""
    parts: dict[str, Any] = {"map": drawing(), "methods": table()}
    for name, content in parts.items():
        pattern = rf"(<!-- {name}: [^>]*-->\n).*?(\n<!-- end of {name} -->)"
        text, count = re.subn(pattern, lambda found, made=content: f"{found[1]}\n{made}\n{found[2]}", text, flags=re.S)
        assert count == 1, name
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
