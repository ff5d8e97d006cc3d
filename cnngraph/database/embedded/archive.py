"""One file with the dump of a database and the saved models that it names: written in one go, checked before use.

A zip without compression, since a dump is compressed and weights cannot be::

    neo4j.dump                     of neo4j-admin database dump
    models/SHA256/...              the saved models, as the storage root has them
    backup.json                    versions, contents, and the sha256 of every file; the last, so that a part has none
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Protocol

from cnngraph.console import Progress
from cnngraph.errors import CnngraphError, NotFoundError

__all__ = ["DUMP", "Manifest", "Writer", "extract_models", "open_dump", "verify", "written"]

DUMP = "neo4j.dump"
FORMAT = 1
_MANIFEST = "backup.json"
_KIND = "cnngraph backup"
_MODEL_FILE = re.compile(r"models/([0-9a-f]{64})/[^/\\]+")
_CHUNK = 1 << 20
_DAMAGED = "Take another copy of it; nothing was changed."


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        neo4j, gds: versions of the server that made it.
        made_at: when, in UTC.
        nodes, relationships: what the database held; ``None`` where others wrote while the server was stopped.
        models: keys of the models in it.
        files: sha256 and bytes of every file.
    """

    neo4j: str
    gds: str
    made_at: str
    nodes: int | None
    relationships: int | None
    models: list[str]
    files: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def saved_models(self) -> set[str]:
        """The sha256 of the saved models in it."""
        return {found[1] for name in self.files if (found := _MODEL_FILE.fullmatch(name))}


class _Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


class Writer:
    """Takes the files of a backup one after the other, and remembers what they were."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.files: dict[str, tuple[str, int]] = {}

    def add(self, name: str, fill: Callable[[_Sink], None]) -> None:
        """Write one file: ``fill`` writes its bytes into what it is given."""
        with self._archive.open(name, "w", force_zip64=True) as member:
            hashed = _Hashed(member)
            fill(hashed)
        self.files[name] = (hashed.digest.hexdigest(), hashed.size)

    def add_file(self, name: str, path: Path, progress: Progress) -> None:
        """Copy a file of the disk."""

        def fill(sink: _Sink) -> None:
            with path.open("rb") as source:
                for chunk in _chunks(source):
                    sink.write(chunk)
                    progress.advance(len(chunk) / 1e6)

        self.add(name, fill)

    def close(self, manifest: Manifest) -> None:
        """Write ``backup.json`` with what was added; a file without it is no backup."""
        content = {"kind": _KIND, "format": FORMAT} | asdict(manifest) | {"files": self.files}
        self._archive.writestr(_MANIFEST, json.dumps(content, indent=1) + "\n")


class _Hashed:
    """Passes bytes on, and knows their sha256 and number."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._target.write(data)


@contextmanager
def written(target: Path) -> Iterator[Writer]:
    """Write a backup beside ``target`` and move it there when it is whole; after an error there is what was before.

    Raises:
        CnngraphError: the file cannot be written.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        # its owner alone may read it: a graph may say what is nobody else's business
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise CnngraphError(
            f"The backup {target} cannot be written: {error.strerror or error}.", "Give a file that you may write."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def verify(path: Path, progress: Progress) -> Manifest:
    """Read the whole backup and compare every file with its sha256.

    Raises:
        NotFoundError: there is no such file.
        CnngraphError: it is no backup of cnngraph, a newer cnngraph's, or damaged.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no backup {path}.", "Give the file that cnngraph db backup has written.")
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _read_manifest(path, archive)
            progress.start("Checking the backup (MB)", round(sum(size for _, size in manifest.files.values()) / 1e6, 1))
            for name, expected in manifest.files.items():
                with archive.open(name) as member:
                    if _measured(member, progress) != expected:
                        raise CnngraphError(f"The backup {path} is damaged: {name} is not what was written.", _DAMAGED)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise CnngraphError(f"{path} is no backup of cnngraph, or it is damaged: {error}.", _DAMAGED) from error
    except OSError as error:
        raise CnngraphError(f"The backup {path} cannot be read: {error.strerror or error}.", _DAMAGED) from error
    return manifest


@contextmanager
def open_dump(path: Path) -> Iterator[IO[bytes]]:
    """The dump in a backup that was verified."""
    with zipfile.ZipFile(path) as archive, archive.open(DUMP) as member:
        yield member


def extract_models(path: Path, sha256: Iterable[str], folder: Path) -> Iterator[Path]:
    """Put these saved models of a verified backup into ``folder``, one after the other; yield where each is."""
    with zipfile.ZipFile(path) as archive:
        for wanted in sorted(sha256):
            place = folder / wanted
            place.mkdir(parents=True)
            for name in archive.namelist():
                if name.startswith(f"models/{wanted}/"):
                    with archive.open(name) as member, (place / name.rpartition("/")[2]).open("wb") as file:
                        for chunk in _chunks(member):
                            file.write(chunk)
            yield place


def _read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    """``backup.json``, where it fits what else is in the file; a name that leads elsewhere is in no backup of ours."""
    foreign = CnngraphError(f"{path} is no backup of cnngraph.", "Give the file that cnngraph db backup has written.")
    try:
        content = json.loads(archive.read(_MANIFEST))
        if content["kind"] != _KIND:
            raise foreign
        if content["format"] > FORMAT:
            raise CnngraphError(f"The backup {path} was made by a newer cnngraph.", "Upgrade cnngraph.")
        files = {str(name): (str(digest), int(size)) for name, (digest, size) in content.pop("files").items()}
        del content["kind"], content["format"]
        manifest = Manifest(**content, files=files)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise foreign from error
    if DUMP not in files or not all(name == DUMP or _MODEL_FILE.fullmatch(name) for name in files):
        raise foreign
    if sorted(archive.namelist()) != sorted([*files, _MANIFEST]):
        raise CnngraphError(f"The backup {path} is damaged: other files are in it than it names.", _DAMAGED)
    return manifest


def _measured(member: IO[bytes], progress: Progress) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(member):
        digest.update(chunk)
        size += len(chunk)
        progress.advance(len(chunk) / 1e6)
    return digest.hexdigest(), size


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk
