"""Errors that nobody named before: the machine's and the input's are said as such, only the rest is our fault."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cnngraph.cli import main


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "There is not enough memory."),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
            "There is not enough memory: CUDA out",
        ),
        (
            RuntimeError("[enforce fail at alloc.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried"),
            "There is not enough memory: ",
        ),
        (
            RecursionError("maximum recursion depth exceeded"),
            "Something that was read or built is nested too deeply: max",
        ),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            "A file or a name is no UTF-8 text: 'utf-8'",
        ),
        (OverflowError("Python int too large to convert to C long"), "A number is too large: Python int too large"),
        (OSError(28, "No space left on device", "/data/x"), "/data/x: No space left on device"),
        (OSError("broken in its own way"), "broken in its own way"),
    ],
)
def test_faults_of_the_input_are_not_ours(error: Exception, said: str) -> None:
    message, hint = main._in_words(error)
    assert message.startswith(said) and "\n" not in message
    assert hint and "fault in cnngraph" not in hint


def test_the_rest_is_ours() -> None:
    message, hint = main._in_words(ZeroDivisionError("division by zero\nmore"))
    assert message == "unexpected ZeroDivisionError: division by zero"
    assert "fault in cnngraph" in hint


def test_names_that_the_terminal_cannot_show() -> None:
    """A Windows code page, a folder's name that is no UTF-8: shown escaped, the command goes on to its own answer."""
    command = [sys.executable, "-c", "from cnngraph.cli.main import main; main()", "verify", b"/no/gr\xf6\xdfe \xff"]
    done = subprocess.run(command, env={"PYTHONIOENCODING": "ascii", "PATH": ""}, capture_output=True, check=False)
    assert done.returncode in (1, 3), done.stderr
    assert b"Traceback" not in done.stderr and b"fault in cnngraph" not in done.stderr
