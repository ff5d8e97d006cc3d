"""The installed command ends its process itself, after everything that Python would do at its end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cnngraph.cli import own_process

COMMAND = """
import atexit, sys, threading, time
from cnngraph.cli import own_process
def main():
    atexit.register(lambda: print("registered"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("command", end=" ")
    try:
        sys.exit({code})
    except SystemExit as end:
        assert own_process.is_own(main)
        own_process.leave(end)
        raise
main()
"""


@pytest.mark.parametrize(("code", "ends"), [("0", 0), ("3", 3), ("None", 0), ("'words'", 1)])
def test_streams_threads_and_registered_functions_come_first(code: str, ends: int) -> None:
    command = [sys.executable, "-c", COMMAND.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == ends
    assert done.stdout.split() == ["command", "thread", "registered"]
    assert ("words" in done.stderr) == (code == "'words'")


def test_a_program_that_calls_the_command_is_left_alone() -> None:
    from cnngraph.cli.main import main

    assert not own_process.is_own(main)
