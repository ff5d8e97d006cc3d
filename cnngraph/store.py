"""A store: saved models by their content at an address that fsspec knows (s3://, sftp://, memory:// ...).

    ADDRESS/models/SHA256/model.json, weights.safetensors ...

as in a storage root, so that a folder which is one is the other too. ``model.json`` is written last: where it is, all
is. Each file is written beside its place and then moved there. What comes back is hashed before it counts.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cnngraph.errors import CnngraphError, NotFoundError, UsageError, explain

__all__ = ["Store", "check_address"]

_LAST = "model.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_address(address: str) -> str:
    """Return an address without what ends it.

    Raises:
        UsageError: it holds a password, which would stand in a file and in messages.
    """
    if urlsplit(address).password:
        raise UsageError(
            "The address of the store holds a password.",
            "Leave it out: the package behind the address reads credentials from its own files or the environment.",
        )
    return address.rstrip("/")


@dataclass(frozen=True)
class Store:
    """Saved models at an address."""

    address: str

    def __contains__(self, sha256: str) -> bool:
        with self._told("read"):
            return bool(self._files.exists(f"{self._place(sha256)}/{_LAST}"))

    def put(self, sha256: str, folder: Path) -> None:
        """Upload the saved model in ``folder``; what is there already stays.

        Raises:
            CnngraphError: the store cannot be written, is full or gone.
        """
        if sha256 in self:
            return
        place = self._place(sha256)
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        with self._told("written"):
            self._files.makedirs(place, exist_ok=True)
            for name in sorted(names, key=lambda name: name == _LAST):
                beside = f"{place}/.part-{uuid.uuid4().hex}"
                try:
                    self._files.put_file(str(folder / name), beside)
                    self._files.mv(beside, f"{place}/{name}")
                finally:
                    if self._files.exists(beside):
                        self._files.rm(beside)

    def fetch(self, sha256: str, folder: Path) -> None:
        """Copy the files of a saved model into an empty ``folder``; whoever asks hashes them.

        Raises:
            CnngraphError: the store cannot be read.
        """
        with self._told("read"):
            for path in self._files.ls(self._place(sha256), detail=False):
                name = str(path).rstrip("/").rpartition("/")[2]
                if not name.startswith("."):
                    self._files.get_file(path, str(folder / name))

    def size(self, sha256: str) -> int:
        """How many bytes a saved model has there."""
        with self._told("read"):
            return sum(int(one["size"] or 0) for one in self._files.ls(self._place(sha256), detail=True))

    def require_writable(self) -> None:
        """Return if something can be kept there. Raises as :meth:`put`."""
        with self._told("written"):
            models = f"{self._root}/models"
            self._files.makedirs(models, exist_ok=True)
            probe = f"{models}/.probe-{uuid.uuid4().hex}"
            self._files.pipe_file(probe, b"")
            self._files.rm(probe)

    def _place(self, sha256: str) -> str:
        return f"{self._root}/models/{sha256}"

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        import fsspec

        try:
            files, root = fsspec.url_to_fs(self.address)
        except ImportError as error:
            raise NotFoundError(
                f"The store {self.address} needs a package: {explain(error)}.", "Install it."
            ) from error
        except ValueError as error:
            raise UsageError(
                f"The store {self.address} has an address that fsspec does not know: {explain(error)}.",
                "Name a folder, or an address such as s3://BUCKET/FOLDER.",
            ) from error
        return files, str(root).rstrip("/")

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Errors of whichever package is behind the address, in words."""
        try:
            yield
        except CnngraphError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise CnngraphError(
                    f"The store {self.address} is full.", "Free some space there; then run the same command again."
                ) from error
            raise CnngraphError(
                f"The store {self.address} cannot be {what}: {explain(error)}.",
                "See that it is there and that you may use it; then run the same command again.",
            ) from error
