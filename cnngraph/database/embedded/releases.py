"""Which servers can be embedded: the default, and the newest one beside it (``CNNGRAPH_SERVER=latest``)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cnngraph.errors import UsageError, nearest

__all__ = ["DEFAULT", "LATEST", "RELEASES", "Release", "chosen_release", "numbers", "release_of"]

CALENDAR = 2025  # since then Neo4j counts its versions by the year; each such store is upgraded by the next server


@dataclass(frozen=True)
class Release:
    """One server: Neo4j Community with the Graph Data Science and the Browser that fit it.

    Attributes:
        name: what ``CNNGRAPH_SERVER`` says.
        neo4j, gds, browser: versions.
        gds_parts: artifacts of GDS that its jars are found from.
        main: the server's main class.
        java: the Java versions that it runs on.
        list: the file with its jars, beside this one.
        settings: of ``neo4j.conf``, which the other releases do not know.
    """

    name: str
    neo4j: str
    gds: str
    browser: str
    gds_parts: tuple[str, ...]
    main: str
    java: tuple[int, ...]
    list: str
    settings: tuple[tuple[str, str], ...]

    def takes_over(self, version: str) -> bool:
        """True where this server may open the data of ``version`` unasked: its own line's, and not newer ones."""
        return _line(version) == _line(self.neo4j) and numbers(version) <= numbers(self.neo4j)


_QUIET = "internal.dbms.bolt.netty_server_shutdown_quiet_period"  # else a stop waits 10 s for nothing
_PARTS = ("proc", "proc-sysinfo", "opengds-extension", "open-model-catalog")
DEFAULT = Release(
    name="default",
    neo4j="5.26.30",
    gds="2.13.9",
    browser="5.24.0",
    gds_parts=(*_PARTS, "open-write-services"),
    main="org.neo4j.server.CommunityEntryPoint",
    java=(17, 21),
    list="jars.txt",
    settings=((_QUIET, "0"),),
)
LATEST = Release(
    name="latest",
    neo4j="2026.08.1",
    gds="2.26.0",
    browser="5.24.0",
    gds_parts=_PARTS,
    main="org.neo4j.server.Neo4jCommunity",
    java=(21, 25),
    list="jars-latest.txt",
    settings=(
        (f"{_QUIET}_duration", "0s"),
        ("server.fleet_discovery.enabled", "false"),  # it would call into the network
        ("dbms.fleet_manager.enabled", "false"),
        ("server.http.x_forward.enabled", "false"),
    ),
)
RELEASES = {release.name: release for release in (DEFAULT, LATEST)}


def chosen_release() -> Release:
    """The release that ``CNNGRAPH_SERVER`` names, else the default one.

    Raises:
        UsageError: it names none.
    """
    name = os.environ.get("CNNGRAPH_SERVER") or DEFAULT.name
    if name not in RELEASES:
        raise UsageError(f"CNNGRAPH_SERVER names no server that cnngraph has: {name!r}.", nearest(name, RELEASES))
    return RELEASES[name]


def release_of(version: str) -> Release | None:
    """The release that may open the data of ``version``; ``None`` where they are newer than all of them."""
    return next((release for release in RELEASES.values() if release.takes_over(version)), None)


def numbers(version: str) -> tuple[int, ...]:
    """
    >>> numbers("5.26.30") > numbers("5.26.4"), numbers("")
    (True, ())
    """
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _line(version: str) -> int:
    """Versions of one line open each other's data, the newer the older's.

    >>> _line("5.26.4") == _line("5.26.30"), _line("2025.01.0") == _line("2026.08.1"), _line("5.26.4") == _line("")
    (True, True, False)
    """
    found = numbers(version)
    return min(found[0], CALENDAR) if found else 0
