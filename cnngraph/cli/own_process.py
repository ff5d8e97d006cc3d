"""What the installed command may do since the process is its own: a program that imports cnngraph is left alone."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["collect_rarely", "is_own", "leave"]

_OBJECTS = 20_000  # new ones between two looks for cycles; Python's own number, 700, is for programs that make few


def is_own(entry: Callable[[], None]) -> bool:
    """Whether this process was started to call ``entry``, by the script that pip made of it or one like that."""
    return getattr(sys.modules.get("__main__"), "main", None) is entry


def collect_rarely() -> None:
    """Look for cycles of objects more rarely: importing torch makes half a million objects, and no cycle to free.

    ``import torch`` took 1.39 instead of 1.48 seconds of processor time, with its compiler 3.3 instead of 4.2.
    """
    gc.set_threshold(_OBJECTS, 10, 10)


def leave(end: SystemExit) -> None:
    """End the process as Python does, but without taking every module apart, which takes a second with torch.

    Threads are waited for, functions that are registered for the end are called, streams are written out. Returns
    where Python itself should end it: the exit code is a text, or a stream cannot be written to.
    """
    if not isinstance(end.code, int | None):
        return
    shutdown: Any = getattr(threading, "_shutdown")  # noqa: B009 - not in the type stubs
    ended: Any = getattr(atexit, "_run_exitfuncs")  # noqa: B009
    shutdown()
    ended()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    os._exit(end.code or 0)
