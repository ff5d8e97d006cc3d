"""Write docs/commands.md from the commands' own help texts: ``.venv/bin/python scripts/commands_page.py``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
HEAD = """# Commands

Results go to stdout, remarks and progress to stderr; `--json` prints one object with snake_case keys. Exit codes:
0 done; 1 failed; 2 wrong on the command line; 3 something named is not there; 4 the database is unreachable or
refuses; 5 the verification failed; 130 interrupted. An interrupted ingest, training or prune goes on when the same
command is given again.

This page is made from `--help` by `scripts/commands_page.py`.
"""


# By what a person wants to do; a command that is in none of them is a mistake, which the page then shows last.
TASKS = {
    "Begin": ("demo", "doctor", "db"),
    "A net to start from": ("train", "evaluate", "ingest", "import"),
    "Decide and prune": ("measure", "plan", "review", "prune", "bench", "verify", "latency", "adopt", "rebuild"),
    "Look": ("list", "show", "lineage", "report", "query"),
    "Take elsewhere, tidy up": ("export", "delete"),
}


def page() -> str:
    """The whole page."""
    parts = [HEAD, _section([], "##")]
    commands = _commands(_help([]))
    known = {command for group in TASKS.values() for command in group}
    groups = TASKS | {"Others": tuple(command for command in commands if command not in known)}
    for task, group in groups.items():
        here = [command for command in group if command in commands]
        if here:
            parts.append(f"## {task}\n")
        for command in here:
            parts.append(_section([command]))
            parts += [_section([command, sub]) for sub in _commands(_help([command]))]
    return "\n".join(parts)


def _section(command: list[str], level: str = "###") -> str:
    title = " ".join(["cnngraph", *command])
    return f"{level} {title}\n\n```text\n{_help(command)}\n```\n"


def _help(command: list[str]) -> str:
    code = "from cnngraph.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "100", "TERMINAL_WIDTH": "100", "PATH": ""},
    )
    return done.stdout.replace("-c [OPTIONS]", "cnngraph [OPTIONS]").replace("Usage: -c", "Usage: cnngraph").strip()


def _commands(text: str) -> list[str]:
    _, _, listed = text.partition("Commands:\n")
    return re.findall(r"^  (\S+)", listed.partition("\n\n")[0], flags=re.MULTILINE)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
