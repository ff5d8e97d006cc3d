"""The whole chain on real digits; each step calls what its command calls, and says which command that is.

Every step keeps its result under ``home/demo`` or in the database, so that a failure half-way costs one step and the
next run goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress
from cnngraph.errors import CnngraphError
from cnngraph.jobs import baseline, execute, ingest
from cnngraph.jobs.plan import plan_stored
from cnngraph.jobs.prune_job import PruneJob
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder
from cnngraph.network.trace_options import TraceOptions
from cnngraph.plan import Plan, read_plan, write_plan
from cnngraph.pruning.choice import choose
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import ModelChoice
from cnngraph.sources.stored import OtherData

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["Demo", "Outcome"]

NAME, PRUNED = "demo", "demo-pruned"
DROP, EPOCHS = 1.0, 12
DATA = DataChoice(name="digits")
MODEL = ModelChoice(name="cnngraph:vgg16", width=0.25)


@dataclass(frozen=True)
class Outcome:
    """What the demo found: enough to print it and to write the page.

    Attributes:
        name: of the model in the database.
        schedule: the plan without a choice, for its schedule. plan: the decision that was carried out.
        result: the JSON of ``prune``. sentence: the verdict. queries: (title, Cypher to paste).
        browser: address of Neo4j Browser, where the server has one. embedded: whether the server is ours.
    """

    name: str
    schedule: Plan
    plan: Plan
    result: dict[str, Any]
    sentence: str
    page: Path
    queries: list[tuple[str, str]]
    browser: str | None
    embedded: bool


@dataclass
class Demo:
    """The steps in order; ``say`` prints a line, ``commands`` collects what they stand for."""

    settings: Settings
    progress: Progress
    say: Callable[[str], None]
    commands: list[str] = field(default_factory=list)

    def run(self) -> Outcome:
        """All of them."""
        self.train()
        with self.connect() as database:
            self.ingest(database)
            schedule = self.plan(database)
            plan, result = self.prune(database)
            return self.report(database, schedule, plan, result)

    @property
    def folder(self) -> Path:
        """Where the demo keeps what it made."""
        return self.settings.home / "demo"

    def train(self) -> None:
        """A small VGG16 on scikit-learn's digits, resized to 32 px."""
        out = self.folder / "vgg16"
        with self._step(
            "Train a VGG16 of quarter width on scikit-learn's digits at 32 px",
            f"cnngraph train cnngraph:vgg16 --width {MODEL.width} --data digits --epochs {EPOCHS} --out {out}",
        ):
            if out.exists():
                self.say("  It is there from an earlier run.")
                return
            recipe = baseline.training_recipe({"epochs": EPOCHS}, seed=0)
            self.folder.mkdir(parents=True, exist_ok=True)
            found = baseline.train(MODEL, DATA, recipe, out, progress=self.progress)
            self.say(f"  {found['accuracy']:.1%} of the test images right.")

    def connect(self) -> Database:
        """Start the embedded server, or connect to the configured one."""
        from cnngraph.database.schema import open_current

        with self._step("Start Neo4j with Graph Data Science and Browser", "cnngraph db up"):
            return open_current(self.settings, self.progress)

    def ingest(self, db: Database) -> None:
        """The trained net into the graph."""
        saved = self.folder / "vgg16"
        with self._step(
            "Map the net and write it into the graph", f"cnngraph ingest {saved} --data digits --name {NAME}"
        ):
            prepared = ingest.prepare(ModelChoice(name=str(saved)), DATA, TraceOptions(), self.progress)
            counts = ingest.store(self._session(db), prepared, NAME)
            sizes = ("positions", "arcs", "feature_maps", "connections")
            self.say("  " + ", ".join(f"{counts[what]:,} {what.replace('_', ' ')}" for what in sizes) + ".")

    def plan(self, db: Database) -> Plan:
        """Measure in the database, and the schedule of the decision."""
        with self._step("Measure, and see which layers go at which threshold", f"cnngraph plan {NAME} --schedule"):
            return plan_stored(self._session(db), NAME, choose({}), OtherData())

    def prune(self, db: Database) -> tuple[Plan, dict[str, Any]]:
        """Decide by the accuracy that may be lost, rebuild, verify, retrain beside the control, store."""
        plan_file, done = self.folder / "plan.json", JobFolder(self.folder).stage("result")
        command = f"cnngraph prune {NAME} --method multilayer --max-accuracy-drop {DROP:g} --as {PRUNED}"
        with self._step("Remove what costs at most one point, prove it, retrain beside the control", command):
            if done.is_done and self._holds(db, PRUNED):
                self.say("  It is there from an earlier run.")
                return read_plan(plan_file), done.read()
            job = PruneJob(NAME, choose({"method": "multilayer", "max_accuracy_drop": DROP}), as_name=PRUNED)
            session = self._session(db)
            plan = plan_stored(session, NAME, job.choice, job.data, costs=False)
            write_plan(plan, plan_file)
            result = execute.carry_out(session, job, plan)
            done.write(result)
            return plan, result

    def report(self, db: Database, schedule: Plan, plan: Plan, result: dict[str, Any]) -> Outcome:
        """The page, and what to paste into Neo4j Browser."""
        from cnngraph.jobs.report import pasteable, write_report

        page = self.folder / "summary.html"
        key = f"{db.owner}/{PRUNED}"
        with self._step("Write the summary", f"cnngraph report {PRUNED} --out {page}"):
            sentence, _ = write_report(self._session(db), key, page, self.commands)
            queries = pasteable(key, f"{db.owner}/{NAME}")
            browser = f"{db.http}/browser/" if db.http else None
            return Outcome(NAME, schedule, plan, result, sentence, page, queries, browser, db.embedded)

    def _session(self, db: Database) -> Session:
        return Session(self.settings, self.progress, db)

    def _holds(self, db: Database, name: str) -> bool:
        from cnngraph.database import catalogue

        return catalogue.properties(db, f"{db.owner}/{name}").get("status") == "complete"

    @contextmanager
    def _step(self, what: str, command: str) -> Iterator[None]:
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
