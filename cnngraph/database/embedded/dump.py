"""A stopped server's database as a stream of bytes, and back, by the server's own tool, ``neo4j-admin``."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from cnngraph.console import Progress
from cnngraph.database.embedded.home import Home
from cnngraph.errors import DatabaseError

__all__ = ["dump", "load"]

_CHUNK = 1 << 20
_PAST = {"dump": "dumped", "load": "loaded"}
_DONE = re.compile(rb"data: *(\d+(?:\.\d+)?)%")


def dump(home: Home, write: Callable[[bytes], object], progress: Progress) -> None:
    """Hand the dump of the database ``neo4j`` to ``write``, piece by piece.

    Raises:
        DatabaseError: the tool fails; the message ends with its last line.
    """
    progress.start("Dumping the database (%)", 100)
    with _running(home, "dump", "--to-stdout", progress=progress, said_on="stderr") as tool:
        assert tool.stdout is not None
        while chunk := tool.stdout.read(_CHUNK):
            write(chunk)


def load(home: Home, source: IO[bytes], progress: Progress) -> None:
    """Make the database ``neo4j`` of a dump; a store of an older version is upgraded when the server starts.

    Raises:
        DatabaseError: the tool fails; the message ends with its last line.
    """
    progress.start("Loading the database (%)", 100)
    words = ("load", "--from-stdin", "--overwrite-destination=true")
    with _running(home, *words, progress=progress, said_on="stdout") as tool:
        assert tool.stdin is not None
        try:
            while chunk := source.read(_CHUNK):
                tool.stdin.write(chunk)
            tool.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it had read all; what it says tells why


@contextmanager
def _running(
    home: Home, verb: str, *options: str, progress: Progress, said_on: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The tool at work; what it says is read beside, or it would wait for us for ever."""
    with home.tool("database", verb, "neo4j", *options, heap=512) as (command, surroundings):
        tool = subprocess.Popen(
            command,
            env=surroundings,
            stdin=subprocess.PIPE if said_on == "stdout" else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if said_on == "stderr" else subprocess.STDOUT,
        )
        said: list[str] = []
        listener = threading.Thread(target=_listen, args=(getattr(tool, said_on), said, progress), daemon=True)
        listener.start()
        try:
            yield tool
            tool.wait()
        finally:
            if tool.poll() is None:
                tool.kill()
                tool.wait()
            listener.join()
            for pipe in (tool.stdin, tool.stdout, tool.stderr):
                if pipe is not None:
                    pipe.close()
    if tool.returncode:
        raise DatabaseError(f"The database cannot be {_PAST[verb]}: {said[-1] if said else 'its tool said nothing'}")


def _listen(stream: IO[bytes], said: list[str], progress: Progress) -> None:
    """Turn the lines about the amount done into progress, and keep the last of the others."""
    before = 0.0
    for line in stream:
        found = _DONE.search(line)
        if found:
            progress.advance(float(found[1]) - before)
            before = float(found[1])
        elif line.strip():
            said[:] = [line.decode(errors="replace").strip()]
