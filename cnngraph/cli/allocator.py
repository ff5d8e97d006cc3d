"""How the memory of a command that trains or evaluates on the CPU is managed."""

from __future__ import annotations

import os
import sys

__all__ = ["keep_freed_memory"]

# mallopt(3): sizes from which on memory is mapped by itself, and the free memory at the heap's end that is given back.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1
_PAD = 64 * 2**20


def keep_freed_memory() -> bool:
    """Let the C library keep what tensors free, for the next ones: glibc gives large ones back, to be faulted in again.

    A narrow MobileNetV2 at 32 px took 5.4 instead of 6.5 seconds of processor time an epoch (16 % less; means of
    three), its evaluation in batches of 256 took 0.74 instead of 1.65; the process was 15 % larger. It is for a process
    of our own alone: another program's memory is its own matter.

    Returns:
        whether it could be done: on Linux with glibc, where the environment does not say otherwise.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return False
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, ValueError, ImportError, AttributeError):
        return False
    settings = {_MMAP_THRESHOLD: 2**30, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: _PAD}
    done = [mallopt(option, value) for option, value in settings.items()]
    return all(done)
