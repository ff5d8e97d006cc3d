"""One point of a bench: a method at a budget with a seed; or the control, or a net from scratch, beside it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cnngraph.errors import CnngraphError, ConflictError, DatabaseError, DataError
from cnngraph.jobs.baseline import training_recipe
from cnngraph.jobs.bench_choice import Budget
from cnngraph.jobs.bench_decide import Decided, Decider
from cnngraph.jobs.execute import require_storable, store
from cnngraph.jobs.plan import Opened
from cnngraph.jobs.pruned import Pruned, Retraining, judge_old, train_control
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder, Stage
from cnngraph.pruning.registry import METHODS
from cnngraph.sources.loaded import LoadedModel
from cnngraph.sources.stored import StoredModel

if TYPE_CHECKING:
    from cnngraph.training.fit import Recipe

__all__ = ["CONTROL", "SCRATCH", "Point", "Setup", "judge_parent", "make_point", "scratch_recipe"]

CONTROL, SCRATCH = "control", "scratch"
_SCORES = ("accuracy", "precision", "recall", "kappa")
# What is known of a point; ``None`` where there is no net, and where it does not apply.
_FIGURES = (
    *_SCORES,
    "latency_ms",
    "parent_latency_ms",
    "speedup",
    "parameters",
    "nonzero",
    "macs",
    "epochs",
    "seconds",
    "decide_seconds",
    "train_seconds",
)
_LONGEST_NAME = 90  # and a number


@dataclass(frozen=True)
class Setup:
    """What all points have in common.

    Attributes:
        opened: net and data, as decisions read them, opened once.
        recipe: how each net is trained; its seed is a point's own.
    """

    session: Session
    model: StoredModel
    opened: Opened
    recipe: Recipe
    folder: JobFolder
    device: str

    @property
    def subject(self) -> LoadedModel:
        """The net with its data."""
        return self.opened.model

    def retraining(self, seed: int) -> Retraining:
        """How the net of a point is trained, beside a control that all of this seed share."""
        recipe = replace(self.recipe, seed=seed)
        return Retraining(recipe, device=self.device, seed=seed, shared=self.folder, in_all=True)

    @cached_property
    def decider(self) -> Decider:
        """Finds what goes."""
        return Decider(self.session, self.model, self.opened, self.recipe.epochs, self.device)


@dataclass(frozen=True)
class Point:
    """``method``: the name of one, ``control`` or ``scratch``. ``budget``: ``None`` of the control."""

    method: str
    budget: Budget | None
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """All that tells it from others on the same net, data and recipe, as JSON holds it."""
        return {"method": self.method, "budget": self.budget.text if self.budget else None, "seed": self.seed}

    @property
    def name(self) -> str:
        """Of its files, and after that of its model.

        >>> Point("car", Budget("macs", 0.5), 0).name, Point("control", None, 2).name
        ('car-macs0.5-s0', 'control-s2')
        """
        at = [self.budget.text.replace("=", "").replace("+", "")] if self.budget else []
        return "-".join([self.method, *at, f"s{self.seed}"])

    @property
    def words(self) -> str:
        """As a person reads it."""
        return f"{self.method}{f' at {self.budget.text}' if self.budget else ''}, seed {self.seed}"

    def stage(self, folder: JobFolder) -> Stage:
        """Where it leaves what it found."""
        return folder.stage(f"points/{self.name}")


def make_point(setup: Setup, point: Point) -> dict[str, Any]:
    """Decide, cut, train, judge and store; or read back what an earlier run found.

    Returns:
        ``method, budget, seed``; ``meets``; ``why`` it does not, or why there is no net; ``new_model``; the figures.
        ``seconds`` are those of the decision, the cut and the training (as it validates after each epoch): of
        proving, judging and storing none count.

    Raises:
        DatabaseError, ConflictError: nothing can be stored. DataError: an image can no longer be read.
    """
    done, home = point.stage(setup.folder), JobFolder(setup.folder.path / f"point-{point.name}")
    if not done.is_done:
        home.path.mkdir(parents=True, exist_ok=True)
        for net in (setup.subject.model, setup.opened.saved.model):
            net.cpu()  # a judged net stays on the device
        empty = point.identity | {"meets": False, "why": None, "new_model": None} | dict.fromkeys(_FIGURES)
        try:
            found = _make(setup, point, home)
        except (ConflictError, DatabaseError, DataError):
            raise
        except CnngraphError as error:
            found = {"why": error.message}
        done.write(empty | found)
    shutil.rmtree(home.path, ignore_errors=True)
    return done.read()


def judge_parent(setup: Setup) -> dict[str, Any]:
    """How good and how large the net is that all are made of."""

    def judge() -> dict[str, Any]:
        from cnngraph.training.latency import latency_ms

        found = judge_old(setup.subject, setup.retraining(0), setup.session.progress)
        setup.session.progress.start("Measuring latency")
        times = latency_ms({"parent": setup.subject.model}, setup.subject.input_shape, device=setup.device)
        names = (*_SCORES, "parameters", "macs")
        return {name: found[name] for name in names} | {"latency_ms": times["parent"]}

    return setup.folder.stage("parent").once(judge)


def scratch_recipe(subject: LoadedModel, recipe: Recipe) -> Recipe:
    """How a net from scratch is trained: as the parent was, for its epochs and those of a retraining; where the
    parent's training is not known, as the others are.
    """
    known = subject.training.get("epochs")
    if known is None:
        return recipe
    own = training_recipe({}, seed=recipe.seed, base=subject.training)
    return replace(own, epochs=int(known) + recipe.epochs)


def _make(setup: Setup, point: Point, home: JobFolder) -> dict[str, Any]:
    retraining = setup.retraining(point.seed)
    if point.budget is None:
        return _control(setup, retraining)
    if point.method == SCRATCH:
        decided = setup.decider.decide_scratch(point.budget, home)
        recipe = scratch_recipe(setup.subject, replace(setup.recipe, seed=point.seed))
        pruned = _carry_out(setup, decided, replace(retraining, recipe=recipe, control=False), home)
        return _describe(point.budget, decided, pruned) | _times(decided, pruned)
    decided = setup.decider.decide(METHODS[point.method], point.budget, point.seed, home)
    require_storable(setup.session, setup.model, decided.task.outline)
    pruned = _carry_out(setup, decided, retraining, home)
    new = store(setup.session, setup.model, pruned, _model_name(setup, point), fixed=False, device=setup.device)
    return _describe(point.budget, decided, pruned) | _times(decided, pruned) | {"new_model": new["new_model"]}


def _control(setup: Setup, retraining: Retraining) -> dict[str, Any]:
    assert retraining.recipe is not None
    found = train_control(setup.subject, retraining, setup.folder.path, setup.session.progress)
    took = setup.folder.stage(f"control-s{retraining.seed}-e{retraining.recipe.epochs}/done").read()
    latency = judge_parent(setup)["latency_ms"]
    figures = {name: found[name] for name in (*_SCORES, "parameters", "macs")}
    figures |= {"meets": True, "latency_ms": latency, "parent_latency_ms": latency, "speedup": 1.0}
    return figures | _seconds(0.0, 0.0, took["seconds"], took["epochs"])


def _carry_out(setup: Setup, decided: Decided, retraining: Retraining, home: JobFolder) -> Pruned:
    """The new net; times are those that the search for the budget has measured: longer, and in turns as well."""
    folder = home.path / "prune"
    pruned = decided.task.carry_out(setup.subject, retraining, folder=folder, progress=setup.session.progress)
    steady = pruned.plan.settings.get("latency")
    if steady is None:
        return pruned
    result = dict(pruned.result)
    for net, name in (("before", "before_ms"), ("control", "before_ms"), ("after", "after_ms")):
        if result[net] is not None:
            result[net] = result[net] | {"latency_ms": steady[name]}
    return replace(pruned, result=result)


def _describe(budget: Budget, decided: Decided, pruned: Pruned) -> dict[str, Any]:
    """The figures of the new net, and whether it meets the budget, within the tolerance that targets have."""
    from cnngraph.pruning.limits.cost_meter import megabytes
    from cnngraph.pruning.limits.target import TOLERANCE, within_tolerance

    before, after, zeros = pruned.result["before"], pruned.result["after"], pruned.result.get("sparsity")
    found = {name: after[name] for name in (*_SCORES, "latency_ms", "parameters", "macs")}
    found |= {"parent_latency_ms": before["latency_ms"], "speedup": before["latency_ms"] / after["latency_ms"]}
    found["nonzero"] = after["parameters"] - (zeros["weights"] - zeros["alive"]) if zeros else None
    if decided.why is not None:
        return found | {"meets": False, "why": decided.why}
    kind, timed = budget.target.kind, budget.target.timed
    left = found["latency_ms"] if timed else megabytes(pruned.subject.model) if kind == "mb" else found[kind]
    if kind == "parameters" and zeros:
        left = found["nonzero"]
    wanted = budget.left_of(before["latency_ms"] if timed else before.get(kind))
    if within_tolerance(left, wanted):
        return found | {"meets": True, "why": None}
    name = "milliseconds" if timed else budget.target.name
    why = (
        f"{left:,.4g} {name} are left, more than {TOLERANCE:.0%} from the {wanted:,.4g} that were wanted: no other cut "
    )
    return found | {"meets": False, "why": f"{why}that was built came nearer."}


def _times(decided: Decided, pruned: Pruned) -> dict[str, Any]:
    """Of the decision (in steps: of all choosing), the cut and the training."""
    left = JobFolder(pruned.folder)
    tried = pruned.plan.settings.get("criticality", {}).get("seconds", 0.0)
    if not pruned.steps:
        took, cut = left.stage("retrain/done").read(), left.stage("slim").read()["cut_seconds"]
        return _seconds(decided.seconds + tried, cut, took["seconds"], took["epochs"])
    cuts = [stage.read() for stage in map(Stage, sorted(pruned.folder.glob("step-*/cut.json")))]
    chosen = sum(cut["seconds"] for cut in cuts)
    trained = sum(step.seconds for step in pruned.steps) - sum(cut["seconds"] for cut in cuts if cut["plan"]["removes"])
    return _seconds(decided.seconds + chosen, 0.0, trained, sum(step.epochs for step in pruned.steps))


def _seconds(decide: float, cut: float, train: float, epochs: int) -> dict[str, Any]:
    return {"epochs": epochs, "seconds": decide + cut + train, "decide_seconds": decide, "train_seconds": train}


def _model_name(setup: Setup, point: Point) -> str:
    """What the new model is of, and what it is."""
    return f"{setup.model.key.split('/')[1][: _LONGEST_NAME - len(point.name) - 1]}-{point.name}"
