"""Processes with torch and cnngraph from the start: a server imports them once and forks itself for each command.

A command is still a process of its own, with its own folder, environment, streams and exit code; it only skips the
three to five seconds of imports. What is about the installed program itself runs that (the fixture ``installed``).

    python -m tests.forge SOCKET     serves until its stdin ends
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NoReturn

__all__ = ["Forge"]

ROOT = Path(__file__).resolve().parent.parent
_PRELOADED = (
    "torch",
    "torch._dynamo",
    "torch.export",
    "torch.fx.experimental.symbolic_shapes",
    "torchvision.models",
    "cnngraph.cli.main",
    "cnngraph.api.graph",
    "cnngraph.database.connection",
    "cnngraph.jobs.baseline",
    "cnngraph.jobs.bench",
    "cnngraph.jobs.compare",
    "cnngraph.jobs.compare_judged",
    "cnngraph.jobs.compare_layers",
    "cnngraph.jobs.criticality",
    "cnngraph.jobs.filter_pictures",
    "cnngraph.jobs.measure_car",
    "cnngraph.jobs.prune_job",
    "cnngraph.jobs.push",
    "cnngraph.jobs.review",
    "cnngraph.jobs.execute",
    "cnngraph.jobs.ingest",
    "cnngraph.jobs.offline",
    "cnngraph.network.trace",
    "cnngraph.shipping.export",
    "cnngraph.surgery.saved",
    "cnngraph.surgery.verify",
    "cnngraph.training.fit",
)


class Forge:
    """A running server, started by the first command that asks for it."""

    def __init__(self, folder: Path) -> None:
        self._address = str(folder / "forge")
        self._server: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def run(
        self, arguments: list[str], *, cwd: Path, env: dict[str, str], stdin: str = "", timeout: float = 600
    ) -> tuple[int, str, str]:
        """(exit code, stdout, stderr) of a command.

        Args:
            arguments: ``["cnngraph", ...]``, ``["python", "-c", text]`` or ``["python", script, ...]``.
            env: the whole environment, but for what Python and torch read when they start.
        """
        self._start()
        files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - closed below
        try:
            files[0].write(stdin.encode())
            files[0].seek(0)
            code = self._ask({"arguments": arguments, "cwd": str(cwd), "env": env}, files, timeout)
            texts = []
            for file in files[1:]:
                file.seek(0)
                texts.append(file.read().decode())
            return code, texts[0], texts[1]
        finally:
            for file in files:
                file.close()

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            self._server.stdin.close()
            self._server.stdout.close()
            self._server.wait(60)

    def _start(self) -> None:
        with self._starting:
            if self._server is None:
                self._server = subprocess.Popen(
                    [sys.executable, "-m", "tests.forge", self._address],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
                assert self._server.stdout is not None
                assert self._server.stdout.readline() == b"ready\n", "the server of tests/forge.py did not start"

    def _ask(self, request: dict[str, Any], files: Sequence[IO[bytes]], timeout: float) -> int:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self._address)
            line.settimeout(timeout)
            text = json.dumps(request).encode() + b"\n"
            sent = socket.send_fds(line, [text], [file.fileno() for file in files])
            line.sendall(text[sent:])
            answers = line.makefile("rb")
            pid = int(answers.readline())
            try:
                return int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise


def _serve(address: str) -> None:
    """Fork a keeper for each request, until stdin ends."""
    for name in _PRELOADED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a thread would be missing in the forked processes"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        keepers: set[int] = set()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            line, _ = listener.accept()
            pid = os.fork()
            if pid == 0:
                listener.close()
                _keep(line)
            line.close()
            keepers = {each for each in (*keepers, pid) if os.waitpid(each, os.WNOHANG) == (0, 0)}
    for pid in keepers:
        os.waitpid(pid, 0)


def _keep(line: socket.socket) -> NoReturn:
    """Fork the command, tell its process id and then its exit code."""
    try:
        text, streams, _, _ = socket.recv_fds(line, 2**16, 3)
        while not text.endswith(b"\n"):
            text += line.recv(2**16)
        pid = os.fork()
        if pid == 0:
            line.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            _become(**json.loads(text))
        line.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        line.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    finally:
        os._exit(0)


def _become(arguments: list[str], cwd: str, env: dict[str, str]) -> NoReturn:
    """Be the command from here on, as a new process would be it."""
    code = 1
    try:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        importlib.invalidate_caches()
        random.seed()
        sys.modules["numpy"].random.seed()
        _run(arguments)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if not isinstance(error.code, int | None):
            print(error.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - as Python ends with any other
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(arguments: list[str]) -> None:
    program, *rest = arguments
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    if program == "cnngraph":
        from cnngraph.cli.main import main as run_command

        executable = Path(sys.executable).with_name("cnngraph")
        sys.argv, sys.path[0] = [str(executable), *rest], str(executable.parent)
        run_command()
    elif rest[0] == "-c":
        warnings.simplefilter("ignore")
        sys.argv, sys.path[0] = ["-c"], ""
        exec(compile(rest[1], "<string>", "exec"), main.__dict__)
    else:
        script = Path(rest[0]).resolve()
        sys.argv, sys.path[0] = rest, str(script.parent)
        main.__file__ = str(script)
        exec(compile(script.read_bytes(), script, "exec"), main.__dict__)


if __name__ == "__main__":
    _serve(sys.argv[1])
