"""One point of a bench: a method at a budget with a seed; or the control, or a net from scratch, beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cnngraph.console import number
from cnngraph.errors import ConflictError, DivergedError, OptionError, PlanError, TraceError, VerificationError
from cnngraph.jobs.baseline import training_recipe
from cnngraph.jobs.bench_choice import Budget
from cnngraph.jobs.bench_decide import Decider, PointDecision
from cnngraph.jobs.execute import require_storable, store
from cnngraph.jobs.plan import Opened
from cnngraph.jobs.pruned import Pruned, Retraining, judge_old, train_control
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder, Stage
from cnngraph.network.remembered import remember_structures
from cnngraph.origin import get_origin
from cnngraph.pruning.registry import METHODS
from cnngraph.reporting.bench_points import CONTROL, FIGURES, SCRATCH
from cnngraph.sources.loaded import LoadedModel
from cnngraph.sources.stored import StoredModel, stored

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.training.fit import Recipe

__all__ = ["Point", "Setup", "judge_parent", "make_point", "scratch_recipe", "times_of"]

_SCORES = ("accuracy", "precision", "recall", "kappa")
# What says something of the method; all else ends the command, or is tried again by the next one.
_OWN_FAILURES = (PlanError, OptionError, VerificationError, TraceError, DivergedError)
_LONGEST_NAME = 90  # and a number
_NEAR_CHANCE = "Its accuracy is near chance."
_SECONDS = 0.5  # of timing two nets in turns
_FEW, _MANY, _TRIES = 7, 301, 3  # passes of each; how often while they scatter


@dataclass(frozen=True)
class Setup:
    """What all points have in common.

    Attributes:
        opened: net and data, as decisions read them, opened once.
        recipe: how each net is trained; its seed is a point's own.
        precision: in which numbers: auto measures once for all, fp32 is what it says.
    """

    session: Session
    model: StoredModel
    opened: Opened
    recipe: Recipe
    folder: JobFolder
    device: str
    precision: str = "auto"

    @property
    def subject(self) -> LoadedModel:
        """The net with its data."""
        return self.opened.model

    def retraining(self, seed: int) -> Retraining:
        """How the net of a point is trained, beside a control that all of this seed share."""
        recipe = replace(self.recipe, seed=seed)
        how = Retraining(recipe, device=self.device, precision=self.precision, seed=seed)
        return replace(how, shared=self.folder, epochs_of_all_steps=True)

    def require_same_model(self) -> None:
        """Return if the model of the graph is the one that was opened.

        Raises:
            ConflictError: it was replaced meanwhile. NotFoundError: or deleted.
        """
        now = stored(self.session.database, self.model.key).properties
        if any(now.get(name) != self.model.properties.get(name) for name in ("sha256", "fingerprint")):
            raise ConflictError(
                f"{self.model.key} was replaced while nets were made of it.", "Repeat the command on what is there now."
            )

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
        ``method, budget, seed``; ``meets``; ``why`` it does not, or why there is no net, or what else is to be known;
        ``new_model`` and its ``sha256``; the figures. ``seconds`` are those of the decision, the cut and the training
        (as it validates after each epoch): of proving, judging and storing none count.

    Raises:
        CnngraphError: what says nothing of the method: the model was replaced, nothing can be stored, an image can no
            longer be read. The same point is made another time.
    """
    done, home = point.stage(setup.folder), JobFolder(setup.folder.path / f"point-{point.name}")
    if not done.is_done:
        setup.require_same_model()
        home.path.mkdir(parents=True, exist_ok=True)
        for net in (setup.subject.model, setup.opened.saved.model):
            net.cpu()  # a judged net stays on the device
        empty = point.identity | {"meets": False, "why": None, "new_model": None, "sha256": None}
        try:
            with remember_structures(apart=True):
                found = _make(setup, point, home)
        except _OWN_FAILURES as error:
            found = {"why": error.message}
        done.path.parent.mkdir(exist_ok=True)
        done.write(empty | dict.fromkeys(FIGURES) | found)
    shutil.rmtree(home.path, ignore_errors=True)
    return done.read()


