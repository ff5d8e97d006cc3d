"""The whole chain on real digits, step by step; each step calls what its command calls, and says which command that is.

Every step keeps its result under ``home/demo``, so that a failure half-way costs one step and the next run goes on from there.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.chain import baseline, decide, ingest
from cnngraph.chain.subject import DataChoice, ModelChoice
from cnngraph.console import Progress
from cnngraph.errors import CnngraphError
from cnngraph.plan import Plan, read_plan, write_plan
from cnngraph.settings import Settings

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["Demo", "Outcome", "run"]

NAME, PRUNED = "demo", "demo-pruned"
DROP = 1.0
EPOCHS = 12
DATA = DataChoice(name="digits")
MODEL = ModelChoice(name="cnngraph:vgg16", width=0.25)
QUERIES = ("overview", "layers-by-theta", "before-and-after")


@dataclass
class Outcome:
    """What the demo found: enough to print and to write the page."""

    plan: Plan
    result: dict[str, Any]
    sentence: str
    page: Path
    commands: list[str] = field(default_factory=list)
    queries: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Demo:
    """The steps and where they stand."""

    settings: Settings
    progress: Progress
    say: Callable[[str], None]
    commands: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where the demo keeps what it made."""
        return self.settings.home / "demo"

    @contextmanager
    def step(self, what: str, command: str) -> Iterator[None]:
        """Announce a step with the command that it stands for; a failure says which step it was."""
        self.commands.append(command)
        self.say(f"\n{what}\n  $ {command}")
        started = time.monotonic()
        try:
            yield
        except CnngraphError as error:
            error.message = f"The demo stopped at: {what}. {error.message}"
            error.hint = f"{error.hint} Then run cnngraph demo again: it goes on from here.".strip()
            raise
        self.say(f"  ({time.monotonic() - started:.0f} s)")
