"""One point of a bench: one method held to one budget with one seed; the unpruned control; what each left."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnngraph.errors import CnngraphError, ConflictError, DatabaseError, DataError, PlanError
from cnngraph.jobs.bench_choice import Budget
from cnngraph.jobs.execute import require_storable, store
from cnngraph.jobs.plan import Opened, plan_opened
from cnngraph.jobs.prune import PlannedPrune
from cnngraph.jobs.pruned import Pruned, Retraining, judge_old, train_control
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder, Stage
from cnngraph.plan import Plan
from cnngraph.pruning.choice import Choice, choose
from cnngraph.pruning.method import Method
from cnngraph.sources.loaded import LoadedModel
from cnngraph.sources.stored import OtherData, StoredModel
from cnngraph.validation import parse_stored

if TYPE_CHECKING:
    from cnngraph.training.fit import Recipe

__all__ = ["CONTROL", "Point", "Setup", "judge_parent", "make_point"]

CONTROL = "control"
SCORES = ("accuracy", "precision", "recall", "kappa")
# What is known of a point; ``None`` where there is no net, and where it does not apply.
_FIGURES = (
    *SCORES,
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
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Setup:
    """What all points have in common; ``recipe``: how each net is trained, its seed is a point's own."""

    session: Session
    model: StoredModel
    subject: LoadedModel
    recipe: Recipe
    folder: JobFolder
    device: str

    def retraining(self, seed: int) -> Retraining:
        """How the net of a point is trained, beside the control that all share."""
        return Retraining(replace(self.recipe, seed=seed), device=self.device, seed=seed, shared=self.folder)

    @property
    def opened(self) -> Opened:
        """What decisions read."""
        return Opened(self.model, OtherData(), self.subject)


@dataclass(frozen=True)
class Point:
    """``method``: ``None`` for the control, which has no budget either."""

    method: Method | None
    budget: Budget | None
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """All that tells it from others on the same net, data and recipe, as JSON holds it."""
        budget = self.budget.text if self.budget else None
        return {"method": self.method.name if self.method else CONTROL, "budget": budget, "seed": self.seed}

    @property
    def name(self) -> str:
        """Of its files, and after that of its model.

        >>> from cnngraph.pruning.registry import METHODS
        >>> Point(METHODS["car"], Budget("macs", 0.5), 0).name
        'car-macs0.5-s0'
        """
        known = self.identity
        return "-".join(
            [known["method"], *([known["budget"].replace("=", "")] if self.budget else []), f"s{self.seed}"]
        )

    @property
    def words(self) -> str:
        """As a person reads it."""
        known = self.identity
        return f"{known['method']}{f' at {self.budget.text}' if self.budget else ''}, seed {self.seed}"

    def stage(self, folder: JobFolder) -> Stage:
        """Where it leaves what it found."""
        return folder.stage(f"points/{self.name}")


def make_point(setup: Setup, point: Point) -> dict[str, Any]:
    """Decide, cut, train, judge and store; or read back what an earlier run found.

    Returns:
        ``method, budget, seed``; ``meets``, ``why`` (it does not, or there is no net); ``new_model``; the figures.
        ``seconds`` are those of the decision, the cut and the training; of judging, proving and storing none count.

    Raises:
        DatabaseError, ConflictError: nothing can be stored. DataError: an image can no longer be read.
    """
    done, home = point.stage(setup.folder), JobFolder(setup.folder.path / f"point-{point.name}")
    if not done.is_done:
        home.path.mkdir(parents=True, exist_ok=True)
        setup.subject.model.cpu()  # a judged net stays on the device
        empty = point.identity | {"meets": False, "why": None, "new_model": None} | dict.fromkeys(_FIGURES)
        try:
            found = _control(setup, point) if point.method is None else _pruned(setup, point, home)
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
        names = (*SCORES, "parameters", "macs")
        return {name: found[name] for name in names} | {"latency_ms": times["parent"]}

    return setup.folder.stage("parent").once(judge)


def _control(setup: Setup, point: Point) -> dict[str, Any]:
    retraining = setup.retraining(point.seed)
    found = train_control(setup.subject, retraining, setup.folder.path, setup.session.progress)
    took = setup.folder.stage(f"control-s{point.seed}-e{setup.recipe.epochs}/done").read()
    latency = judge_parent(setup)["latency_ms"]
    return (
        {name: found[name] for name in (*SCORES, "parameters", "macs")}
        | {"meets": True, "latency_ms": latency, "parent_latency_ms": latency, "speedup": 1.0}
        | _times(0.0, 0.0, took)
    )


