"""From a plan to a stored model: rebuild, verify, reconstruct, retrain beside the control, evaluate, store.

Every stage leaves its result in a work folder named by a hash of the inputs, so that an interrupted prune goes on where
it was: ``slim/`` (the verified net), ``retrain/`` and ``control/`` (a checkpoint, then the trained net). Nets are read
back from there even when nothing interrupted: what comes out never depends on that.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet, warn
from cnngraph.errors import PlanError, VerificationError
from cnngraph.jobs.agreement import compare_with_old, tell_agreement
from cnngraph.jobs.baseline import settings_of, train_net
from cnngraph.jobs.drop import drop_found
from cnngraph.jobs.workspace import JobFolder
from cnngraph.jobs.zero_weights import edits_of_zeros, require_zeroable, zero_smallest
from cnngraph.network.remembered import remember_structures
from cnngraph.origin import get_origin
from cnngraph.plan import Plan
from cnngraph.sources.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cnngraph.datasets.registry import Data
    from cnngraph.surgery.layers.refit import Refitted
    from cnngraph.training.fit import Recipe
    from cnngraph.training.own_trainer import OwnTrainer

__all__ = ["FIGURES", "Pruned", "Retraining", "figures", "inputs_of", "proof_images", "prune"]


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
_PROOF_IMAGES = 8  # real ones that slim and masked net are compared on, besides random ones


@dataclass(frozen=True)
class Retraining:
    """How the slim net is trained.

    Attributes:
        recipe: as for a baseline; ``None`` trains nothing.
        reconstruct: refit the layers that read removed filters before that.
        control: train the unpruned net too, for as long.
        trainer: the user's own function, for both nets; ``None``: our own loop.
        prune_weights: the share of the weights that become zero after the training, in layers that lost filters.
    """

    recipe: Recipe | None
    control: bool = True
    device: str = "auto"
    seed: int = 0
    trainer: OwnTrainer | None = None
    reconstruct: bool = False
    prune_weights: float | None = None


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
    """

    subject: LoadedModel
    plan: Plan
    result: dict[str, Any]
    joins: dict[str, float]
    gone: tuple[str, ...]
    folder: Path
    edits: tuple[dict[str, Any], ...] = ()


@remember_structures()
def prune(
    subject: LoadedModel, plan: Plan, retraining: Retraining, *, folder: Path, progress: Progress | None = None
) -> Pruned:
    """Carry out ``plan`` on ``subject``, which was opened as a sound one: a net that is random was refused there.

    Args:
        folder: where it leaves its stages, see :func:`inputs_of`.

    Raises:
        ModelError: the net cannot be trained, and is to be.
        PlanError: the plan does not fit the net. VerificationError: the rebuilt net failed its proof; nothing is kept.
    """
    from cnngraph.training.fitness import require_trainable

    progress = progress or Quiet()
    if retraining.reconstruct and not plan.filters:
        raise PlanError(
            "The plan removes no filters, so there is nothing to reconstruct.",
            "Layers at the gap of a removed layer are refitted by {init=least-squares}.",
        )
    if retraining.prune_weights is not None:
        require_zeroable(subject.model, plan)
    if retraining.recipe is not None and retraining.trainer is None:
        require_trainable(subject.model, subject.data.train)  # said before the long work
    folder.mkdir(parents=True, exist_ok=True)
    slim, report = _rebuilt(subject, plan, retraining, folder, progress)
    tell_agreement(report["agreement"], report["joins"], plan, progress)
    before = figures(subject.model, subject, retraining.device, progress, "the net before")
    training = dict(subject.training)
    before["epoch_seconds"] = training.pop("epoch_seconds", None)  # of the old net, not of the new one
    control: dict[str, Any] | None = None
    epoch_seconds = None
    if retraining.recipe is not None:
        slim, epoch_seconds = _trained(
            slim, subject, retraining, folder / "retrain", "Retraining the pruned net", progress
        )
        training = settings_of(retraining.recipe, retraining.trainer) | {"epoch_seconds": epoch_seconds}
        if retraining.control:
            kept, seconds = _trained(
                subject.model, subject, retraining, folder / "control", "Training the control", progress
            )
            control = figures(kept, subject, retraining.device, progress, "the control") | {"epoch_seconds": seconds}
            before["epoch_seconds"] = seconds
    zeroed: list[dict[str, Any]] = []
    if retraining.prune_weights is not None:
        slim, zeroed = zero_smallest(subject.model, slim, plan, retraining.prune_weights)
    after = figures(slim, subject, retraining.device, progress, "the new net") | {"epoch_seconds": epoch_seconds}
    _latencies(subject, slim, before, after, control, retraining.device, progress)
    result = {
        "removed": plan.removed,
        "filters": plan.filters,
        "verified": report["verified"],
        "agreement": report["agreement"],
        "before": before,
        "after": after,
        "control": control,
        "drop": drop_found(subject, slim, plan, retraining.device, progress),
    } | ({"weights": zeroed} if zeroed else {})
    trained = subject.trained or retraining.recipe is not None
    new = replace(subject, model=slim, training=training, trained=trained)
    gone, edits = tuple(report.get("gone", ())), tuple(report.get("edits", ()))  # an earlier version noted neither
    return Pruned(new, plan, result, report["joins"], gone, folder, (*edits, *edits_of_zeros(zeroed)))


