"""The locked list of the server's jars: which, how large, with which hash, and where each lies in the cache.

``jars.txt`` is written by ``scripts/lock_jars.py``: ``group:artifact:version[:classifier] sha256 bytes``, a jar a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from cnngraph.files import file_sha256

__all__ = ["BROWSER_VERSION", "GDS_GROUP", "GDS_VERSION", "NEO4J_VERSION", "Jar", "locked_jars", "parse"]

NEO4J_VERSION = "5.26.30"
GDS_VERSION = "2.13.9"
BROWSER_VERSION = "5.24.0"
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
def locked_jars() -> tuple[Jar, ...]:
    """The jars of the list, in its order, which is the order of the server's class path."""
    return parse(files(__package__).joinpath("jars.txt").read_text(encoding="utf-8"))


def parse(text: str) -> tuple[Jar, ...]:
    """Read a list; empty lines and lines that begin with ``#`` are skipped."""
    jars = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            coordinates, digest, size = line.split()
            group, artifact, version, *classifier = coordinates.split(":")
            jars.append(Jar(group, artifact, version, "".join(classifier), digest, int(size)))
    return tuple(jars)
