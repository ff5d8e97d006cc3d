"""Locks between processes that the kernel gives back when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["exclusive", "hold_shared", "in_use"]


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def exclusive(path: Path, on_wait: object = None) -> Iterator[None]:
    """Hold ``path`` alone; where another process has it, call ``on_wait`` once and wait."""
    descriptor = _open(path)
    try:
        if not _take(descriptor, fcntl.LOCK_EX):
            if callable(on_wait):
                on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def hold_shared(path: Path) -> Iterator[int]:
    """Hold ``path`` together with others; a child that inherits the descriptor goes on holding it after us."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def in_use(path: Path) -> bool:
    """True where any process holds ``path``."""
    if not path.exists():
        return False
    descriptor = _open(path)
    try:
        return not _take(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)
