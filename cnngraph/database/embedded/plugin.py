"""The Graph Data Science plugin: its jars merged into one, since the server loads services from one jar a plugin."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from cnngraph.database.embedded.jars import GDS_VERSION, Jar
from cnngraph.database.embedded.locking import exclusive
from cnngraph.errors import CnngraphError

__all__ = ["merge", "plugin_path"]

_SERVICES = "META-INF/services/"
_LEFT_OUT = ("META-INF/MANIFEST.MF", "module-info.class")


def plugin_path(jars: Sequence[Jar], folder: Path) -> Path:
    """Where the merged jar lies: in a folder of its own, named after exactly these parts."""
    parts = hashlib.sha256("".join(jar.sha256 for jar in jars if jar.of_gds).encode()).hexdigest()[:12]
    return folder / f"gds-{GDS_VERSION}-{parts}" / "neo4j-graph-data-science.jar"


def merge(jars: Sequence[Jar], folder: Path) -> Path:
    """Merge the GDS jars of ``folder`` once; return the plugin.

    Service files are joined line by line, without blank lines: the server reads every line as the name of a class.
    Unmerged jars would lose algorithms silently.

    Raises:
        CnngraphError: a jar cannot be read, or the disk is full.
    """
    target = plugin_path(jars, folder)
    with exclusive(folder / ".lock"):
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        try:
            _write([jar.path(folder) for jar in jars if jar.of_gds], part)
            part.replace(target)
        except (zipfile.BadZipFile, OSError) as error:
            raise CnngraphError(
                f"Cannot merge the GDS plugin: {error}.", "Run: cnngraph db clean --downloads"
            ) from error
        finally:
            part.unlink(missing_ok=True)
    return target


def _write(sources: Sequence[Path], target: Path) -> None:
    services: dict[str, list[str]] = {}
    seen: set[str] = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as merged:
        for source in sources:
            with zipfile.ZipFile(source) as jar:
                for entry in jar.infolist():
                    name = entry.filename
                    if name.startswith(_SERVICES) and not entry.is_dir():
                        lines = jar.read(entry).decode().splitlines()
                        services.setdefault(name, []).extend(line.strip() for line in lines if line.strip())
                    elif name not in seen and not _skipped(name):
                        seen.add(name)
                        merged.writestr(zipfile.ZipInfo(name), jar.read(entry))
        for name, lines in sorted(services.items()):
            merged.writestr(zipfile.ZipInfo(name), "".join(f"{line}\n" for line in dict.fromkeys(lines)))
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _skipped(name: str) -> bool:
    return name.endswith("/") or name in _LEFT_OUT or name.startswith("META-INF/versions/")