def judge_parent(setup: Setup) -> dict[str, Any]:
    """How good and how large the net is that all are made of."""

    def judge() -> dict[str, Any]:
        found = judge_old(setup.subject, setup.retraining(0), setup.session.progress)
        names = (*_SCORES, "parameters", "macs")
        return {name: found[name] for name in names} | {"latency_ms": _time_in_turns(setup, {})["parent"]}

    return setup.folder.stage("parent").once(judge)


def scratch_recipe(subject: LoadedModel, recipe: Recipe) -> Recipe:
    """How a net from scratch is trained: as the parent was, for its epochs and those of a retraining; where it is not
    known how the parent came by its weights (it was pruned, say), as the others are.
    """
    known, origin = subject.training.get("epochs"), get_origin(subject.model)
    if known is None or (origin is not None and origin.plans):
        return recipe
    own = training_recipe({}, seed=recipe.seed, base=subject.training)
    return replace(own, epochs=int(known) + recipe.epochs)


def _make(setup: Setup, point: Point, home: JobFolder) -> dict[str, Any]:
    retraining = setup.retraining(point.seed)
    if point.budget is None:
        return _control(setup, retraining)
    if point.method == SCRATCH:
        decision = setup.decider.decide_scratch(point.budget, home)
        recipe = scratch_recipe(setup.subject, replace(setup.recipe, seed=point.seed))
        pruned = _carry_out(setup, decision, replace(retraining, recipe=recipe, control=False), home)
        return _describe(point.budget, decision, pruned) | times_of(decision, pruned)
    decision = setup.decider.decide(METHODS[point.method], point.budget, point.seed, home)
    require_storable(setup.session, setup.model, decision.task.outline)
    control = Point(CONTROL, None, point.seed).stage(setup.folder)
    if not control.is_done or control.read()["accuracy"] is None:  # what keeps it back is no fault of the method
        retraining = replace(retraining, control=False)
    pruned = _carry_out(setup, decision, retraining, home)
    setup.require_same_model()
    new = store(setup.session, setup.model, pruned, _model_name(setup, point), fixed=False, device=setup.device)
    found = _describe(point.budget, decision, pruned) | times_of(decision, pruned)
    if found["epochs"] > setup.recipe.epochs:
        longer = f"It was trained for {found['epochs']} epochs, the others for {setup.recipe.epochs}: a step takes one."
        found["why"] = " ".join(filter(None, (found["why"], longer)))
    return found | {"new_model": new["new_model"], "sha256": pruned.subject.sha256}


def _control(setup: Setup, retraining: Retraining) -> dict[str, Any]:
    assert retraining.recipe is not None
    found = train_control(setup.subject, retraining, setup.folder.path, setup.session.progress)
    took = setup.folder.stage(f"control-s{retraining.seed}-e{retraining.recipe.epochs}/done").read()
    latency = judge_parent(setup)["latency_ms"]
    figures = {name: found[name] for name in (*_SCORES, "parameters", "macs")}
    figures |= {"meets": True, "why": _NEAR_CHANCE if found["near_chance"] else None}
    figures |= {"latency_ms": latency, "parent_latency_ms": latency, "speedup": 1.0}
    return figures | _seconds(0.0, 0.0, took["seconds"], took["epochs"])


def _carry_out(setup: Setup, decision: PointDecision, retraining: Retraining, home: JobFolder) -> Pruned:
    """The new net, timed as all nets of a bench are."""
    folder = home.path / "prune"
    pruned = decision.task.carry_out(setup.subject, retraining, folder=folder, progress=setup.session.progress)
    times = _time_in_turns(setup, {"new": pruned.subject.model})
    result = dict(pruned.result)
    for net, name in (("before", "parent"), ("control", "parent"), ("after", "new")):
        if result[net] is not None:
            result[net] = result[net] | {"latency_ms": times[name]}
    return replace(pruned, result=result)


