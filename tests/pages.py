"""The pages of the documentation, carried out: every shell line and every script in a process of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.forge import Forge

__all__ = ["blocks", "carry_out"]

# The session's server must go on running for the other tests; `db down` has tests of its own.
_LEFT_OUT = {"cnngraph db down"}


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of ``page`` (a path below the project's root) in sh, python and toml, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```(sh|python|toml)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def carry_out(
    page: str,
    folder: Path,
    command: Callable[..., Any],
    forge: Forge | None = None,
    *,
    scripts: bool = True,
    instead: Mapping[str, str] | None = None,
) -> list[str]:
    """Run ``page`` from top to bottom in ``folder``; returns the commands.

    Args:
        instead: what stands in the place of words of the page: the address of a server, say.

    Scripts run in processes of ``forge``, or in new ones of Python without it. One that does not name cnngraph runs
    without it, always in a new one.
    """
    ran = []
    for language, text in blocks(page):
        if language == "toml":  # its first line names the file
            (folder / text.split()[1]).write_text(text, encoding="utf-8")
            continue
        if language == "python":
            if scripts:
                _run_script(text, folder, forge)
            continue
        for line in text.splitlines():
            for word, other in (instead or {}).items():
                line = line.replace(word, other)
            program, *arguments = shlex.split(line, comments=True) or [""]
            if not program or line.partition("  #")[0].strip() in _LEFT_OUT:
                continue
            assert program in ("cnngraph", "python"), line
            if program == "python":
                _run_python(arguments, folder, forge)
            else:
                done = command(*arguments, cwd=folder)
                assert done.code == 0, (line, done.err)
            ran.append(line)
    return ran


def _run_script(text: str, folder: Path, forge: Forge | None) -> None:
    if "cnngraph" not in text:
        text, forge = text + "\nimport sys\nassert 'cnngraph' not in sys.modules\n", None
    _run_python(["-c", text], folder, forge)


def _run_python(arguments: list[str], folder: Path, forge: Forge | None) -> None:
    if forge is not None:
        code, _, said = forge.run(["python", *arguments], cwd=folder, env=dict(os.environ))
    else:
        whole = [sys.executable, "-W", "ignore", *arguments]
        done = subprocess.run(whole, cwd=folder, capture_output=True, text=True, check=False)
        code, said = done.returncode, done.stderr
    assert code == 0, (arguments, said)