def _pruned(setup: Setup, point: Point, home: JobFolder) -> dict[str, Any]:
    assert point.budget is not None
    choice = _choice(point, setup.device)
    decided = home.stage("plan").once(lambda: _decide(setup, choice))
    plan = parse_stored(Plan, decided["plan"], str(home.path))
    if not plan.removes:
        raise PlanError(f"Nothing goes: {' '.join(plan.notes)}")
    require_storable(setup.session, setup.model, plan)
    retraining = setup.retraining(point.seed)
    pruned = _measured_before(
        PlannedPrune(plan).carry_out(
            setup.subject, retraining, folder=home.path / "prune", progress=setup.session.progress
        )
    )
    left = JobFolder(home.path / "prune")
    cut, took = left.stage("slim").read()["cut_seconds"], left.stage("retrain/done").read()
    return (
        _figures_of(pruned)
        | _meets(point.budget, pruned)
        | _times(decided["seconds"], cut, took)
        | _stored(setup, point, pruned)
    )


def _choice(point: Point, device: str) -> Choice:
    """As ``prune --method METHOD --target-... --seed SEED`` has it, time measured where nets are judged."""
    from cnngraph.training.execution import pick_device

    assert point.method is not None
    assert point.budget is not None
    said: dict[str, Any] = {"method": point.method.name, "seed": point.seed, "device": device}
    said["latency_on"] = pick_device(device).type
    return choose(said | point.budget.limits, needed=True)


def _decide(setup: Setup, choice: Choice) -> dict[str, Any]:
    """The plan, and the seconds that it took; kept, since times scatter."""
    began = time.monotonic()
    setup.session.progress.start("Deciding what goes")
    plan = plan_opened(setup.session, setup.opened, setup.model, choice, costs=False)
    return {"plan": plan.model_dump(mode="json"), "seconds": time.monotonic() - began}


def _figures_of(pruned: Pruned) -> dict[str, Any]:
    before, after = pruned.result["before"], pruned.result["after"]
    found = {name: after[name] for name in (*SCORES, "latency_ms", "parameters", "macs")}
    found |= {"parent_latency_ms": before["latency_ms"], "speedup": before["latency_ms"] / after["latency_ms"]}
    zeros = pruned.result.get("sparsity")
    return found | {"nonzero": after["parameters"] - (zeros["weights"] - zeros["alive"]) if zeros else None}


def _measured_before(pruned: Pruned) -> Pruned:
    """The same with the milliseconds that the search has measured: longer, and in turns as well."""
    steady = pruned.plan.settings.get("latency")
    if steady is None:
        return pruned
    result = dict(pruned.result)
    for net, name in (("before", "before_ms"), ("control", "before_ms"), ("after", "after_ms")):
        if result[net] is not None:
            result[net] = result[net] | {"latency_ms": steady[name]}
    return replace(pruned, result=result)


def _meets(budget: Budget, pruned: Pruned) -> dict[str, Any]:
    """Whether what the net costs is within the tolerance that targets have."""
    from cnngraph.pruning.limits.cost_meter import megabytes
    from cnngraph.pruning.limits.target import TOLERANCE, within_tolerance

    before, after, target = pruned.result["before"], pruned.result["after"], budget.target
    kind = "latency_ms" if target.timed else target.kind
    whole, left = (before[kind], after[kind]) if kind != "mb" else (None, megabytes(pruned.subject.model))
    wanted = budget.left_of(whole)
    if within_tolerance(left, wanted):
        return {"meets": True, "why": None}
    words = "milliseconds" if target.timed else target.name
    what = f"{left:,.4g} {words} are left, more than {TOLERANCE:.0%} from the {wanted:,.4g} that were wanted"
    return {"meets": False, "why": f"{what}: no other cut that was built came nearer."}


def _times(decide: float, cut: float, took: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "epochs": took["epochs"],
        "seconds": decide + cut + took["seconds"],
        "decide_seconds": decide,
        "train_seconds": took["seconds"],
    }


def _stored(setup: Setup, point: Point, pruned: Pruned) -> dict[str, Any]:
    """Store the new model under a name that says what it is; a number is added where another has it."""
    room = _LONGEST_NAME - len(point.name) - 10
    name = f"{setup.model.key.split('/')[1][:room]}-{point.name}"
    result = store(setup.session, setup.model, pruned, name, fixed=False, device=setup.device)
    return {"new_model": result["new_model"]}
