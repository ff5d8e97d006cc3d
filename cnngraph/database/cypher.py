"""Cypher by name: every query lives in ``cypher/`` as a file that a person can paste into Browser."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

__all__ = ["folder", "load", "statements"]


@lru_cache(maxsize=1)
def folder() -> Path:
    """The folder of all queries: inside the package where it was installed from a wheel, else the checkout's root."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "cypher"
    return installed if installed.is_dir() else package.parent / "cypher"


@lru_cache(maxsize=256)
def load(name: str) -> str:
    """The text of ``cypher/NAME.cypher``: ``load("write/positions")``."""
    return (folder() / f"{name}.cypher").read_text(encoding="utf-8")


def statements(text: str) -> list[str]:
    """The statements of a file that holds several, each ended by a semicolon at the end of its line.

    >>> statements("// why\\nRETURN 1;\\nRETURN 2;")
    ['RETURN 1', 'RETURN 2']
    """
    code = "\n".join(line.rstrip() for line in text.splitlines() if not line.lstrip().startswith("//"))
    return [part.strip() for part in (code + "\n").split(";\n") if part.strip()]
