"""One process at a time in a work folder: two identical prunes would write the same stages."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnngraph.errors import ConflictError

__all__ = ["locked"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which need not be there, against other processes.

    The lock is ``FOLDER.lock`` beside it. The kernel takes it back from a holder that dies, however it dies, so that a
    file which a kill left behind hinders nobody; process and host in it are for the message alone.

    Raises:
        ConflictError: another process holds it; the message names it.
    """
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _taken(path)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _taken(path: Path) -> int:
    """The descriptor of the lock file, locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise ConflictError(
                f"The same job is running now ({holder}).", "Let it finish, or stop it: this command then goes on."
            ) from error
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last holder removed it between our opening and our locking


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
