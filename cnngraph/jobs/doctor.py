"""What this machine and its server can do, and what to do where they cannot."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from cnngraph.errors import CnngraphError, explain
from cnngraph.settings import Settings
from cnngraph.store import Store

__all__ = ["Check", "examine"]

GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One line of the report; ``ok`` None means: works, but not as well as it could."""

    name: str
    ok: bool | None
    found: str
    advice: str = ""


def examine(settings: Settings) -> list[Check]:
    """Every check, in the order in which a missing thing would stop somebody; starts nothing and changes nothing."""
    checks: list[Callable[[], Iterator[Check]]] = [
        _python,
        _torch,
        _memory,
        lambda: _disk(settings),
        lambda: _java(settings),
        lambda: _server(settings),
    ]
    return [found for check in checks for found in check()]


def _python() -> Iterator[Check]:
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Check("python", fits, sys.version.split()[0], "" if fits else "Use Python 3.11, 3.12 or 3.13.")


def _torch() -> Iterator[Check]:
    try:
        import torch
    except ImportError as error:
        yield Check(
            "torch", False, f"cannot be imported: {explain(error)}", "Install it as pytorch.org says for your machine."
        )
        return
    yield Check("torch", True, f"{torch.__version__}, torchvision {metadata.version('torchvision')}")
    if torch.cuda.is_available():
        yield Check("device", True, f"cuda: {torch.cuda.get_device_name(0)}")
    else:
        yield Check(
            "device",
            None,
            f"cpu, {torch.get_num_threads()} threads",
            "Training is faster on a CUDA GPU; none answers here.",
        )


def _memory() -> Iterator[Check]:
    import psutil

    memory = psutil.virtual_memory()
    enough = memory.available > 3 * GIB
    yield Check(
        "memory",
        True if enough else None,
        f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free",
        "" if enough else "The embedded server and torch want about 3 GiB; lower CNNGRAPH_SERVER_MEMORY or free some.",
    )


def _store(address: str) -> Check:
    try:
        _ = "0" * 64 in Store(address)
    except CnngraphError as error:
        return Check("storage", False, error.message, error.hint)
    return Check("storage", True, f"{address} answers")


def _disk(settings: Settings) -> Iterator[Check]:
    folders = [("home", settings.home, 2 * GIB), ("cache", settings.cache, GIB)]
    if isinstance(settings.storage, str):
        yield _store(settings.storage)
    elif settings.storage is not None:
        folders.append(("storage", settings.storage, GIB))
    for what, folder, needed in folders:
        if what == "storage" and not folder.is_dir():  # which is never made
            yield Check(what, False, f"{folder} is not there", "Mount it, make it, or set CNNGRAPH_STORAGE anew.")
            continue
        standing = next(parent for parent in [folder, *folder.parents] if parent.exists())
        free = shutil.disk_usage(standing).free
        if not os.access(standing, os.W_OK):
            yield Check(
                what, False, f"{folder} cannot be written", f"Set CNNGRAPH_{what.upper()} to a folder of yours."
            )
        else:
            short = free < needed
            advice = (
                f"About {needed // GIB} GiB are needed: free some, or set CNNGRAPH_{what.upper()}." if short else ""
            )
            yield Check(what, not short, f"{folder}, {free / GIB:.0f} GiB free", advice)


def _java(settings: Settings) -> Iterator[Check]:
    if not settings.embedded:
        return
    from cnngraph.database.embedded.java import find_java
    from cnngraph.database.embedded.releases import chosen_release

    try:
        yield Check("java", True, str(find_java(chosen_release().java)))
    except CnngraphError as error:
        yield Check("java", False, error.message, error.hint)


def _server(settings: Settings) -> Iterator[Check]:
    from cnngraph.database import schema
    from cnngraph.database.connection import connect
    from cnngraph.database.embedded import server

    if settings.embedded and server.status(settings) is None:
        yield Check(
            "server",
            None,
            f"embedded, not running{_why(settings)}",
            "It starts when needed; to start it now: cnngraph db up",
        )
        return
    try:
        database = connect(settings)
    except CnngraphError as error:
        yield Check("server", False, f"{error.message}{_why(settings)}", error.hint)
        return
    with database:
        yield Check("server", True, f"Neo4j {database.server_version} at {database.uri}{_why(settings)}")
        gds = database.gds_version
        advice = (
            "pagerank, leiden and betweenness need it; without it: cnngraph measure NAME -m pagerank --engine local"
        )
        yield Check("gds", True if gds else None, gds or "not installed", "" if gds else advice)
        if settings.embedded:
            yield Check("browser", True, f"{database.http}/browser/")
        profile = f" --profile {settings.profile}" if settings.profile else ""
        try:
            pending = schema.pending(database)
        except CnngraphError as error:
            yield Check("schema", False, error.message, error.hint)
            return
        if not pending:
            yield Check("schema", True, "up to date")
        elif settings.embedded:
            yield Check("schema", None, "not made yet", "The next command that needs it makes it.")
        else:
            yield Check("schema", False, f"{len(pending)} migrations to apply", f"Run: cnngraph db migrate{profile}")


def _why(settings: Settings) -> str:
    """Why it is this server that is used, in brackets; empty where nobody has asked."""
    if not settings.chosen_by:
        return ""
    return f" (profile {settings.profile}: {settings.chosen_by})" if settings.profile else f" ({settings.chosen_by})"
