"""From a plan to a stored model: rebuild, verify, reconstruct, retrain beside the control, evaluate, store.

Every stage leaves its result in a work folder named by a hash of the inputs, so that an interrupted prune goes on where
it was: ``slim/`` (the verified net), ``retrain/`` and ``control/`` (a checkpoint, then the trained net). Nets are read
back from there even when nothing interrupted: what comes out never depends on that.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet
from cnngraph.errors import PlanError, VerificationError
from cnngraph.jobs.agreement import compare_with_old, tell_agreement
from cnngraph.jobs.baseline import settings_of
from cnngraph.jobs.pruned import Made, Pruned, PruneTask, Retraining, inputs_of_training, judge, save_net, train_copy
from cnngraph.jobs.workspace import JobFolder
from cnngraph.jobs.zero_weights import require_zeroable
from cnngraph.network.remembered import remember_structures
from cnngraph.plan import Plan
from cnngraph.sources.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cnngraph.datasets.registry import Data
    from cnngraph.surgery.layers.refit import Refitted
    from cnngraph.surgery.verify import Verification

__all__ = [
    "PlannedPrune",
    "Pruned",
    "Retraining",
    "inputs_of",
    "proof_images",
    "proof_in_short",
    "prune",
    "trains_new_layers_alone",
]


_PROOF_IMAGES = 8  # real ones that slim and masked net are compared on, besides random ones


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
    made = Made(slim, plan, report)
    if retraining.recipe is not None:
        trained = _tensors_of(slim, report["new_layers"]) if trains_new_layers_alone(plan) else None
        what = "Retraining the pruned net" if trained is None else "Training what is new in the net"
        slim, seconds = train_copy(slim, subject, retraining, folder / "retrain", what, progress, trained)
        settings = settings_of(retraining.recipe, retraining.trainer) | {"epoch_seconds": seconds}
        made = replace(made, model=slim, training=settings, epoch_seconds=seconds)
    return judge(subject, made, retraining, folder=folder, progress=progress)


def proof_images(data: Data, seed: int) -> Tensor | None:
    """Real images (8, channels, height, width) for :func:`cnngraph.surgery.verify.verify`; ``None`` of too few."""
    from cnngraph.datasets.registry import loader

    images, _ = next(iter(loader(data.train, batch_size=_PROOF_IMAGES, seed=seed)))
    # With fewer a norm may see too few places for train mode.
    return images if len(images) == _PROOF_IMAGES else None


def proof_in_short(proof: Verification) -> dict[str, Any]:
    """The ``verified`` of a prune's JSON."""
    return {name: getattr(proof, name) for name in ("max_abs_diff", "train_forward", "save_load", "export")}


def _rebuilt(
    subject: LoadedModel, plan: Plan, retraining: Retraining, folder: Path, progress: Progress
) -> tuple[nn.Module, dict[str, Any]]:
    """The slim net and what is known of it; read back where an earlier run got this far."""
    from cnngraph.datasets.registry import loader
    from cnngraph.models.masks import drop_unfit
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
    seed, began, cut_seconds = retraining.seed, time.monotonic(), 0.0
    try:
        with new_process(subject.model) as process:  # it imports torch while the net is cut and refitted
            slim, report = apply_with_report(
                subject.model,
                plan,
                loader=loader(subject.data.train, seed=seed, shuffle=True),
                seed=seed,
                progress=progress,
            )
            cut_seconds = time.monotonic() - began
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
        "verified": proof_in_short(proof),
        "joins": report.errors,
        "gone": report.removed,
        "edits": [edit.as_json() for edit in report.edits],
        "cut_seconds": cut_seconds,
    }
    if report.execution is not None and report.execution.replaced:
        known["new_layers"] = sorted(layer for one in report.execution.replaced for layer in one.fitted)
    notes = list(report.notes)
    if retraining.reconstruct:
        for found in _reconstructed(subject, slim, plan, seed, progress):
            if found.relative_error is None:
                notes.append(f"{found.join.layer} was not reconstructed: {found.reason}.")
            else:
                known["joins"][found.join.layer] = found.relative_error
        notes += [f"The mask of {name} was dropped: its weights were fitted anew." for name in drop_unfit(slim)]
    save_net(slim, subject, folder / "slim", trained=False)
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


def trains_new_layers_alone(plan: Plan) -> bool:
    """Whether all but the layers that replace blocks stays as it is, bit for bit."""
    return bool(plan.replaced) and plan.settings.get("train") == "local"


def _tensors_of(net: nn.Module, layers: Collection[str]) -> frozenset[str]:
    """The parameters and buffers of some layers of a net, by name."""
    from cnngraph.surgery.freezing import named_tensors

    return frozenset(name for name in named_tensors(net) if name.rpartition(".")[0] in layers)


def inputs_of(subject: LoadedModel, plan: Plan, retraining: Retraining) -> dict[str, Any]:
    """All that decides what comes out: model, its weights, what goes and how, the data, the training, where it runs."""
    return (
        inputs_of_training(subject, retraining)
        | {
            "model": plan.model,
            "removes": [removal.identity for removal in plan.removes],
            "init": plan.init,
        }
        | ({"train": plan.settings.get("train", "global")} if plan.replaced else {})
    )


@dataclass(frozen=True)
class PlannedPrune(PruneTask):
    """A plan that was made before."""

    outline: Plan

    def inputs(self, subject: LoadedModel, retraining: Retraining) -> dict[str, Any]:
        return inputs_of(subject, self.outline, retraining)

    def carry_out(self, subject: LoadedModel, retraining: Retraining, *, folder: Path, progress: Progress) -> Pruned:
        return prune(subject, self.outline, retraining, folder=folder, progress=progress)

    def expect(self, retraining: Retraining) -> dict[str, Any]:  # noqa: ARG002
        return {"removed": self.outline.removed, "filters": self.outline.filters}
