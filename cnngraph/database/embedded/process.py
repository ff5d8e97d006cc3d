"""The server's process: what is remembered of it, whether it still is the one that was started, how it is ended."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cnngraph.database.embedded.home import Ports, write_atomically

__all__ = ["State", "alive", "end", "find", "launch", "listens", "read_state"]

_SAME_START = 5.0  # seconds by which the system's account of a process's start may shift (clock corrections)
_LOOKS = 50  # a process has no arguments for an instant while it becomes another program, as the shell becomes Java


@dataclass(frozen=True)
class State:
    """What ``run/server.json`` remembers; ``started`` in seconds since 1970, ``ready`` once it has answered."""

    pid: int
    started: float
    bolt: int
    http: int
    ready: bool = False

    @property
    def ports(self) -> Ports:
        return Ports(self.bolt, self.http)

    def write(self, path: Path) -> None:
        """Remember it in ``path``."""
        write_atomically(path, json.dumps(asdict(self)) + "\n")


def read_state(path: Path) -> State | None:
    """The remembered state; ``None`` where there is none or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        numbers = int(found["pid"]), float(found["started"]), int(found["bolt"]), int(found["http"])
        return State(*numbers, ready=found["ready"] is True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def launch(
    command: Sequence[str], *, folder: Path, output: Path, environment: Mapping[str, str], keep: int
) -> tuple[int, float]:
    """Start a process that outlives us, in a session of its own: Ctrl-C here does not reach it.

    Args:
        folder: where it runs, so that it does not hold ours.
        output: takes what it prints.
        keep: a descriptor that it goes on holding.

    Returns:
        its number and start time.
    """
    import psutil

    actions = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    os.set_inheritable(keep, True)
    in_folder = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(folder), *command]
    pid = os.posix_spawn(in_folder[0], in_folder, environment, file_actions=actions, setsid=True)
    return pid, psutil.Process(pid).create_time()


def alive(state: State, mark: str) -> bool:
    """True while the remembered process runs: same number, same start, and ``mark`` among its arguments."""
    import psutil

    try:
        process = psutil.Process(state.pid)
        if abs(process.create_time() - state.started) > _SAME_START or process.status() == psutil.STATUS_ZOMBIE:
            return False
        for _ in range(_LOOKS):
            arguments = process.cmdline()
            if arguments:
                return mark in arguments
            time.sleep(0.01)
    except psutil.Error:
        pass  # it is gone, or somebody else's
    return False


def listens(state: State, port: int) -> bool:
    """Whether it is this very process that listens on ``port``; True where that cannot be seen."""
    import psutil

    try:
        connections = psutil.Process(state.pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def find(mark: str) -> tuple[int, float] | None:
    """Look through this user's processes for a server that nobody remembers, since its starter was killed."""
    import psutil

    for pid in psutil.pids():  # not process_iter, which remembers processes whose number another one has by now
        try:
            process = psutil.Process(pid)
            if process.uids().real == os.getuid() and mark in process.cmdline():
                return process.pid, process.create_time()
        except psutil.Error:
            continue
    return None


def end(state: State, mark: str, patience: float = 30.0) -> None:
    """Ask the process to stop and wait ``patience`` seconds, then kill it; never one that is not the remembered one."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(state.pid)
        for stop in (process.terminate, process.kill):
            if not alive(state, mark):
                break
            stop()
            with suppress(psutil.TimeoutExpired):
                process.wait(patience)
    _reap(state.pid)


def _reap(pid: int) -> None:
    """Where it was our own child, take its exit status, or it would stay in the list of processes."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
