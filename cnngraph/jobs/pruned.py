"""What a prune made: judged beside the old net and the control, whoever made it."""

from __future__ import annotations

import copy
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet
from cnngraph.database.records import StepTaken
from cnngraph.errors import VerificationError
from cnngraph.jobs.baseline import first_batch, scores_of, train_net
from cnngraph.jobs.drop import drop_found
from cnngraph.jobs.sparsity import file_sizes, sparsity_of
from cnngraph.jobs.workspace import JobFolder
from cnngraph.jobs.zero_weights import edits_of_zeros, zero_smallest
from cnngraph.origin import get_origin
from cnngraph.plan import Plan
from cnngraph.sources.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.training.execution import Execution
    from cnngraph.training.fit import Recipe
    from cnngraph.training.own_trainer import OwnTrainer

__all__ = [
    "FIGURES",
    "Made",
    "PruneTask",
    "Pruned",
    "Retraining",
    "choose_once",
    "figures",
    "inputs_of_training",
    "judge",
    "judge_old",
    "save_net",
    "shared_execution",
    "train_control",
    "train_copy",
    "trained_alone",
]


# What is known of a net; accuracy, macro precision and recall, and kappa are of the test images of ``images_from``.
FIGURES = (
    "accuracy",
    "precision",
    "recall",
    "kappa",
    "near_chance",
    "images",
    "images_from",
    "epoch_seconds",
    "latency_ms",
    "parameters",
    "macs",
)


@dataclass(frozen=True)
class Retraining:
    """How the slim net is trained.

    Attributes:
        recipe: as for a baseline; ``None`` trains nothing.
        reconstruct: refit the layers that read removed filters before that.
        control: train the unpruned net too, for as long.
        trainer: the user's own function, for both nets; ``None``: our own loop.
        precision: where many share how they are trained: auto measures, fp32 is what it says.
        prune_weights: the share of the weights that become zero after the training, in layers that lost filters.
        shared: where several prunes of one net leave what they are judged beside and how they are trained, made once:
            the old net's figures, the control of each seed and number of epochs, the execution; ``None``: each prune
            has its own.
        epochs_of_all_steps: of a prune in steps, the epochs of the recipe are those of all steps together, one each at
            least; where that comes to more, there is no control.
    """

    recipe: Recipe | None
    control: bool = True
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    trainer: OwnTrainer | None = None
    reconstruct: bool = False
    prune_weights: float | None = None
    shared: JobFolder | None = None
    epochs_of_all_steps: bool = False


@dataclass(frozen=True)
class Pruned:
    """A pruned, verified and evaluated net that is not stored yet.

    Attributes:
        result: the JSON of ``prune`` without its names. The epoch time of ``before`` is the control's where there is
            one (same recipe, machine and hour as ``after``), else what the old net's own training took.
        subject: the new net with its data; its training is the retraining, without one that of the old net.
        joins: relative error of each layer that was refitted by least squares.
        gone: convs that are out of the new net, by module: those of the plan and of its blocks, and what went along.
        folder: the work folder; remove it when everything is stored.
        edits: what changed in the net and why, as :meth:`cnngraph.surgery.edits.Edit.as_json` gives it.
        steps: as :class:`Made` has them.
    """

    subject: LoadedModel
    plan: Plan
    result: dict[str, Any]
    joins: dict[str, float]
    gone: tuple[str, ...]
    folder: Path
    edits: tuple[dict[str, Any], ...] = ()
    steps: tuple[StepTaken, ...] = ()


@dataclass(frozen=True)
class Made:
    """A new net that is not judged yet.

    Attributes:
        report: what is known of it: ``verified``, ``agreement``, ``joins``, ``gone``, ``edits``.
        training: the settings that it was trained with. epoch_seconds: the mean of that; ``None``: it was not trained.
        steps: in which it was made, where it was trained between them.
    """

    model: nn.Module
    plan: Plan
    report: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    epoch_seconds: float | None = None
    steps: tuple[StepTaken, ...] = ()


class PruneTask(ABC):
    """What goes, and how it is carried out between the opened net and the new one, whoever decides it and when.

    Attributes:
        outline: what goes, or, where that is decided on the way, as much of the same.
    """

    outline: Plan

    @abstractmethod
    def inputs(self, subject: LoadedModel, retraining: Retraining) -> dict[str, Any]:
        """All that decides what comes out."""

    @abstractmethod
    def carry_out(self, subject: LoadedModel, retraining: Retraining, *, folder: Path, progress: Progress) -> Pruned:
        """The new net, proven, trained and judged; ``folder`` is where it leaves its stages."""

    @abstractmethod
    def expect(self, retraining: Retraining) -> dict[str, Any]:
        """What a dry run says of it."""


