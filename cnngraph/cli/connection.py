"""The settings that the global options chose, and the connection that commands open with them."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnngraph.settings import Settings, load_settings, split_key

if TYPE_CHECKING:
    from cnngraph.api import Graph

__all__ = ["choose", "graph", "key", "password_to_keep", "settings", "typed_owner"]

_chosen: dict[str, str | None] = {}


def choose(**options: str | None) -> None:
    """Remember what was typed before the command's own options."""
    _chosen.clear()
    _chosen.update(options)


def typed_owner() -> str | None:
    """The owner that this very command names; not that of the environment or a profile."""
    return _chosen.get("owner")


def settings(*, ask: bool = False) -> Settings:
    """The resolved settings of this command.

    Args:
        ask: for the password of a profile that keeps none, where a person sits at a terminal. It is asked for once.
    """
    found = load_settings(**_chosen)
    if ask and found.profile is not None and found.uri is not None and found.password is None and _is_attended():
        _chosen["password"] = _typed_password(found.username, found.uri) or None  # none: a server without users
        found = dataclasses.replace(found, password=_chosen["password"])
    return found


def password_to_keep(username: str, uri: str) -> str:
    """The password of NEO4J_PASSWORD, else one that a person types at the terminal, unseen.

    Raises:
        UsageError: there is neither.
    """
    from cnngraph.errors import UsageError

    password = os.environ.get("NEO4J_PASSWORD") or (_typed_password(username, uri) if _is_attended() else "")
    if not password:
        raise UsageError("There is no password to keep.", "Set NEO4J_PASSWORD, or type it at a terminal.")
    return password


def _is_attended() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _typed_password(username: str, uri: str) -> str:
    from getpass import getpass

    return getpass(f"Password of {username} at {uri}: ")


@contextmanager
def graph(*, prepare: bool = True) -> Iterator[Graph]:
    """A connected :class:`cnngraph.api.Graph`; starts the embedded server where none is configured."""
    from cnngraph.api import Graph
    from cnngraph.console import progress

    chosen = settings(ask=True)
    _ = chosen.owner  # a name that is not allowed is said before any server is started
    with progress() as bars:
        opened = Graph.open(chosen, progress=bars, prepare=prepare)
    with opened:
        yield opened


def key(name: str) -> str:
    """The key ``owner/name`` of a name as typed."""
    return split_key(name, settings().owner)
