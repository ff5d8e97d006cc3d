"""What one job builds and follows again and again: the structures of the nets that it works on, saves and opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["remember_structures", "remembered"]

_structures: ContextVar[dict[Any, Any] | None] = ContextVar("structures", default=None)


@contextmanager
def remember_structures(*, apart: bool = False) -> Iterator[None]:
    """Let :func:`cnngraph.surgery.rebuilding.rebuild` build and cut each structure once inside, and copy it after that.

    Args:
        apart: what is remembered inside is forgotten at the end, also within another job that remembers: one part of a
            long job whose nets no other part looks at.

    For one job: within it an architecture is taken to be built the same each time, as loading takes for granted anyway.
    A copy has zeros for weights, which whoever saves or opens a net sets. A net is followed once too
    (:func:`cnngraph.network.graph.follow`), and its coupled channels are found once for all copies
    (:func:`cnngraph.surgery.channels.coupling.coupled`).
    """
    outer = _structures.get()
    token = _structures.set({} if outer is None else dict(outer) if apart else outer)
    try:
        yield
    finally:
        _structures.reset(token)


def remembered() -> dict[Any, Any] | None:
    """The structures so far; ``None`` where nothing is to be remembered."""
    return _structures.get()
