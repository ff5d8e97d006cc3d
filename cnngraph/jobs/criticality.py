"""How critical the blocks of a net are: each in turn is done without by several schemes, and what is lost is stored.

The *criticality* of a block is the validation accuracy of the net minus that of the best scheme without the block; a
trial's accuracy is that of its best epoch, the one before any training included, a scheme's the mean over its seeds.

Every trial (block, scheme, seed) leaves one file in a work folder that is named by all that decides but these three,
so that a command that was killed goes on, and another one with more blocks or schemes trains only what is new. The
folder is kept: a trial is never trained twice.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cnngraph.console import duration
from cnngraph.database.criticality import store_criticality
from cnngraph.errors import PlanError, listed
from cnngraph.jobs.baseline import expect_epoch, training_recipe
from cnngraph.jobs.blocks import lacks_blocks, store_missing_blocks
from cnngraph.jobs.criticality_blocks import Reasons, choose_blocks
from cnngraph.jobs.criticality_choice import CriticalityChoice
from cnngraph.jobs.criticality_result import TrialResult, describe
from cnngraph.jobs.criticality_trial import Setup, Trial, run_trial
from cnngraph.jobs.one_step import many
from cnngraph.jobs.prune_in_steps import COARSE
from cnngraph.jobs.pruned import Retraining, choose_once, inputs_of_training
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder
from cnngraph.network.remembered import remember_structures
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.stored import StoredModel, stored

if TYPE_CHECKING:
    from cnngraph.network.blocks import Block
    from cnngraph.training.fit import Recipe

__all__ = ["try_blocks"]

_UNTRAINED_SECONDS = 5.0  # of a trial beside its training: cut, refit, an evaluation


@remember_structures()
def try_blocks(session: Session, name: str, choice: CriticalityChoice, *, dry_run: bool = False) -> dict[str, Any]:
    """Carry out the trials that are not done yet, store each as it is done; the JSON of ``cnngraph criticality``.

    Args:
        dry_run: count what would be trained and written; do neither.

    Raises:
        NotFoundError: the model or a block is not there. ConflictError: the model is not complete, or another process
            does the same. ModelError: it has no saved net, or cannot be trained.
        PlanError: it has no blocks, none of them can go, or one that was named; or there is no time for one trial.
    """
    work = _Work.begin(session, name, choice)
    if dry_run:
        return work.preview()
    with work.folder.locked():
        return work.carry_out()


@dataclass
class _Work:
    """The criticality of one model: what is asked for, and where it is kept.

    Attributes:
        blocks: that were asked for, in network order. reasons: by block, why it cannot be tried; ``None`` where it can.
        slowest: seconds of the slowest trial so far, of those that train and of those that do not.
        stored_at: by block, the label of the node that its trials hang on.
    """

    session: Session
    model: StoredModel
    subject: LoadedModel
    choice: CriticalityChoice
    recipe: Recipe
    folder: JobFolder
    blocks: tuple[Block, ...]
    reasons: Reasons
    slowest: dict[bool, float] = field(default_factory=dict)
    stored_at: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, session: Session, name: str, choice: CriticalityChoice) -> _Work:
        from cnngraph.training.fitness import require_trainable

        model = stored(session.database, name)
        data = model.data(choice.data)
        subject = open_model(ModelChoice(name=str(model.folder)), data, session.progress, required="sound")
        if not len(subject.data.validation):
            raise PlanError("The data have no validation images to judge on.", "Give more images.")
        recipe = training_recipe(choice.recipe, seed=0, base=subject.training)
        if any(scheme.is_trained for scheme in choice.schemes):
            require_trainable(subject.model, subject.data.train)  # said before the long work
        training = Retraining(recipe, control=False, device=choice.device, precision=choice.precision)
        folder = session.workspace.folder("criticality", inputs_of_training(subject, training))
        blocks, reasons = choose_blocks(subject.followed, model.key, choice.blocks, choice.schemes)
        return cls(session, model, subject, choice, recipe, folder, blocks, reasons)

    @property
    def trials(self) -> list[Trial]:
        """Of all blocks that can be tried: block by block, scheme by scheme, seed by seed."""
        choice = self.choice
        return [
            Trial(block, scheme, choice.seed + number, *((choice.temperature, choice.alpha) if scheme.distils else ()))
            for block in self.blocks
            for scheme in choice.schemes
            if scheme.name not in self.reasons[block.name]
            for number in range(choice.seeds)
        ]

    def preview(self) -> dict[str, Any]:
        """What would be trained and written, counted."""
        trials, missing = self.trials, lacks_blocks(self.session.database, self.model.key)
        return {
            "model": self.model.key,
            "blocks": [
                {"block": block.name, "kind": block.kind, "skipped": self.reasons[block.name]} for block in self.blocks
            ],
            "schemes": [scheme.name for scheme in self.choice.schemes],
            "seeds": self.choice.seeds,
            "epochs": self.recipe.epochs,
            "trainings": sum(one.scheme.is_trained and not one.stage(self.folder).is_done for one in trials),
            "would_write": {
                "criticalities": len(trials),
                "blocks": len(self.subject.followed.blocks) if missing else 0,
            },
            "dry_run": True,
        }

    def carry_out(self) -> dict[str, Any]:
        """Everything that there is time for, stored."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        store_missing_blocks(self.session.database, self.model)
        setup = self._setup()
        parent = self._parent(setup)
        self._say_expectation(setup)
        trials, budget = self.trials, TimeBudget(self.choice.minutes)
        found: list[TrialResult] = []
        left: list[Trial] = []
        for number, trial in enumerate(trials, 1):
            if not trial.stage(self.folder).is_done and not budget.allows(self._expect(trial)):
                left.append(trial)
                continue
            if not trial.stage(self.folder).is_done:
                self.session.progress.start(f"Trying {trial.words}, {number} of {len(trials)}")
            found.append(self._try(setup, trial, parent))
        if left:
            more = f" and {many(len(left) - 1, 'trial')} more" if len(left) > 1 else ""
            nothing, hint = None if found else "tried", "Give more {minutes}, or fewer {epochs}."
            budget.say_left(f"{left[0].words}{more}", self.session.progress, nothing=nothing, hint=hint)
        self._say_where_stored()
        return describe(self.model.key, parent, self.blocks, self.reasons, found, self.subject.followed) | {
            "judged_on": self.subject.images_from("validation").as_json(),
            "left": [trial.identity for trial in left],
        }

    def _try(self, setup: Setup, trial: Trial, parent: Mapping[str, Any]) -> TrialResult:
        """Carry out one trial, or read it back, and store it."""
        known, began = trial.stage(self.folder).is_done, time.monotonic()
        result = TrialResult(trial, parent, run_trial(setup, trial))
        if not known:
            trained = trial.scheme.is_trained
            self.slowest[trained] = max(self.slowest.get(trained, 0.0), time.monotonic() - began)
            self.session.progress.note(result.words)
        if result.curve:
            self.stored_at[trial.block.name] = store_criticality(
                self.session.database,
                self.model.key,
                self.subject.sha256,
                result.record(self.budget, self.folder.path.name),
            )
        return result

    @property
    def budget(self) -> dict[str, Any]:
        """How a trial is trained and what it is judged on, as the graph keeps it; its seed is its own."""
        data = self.subject.data
        recipe = {name: value for name, value in asdict(self.recipe).items() if name != "seed"}
        return recipe | {
            "data": self.subject.choice.name,
            "trained_on": len(data.train),
            "judged_on": len(data.validation),
        }

    def _setup(self) -> Setup:
        """What all trials share. How they are trained is measured once: measured again, it might round otherwise."""
        choice = self.choice
        if not self.folder.stage("execution").is_done:
            self.session.progress.start("Measuring how to train")
        training = Retraining(self.recipe, device=choice.device, precision=choice.precision, shared=self.folder)
        execution = choose_once(self.subject, training, self.folder)
        return Setup(self.subject, self.recipe, execution, self.folder, self.session.progress)

    def _parent(self, setup: Setup) -> dict[str, Any]:
        """Accuracy, kappa and size of the net with all its blocks."""
        from cnngraph.network.macs import count_parameters

        def judge() -> dict[str, Any]:
            self.session.progress.start("Evaluating the net on the validation images")
            found = setup.evaluate(copy.deepcopy(self.subject.model))  # a judged net stays on the device
            macs = sum(layer.macs for layer in self.subject.followed.graph.layers)
            sizes = {"parameters": count_parameters(self.subject.model), "macs": macs}
            return {"accuracy": found.accuracy, "kappa": found.kappa} | sizes

        return self.folder.stage("parent").once(judge)

    def _say_expectation(self, setup: Setup) -> None:
        """How many trainings are to come, and how long they take, reckoned from a few steps on this machine."""
        note = self.session.progress.note
        missing = [trial for trial in self.trials if not trial.stage(self.folder).is_done]
        if len(missing) < len(self.trials):
            note(f"{many(len(self.trials) - len(missing), 'trial')} of these were done before.")
        trainings = sum(trial.scheme.is_trained for trial in missing)
        if trainings:
            epoch = expect_epoch(self.subject, self.recipe, setup.execution)
            self.slowest[True] = _UNTRAINED_SECONDS + self.recipe.epochs * epoch
            note(
                f"{many(trainings, 'training')} of {many(self.recipe.epochs, 'epoch')}, about "
                f"{duration(trainings * self.recipe.epochs * epoch)}: an epoch of the whole net takes "
                f"{duration(epoch)} here in {setup.execution.precision}."
            )
        judged = len(self.subject.data.validation)
        if judged < COARSE:
            note(f"There are {judged} validation images: accuracy goes in steps of {100 / judged:.2g} points.")

    def _expect(self, trial: Trial) -> float:
        """Seconds of a trial, by the slowest of its kind so far."""
        return self.slowest.get(trial.scheme.is_trained, _UNTRAINED_SECONDS)

    def _say_where_stored(self) -> None:
        """Say it of a model that was stored before there were such blocks."""
        strange = [name for name, label in self.stored_at.items() if label != "Block"]
        if strange:
            self.session.progress.note(
                f"{self.model.key} has no Block node for {listed(strange)}: it was stored before there were such "
                "blocks. What was found hangs on their last layers."
            )