def judge(
    subject: LoadedModel, made: Made, retraining: Retraining, *, folder: Path, progress: Progress | None = None
) -> Pruned:
    """Say how good the new net is, beside the old one and the control, which is trained as ``retraining`` says.

    Weights that are to be zero afterwards are, before it is judged.

    Args:
        made: the new net, trained where it is to be.
        folder: where the control leaves its stages, if the retraining names no other place.
    """
    progress = progress or Quiet()
    zeroed: list[dict[str, Any]] = []
    if retraining.prune_weights is not None:
        net, zeroed = zero_smallest(subject.model, made.model, made.plan, retraining.prune_weights)
        made = replace(made, model=net)
    before = judge_old(subject, retraining, progress)
    training = dict(subject.training)
    before["epoch_seconds"] = training.pop("epoch_seconds", None)  # of the old net, not of the new one
    control: dict[str, Any] | None = None
    if retraining.recipe is not None:
        training = dict(made.training)
        if retraining.control:
            control = train_control(subject, retraining, folder, progress)
            before["epoch_seconds"] = control["epoch_seconds"]
    after = figures(made.model, subject, retraining.device, progress, "the new net")
    after["epoch_seconds"] = made.epoch_seconds
    _latencies(subject, made.model, before, after, control, retraining.device, progress)
    plan, report = made.plan, made.report
    result = {
        "removed": plan.removed,
        "filters": plan.filters,
        "steps": [step.as_json() for step in made.steps],
        "verified": report["verified"],
        "agreement": report["agreement"],
        "before": before,
        "after": after,
        "control": control,
        "drop": drop_found(subject, made.model, plan, retraining.device, progress),
    } | ({"weights": zeroed} if zeroed else {})
    result |= _what_zeros_do(subject, made.model, folder, progress)
    trained = subject.trained or retraining.recipe is not None
    new = replace(subject, model=made.model, training=training, trained=trained)
    gone, edits = tuple(report.get("gone", ())), tuple(report.get("edits", ()))  # an earlier version noted neither
    return Pruned(new, plan, result, report["joins"], gone, folder, (*edits, *edits_of_zeros(zeroed)), made.steps)


def judge_old(subject: LoadedModel, retraining: Retraining, progress: Progress) -> dict[str, Any]:
    """:func:`figures` of the old net; read back where another prune of it has left them."""

    def judge_it() -> dict[str, Any]:
        return figures(subject.model, subject, retraining.device, progress, "the net before")

    return judge_it() if retraining.shared is None else retraining.shared.stage("before").once(judge_it)


def train_control(subject: LoadedModel, retraining: Retraining, folder: Path, progress: Progress) -> dict[str, Any]:
    """:func:`figures` of the old net, trained as the new one was, with its mean ``epoch_seconds``.

    Args:
        folder: where it leaves its stages, in ``control``, if the retraining names no other place.
    """
    recipe, shared = retraining.recipe, retraining.shared
    assert recipe is not None
    home = folder / "control" if shared is None else shared.path / f"control-s{recipe.seed}-e{recipe.epochs}"

    def judge_it() -> dict[str, Any]:
        kept, seconds = train_copy(subject.model, subject, retraining, home, "Training the control", progress)
        return figures(kept, subject, retraining.device, progress, "the control") | {"epoch_seconds": seconds}

    return judge_it() if shared is None else JobFolder(home).stage("figures").once(judge_it)


def _what_zeros_do(subject: LoadedModel, net: nn.Module, folder: Path, progress: Progress) -> dict[str, Any]:
    """``sparsity`` of the new net, and ``sizes`` of files of both; nothing where no weight is pruned."""
    sparsity = sparsity_of(net)
    if sparsity is None:
        return {}

    def measure() -> dict[str, Any]:
        progress.start("Measuring what zeros do to files")
        nets = {"before": subject.model, "after": net}
        return {name: file_sizes(one, subject.input_shape) for name, one in nets.items()}

    return {"sparsity": sparsity, "sizes": JobFolder(folder).stage("sizes").once(measure)}


def figures(model: nn.Module, subject: LoadedModel, device: str, progress: Progress, what: str) -> dict[str, Any]:
    """:data:`FIGURES` without the times, which are still to come; accuracy near chance is said.

    Args:
        what: the net, in words.
    """
    from cnngraph.network.graph import follow
    from cnngraph.network.macs import count_parameters
    from cnngraph.training.evaluate import evaluate

    progress.start(f"Evaluating {what} on the test images")
    found = evaluate(model, subject.data.test, device=device)
    graph = follow(model, subject.input_shape)
    return scores_of(found, subject.images_from("test", found.images), what) | {
        "images": found.images,
        "epoch_seconds": None,
        "latency_ms": None,
        "parameters": count_parameters(model),
        "macs": sum(layer.macs for layer in graph.layers),
    }


def train_copy(
    model: nn.Module,
    subject: LoadedModel,
    retraining: Retraining,
    folder: Path,
    what: str,
    progress: Progress,
    trained: Collection[str] | None = None,
) -> tuple[nn.Module, float]:
    """``model`` trained (a copy: the net that came in stays as it is) and its mean seconds an epoch.

    Args:
        trained: names of the tensors that may change; ``None``: all.

    Raises:
        VerificationError: the training changed another one.
    """
    from cnngraph.surgery import saved

    done = JobFolder(folder).stage("done")
    if not done.is_done:
        assert retraining.recipe is not None
        tuned = copy.deepcopy(model)
        progress.note(what)
        folder.mkdir(exist_ok=True)
        with nullcontext() if trained is None else trained_alone(tuned, trained, folder, "training"):
            took = train_net(
                tuned,
                subject.data,
                retraining.recipe,
                retraining.trainer,
                device=retraining.device,
                checkpoint=folder / "checkpoint.safetensors",
                progress=progress,
                execution=shared_execution(subject, retraining),
            )
        save_net(tuned, subject, folder / "model", trained=True)
        done.write(asdict(took))
    # Read back, the net lies in memory as the old one does: a layout chosen for training would decide the latency.
    return saved.read_saved(folder / "model").model, float(done.read()["epoch_seconds"])