def figures(model: nn.Module, subject: LoadedModel, device: str, progress: Progress, what: str) -> dict[str, Any]:
    """:data:`FIGURES` without the times, which are still to come; accuracy near chance is said.

    Args:
        what: the net, in words.
    """
    from cnngraph.network.graph import follow
    from cnngraph.network.macs import count_parameters
    from cnngraph.training.chance import near_chance
    from cnngraph.training.evaluate import evaluate

    progress.start(f"Evaluating {what} on the test images")
    found = evaluate(model, subject.data.test, device=device)
    useless = near_chance(found)
    if useless:
        warn(f"{what}: {useless}")
    graph = follow(model, subject.input_shape)
    return {
        "accuracy": found.accuracy,
        "precision": found.precision,
        "recall": found.recall,
        "kappa": found.kappa,
        "near_chance": useless is not None,
        "images": found.images,
        "images_from": subject.images_from("test", found.images).as_json(),
        "epoch_seconds": None,
        "latency_ms": None,
        "parameters": count_parameters(model),
        "macs": sum(layer.macs for layer in graph.layers),
    }


def proof_images(data: Data, seed: int) -> Tensor | None:
    """Real images (8, channels, height, width) for :func:`cnngraph.surgery.verify.verify`; ``None`` of too few."""
    from cnngraph.datasets.registry import loader

    images, _ = next(iter(loader(data.train, batch_size=_PROOF_IMAGES, seed=seed)))
    # With fewer a norm may see too few places for train mode.
    return images if len(images) == _PROOF_IMAGES else None


def _rebuilt(
    subject: LoadedModel, plan: Plan, retraining: Retraining, folder: Path, progress: Progress
) -> tuple[nn.Module, dict[str, Any]]:
    """The slim net and what is known of it; read back where an earlier run got this far."""
    from cnngraph.datasets.registry import loader
    from cnngraph.surgery import saved
    from cnngraph.surgery.apply import apply_with_report
    from cnngraph.surgery.reloading import new_process
    from cnngraph.surgery.verify import ProofOptions, verify

    done = JobFolder(folder).stage("slim")
    if done.is_done:
        progress.note("An earlier run got as far as a verified net: going on from there.")
        slim, known = saved.read_saved(folder / "slim").model, done.read()
        if "agreement" not in known:  # left by a version that did not compare them
            known["agreement"] = compare_with_old(subject, slim, retraining.device, progress)
        return slim, known
    progress.start("Rebuilding")
    seed = retraining.seed
    try:
        with new_process(subject.model) as process:  # it imports torch while the net is cut and refitted
            slim, report = apply_with_report(
                subject.model,
                plan,
                loader=loader(subject.data.train, seed=seed, shuffle=True),
                seed=seed,
                progress=progress,
            )
            progress.start("Verifying")
            proof = verify(
                subject.model,
                slim,
                plan,
                how=ProofOptions(repeatable=True, execution=report.execution, float32=False, process=process),
                input_shape=subject.input_shape,
                images=proof_images(subject.data, seed),
            )
    except PlanError:
        _explain(subject, plan, progress)
        raise
    if not proof.ok:
        _explain(subject, plan, progress)
        shutil.rmtree(folder, ignore_errors=True)
        raise VerificationError(
            f"The rebuilt net failed its proof: {'; '.join(proof.failures)}.",
            "Nothing was stored. Remove other layers.",
        )
    known = {
        "verified": {
            "max_abs_diff": proof.max_abs_diff,
            "train_forward": proof.train_forward,
            "save_load": proof.save_load,
            "export": proof.export,
        },
        "joins": report.errors,
        "gone": report.removed,
        "edits": [edit.as_json() for edit in report.edits],
    }
    notes = list(report.notes)
    if retraining.reconstruct:
        for found in _reconstructed(subject, slim, plan, seed, progress):
            if found.relative_error is None:
                notes.append(f"{found.join.layer} was not reconstructed: {found.reason}.")
            else:
                known["joins"][found.join.layer] = found.relative_error
    _save(slim, subject, folder / "slim", trained=False)
    slim = saved.read_saved(folder / "slim").model
    known["agreement"] = compare_with_old(subject, slim, retraining.device, progress)
    done.write(known | {"notes": notes})
    for note in notes:
        progress.note(note)
    return slim, known


