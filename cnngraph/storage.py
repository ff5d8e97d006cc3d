"""Saved models by their content: a graph keeps the sha256 of one, a storage root has its files.

    ROOT/models/SHA256/model.json, weights.safetensors, split.safetensors, masks.safetensors, initial.safetensors

The root is the home, or the folder that ``CNNGRAPH_STORAGE`` names: one for a team, say, beside the team's database.
The same content is there once, however many models are made of it; it is never changed and never overwritten. Whoever
copies ``models/SHA256`` from the root of one machine into that of another has the model there.

The sha256 is that of the list that ``sha256sum *`` prints in the folder, so that a person can check one by hand:
``cd ROOT/models/SHA256; sha256sum * | sha256sum``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnngraph.errors import CnngraphError, ModelError, NotFoundError, explain
from cnngraph.files import file_sha256
from cnngraph.settings import Settings, load_settings

__all__ = ["Storage", "content_sha256", "default_storage", "storage_of"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Storage:
    """The saved models under one root.

    Attributes:
        root: a folder. named: whether a person has chosen it; one that is not there is not made then, since it may be
            a disk that is not mounted.
    """

    root: Path
    named: bool = False

    def place(self, sha256: str) -> Path:
        """The folder of the saved model with that content, whether it is there or not."""
        return self.root / "models" / sha256

    def __contains__(self, sha256: object) -> bool:
        # Of a graph that somebody changed it may be anything, a way out of the root too.
        return isinstance(sha256, str) and bool(_SHA256.fullmatch(sha256)) and self.place(sha256).is_dir()

    def find(self, sha256: str, what: str) -> Path:
        """The folder of the saved model with that content, which is hashed again.

        Args:
            what: the name of the model, for messages.

        Raises:
            ModelError: it is not there, or its files are not those that were stored.
        """
        if sha256 not in self:
            raise self.missing(sha256, what)
        folder = self.place(sha256)
        try:
            found = content_sha256(folder)
        except OSError as error:
            raise ModelError(f"The saved model of {what} cannot be read: {explain(error)}.", _again(folder)) from error
        if found != sha256:
            raise ModelError(
                f"The saved model of {what} in {folder} is not what was stored: its content has the sha256 {found}.",
                _again(folder),
            )
        return folder

    def missing(self, sha256: str, what: str) -> ModelError:
        """The error that says that this content is not there, and how to get it."""
        root = f"{self.root}" if self.root.is_dir() else f"{self.root} (which is not there itself)"
        return ModelError(
            f"The saved model of {what} is not on this machine: the storage root {root} has no models/{sha256}.",
            "Copy that folder from the storage root of a machine that has it, set CNNGRAPH_STORAGE to such a root, "
            "or ingest the model again.",
        )

    def add(self, folder: Path, *, link: bool = False) -> str:
        """Keep the saved model in ``folder``; its sha256. It is whole there or not at all.

        Args:
            link: let both folders share their files on the disk, where it can; only for files that nobody changes.

        Raises:
            NotFoundError: ``folder`` is no folder of files, or the root, which a person has named, is not there.
            CnngraphError: the root cannot be written, or is full.
        """
        if not _files(folder):
            raise NotFoundError(f"There is no saved model in {folder}.", "Give the folder that cnngraph.save wrote.")
        self._require_root()
        with self._told():
            models = self.root / "models"
            models.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=".part-", dir=models))
        try:
            with self._told():
                part.chmod(0o755)  # a folder of mkdtemp is for its maker alone, a root may be a team's
                for file in _files(folder):
                    _take(file, part / file.name, link=link)
                # Of what was copied: the source may have changed meanwhile.
                sha256 = content_sha256(part)
                if sha256 not in self:
                    self._put(part, self.place(sha256))
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return sha256

    def require_writable(self) -> None:
        """Return if something can be kept; asked before anything long begins. Raises as :meth:`add`."""
        self._require_root()
        with self._told():
            models = self.root / "models"
            models.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=models).close()

    def _put(self, part: Path, place: Path) -> None:
        try:
            part.rename(place)
        except OSError:
            if not place.is_dir():  # else another process was faster, with the same content
                raise

    def _require_root(self) -> None:
        if self.named and not self.root.is_dir():
            what = "is no folder" if self.root.exists() else "is not there"
            raise NotFoundError(
                f"The storage root {self.root} {what}.", "Mount it, make it, or set CNNGRAPH_STORAGE to another folder."
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the file system while the root is written, in words."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise CnngraphError(
                    f"The storage root {self.root} is full: the saved model was not kept.",
                    "Free some space, or set CNNGRAPH_STORAGE to another folder; then run the same command again.",
                ) from error
            raise CnngraphError(
                f"The storage root {self.root} cannot be written: {error.strerror or error}.",
                "Make it writable, or set CNNGRAPH_STORAGE to another folder.",
            ) from error


def content_sha256(folder: Path) -> str:
    """The sha256 of what ``sha256sum *`` prints in ``folder``: of its files' names and contents."""
    listed = "".join(f"{file_sha256(file)}  {file.name}\n" for file in _files(folder))
    return hashlib.sha256(listed.encode()).hexdigest()


def storage_of(settings: Settings) -> Storage:
    """The storage that ``settings`` name; the home where they name none."""
    if settings.storage is None:
        return Storage(settings.home)
    return Storage(settings.storage, named=True)


def default_storage() -> Storage:
    """The storage of whoever says nothing else: of the environment, ``.env`` and the config file."""
    return storage_of(load_settings())


def _again(folder: Path) -> str:
    return f"Copy it again from a machine that has it; or move {folder} away and ingest the model again."


def _files(folder: Path) -> list[Path]:
    """The files of a saved model, by name; hidden ones are the file manager's."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(found, key=lambda path: os.fsencode(path.name))


def _take(source: Path, target: Path, *, link: bool) -> None:
    if link:
        try:
            os.link(source, target)
        except OSError:  # another disk, or a file system without links
            pass
        else:
            return
    shutil.copyfile(source, target)
