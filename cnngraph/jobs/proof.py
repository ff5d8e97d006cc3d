"""The proof of a model that is there: its last plan carried out anew on the net that it was cut from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress
from cnngraph.errors import ModelError, PlanError
from cnngraph.jobs.prune import proof_images, trains_new_layers_alone
from cnngraph.sources.classifier import require_repeatable
from cnngraph.sources.data_choice import DataChoice, list_data_of
from cnngraph.sources.stored import OtherData, stored

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.database.connection import Database
    from cnngraph.plan import Plan
    from cnngraph.surgery.saved import Saved

__all__ = ["prove", "prove_saved"]


def prove(db: Database, name: str, *, data: OtherData, seed: int, progress: Progress) -> dict[str, Any]:
    """The proof of a pruned model of the database; the JSON of ``cnngraph verify``.

    Of a prune that trained between its steps, that the steps together are right, and that nothing changed in a step
    that was to stay (:mod:`cnngraph.surgery.freezing_proof`); of one that pruned weights, that these are zero.

    Its parent is the nearest ancestor in the lineage that has the structure which the plan is for.

    Args:
        data: whose training images slim and masked net are compared on, besides random ones; by default those that the
            model was ingested with.

    Raises:
        NotFoundError: there is no such model. PlanError: it was not pruned. ModelError: it has no saved model here.
        DataError: the data are there but unusable.
    """
    from cnngraph.database.lineage import lineage

    model = stored(db, name)
    ancestors = [ancestor.model for ancestor in lineage(db, model.key).ancestors]
    folders = (_folder(db, key) for key in ancestors)
    found = _proven(
        model.folder, name, [folder for folder in folders if folder], lambda: model.data(data), seed, progress
    )
    return {"model": model.key} | found


def prove_saved(path: Path, *, parent: Path | None, data: OtherData, seed: int, progress: Progress) -> dict[str, Any]:
    """The same of a saved model; no database is asked.

    Args:
        parent: the saved model that it was cut from; ``None``: the architecture with new weights stands for it.
        data: without a name, random images alone are compared on.

    Raises:
        PlanError: it was not pruned. ModelError: it is no saved model, or ``parent`` is not what it was cut from, or
            is random in eval mode.
    """
    named = DataChoice(name=data.name, root=data.root) if data.name else None
    images = (lambda: named) if named else None
    return {"model": str(path)} | _proven(path, str(path), [parent] if parent else [], images, seed, progress, parent)


def _proven(
    path: Path,
    name: str,
    candidates: Iterable[Path],
    data: Callable[[], DataChoice] | None,
    seed: int,
    progress: Progress,
    required: Path | None = None,
) -> dict[str, Any]:
    """``required``: the candidate that it must have been cut from, said before the long work."""
    from cnngraph.surgery.execution import apply_plan
    from cnngraph.surgery.freezing_proof import prove_freezing, prove_rounds
    from cnngraph.surgery.saved import read_saved
    from cnngraph.surgery.structure_diff import structure_diff
    from cnngraph.surgery.verify import ProofOptions, verify

    progress.start("Opening the model")
    slim = read_saved(path)
    if not slim.origin.plans:
        raise PlanError(f"{name} was not pruned: there is no plan to prove.", "Prune it: cnngraph prune NAME ...")
    found = _parent(slim, candidates)
    if required is not None and found is None:
        raise ModelError(
            f"{path} was not cut from {required}: that is another net.", "Give the model that it was pruned from."
        )
    parent = found[1].model if found else _new_parent(slim, seed)
    progress.start("Carrying the plan out anew")
    shape = slim.origin.input_shape or slim.input_shape
    steps = slim.origin.last_steps
    # Who the plan was for is known: the net is looked for by what it is.
    plan = (steps[0] if len(steps) == 1 else _in_one_plan(parent, steps, shape)).unguarded
    require_repeatable(parent, shape)
    done = apply_plan(parent, plan, shape)
    changed = structure_diff(slim.model, done) if found else ""
    trained = found is None or bool(changed)
    adopted = "adopted" in slim.training
    images = proof_images(list_data_of(slim, name, data())[1], seed) if data is not None and plan.filters else None
    progress.start("Verifying")
    proof = verify(
        parent,
        slim.model,
        plan,
        how=ProofOptions(repeatable=True, execution=done, adopted=adopted),
        input_shape=shape,
        images=images,
        seed=seed,
        trained=trained,
    )
    failures, notes = [*proof.failures], list(proof.notes)
    if plan.weights:
        failures += prove_rounds(slim.model, steps, adopted=adopted)
        notes.append(
            "That no round let a pruned weight grow was looked at bit by bit when it was cut; here by its counts."
        )
    elif "step" in steps[0].settings:
        progress.start("Looking at what was to stay in each step")
        failures += prove_freezing(parent if found else None, slim, steps, trained_since=adopted)
        if adopted:
            notes.append("Its weights were adopted: that they are those of the last step was not looked at.")
    if changed and trains_new_layers_alone(plan) and not adopted:
        failures.append(f"only what replaces blocks was to be trained: {changed}")
    if found is None:
        notes.insert(0, "The net that it was cut from is not here: its architecture with new weights stands for it.")
    return {
        **asdict(proof),
        "failures": failures,
        "notes": notes,
        "ok": not failures,
        "steps": len(steps) if "step" in steps[0].settings else None,
        "parent": str(found[0]) if found else None,
        "removed": plan.removed,
        "replaced": plan.replaced,
        "filters": plan.filters,
        "pruned_weights": {layer: one.alive for layer, one in plan.weights.items()},
        "weights_kept": not trained and plan.init != "scratch",
    }


def _parent(slim: Saved, candidates: Iterable[Path]) -> tuple[Path, Saved] | None:
    """The first candidate that has the structure which the last plan of ``slim`` is for."""
    from cnngraph.surgery.saved import read_saved

    wanted = slim.origin.before_steps.digest
    for path in candidates:
        saved = read_saved(path)
        if saved.origin.digest == wanted:
            return path, saved
    return None


def _new_parent(slim: Saved, seed: int) -> nn.Module:
    """The architecture as it was before the last plan, with new weights of the same precision."""
    from cnngraph.randomness import seeded
    from cnngraph.surgery.rebuilding import rebuild

    with seeded(seed):
        parent = rebuild(slim.origin.before_steps, slim.input_shape).model.eval()
    return parent.to(next(weight.dtype for weight in slim.model.parameters() if weight.is_floating_point()))


def _in_one_plan(parent: nn.Module, steps: Sequence[Plan], shape: tuple[int, int, int]) -> Plan:
    """What the steps of a prune come to, for the net before all of them."""
    from cnngraph.pruning.steps import in_one
    from cnngraph.surgery.channels.coupling import coupled

    return steps[0].model_copy(update={"removes": in_one(coupled(parent, shape).layers, steps)})


def _folder(db: Database, key: str) -> Path | None:
    """Of a model's saved net, where it is on this machine."""
    try:
        return stored(db, key).folder
    except ModelError:
        return None
