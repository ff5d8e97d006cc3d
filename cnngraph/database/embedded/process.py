"""The server's process: what is remembered of it, whether it still is the one that was started, how it is ended."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnngraph.database.embedded.home import Ports, write_atomically

__all__ = ["State", "alive", "end", "find", "launch", "read_state"]

_SAME_START = 5.0  # seconds by which the system's account of a process's start may shift (clock corrections)


@dataclass(frozen=True)
class State:
    """What ``run/server.json`` remembers: ``started`` is the process's start in seconds since 1970."""

    pid: int
    started: float
    bolt: int
    http: int

    @property
    def ports(self) -> Ports:
        return Ports(self.bolt, self.http)

    def write(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self)) + "\n")


def read_state(path: Path) -> State | None:
    """The remembered state; ``None`` where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return State(int(content["pid"]), float(content["started"]), int(content["bolt"]), int(content["http"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def launch(command: Sequence[str], output: Path, environment: dict[str, str]) -> tuple[int, float]:
    """Start a process that outlives us, in a session of its own, so that Ctrl-C here does not reach it.

    Descriptors that were made inheritable go on being held by it.

    Returns:
        its number and start time.
    """
    import psutil

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
    return pid, psutil.Process(pid).create_time()


def alive(state: State, mark: str) -> bool:
    """True while the remembered process runs: same number, same start, and ``mark`` in its command line."""
    import psutil

    try:
        process = psutil.Process(state.pid)
        return (
            abs(process.create_time() - state.started) < _SAME_START
            and process.status() != psutil.STATUS_ZOMBIE
            and mark in process.cmdline()
        )
    except psutil.Error:
        return False


def find(mark: str) -> tuple[int, float] | None:
    """Look through our own processes for a server that nobody remembers (its starter was killed); number and start."""
    import psutil

    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and mark in process.cmdline():
                return process.pid, process.create_time()
        except psutil.Error:
            continue
    return None


def end(state: State, mark: str, patience: float = 30.0) -> None:
    """Ask the process to stop, wait ``patience`` seconds, then kill it; never one that is not the remembered one."""
    import psutil

    try:
        process: Any = psutil.Process(state.pid)
        if alive(state, mark):
            process.terminate()
            try:
                process.wait(patience)
            except psutil.TimeoutExpired:
                if alive(state, mark):
                    process.kill()
                    process.wait(patience)
        elif process.status() == psutil.STATUS_ZOMBIE:
            process.wait(0)
    except psutil.Error:
        return
