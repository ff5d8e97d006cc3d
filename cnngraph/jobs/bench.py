"""Every method held to the same budgets, as many seeds each, beside the unpruned net that is trained for as long.

Every point (method, budget, seed) leaves one file in a work folder that is named by all that decides but these three,
the content of the images included, so that a command that was killed goes on, and another one with more methods,
budgets or seeds makes only what is new. The folder is kept: a point is never made twice. What all points need is made
once: the opened net with its data, the old net's figures, a control a seed, how nets are trained on this machine, the
times of the layers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cnngraph.console import duration
from cnngraph.errors import CnngraphError, PlanError, explain
from cnngraph.jobs.baseline import expect_epoch, training_recipe
from cnngraph.jobs.bench_choice import BenchChoice, saves_nothing
from cnngraph.jobs.bench_folder import BenchFolder, collect_points, processor_name
from cnngraph.jobs.bench_point import Point, Setup, judge_parent, make_point, scratch_recipe
from cnngraph.jobs.bench_result import tabulate
from cnngraph.jobs.criticality import try_blocks
from cnngraph.jobs.criticality_choice import choose_criticality
from cnngraph.jobs.one_step import many
from cnngraph.jobs.plan import Opened
from cnngraph.jobs.pruned import Retraining, choose_once
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder
from cnngraph.network.remembered import remember_structures
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.pruning.method import Need
from cnngraph.pruning.registry import METHODS
from cnngraph.reporting.bench_points import CONTROL, SCRATCH
from cnngraph.sources.loaded import ModelChoice, open_model
from cnngraph.sources.stored import stored

__all__ = ["bench"]

_UNTRAINED_SECONDS = 10.0  # of a point beside its training: decision, cut, proof, judging, storing


@remember_structures()
def bench(session: Session, name: str, choice: BenchChoice, *, dry_run: bool = False) -> dict[str, Any]:
    """Make the points that are not there yet, store each as it is made; the JSON of ``cnngraph bench`` but for files.

    Args:
        dry_run: count what would be trained and written; do neither.

    Raises:
        NotFoundError: the model is not there. ConflictError: it is not complete, or another process does the same.
        ModelError: it has no saved net, or cannot be trained. PlanError: there is no time for one point.
    """
    work = _Work.begin(session, name, choice)
    if dry_run:
        return work.preview()
    with work.setup.folder.locked():
        return work.carry_out()


@dataclass
class _Work:
    """The bench of one model. ``slowest``: seconds of the slowest point so far, by its method."""

    setup: Setup
    choice: BenchChoice
    place: BenchFolder
    slowest: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, session: Session, name: str, choice: BenchChoice) -> _Work:
        from cnngraph.training.fitness import require_trainable

        model = stored(session.database, name)
        data = model.data(choice.data)
        subject = open_model(ModelChoice(name=str(model.folder)), data, session.progress, required="sound")
        require_trainable(subject.model, subject.data.train)  # said before the long work
        recipe = training_recipe(choice.recipe, seed=0, base=subject.training)
        place = BenchFolder.of(
            session, model, subject, Retraining(recipe, device=choice.device, precision=choice.precision)
        )

        def read_trials() -> list[dict[str, Any]]:
            made = place.folder.stage("criticality").once(lambda: {"trials": _try_blocks(session, model.key, choice)})
            return list(made["trials"])

        opened = Opened(model, choice.data, subject, read_trials=read_trials)
        return cls(Setup(session, model, opened, recipe, place.folder, choice.device, choice.precision), choice, place)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """In the order in which they are made: seed by seed, the control first, then budget by budget."""
        found: list[Point] = []
        for seed in self.choice.all_seeds:
            found.append(Point(CONTROL, None, seed))
            for budget in self.choice.budgets:
                found += [Point(method.name, budget, seed) for method in self.choice.methods]
                found.append(Point(SCRATCH, budget, seed))
        return tuple(found)

    @property
    def missing(self) -> list[Point]:
        """Those that are still to be made."""
        return [point for point in self.points if not point.stage(self.setup.folder).is_done]

    def preview(self) -> dict[str, Any]:
        """What would be trained and written, counted; a method that cannot meet a budget trains nothing."""
        missing = [point for point in self.missing if self._epochs(point)]
        epochs = sum(map(self._epochs, missing))
        return self._asked | {
            "trainings": len(missing),
            "epochs_in_all": epochs,
            "seconds": epochs * self._expect_epoch(keep=False)[0] if epochs else 0.0,
            "would_write": {"models": sum(point.method not in (CONTROL, SCRATCH) for point in missing)},
            "dry_run": True,
        }

    @property
    def _asked(self) -> dict[str, Any]:
        return {
            "model": self.setup.model.key,
            "budgets": [budget.text for budget in self.choice.budgets],
            "methods": [method.name for method in self.choice.methods],
            "seeds": self.choice.seeds,
            "seed": self.choice.seed,
            "epochs": self.setup.recipe.epochs,
        }

    def carry_out(self) -> dict[str, Any]:
        """Everything that there is time for."""
        setup, progress = self.setup, self.setup.session.progress
        setup.session.database.storage.require_writable()
        self.place.open(progress)
        budget = TimeBudget(self.choice.minutes)
        parent = judge_parent(setup)
        missing = self.missing
        self._say_expectation(missing)
        self._prepare(missing)
        left: dict[Point, str | None] = {}
        for number, point in enumerate(missing, 1):
            if not budget.allows(self.slowest[point.method]):
                left[point] = None
                continue
            progress.note(f"{point.words}, {number} of {len(missing)}.")
            began = time.monotonic()
            try:
                found = make_point(setup, point)
            except CnngraphError:
                raise
            except Exception as error:  # noqa: BLE001 - a fault of one method, or of what it calls: the others go on
                left[point] = explain(error)
                progress.note(f"{point.words} ended in an error: {left[point]}.")
                continue
            self.slowest[point.method] = max(self.slowest[point.method], time.monotonic() - began)
            if found["accuracy"] is None:
                progress.note(f"{point.words}: {found['why']}")
        out_of_time = [point for point, why in left.items() if why is None]
        if out_of_time:
            more = f" and {many(len(out_of_time) - 1, 'net')} more" if len(out_of_time) > 1 else ""
            nothing = "trained" if len(left) == len(self.points) else None
            hint = "Give more {minutes}, or fewer {epochs}."
            budget.say_left(f"{out_of_time[0].words}{more}", progress, nothing=nothing, hint=hint)
        return self._result(parent, left)

    def _prepare(self, missing: Sequence[Point]) -> None:
        """What several points need and none should be charged for: how long layers take, what blocks are worth."""
        timed = [point.budget for point in missing if point.budget is not None and point.budget.target.timed]
        if timed:
            self.setup.decider.time_layers(timed[0], self.setup.folder)
        methods = {point.method for point in missing} & METHODS.keys()
        if any(Need.CRITICALITY in METHODS[name].needs(METHODS[name].options()) for name in methods):
            with suppress(PlanError):  # a net without blocks: the points of the method say it
                assert self.setup.opened.read_trials is not None
                self.setup.opened.read_trials()

    def _result(self, parent: dict[str, Any], left: Mapping[Point, str | None]) -> dict[str, Any]:
        import torch

        from cnngraph.database.catalogue import properties
        from cnngraph.training.execution import pick_device
        from cnngraph.training.latency import device_name

        points = collect_points(self.setup.folder)
        for point in points:
            known = properties(self.setup.session.database, point["new_model"]) if point["new_model"] else {}
            if known.get("sha256") != point.pop("sha256"):
                point["new_model"] = None  # deleted since, or another net has the name now
        budgets, names = self.choice.budgets, [method.name for method in self.choice.methods]
        rows: list[tuple[str, str | None]] = [(name, budget.text) for budget in budgets for name in names]
        rows += [(CONTROL, None), *((SCRATCH, budget.text) for budget in budgets)]
        return self._asked | {
            "judged_on": self.setup.subject.images_from("test").as_json(),
            "trained_on": len(self.setup.subject.data.train),
            "trained_in": choose_once(self.setup.subject, self.setup.retraining(0), self.setup.folder).precision,
            "latency_on": {"device": device_name(pick_device(self.choice.device)), "runtime": "eager", "batch": 1},
            "machine": f"{processor_name()}, {many(os.cpu_count() or 1, 'core')}, "
            f"{many(torch.get_num_threads(), 'thread')}",
            "parent": parent,
            "points": points,
            "table": tabulate(rows, points, self.choice.all_seeds),
            "left": [point.identity | ({"why": why} if why else {}) for point, why in left.items()],
        }

    def _epochs(self, point: Point) -> int:
        """Of a point, as far as that is known before."""
        setup = self.setup
        if point.method == SCRATCH:
            return scratch_recipe(setup.subject, setup.recipe).epochs
        if point.budget is None:
            return setup.recipe.epochs
        method = METHODS[point.method]
        return 0 if saves_nothing(method, point.budget) else setup.decider.expect_epochs(method)

    def _expect_epoch(self, *, keep: bool) -> tuple[float, str]:
        """Seconds of an epoch of the whole net, reckoned from a few steps on this machine, and in which numbers.

        Args:
            keep: how nets are trained, which is measured for it: all points are trained so.
        """
        setup = self.setup
        with nullcontext(setup.folder.path) if keep else TemporaryDirectory() as place:
            known = setup.folder if setup.folder.stage("execution").is_done else JobFolder(Path(place))
            execution = choose_once(setup.subject, setup.retraining(0), known)
        return expect_epoch(setup.subject, setup.recipe, execution), execution.precision

    def _say_expectation(self, missing: Sequence[Point]) -> None:
        """How many trainings are to come, and how long they take, reckoned from a few steps on this machine."""
        setup, note = self.setup, self.setup.session.progress.note
        if len(missing) < len(self.points):
            made = len(self.points) - len(missing)
            note(f"{many(made, 'net')} of these {len(self.points)} {'were' if made > 1 else 'was'} made before.")
        if not missing:
            return
        epoch, precision = self._expect_epoch(keep=True)
        self.slowest = {point.method: _UNTRAINED_SECONDS + self._epochs(point) * epoch for point in missing}
        epochs = sum(map(self._epochs, missing))
        trainings = many(sum(self._epochs(point) > 0 for point in missing), "training")
        note(
            f"{trainings}, {many(epochs, 'epoch')} together, about {duration(epochs * epoch)} and what decisions, "
            f"proofs and storing take: an epoch of the whole net takes {duration(epoch)} here in {precision}."
        )
        if any(point.method == SCRATCH for point in missing):
            total = scratch_recipe(setup.subject, setup.recipe).epochs
            known = "as long as the net itself and the others together"
            if total == setup.recipe.epochs:
                known = "as long as the others, since it is not known how the net itself came by its weights"
            note(f"A net from scratch is trained for {many(total, 'epoch')}: {known}.")


def _try_blocks(session: Session, model: str, choice: BenchChoice) -> list[dict[str, Any]]:
    """What each block is worth, all of them tried in one cheap way: taken out, the ends joined, nothing trained."""
    said = {"schemes": ["join"], "data": choice.data.name, "data_root": choice.data.root, "device": choice.device}
    found = try_blocks(session, model, choose_criticality(said))
    whole = found["parent"]["accuracy"]
    return [
        {"block": block["block"], "value": whole - one["accuracy"]}
        | {name: one[name] for name in ("scheme", "seed", "seconds", "failed")}
        for block in found["blocks"]
        for one in block["schemes"]
        if one["accuracy"] is not None
    ]