def shared_execution(subject: LoadedModel, retraining: Retraining) -> Execution | None:
    """How several prunes of one net are trained, measured once; ``None``: each measures for itself."""
    if retraining.shared is None or retraining.trainer is not None:
        return None
    return choose_once(subject, retraining, retraining.shared)


def choose_once(subject: LoadedModel, retraining: Retraining, folder: JobFolder) -> Execution:
    """How nets are trained, measured once and left in ``folder``: measured again, it might round otherwise."""
    from cnngraph.training.execution import Execution, choose_execution, choose_for_many

    recipe, device = retraining.recipe, retraining.device
    assert recipe is not None

    def choose() -> dict[str, Any]:
        images = first_batch(subject, recipe)
        if retraining.shared is None:  # one prune is trained as it always was: in float32 on a CPU
            return asdict(choose_execution(subject.model, images, device=device))
        return asdict(choose_for_many(subject.model, images, device=device, fp32=retraining.precision == "fp32"))

    return Execution(**folder.stage("execution").once(choose))


@contextmanager
def trained_alone(net: nn.Module, trained: Collection[str], folder: Path, during: str) -> Iterator[dict[str, str]]:
    """Whoever trains ``net`` inside changes the ``trained`` tensors alone; gives the sha256 of all others, by name.

    Args:
        folder: where it is trained; it goes where another tensor changed. during: what this is, in words.

    Raises:
        VerificationError: another one changed, as where a trainer of the user's own thaws it.
    """
    from cnngraph.surgery.freezing import frozen, hash_tensors, named_tensors

    before = hash_tensors(net, named_tensors(net).keys() - set(trained))
    with frozen(net, trained):
        yield before
    after = hash_tensors(net, before)
    changed = next((name for name, value in before.items() if after[name] != value), None)
    if changed is not None:
        shutil.rmtree(folder, ignore_errors=True)
        raise VerificationError(
            f"{changed} was to stay as it is in this {during}, and the training changed it.",
            "Nothing was stored. A trainer trains what has requires_grad, and sets modes by train() and eval() alone.",
        )


def _latencies(
    subject: LoadedModel,
    slim: nn.Module,
    before: dict[str, Any],
    after: dict[str, Any],
    control: dict[str, Any] | None,
    device: str,
    progress: Progress,
) -> None:
    """Both nets in turn, so that a drift of the machine meets them alike; the control has the old net's structure."""
    from cnngraph.training.latency import latency_ms

    progress.start("Measuring latency")
    found = latency_ms({"before": subject.model, "after": slim}, subject.input_shape, device=device)
    before["latency_ms"], after["latency_ms"] = found["before"], found["after"]
    if control is not None:
        control["latency_ms"] = found["before"]


def save_net(model: nn.Module, subject: LoadedModel, folder: Path, *, trained: bool) -> None:
    """Keep a net in a work folder."""
    from cnngraph.surgery import saved

    saved.save(
        model,
        folder,
        facts=saved.SavedFacts(
            preprocessing=subject.preprocessing,
            classes=subject.data.classes,
            dataset=subject.choice.name,
            trained=trained,
        ),
    )


def inputs_of_training(subject: LoadedModel, retraining: Retraining) -> dict[str, Any]:
    """What decides what comes out besides what goes: weights, data, the training, where it runs."""
    from cnngraph.models.initial import get_initial
    from cnngraph.models.masks import get_masks
    from cnngraph.training.execution import pick_device

    origin = get_origin(subject.model)
    masks, initial = get_masks(subject.model), get_initial(subject.model)
    beside = {"masks": masks.sha256} if masks else {}
    beside |= {"initial": initial.sha256} if initial else {}
    return (
        {
            "weights": subject.sha256,
            "origin": origin.model_dump(mode="json") if origin else None,
            "data": subject.choice.model_dump(),
            "preprocessing": subject.preprocessing.model_dump(mode="json"),
            "split": subject.split.sha256 if subject.split else None,
            "training": asdict(retraining.recipe) if retraining.recipe else None,
            "trainer": [retraining.trainer.name, retraining.trainer.sha256] if retraining.trainer else None,
            "device": str(pick_device(retraining.device)),
            "seed": retraining.seed,
            "control": retraining.control,
            "reconstruct": retraining.reconstruct,
        }
        | beside
        | ({"precision": retraining.precision} if retraining.precision != "auto" else {})
        | ({"prune_weights": retraining.prune_weights} if retraining.prune_weights is not None else {})
    )
