"""The settings that the global options chose, and the connection that commands open with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnngraph.settings import Settings, load_settings, split_key

if TYPE_CHECKING:
    from cnngraph.api import Graph

__all__ = ["choose", "graph", "key", "settings", "typed_owner"]

_chosen: dict[str, str | None] = {}


def choose(**options: str | None) -> None:
    """Remember what was typed before the command's own options."""
    _chosen.clear()
    _chosen.update(options)


def typed_owner() -> str | None:
    """The owner that this very command names; not that of the environment or a profile."""
    return _chosen.get("owner")


def settings() -> Settings:
    """The resolved settings of this command."""
    return load_settings(**_chosen)


@contextmanager
def graph(*, prepare: bool = True) -> Iterator[Graph]:
    """A connected :class:`cnngraph.api.Graph`; starts the embedded server where none is configured."""
    from cnngraph.api import Graph
    from cnngraph.console import progress

    chosen = settings()
    _ = chosen.owner  # a name that is not allowed is said before any server is started
    with progress() as bars:
        opened = Graph.open(chosen, progress=bars, prepare=prepare)
    with opened:
        yield opened


def key(name: str) -> str:
    """The key ``owner/name`` of a name as typed."""
    return split_key(name, settings().owner)
