"""The Graph Data Science plugin: its jars merged into one, for the server loads the services of only one jar."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from cnngraph.database.embedded.fetch import lock_of
from cnngraph.database.embedded.jars import Jar
from cnngraph.database.embedded.locking import exclusive
from cnngraph.errors import CnngraphError

__all__ = ["discard_damaged", "merge", "path"]

_SERVICES = "META-INF/services/"
_LEFT_OUT = ("META-INF/MANIFEST.MF", "module-info.class")


def path(jars: Sequence[Jar], folder: Path) -> Path:
    """Where the merged jar lies: alone in a folder that is named after exactly these parts."""
    gds = [jar for jar in jars if jar.of_gds]
    parts = hashlib.sha256("".join(jar.sha256 for jar in gds).encode()).hexdigest()
    return folder / f"gds-{gds[0].version}-{parts[:12]}" / "neo4j-graph-data-science.jar"


def merge(jars: Sequence[Jar], folder: Path) -> Path:
    """Merge the GDS jars of ``folder`` once; return the plugin.

    Service files are joined line by line, without a blank line: the server reads every line as the name of a class.
    Unmerged, the jars would lose algorithms silently.

    Raises:
        CnngraphError: a jar cannot be read, or the plugin cannot be written.
    """
    target = path(jars, folder)
    if target.exists():
        return target
    with exclusive(lock_of(folder)):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        try:
            _write([jar.path(folder) for jar in jars if jar.of_gds], part)
            part.replace(target)
        except (zipfile.BadZipFile, OSError) as error:
            raise CnngraphError(f"Cannot make {target}: {error}.", "Run: cnngraph db clean --downloads") from error
        finally:
            part.unlink(missing_ok=True)
    return target


def discard_damaged(jars: Sequence[Jar], folder: Path) -> bool:
    """Remove the plugin where an entry's checksum is wrong; return whether it was."""
    target = path(jars, folder)
    with exclusive(lock_of(folder)):
        try:
            with zipfile.ZipFile(target) as merged:
                damaged = merged.testzip() is not None
        except FileNotFoundError:
            return False
        except (zipfile.BadZipFile, OSError):
            damaged = True
        if damaged:
            target.unlink()
    return damaged


def _write(sources: Sequence[Path], target: Path) -> None:
    services: dict[str, list[str]] = {}
    seen: set[str] = set()
    with target.open("wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as merged:
        for source in sources:
            with zipfile.ZipFile(source) as jar:
                for entry in jar.infolist():
                    name = entry.filename
                    if name.startswith(_SERVICES) and not entry.is_dir():
                        services.setdefault(name, []).extend(_names(jar.read(entry).decode()))
                    elif name not in seen and not _left_out(name):
                        seen.add(name)
                        merged.writestr(zipfile.ZipInfo(name), jar.read(entry))
        for name, lines in sorted(services.items()):
            merged.writestr(zipfile.ZipInfo(name), "".join(f"{line}\n" for line in dict.fromkeys(lines)))
        merged.close()
        file.flush()
        os.fsync(file.fileno())


def _names(service: str) -> list[str]:
    """The class names of a service file, without blank lines and comments."""
    lines = (line.partition("#")[0].strip() for line in service.splitlines())
    return [line for line in lines if line]


def _left_out(name: str) -> bool:
    return name.endswith("/") or name in _LEFT_OUT or name.startswith("META-INF/versions/")
