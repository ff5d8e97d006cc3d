"""One prune from beginning to end: decide, carry out, put the new model where it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import OptionError
from cnngraph.jobs import execute, offline
from cnngraph.jobs.baseline import training_recipe
from cnngraph.jobs.plan import plan_saved, plan_stored, require_no_graph, steps_saved, steps_stored
from cnngraph.jobs.prune import PlannedPrune
from cnngraph.jobs.prune_in_steps import SteppedPrune
from cnngraph.jobs.pruned import PruneTask, Retraining
from cnngraph.jobs.session import Session
from cnngraph.network.remembered import remember_structures
from cnngraph.plan import Plan
from cnngraph.pruning.choice import Choice, choose
from cnngraph.settings import check_name
from cnngraph.sources.saved import open_source
from cnngraph.sources.stored import OtherData, other_data, stored

if TYPE_CHECKING:
    from cnngraph.sources.loaded import LoadedModel
    from cnngraph.training.own_trainer import OwnTrainer

__all__ = ["PruneJob", "TrainingChoice", "TrainingWords", "choose_prune", "prune_to_bundle", "prune_to_graph"]


@dataclass(frozen=True)
class TrainingWords:
    """What was said about the training of the new net, before anything is looked up; fields as in TrainingChoice.

    Attributes:
        trainer: ``package.module:function``.
    """

    retrain: bool = True
    control: bool = True
    reconstruct: bool = False
    recipe: Mapping[str, int | float | None] = field(default_factory=dict)
    trainer: str | None = None
    prune_weights: float | None = None

    def choose(self) -> TrainingChoice:
        """The same with the function that trains.

        Raises:
            OptionError: a trainer where nothing is trained; no share of the weights.
            Otherwise as :func:`cnngraph.training.own_trainer.find_trainer`.
        """
        from cnngraph.training.own_trainer import find_trainer

        if self.trainer is not None and not self.retrain:
            raise OptionError("{trainer} and {retrain=False} exclude each other.", "Leave out one of them.")
        if self.prune_weights is not None and not 0 < self.prune_weights < 1:
            raise OptionError(
                f"{{prune_weights={self.prune_weights:g}}} is not a share between 0 and 1.", "Use one such as 0.8."
            )
        trainer = find_trainer(self.trainer) if self.trainer is not None else None
        return TrainingChoice(self.retrain, self.control, self.reconstruct, self.recipe, trainer, self.prune_weights)


@dataclass(frozen=True)
class TrainingChoice:
    """What a person said about the training of the new net.

    Attributes:
        retrain: train it. control: train the unpruned net beside it, for as long. reconstruct: refit what read removed
            filters first.
        recipe: epochs, batch_size and learning_rate, as far as they were said.
        trainer: the user's own training, of both nets; ``None``: ours.
        prune_weights: the share of the weights that become zero at last, in layers that lost filters.

    Raises:
        OptionError: a trainer, and nothing is trained.
    """

    retrain: bool = True
    control: bool = True
    reconstruct: bool = False
    recipe: Mapping[str, int | float | None] = field(default_factory=dict)
    trainer: OwnTrainer | None = None
    prune_weights: float | None = None

    def retraining(self, subject: LoadedModel, *, device: str, seed: int) -> Retraining:
        """The same for this net: what was not said is as its own training was."""
        recipe = training_recipe(self.recipe, seed=seed, base=subject.training) if self.retrain else None
        return Retraining(
            recipe,
            control=self.control and self.retrain,
            device=device,
            seed=seed,
            trainer=self.trainer,
            reconstruct=self.reconstruct,
            prune_weights=self.prune_weights,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        trainer = self.trainer and (self.trainer.name, self.trainer.sha256)
        names = ("retrain", "control", "reconstruct", "recipe", "prune_weights")
        return {name: getattr(self, name) for name in names} | {"trainer": trainer}


@dataclass(frozen=True)
class PruneJob:
    """A prune as it was asked for.

    Attributes:
        source: the name of a model in the database, or the path of a saved model or bundle.
        data: instead of the data that the model was ingested with.
        as_name: of the new model; ``None``: one is made. out: also write the saved model there.
        dry_run: say what would be written; write nothing.
    """

    source: str
    choice: Choice
    training: TrainingChoice = field(default_factory=TrainingChoice)
    data: OtherData = field(default_factory=OtherData)
    as_name: str | None = None
    out: Path | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.as_name is not None:
            check_name(self.as_name)

    @property
    def trial(self) -> Choice:
        """The choice, with what the training says about its trials."""
        return replace(self.choice, tuned=self.training.retrain)


def choose_prune(
    source: str,
    said: Mapping[str, Any],
    training: TrainingWords,
    *,
    as_name: str | None = None,
    out: str | Path | None = None,
    dry_run: bool = False,
) -> PruneJob:
    """The prune that a person asked for, checked; nothing is looked up.

    Args:
        said: what goes and on which data, by name, see :func:`cnngraph.pruning.choice.choose`.

    Raises:
        UsageError: options that do not go together, or a name that is none. NotFoundError: a file of limits or the
            trainer is not there.
    """
    chosen = choose(said, ways=("remove_layers", "remove_blocks", "plan", "run"), needed=True, reads_data=True)
    _require_training(chosen, training)
    data = other_data(said.get("data"), said.get("data_root"))
    return PruneJob(source, chosen, training.choose(), data, as_name, Path(out) if out is not None else None, dry_run)


def _require_training(choice: Choice, training: TrainingWords) -> None:
    """Refuse what a method that decides while it trains cannot have."""
    for name, said in (("retrain", not training.retrain), ("reconstruct", training.reconstruct)):
        if choice.decides_while_training and said:
            assert choice.method is not None
            value = "" if name == "reconstruct" else "=False"
            raise OptionError(
                f"{{{name}{value}}} and {{method={choice.method.name}}} exclude each other: it trains after each step.",
                "Leave out one of them.",
            )
    if choice.decides_while_training and training.prune_weights is not None:
        assert choice.method is not None
        why = "it prunes weights itself" if choice.method.removes == "weights" else "what a step froze is to stay"
        raise OptionError(
            f"{{prune_weights}} and {{method={choice.method.name}}} exclude each other: {why}.",
            "Leave out {prune_weights}, or prune by {method=car} or {method=filters}, which freeze nothing.",
        )


@remember_structures()
def prune_to_graph(job: PruneJob, session: Session) -> tuple[Plan, dict[str, Any]]:
    """Prune a model of the database and store the new one; the plan, and the JSON of ``prune``.

    A plan that hangs on measured times is remembered until the new model is stored: latency scatters, and decided anew
    an interrupted prune might choose other filters, and train from the start what it had half trained.

    Raises:
        NotFoundError: there is no such model, layer, block, file or run. PlanError: no such plan, or it does not fit.
        VerificationError: the rebuilt net failed its proof; nothing was stored. ConflictError: the new name exists.
    """
    execute.require_free(session, job.as_name, job.out)
    if job.choice.decides_while_training:
        steps = steps_stored(session, job.source, job.choice, job.data)
        return execute.carry_out(session, job, SteppedPrune(steps, job.choice.identity))

    def decide() -> Plan:
        return plan_stored(session, job.source, job.trial, job.data, costs=False)

    with session.workspace.keep_plan(
        _inputs(job, session), decide, keep=not job.dry_run, progress=session.progress
    ) as plan:
        return execute.carry_out(session, job, PlannedPrune(plan))


@remember_structures()
def prune_to_bundle(job: PruneJob, session: Session, to_bundle: Path) -> tuple[Plan, dict[str, Any]]:
    """Prune a saved model and write a bundle; no database is asked for anything.

    Raises:
        OptionError: what needs a database. ConflictError: the bundle exists. Otherwise as :func:`prune_to_graph`.
    """
    needing = {"as_name": job.as_name, "out": job.out, "run": job.choice.run}
    wrong = next((name for name, value in needing.items() if value is not None), None)
    if wrong is not None:
        raise OptionError(f"{{{wrong}}} and {{to_bundle}} exclude each other: it needs a database.", "Leave out one.")
    require_no_graph(job.choice)
    offline.require_new(to_bundle)
    source = open_source(job.source)
    task: PruneTask
    if job.choice.decides_while_training:
        task = SteppedPrune(steps_saved(session, source, job.choice, job.data), job.choice.identity)
    else:
        task = PlannedPrune(plan_saved(session, source, job.trial, job.data))
    return offline.prune_to_bundle(session, source, job, task, to_bundle)


def _inputs(job: PruneJob, session: Session) -> dict[str, Any] | None:
    """All that decides and trains, where the decision would come out otherwise another time."""
    if not job.choice.measures_time:
        return None
    model = stored(session.database, job.source)
    return {
        "model": model.key,
        "weights": model.properties.get("sha256"),
        "fingerprint": model.properties.get("fingerprint"),
        "decision": job.trial.identity,
        "data": asdict(job.data),
        "training": job.training.identity,
    }
