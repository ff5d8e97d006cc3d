"""Every method held to the same budgets, as many seeds each, beside the unpruned net that is trained for as long.

Every point (method, budget, seed) leaves one file in a work folder that is named by all that decides but these three,
the content of the images included, so that a command that was killed goes on, and another one with more methods,
budgets or seeds makes only what is new. The folder is kept: a point is never made twice. What all points need is made
once: the opened net with its data, the old net's figures, a control a seed, how nets are trained on this machine, the
times of the layers.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cnngraph.errors import PlanError
from cnngraph.jobs.baseline import training_recipe
from cnngraph.jobs.bench_choice import BenchChoice
from cnngraph.jobs.bench_point import CONTROL, Point, Setup, judge_parent, make_point
from cnngraph.jobs.bench_result import tabulate
from cnngraph.jobs.one_step import many
from cnngraph.jobs.pruned import Retraining, choose_once, inputs_of_training
from cnngraph.jobs.session import Session
from cnngraph.network.remembered import remember_structures
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
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
    """The bench of one model. ``slowest``: seconds of the slowest point so far, by the name of its method."""

    setup: Setup
    choice: BenchChoice
    slowest: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, session: Session, name: str, choice: BenchChoice) -> _Work:
        from cnngraph.training.fitness import require_trainable

        model = stored(session.database, name)
        data = model.data(choice.data)
        subject = open_model(ModelChoice(name=str(model.folder)), data, session.progress, required="sound")
        require_trainable(subject.model, subject.data.train)  # said before the long work
        recipe = training_recipe(choice.recipe, seed=0, base=subject.training)
        training = Retraining(recipe, device=choice.device)
        inputs = inputs_of_training(subject, training) | {
            "model": model.key,
            "fingerprint": model.properties.get("fingerprint"),
            "images": _hash_images(subject),
        }
        folder = session.workspace.folder("bench", inputs)
        return cls(Setup(session, model, subject, recipe, folder, choice.device), choice)

    @property
    def points(self) -> list[Point]:
        """In the order in which they are made: seed by seed, the control first, then budget by budget."""
        return [
            Point(method, budget, seed)
            for seed in self.choice.all_seeds
            for method, budget in [
                (None, None),
                *((method, budget) for budget in self.choice.budgets for method in self.choice.methods),
            ]
        ]

    def preview(self) -> dict[str, Any]:
        """What would be trained and written, counted."""
        missing = [point for point in self.points if not point.stage(self.setup.folder).is_done]
        return self._asked | {
            "trainings": len(missing),
            "would_write": {"models": sum(point.method is not None for point in missing)},
            "dry_run": True,
        }

    @property
    def _asked(self) -> dict[str, Any]:
        return {
            "model": self.setup.model.key,
            "budgets": [budget.text for budget in self.choice.budgets],
            "methods": [method.name for method in self.choice.methods],
            "seeds": self.choice.seeds,
            "epochs": self.setup.recipe.epochs,
        }

    def carry_out(self) -> dict[str, Any]:
        """Everything that there is time for."""
        setup, progress = self.setup, self.setup.session.progress
        setup.folder.path.mkdir(parents=True, exist_ok=True)
        parent = judge_parent(setup)
        budget, points = TimeBudget(self.choice.minutes), self.points
        self._say_expectation()
        left: list[Point] = []
        for number, point in enumerate(points, 1):
            if point.stage(setup.folder).is_done:
                continue
            if not budget.allows(self.slowest[_kind(point)]):
                left.append(point)
                continue
            progress.note(f"{point.words}, {number} of {len(points)}")
            began = time.monotonic()
            make_point(setup, point)
            self.slowest[_kind(point)] = max(self.slowest[_kind(point)], time.monotonic() - began)
        if left:
            self._say_out_of_time(left, nothing=len(left) == len(points))
        return self._result(parent, left)

    def _result(self, parent: dict[str, Any], left: Sequence[Point]) -> dict[str, Any]:
        made = [
            self.setup.folder.stage(f"points/{path.stem}").read()
            for path in sorted((self.setup.folder.path / "points").glob("*.json"))
        ]
        rows: list[tuple[str, str | None]] = [
            (method.name, budget.text) for budget in self.choice.budgets for method in self.choice.methods
        ]
        return self._asked | {
            "judged_on": self.setup.subject.images_from("test").as_json(),
            "parent": parent,
            "points": made,
            "table": tabulate([*rows, (CONTROL, None)], made),
            "left": [point.identity for point in left],
        }

    def _say_expectation(self) -> None:
        """How many trainings are to come, and how long they take, reckoned from a few steps on this machine."""
        from cnngraph.training.execution import expect_epoch_seconds

        setup, note = self.setup, self.setup.session.progress.note
        execution = choose_once(setup.subject, setup.retraining(0), setup.folder)
        count = min(setup.recipe.batch_size, len(setup.subject.data.train))
        steps = math.ceil(len(setup.subject.data.train) / setup.recipe.batch_size)
        images = setup.subject.data.train[range(count)][0]
        epoch = expect_epoch_seconds(setup.subject.model, images, steps, execution)
        missing = [point for point in self.points if not point.stage(setup.folder).is_done]
        if len(missing) < len(self.points):
            note(f"{many(len(self.points) - len(missing), 'point')} of these were made before.")
        for point in self.points:
            self.slowest[_kind(point)] = _UNTRAINED_SECONDS + setup.recipe.epochs * epoch
        if missing:
            minutes = len(missing) * setup.recipe.epochs * epoch / 60
            note(
                f"{many(len(missing), 'training')} of {many(setup.recipe.epochs, 'epoch')}, about {minutes:.1f} "
                f"minutes: an epoch of the whole net takes {epoch:.1f} s here."
            )

    def _say_out_of_time(self, left: Sequence[Point], *, nothing: bool) -> None:
        """Say what is missing; raises PlanError where nothing could be done."""
        first = f"The {self.choice.minutes:g} minutes do not reach for {left[0].words}"
        if nothing:
            raise PlanError(f"{first}: nothing was trained.", "Give more {minutes}, or fewer {epochs}.")
        more = f" and {many(len(left) - 1, 'point')} more" if len(left) > 1 else ""
        self.setup.session.progress.note(f"{first}{more}: the same command goes on there.")


def _kind(point: Point) -> str:
    return point.method.name if point.method else CONTROL


def _hash_images(subject: LoadedModel) -> str:
    """Of the content of all images and their labels, part by part, in order."""
    digest = hashlib.sha256()
    for part in ("train", "validation", "test"):
        images = getattr(subject.data, part)
        if images.digests is None:  # too many to be kept: they are read once for it
            for start in range(0, len(images), 256):
                images[range(start, min(start + 256, len(images)))]
        digest.update(f"{part} {len(images)} ".encode())
        if images.digests is not None:
            digest.update(images.digests.tobytes())
        digest.update(images.labels.tobytes())
    return digest.hexdigest()