def _explain(subject: LoadedModel, plan: Plan, progress: Progress) -> None:
    """Say which removal is to blame for what failed, where that is the user's own code.

    Raises:
        PlanError: so it is.
    """
    from cnngraph.surgery.check_runs import check_runs

    progress.start("Looking for what cannot go")
    check_runs(subject.model, plan, input_shape=subject.input_shape)


def _reconstructed(
    subject: LoadedModel, slim: nn.Module, plan: Plan, seed: int, progress: Progress
) -> tuple[Refitted, ...]:
    from cnngraph.datasets.registry import loader
    from cnngraph.surgery.reconstruct import reconstruct

    images = loader(subject.data.train, seed=seed, shuffle=True)
    return reconstruct(
        subject.model, slim, plan, loader=images, input_shape=subject.input_shape, seed=seed, progress=progress
    )


def _trained(
    model: nn.Module, subject: LoadedModel, retraining: Retraining, folder: Path, what: str, progress: Progress
) -> tuple[nn.Module, float]:
    """``model`` trained (a copy: the net that came in stays as it is) and its mean seconds an epoch."""
    from cnngraph.surgery import saved

    done = JobFolder(folder).stage("done")
    if not done.is_done:
        assert retraining.recipe is not None
        tuned = copy.deepcopy(model)
        progress.note(what)
        folder.mkdir(exist_ok=True)
        took = train_net(
            tuned,
            subject.data,
            retraining.recipe,
            retraining.trainer,
            device=retraining.device,
            checkpoint=folder / "checkpoint.safetensors",
            progress=progress,
        )
        _save(tuned, subject, folder / "model", trained=True)
        done.write({"epoch_seconds": took.epoch_seconds})
    # Read back, the net lies in memory as the old one does: a layout chosen for training would decide the latency.
    return saved.read_saved(folder / "model").model, float(done.read()["epoch_seconds"])


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


def _save(model: nn.Module, subject: LoadedModel, folder: Path, *, trained: bool) -> None:
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


def inputs_of(subject: LoadedModel, plan: Plan, retraining: Retraining) -> dict[str, Any]:
    """All that decides what comes out: model, its weights, what goes and how, the data, the training, where it runs."""
    from cnngraph.training.execution import pick_device

    origin = get_origin(subject.model)
    return {
        "model": plan.model,
        "weights": subject.sha256,
        "origin": origin.model_dump(mode="json") if origin else None,
        "removes": [[removal.kind, removal.layer, removal.filters] for removal in plan.removes],
        "init": plan.init,
        "data": subject.choice.model_dump(),
        "preprocessing": subject.preprocessing.model_dump(mode="json"),
        "split": subject.split.sha256 if subject.split else None,
        "training": asdict(retraining.recipe) if retraining.recipe else None,
        "trainer": [retraining.trainer.name, retraining.trainer.sha256] if retraining.trainer else None,
        "device": str(pick_device(retraining.device)),
        "seed": retraining.seed,
        "control": retraining.control,
        "reconstruct": retraining.reconstruct,
    } | ({"prune_weights": retraining.prune_weights} if retraining.prune_weights is not None else {})
