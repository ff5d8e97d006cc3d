"""Saved models by their content: a graph keeps the sha256 of one, a storage root has its files.

    ROOT/models/SHA256/model.json, weights.safetensors, split.safetensors, masks.safetensors, initial.safetensors

The root is the home, or the folder that ``CNNGRAPH_STORAGE`` names: one for a team, say, beside the team's database.
Where that names an address instead (``s3://BUCKET/FOLDER``), the root is the home, what is added is uploaded there too,
and what is not here is fetched from there.
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
from cnngraph.store import Store

__all__ = ["Storage", "content_sha256", "default_storage", "storage_of"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Storage:
    """The saved models under one root.

    Attributes:
        root: a folder. named: whether a person has chosen it; one that is not there is not made then, since it may be
            a disk that is not mounted.
        home: another root, in which only is looked. store: an address to which what is added goes too.
    """

    root: Path
    named: bool = False
    home: Path | None = None
    store: Store | None = None

    @property
    def team(self) -> str | None:
        """What other machines may reach too, in words; ``None`` where all lies in the home."""
        if self.store is not None:
            return self.store.address
        return str(self.root) if self.named else None

    def place(self, sha256: str) -> Path:
        """The folder of the saved model with that content, whether it is there or not."""
        own = self.root / "models" / sha256
        other = None if self.home is None else self.home / "models" / sha256
        return other if other is not None and other.is_dir() and not own.is_dir() else own

    def is_here(self, sha256: object) -> bool:
        """Whether the saved model with that content is on this machine."""
        # Of a graph that somebody changed it may be anything, a way out of the root too.
        return isinstance(sha256, str) and bool(_SHA256.fullmatch(sha256)) and self.place(sha256).is_dir()

    def __contains__(self, sha256: object) -> bool:
        if self.is_here(sha256):
            return True
        known = isinstance(sha256, str) and bool(_SHA256.fullmatch(sha256))
        return known and self.store is not None and str(sha256) in self.store

    def is_shared(self, sha256: str) -> bool:
        """Whether other machines find that content too."""
        if self.store is not None:
            return sha256 in self.store
        return self.named and (self.root / "models" / sha256).is_dir()

    def size(self, sha256: str) -> int:
        """How many bytes the saved model with that content has, here or in the store."""
        if self.store is not None and not self.is_here(sha256):
            return self.store.size(sha256)
        return sum(path.stat().st_size for path in _files(self.place(sha256)))

    def find(self, sha256: str, what: str) -> Path:
        """The folder of the saved model with that content, which is hashed again; fetched from the store first where it
        is not here.

        Args:
            what: the name of the model, for messages.

        Raises:
            ModelError: it is not there, or its files are not those that were stored.
        """
        if sha256 not in self:
            raise self.missing(sha256, what)
        if not self.is_here(sha256):
            self._fetch(sha256, what)
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
        if self.store is not None:
            return ModelError(
                f"The saved model of {what} is neither on this machine nor in the store {self.store.address}: there is "
                f"no models/{sha256}.",
                "Push the model again from a machine that has it, or ingest it again.",
            )
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
                place = self.root / "models" / sha256
                if not place.is_dir():
                    self._put(part, place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        if self.store is not None:
            self.store.put(sha256, self.root / "models" / sha256)
        return sha256

    def _fetch(self, sha256: str, what: str) -> None:
        """Bring a saved model from the store into the root, if it is what it is called."""
        assert self.store is not None
        with self._told():
            models = self.root / "models"
            models.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=".part-", dir=models))
        try:
            self.store.fetch(sha256, part)
            with self._told():
                part.chmod(0o755)
                found = content_sha256(part)
                if found != sha256:
                    raise ModelError(
                        f"The store {self.store.address} gives another saved model for {what}: models/{sha256} has the "
                        f"sha256 {found}.",
                        "Delete that folder there, and push the model again from a machine that has it.",
                    )
                self._put(part, models / sha256)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def require_writable(self) -> None:
        """Return if something can be kept; asked before anything long begins. Raises as :meth:`add`."""
        self._require_root()
        if self.store is not None:
            self.store.require_writable()
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
    if isinstance(settings.storage, str):
        return Storage(settings.home, store=Store(settings.storage))
    return Storage(settings.storage, named=True, home=settings.home)


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