def _time_in_turns(setup: Setup, nets: Mapping[str, nn.Module]) -> dict[str, float]:
    """Milliseconds of the ``parent`` and of these nets, after all decisions: a search keeps the net whose measurement
    came out best, so that it would flatter that one.
    """
    from cnngraph.training.latency import Passes, measure_latency

    setup.session.progress.start("Measuring latency")
    nets = {"parent": setup.subject.model, **nets}
    shape, device = setup.subject.input_shape, setup.device
    short = measure_latency(nets, shape, Passes(_FEW, warmup=2), device=device).median_ms
    repeats = max(_FEW, min(_MANY, round(1000 * _SECONDS / sum(short.values()))))
    return measure_latency(nets, shape, Passes(repeats, tries=_TRIES), device=device).median_ms


def _describe(budget: Budget, decision: PointDecision, pruned: Pruned) -> dict[str, Any]:
    """The figures of the new net, and whether it meets the budget, within the tolerance that targets have."""
    before, after, zeros = pruned.result["before"], pruned.result["after"], pruned.result.get("sparsity")
    found = {name: after[name] for name in (*_SCORES, "latency_ms", "parameters", "macs")}
    found |= {"parent_latency_ms": before["latency_ms"], "speedup": before["latency_ms"] / after["latency_ms"]}
    found["nonzero"] = after["parameters"] - (zeros["weights"] - zeros["alive"]) if zeros else None
    missed = decision.why or _missed(budget, found, before, pruned.subject.model)
    said = [missed, _NEAR_CHANCE if after["near_chance"] else None]
    return found | {"meets": missed is None, "why": " ".join(filter(None, said)) or None}


def _missed(budget: Budget, found: Mapping[str, Any], before: Mapping[str, Any], net: nn.Module) -> str | None:
    """How far the net is from the budget; ``None`` where it meets it."""
    from cnngraph.pruning.limits.cost_meter import megabytes
    from cnngraph.pruning.limits.target import TOLERANCE, within_tolerance

    kind, timed = budget.target.kind, budget.target.timed
    left = found["latency_ms"] if timed else megabytes(net) if kind == "mb" else found[kind]
    if kind == "parameters" and found["nonzero"] is not None:
        left = found["nonzero"]
    wanted = budget.left_of(before["latency_ms"] if timed else before.get(kind))
    if within_tolerance(left, wanted):
        return None
    name = "milliseconds" if timed else budget.target.name
    shown = [number(round(value) if kind in ("macs", "parameters") else value) for value in (left, wanted)]
    return f"{shown[0]} {name} are left, more than {TOLERANCE:.0%} from the {shown[1]} that were wanted."


def times_of(decision: PointDecision, pruned: Pruned) -> dict[str, Any]:
    """Of the decision (in steps: of all choosing; with the trials that it goes by), the cut and the training."""
    left = JobFolder(pruned.folder)
    tried = pruned.plan.settings.get("criticality", {}).get("seconds", 0.0)
    if not pruned.steps:
        took, cut = left.stage("retrain/done").read(), left.stage("slim").read()["cut_seconds"]
        return _seconds(decision.seconds + tried, cut, took["seconds"], took["epochs"])
    cuts = [stage.read() for stage in map(Stage, sorted(pruned.folder.glob("step-*/cut.json")))]
    chosen = sum(cut["seconds"] for cut in cuts)
    trained = sum(step.seconds for step in pruned.steps) - sum(cut["seconds"] for cut in cuts if cut["plan"]["removes"])
    return _seconds(decision.seconds + chosen, 0.0, trained, sum(step.epochs for step in pruned.steps))


def _seconds(decide: float, cut: float, train: float, epochs: int) -> dict[str, Any]:
    return {"epochs": epochs, "seconds": decide + cut + train, "decide_seconds": decide, "train_seconds": train}


def _model_name(setup: Setup, point: Point) -> str:
    """What the new model is of, and what it is."""
    return f"{setup.model.key.split('/')[1][: _LONGEST_NAME - len(point.name) - 1]}-{point.name}"
