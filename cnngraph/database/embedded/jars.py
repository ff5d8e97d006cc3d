"""The locked lists of the servers' jars: which, how large, with which hash, and where each lies in the cache.

A list, one for each release, is written by ``scripts/lock_jars.py``: ``group:artifact:version[:classifier] sha256
bytes``, a jar a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from cnngraph.database.embedded.releases import Release
from cnngraph.files import file_sha256

__all__ = ["GDS_GROUP", "Jar", "locked_jars", "parse"]

GDS_GROUP = "org.neo4j.gds"


@dataclass(frozen=True)
class Jar:
    """One jar of the list; ``sha256`` in lower-case hexadecimals, ``size`` in bytes."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str
    size: int

    def __str__(self) -> str:
        return ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))

    @property
    def of_gds(self) -> bool:
        """True for the jars that are merged into the plugin."""
        return self.group == GDS_GROUP

    def path(self, folder: Path) -> Path:
        """Where the jar lies under ``folder``; the group keeps apart artifacts of one name."""
        name = "-".join(filter(None, (self.artifact, self.version, self.classifier)))
        return folder / self.group / f"{name}.jar"

    def present(self, folder: Path) -> bool:
        """True where the file is there in full length; its hash was checked before it was given its name."""
        try:
            return self.path(folder).stat().st_size == self.size
        except OSError:
            return False

    def intact(self, folder: Path) -> bool:
        """True where the file has the locked hash; reads all of it."""
        return self.present(folder) and file_sha256(self.path(folder)) == self.sha256


@cache
def locked_jars(release: Release) -> tuple[Jar, ...]:
    """The jars of a release, in the order of its list, which is the order of the server's class path."""
    return parse(files(__package__).joinpath(release.list).read_text(encoding="utf-8"))


def parse(text: str) -> tuple[Jar, ...]:
    """Read a list; empty lines and lines that begin with ``#`` are skipped."""
    jars = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            coordinates, digest, size = line.split()
            group, artifact, version, *classifier = coordinates.split(":")
            jars.append(Jar(group, artifact, version, "".join(classifier), digest, int(size)))
    return tuple(jars)
