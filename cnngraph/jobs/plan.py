"""A model and a choice -> the plan: what goes, and why; nothing is changed.

The method gives a path of plans, the limits say how far it is followed: :func:`decide`. What a person names outright is
a plan by itself: :mod:`cnngraph.jobs.plan_by_hand`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress
from cnngraph.errors import LimitError, OptionError, PlanError, listed
from cnngraph.jobs.drop import within_accuracy_drop
from cnngraph.jobs.plan_by_hand import open_plan, plan_from_person, plan_removing
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import Workspace
from cnngraph.plan import Plan
from cnngraph.pruning.choice import Choice, choose
from cnngraph.pruning.context import Context, Images
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.pruning.method import Need
from cnngraph.pruning.path import Levels, OnePlan, PruningPath
from cnngraph.pruning.registry import METHODS
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.saved import SavedSource
from cnngraph.sources.stored import OtherData, StoredModel, stored

if TYPE_CHECKING:
    from cnngraph.pruning.limits.cost_meter import CostMeter, Timing
    from cnngraph.pruning.stepwise import Stepwise
    from cnngraph.surgery.saved import Saved
    from cnngraph.training.latency_table import LatencyTable

__all__ = [
    "Opened",
    "choose_plan",
    "context_of_stored",
    "decide",
    "open_meter",
    "plan_opened",
    "plan_saved",
    "plan_stored",
    "require_no_graph",
    "steps_of",
    "steps_saved",
    "steps_stored",
]


def choose_plan(said: Mapping[str, Any]) -> Choice:
    """What goes, as it was said where it is only planned.

    Raises:
        OptionError: the method decides while the net is trained. Otherwise as :func:`cnngraph.pruning.choice.choose`.
    """
    choice = choose(said, ways=("remove_layers", "remove_blocks"))
    if choice.decides_while_training:
        assert choice.method is not None
        raise OptionError(
            f"{{method={choice.method.name}}} decides while it trains, so that there is no plan before.",
            "Carry it out with prune; what it would do says {dry_run} there.",
        )
    return choice


def plan_stored(session: Session, name: str, choice: Choice, data: OtherData, *, costs: bool = True) -> Plan:
    """The plan for a model of the database.

    Args:
        data: instead of the data that the model was ingested with.
        costs: rehearse the plan, and fill parameters, MACs and latency into its schedule, or say them of the net that
            is left; ``False`` where it is carried out at once, which proves it.

    Raises:
        NotFoundError: there is no such model, layer or block. PlanError: no such plan can be made.
    """
    if choice.method is None:
        return plan_from_person(session, name, choice)
    model = stored(session.database, name)
    return plan_opened(session, Opened(model, data), model, choice, costs=costs)


def plan_opened(session: Session, opened: Opened, model: StoredModel, choice: Choice, *, costs: bool) -> Plan:
    """The plan by a method, for a model that is opened."""
    context = context_of_stored(session, opened, model, choice)
    return decide(session, opened, context, choice, costs=costs).model_copy(update={"recipe": model.recipe})


def plan_saved(session: Session, source: SavedSource, choice: Choice, data: OtherData) -> Plan:
    """The plan for a saved model that no database needs to know.

    Raises:
        NotFoundError: a layer, block or file that is not there. PlanError: no such plan can be made, or only with the
            graph.
    """
    from cnngraph.surgery.saved import read_description

    architecture = read_description(source.folder).origin.architecture
    if choice.method is None:
        made = (
            open_plan(choice.plan)
            if choice.plan is not None
            else plan_removing(source.folder, choice.layers, choice.blocks)
        )
        changes: dict[str, Any] = {"architecture": made.architecture or architecture}
        return made.model_copy(update=changes | ({"init": choice.init} if choice.init is not None else {}))
    require_no_graph(choice)
    opened = Opened(source, data)
    return decide(session, opened, context_of_saved(session, opened, source, choice), choice, costs=False)


def steps_stored(session: Session, name: str, choice: Choice, data: OtherData) -> Stepwise:
    """What goes step by step, of a model of the database, by a method that decides while the net is trained.

    Raises:
        NotFoundError: there is no such model or layer. PlanError: nothing can go.
    """
    model = stored(session.database, name)
    return steps_of(session, Opened(model, data), model, choice)


def steps_of(session: Session, opened: Opened, model: StoredModel, choice: Choice) -> Stepwise:
    """The same of one that is opened."""
    found = _steps(context_of_stored(session, opened, model, choice), choice)
    found.outline = found.outline.model_copy(update={"recipe": model.recipe})
    return found


def steps_saved(session: Session, source: SavedSource, choice: Choice, data: OtherData) -> Stepwise:
    """The same of a saved model that no database needs to know."""
    require_no_graph(choice)
    return _steps(context_of_saved(session, Opened(source, data), source, choice), choice)


def _steps(context: Context, choice: Choice) -> Stepwise:
    assert choice.method is not None
    assert choice.method.steps is not None
    context.require_known()
    return choice.method.steps(context, choice.options, choice.bounds)


def context_of_stored(session: Session, opened: Opened, model: StoredModel, choice: Choice) -> Context:
    """What a method may read of a model of the database."""
    data = opened.data
    return Context(
        model=model.key,
        architecture=model.properties.get("architecture") or "",
        open_saved=lambda: opened.saved,
        open_images=lambda: opened.images(choice.seed),
        open_judged=opened.judged,
        state=lambda what, inputs: opened.state(session, what, inputs),
        open_database=session.database,
        read_trials=opened.read_trials,
        has_net=model.is_saved,
        other_data=data != OtherData() and model.data(data) != model.data(OtherData()),
        **_of(choice, session.progress),
    )


def context_of_saved(session: Session, opened: Opened, source: SavedSource, choice: Choice) -> Context:
    """What a method may read of a saved model."""
    from cnngraph.surgery.saved import read_description

    return Context(
        model="",
        architecture=read_description(source.folder).origin.architecture,
        open_saved=lambda: opened.saved,
        open_images=lambda: opened.images(choice.seed),
        open_judged=opened.judged,
        state=lambda what, inputs: opened.state(session, what, inputs),
        **_of(choice, session.progress),
    )


def require_no_graph(choice: Choice) -> None:
    """Refuse what only the graph can say; names the option that asks for it.

    Raises:
        OptionError: so it is.
    """
    method, options = choice.method, choice.options
    if method is None or Need.GRAPH not in method.needs(options):
        return
    culprit = f"{{method={method.name}}}"
    for one in method.fields:
        if Need.GRAPH not in method.needs(replace(options, **{one.name: one.default})):
            culprit = f"{{{one.name}={getattr(options, one.name)}}}"
    others = [other.name for other in METHODS.values() if Need.GRAPH not in other.needs(other.options())]
    raise OptionError(
        f"{culprit} is decided by the graph, and there is no database here.",
        f"Ingest the model first. Without a database there are the methods {listed(others)}.",
    )


@dataclass(frozen=True)
class Opened:
    """The net and its images, opened when they are first asked for and then kept: by scores that read images, and by
    each beginning of a search by accuracy.

    Attributes:
        loaded: the same, where somebody has opened it before.
        tables: the times of its layers that searches have measured, by how.
        read_trials: the trials that say what the blocks are worth; ``None``: those that the graph holds.
        place: where a long decision leaves what it has found so far; ``None``: where every other one finds it.
    """

    source: StoredModel | SavedSource
    data: OtherData
    loaded: LoadedModel | None = None
    tables: dict[Timing, LatencyTable] = field(default_factory=dict)
    read_trials: Callable[[], Sequence[Mapping[str, Any]]] | None = None
    place: Path | None = None

    def apart(self, place: Path) -> Opened:
        """The same, what was opened included, with a place of its own for long decisions."""
        _ = self.saved  # opened here, it is opened once for all
        again = copy.copy(self)
        again.__dict__["place"] = place
        return again

    @cached_property
    def saved(self) -> Saved:
        """The net alone; nobody changes it."""
        from cnngraph.surgery.saved import read_saved

        return read_saved(self.source.folder)

    @cached_property
    def model(self) -> LoadedModel:
        """The net with its data; nobody changes it."""
        if self.loaded is not None:
            return self.loaded
        return open_model(ModelChoice(name=str(self.source.folder)), self.source.data(self.data))

    def images(self, seed: int) -> Images:
        """Training images in random order."""
        from cnngraph.datasets.registry import loader

        data = self.model.data
        return Images(loader(data.train, seed=seed, shuffle=True), len(data.classes))

    def judged(self, part: str) -> Images:
        """The images of a part, in a fixed order."""
        from cnngraph.datasets.registry import loader

        data = self.model.data
        images = getattr(data, part)
        if not len(images):
            raise PlanError(f"The data have no {part} images to judge on.", "Give more images.")
        return Images(loader(images, batch_size=256), len(data.classes), self.model.images_from(part).words)

    def state(self, session: Session, what: str, inputs: Mapping[str, Any]) -> Path:
        """The file of what an interrupted decision had found."""
        model = self.model
        whole = {"weights": model.sha256, "data": model.choice.model_dump(mode="json"), "inputs": dict(inputs)}
        return Workspace(self.place).file(what, whole) if self.place else session.workspace.file(what, whole)


def decide(session: Session, opened: Opened, context: Context, choice: Choice, *, costs: bool) -> Plan:
    """Follow the path of the chosen method as far as the limits say; rehearse what comes out.

    Raises:
        PlanError: nothing can go, or not so much. LimitError: limits that cannot all hold.
    """
    assert choice.method is not None
    assert choice.method.path is not None
    context.require_known()
    path = choice.method.path(context, choice.options, choice.bounds)
    budget = context.budget
    if choice.targets:
        made = _reach_targets(opened, context, choice, path, budget)
        if choice.max_accuracy_drop is not None:
            made = _require_kept(session, opened, made, choice, budget)
    elif choice.max_accuracy_drop is not None:
        made = path.search(
            lambda path: path.arrange(_within_drop(session, opened, path, choice, budget)), session.progress.note
        )
    else:
        made = path.whole
    if costs and context.has_net:
        made = _with_costs(context, choice, made)
    if made.removes and context.has_net and costs:  # what is carried out at once is proven then
        from cnngraph.surgery.check_runs import check_runs

        session.progress.start("Rehearsing the plan")
        check_runs(context.saved.model, made, input_shape=context.saved.input_shape)
    return made


def _of(choice: Choice, progress: Progress) -> dict[str, Any]:
    """What a choice says to every method."""
    return {
        "searching": bool(choice.targets) or choice.max_accuracy_drop is not None,
        "max_accuracy_drop": choice.max_accuracy_drop,
        "max_kappa_drop": choice.max_kappa_drop,
        "keep": choice.keep,
        "init": choice.init or "least-squares",
        "seed": choice.seed,
        "device": choice.device,
        "progress": progress,
        "budget": TimeBudget(choice.judged.get("minutes")),
    }


def open_meter(opened: Opened, choice: Choice, progress: Progress) -> CostMeter:
    """What measures nets that are cut from this one against the targets of ``choice``."""
    from cnngraph.pruning.limits.cost_meter import CostMeter

    saved, targets = opened.saved, choice.targets
    return CostMeter(saved.model, saved.input_shape, choice.timing, progress, targets=targets, tables=opened.tables)


def _reach_targets(opened: Opened, context: Context, choice: Choice, path: PruningPath, budget: TimeBudget) -> Plan:
    from cnngraph.pruning.limits.target_search import reach

    meter = open_meter(opened, choice, context.progress)
    try:
        return reach(meter, path, budget)
    except PlanError as error:
        if choice.bounds and _reachable_without_bounds(context, choice, meter):
            raise LimitError(
                f"{_named(choice, targets=True)} cannot be reached within {_named(choice, targets=False)}: "
                f"{error.message[0].lower()}{error.message[1:]}",
                "Nothing was changed. Give up one of them, or ask for less.",
            ) from error
        raise


def _reachable_without_bounds(context: Context, choice: Choice, meter: CostMeter) -> bool:
    """Whether the bounds alone stand against the targets, as far as it can be predicted."""
    from cnngraph.pruning.limits.target import TOLERANCE

    assert choice.method is not None
    assert choice.method.path is not None
    free = choice.method.path(context, choice.options, {})
    try:
        share = free.choose(meter.predict if free.reckoned else meter.predict_built, meter.goal.share).share
    except PlanError:
        return False
    return share <= meter.goal.share * (1 + TOLERANCE)


def _named(choice: Choice, *, targets: bool) -> str:
    names = [name for name in choice.limits if (name in choice.bounds) != targets and name != "max_accuracy_drop"]
    return " and ".join(f"{{{name}={choice.limits[name]:g}}}" for name in names)


def _require_kept(session: Session, opened: Opened, made: Plan, choice: Choice, budget: TimeBudget) -> Plan:
    """``made``, which reaches the targets, if it keeps the accuracy too: one trial tells.

    Raises:
        LimitError: it does not.
    """
    found = _within_drop(session, opened, OnePlan(made), choice, budget)
    if found.removes:
        return found
    raise LimitError(
        f"{_named(choice, targets=True)} and {{max_accuracy_drop={choice.max_accuracy_drop:g}}} stand against each "
        f"other: what reaches the first is without {made.in_words}. {found.notes[-1]}",
        "Nothing was changed. Allow a larger drop, or ask for less.",
    )


def _within_drop(session: Session, opened: Opened, path: Levels, choice: Choice, budget: TimeBudget) -> Plan:
    assert choice.max_accuracy_drop is not None
    known = path.within_drop(choice.max_accuracy_drop) if isinstance(path, PruningPath) else None
    if known is not None:
        return known
    return within_accuracy_drop(opened.model, path, choice, session, budget)


def _with_costs(context: Context, choice: Choice, made: Plan) -> Plan:
    """``made`` with the cost of each step of its schedule, or a note of what the net costs before and after."""
    from cnngraph.pruning.limits.cost_meter import Comparison
    from cnngraph.surgery.cost import Costs
    from cnngraph.training.latency_table import measure_layers

    saved = context.saved
    if made.schedule:
        context.progress.start("Estimating what each step of the schedule costs")
        return Costs(context.graph, measure_layers(saved.model, saved.input_shape).layers).annotate(made)
    if choice.targets or not made.removes:  # a target has measured it
        return made
    context.progress.start("Measuring the net that the plan leaves")
    words = Comparison(saved.model, saved.input_shape).in_words(made.removes)
    return made.model_copy(update={"notes": (*made.notes, *words)})
