"""A model in the database -> the decision about it; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from cnngraph.chain.drop import within_accuracy_drop
from cnngraph.chain.stored import OtherData, Stored, stored
from cnngraph.chain.subject import ModelChoice, open_subject
from cnngraph.console import Progress
from cnngraph.errors import NotFoundError, PlanError, UsageError, nearest
from cnngraph.plan import Init, Plan, Removal, read_plan
from cnngraph.settings import Settings

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["Decision", "decide", "given", "init_of", "named"]


@dataclass(frozen=True)
class Decision:
    """How layers are chosen; one of ``threshold``, ``remove``, ``max_accuracy_drop`` (in points), or none."""

    method: str = "multilayer"
    measure: str = "degree"
    aggregate: str = "mean"
    threshold: float | None = None
    remove: int | None = None
    max_accuracy_drop: float | None = None
    reference: str = "median"
    engine: str = "auto"
    init: str = "least-squares"
    seed: int = 0
    device: str = "auto"


def decide(
    db: Database,
    settings: Settings,
    name: str,
    decision: Decision,
    *,
    data: OtherData,
    progress: Progress,
    costs: bool = True,
) -> Plan:
    """The plan; nothing is changed, and nothing is trained unless ``max_accuracy_drop`` is given.

    Args:
        data: instead of the data that the model was ingested with.
        costs: fill parameters, MACs and latency into the schedule.
    """
    from cnngraph.pruning.multilayer import plan as plan_stored

    model = stored(db, name)
    anatomy = _Anatomy(model) if model.properties.get("artifact") else None
    made = plan_stored(
        db,
        model.key,
        measure=decision.measure,
        aggregate=decision.aggregate,
        threshold=decision.threshold,
        remove=decision.remove,
        reference=decision.reference,
        engine=decision.engine,
        init=init_of(decision.init),
        seed=decision.seed,
        keep=anatomy.fixed if anatomy else {},
        progress=progress,
    )
    if decision.max_accuracy_drop is not None:
        made = within_accuracy_drop(
            open_subject(ModelChoice(name=str(model.folder)), model.data(data)),
            made,
            decision.max_accuracy_drop,
            keep=anatomy.fixed if anatomy else {},
            device=decision.device,
            seed=decision.seed,
            work=settings.home / "work",
            progress=progress,
        )
    if anatomy is not None and costs:
        progress.start("Estimating what each step of the schedule costs")
        made = anatomy.annotate(made)
    return made


class _Anatomy:
    """The saved net, opened without its data: which layers cannot go, and what a net without some would cost."""

    def __init__(self, model: Stored) -> None:
        from cnngraph.network.graph import follow
        from cnngraph.surgery.check import removable
        from cnngraph.surgery.cost import layer_latencies
        from cnngraph.surgery.saved import read_saved

        saved = read_saved(model.folder)
        self._graph = follow(saved.model, saved.input_shape)
        self._latencies = partial(layer_latencies, saved.model, saved.input_shape)
        self.fixed = {layer: reason for layer, reason in removable(self._graph).items() if reason}

    def annotate(self, plan: Plan) -> Plan:
        """The plan with parameters, MACs and estimated latency in each step of its schedule."""
        from cnngraph.surgery.cost import Costs

        return Costs(self._graph, self._latencies()).annotate(plan)


def given(
    db: Database,
    name: str,
    *,
    layers: list[str] | None = None,
    blocks: list[str] | None = None,
    file: Path | None = None,
    run: str | None = None,
    init: str | None = None,
) -> Plan:
    """A plan that a person made: layers and blocks by name, a file, or a PruningRun of the graph.

    Raises:
        NotFoundError: a layer, block, file or run that is not there; the hint has the nearest names.
        PlanError: the plan is another model's.
    """
    from cnngraph.database import lineage

    model = stored(db, name)
    if file is not None:
        made = read_plan(file)
    elif run is not None:
        made = lineage.read_pruning_run(db, run)
    else:
        made = named(model.folder, layers or [], blocks or [])
    if made.model and made.model != model.key:
        raise PlanError(
            f"This plan is for {made.model}, not for {model.key}.", "Plan this model, or empty the plan's field model."
        )
    changes: dict[str, Any] = {
        "model": model.key,
        "architecture": made.architecture or model.properties.get("architecture") or "",
    }
    if init is not None:
        changes["init"] = init_of(init)
    return made.model_copy(update=changes)


def init_of(name: str) -> Init:
    """``name`` if joins can be initialised so, else UsageError."""
    if name not in get_args(Init):
        raise UsageError(f"There is no init {name!r}.", nearest(name, get_args(Init)))
    return cast(Init, name)


def named(folder: Path, layers: list[str], blocks: list[str]) -> Plan:
    """The plan that layers and blocks of a saved model go, which were typed on the command line.

    Raises:
        NotFoundError: one is not there; the hint has the nearest names. PlanError: one cannot go.
    """
    from cnngraph.network.graph import follow
    from cnngraph.surgery.check import check
    from cnngraph.surgery.saved import read_saved

    saved = read_saved(folder)
    removes = [Removal(layer=layer, reason="named by hand") for layer in dict.fromkeys(layers)]
    removes += [Removal(layer=block, kind="block", reason="named by hand") for block in dict.fromkeys(blocks)]
    made = Plan(removes=tuple(removes))
    check(follow(saved.model.eval(), saved.input_shape), made, unknown=NotFoundError)
    return made
