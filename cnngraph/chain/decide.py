"""A model in the database -> the decision -> a new model in the database, with its lineage."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from cnngraph.chain import ingest as ingesting
from cnngraph.chain.baseline import training_recipe
from cnngraph.chain.prune import Pruned, Retraining, work_folder
from cnngraph.chain.prune import prune as prune_subject
from cnngraph.chain.subject import DataChoice, ModelChoice, Subject, open_subject, weights_hash
from cnngraph.console import Progress
from cnngraph.errors import ConflictError, ModelError, PlanError
from cnngraph.plan import Plan, Removal, read_plan
from cnngraph.settings import Settings, split_key

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.network.graph import LayerGraph
    from cnngraph.pruning.cost import Cost

__all__ = ["Decision", "carry_out", "decide", "given", "other_data"]


@dataclass(frozen=True)
class Decision:
    """How the layers to remove are chosen; one of ``threshold``, ``remove``, ``max_accuracy_drop`` (points), or none."""

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


@dataclass(frozen=True)
class OtherData:
    """Data named on the command line instead of the data that the model was ingested with."""

    name: str | None = None
    root: str | None = None


def other_data(name: str | None, root: Path | None) -> OtherData:
    """What was typed as ``--data`` and ``--data-root``."""
    return OtherData(name, str(root.resolve()) if root else None)


@dataclass(frozen=True)
class Stored:
    """A model of the database, as far as a decision needs it."""

    key: str
    properties: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The folder of its saved model.

        Raises:
            ModelError: it has none (an import, a live net), or the folder is gone.
        """
        artifact = self.properties.get("artifact")
        if not artifact:
            raise ModelError(
                f"{self.key} has no saved model: it can be planned, not rebuilt.",
                "Ingest it from a saved model (cnngraph ingest DIR), or rebuild in Python: cg.apply(model, plan).",
            )
        if not (Path(artifact) / "model.json").is_file():
            raise ModelError(
                f"The saved model of {self.key} is not at {artifact}.",
                "Run this where it was ingested, or ingest it again.",
            )
        return Path(artifact)

    def data(self, other: OtherData) -> DataChoice:
        """The data that it was ingested with, or what was typed instead."""
        import json

        inputs = json.loads(self.properties.get("inputs") or "{}")
        known = inputs.get("data") or {}
        if not known and other.name is None:
            raise ModelError(f"It is not known which data {self.key} was ingested with.", "Name it: --data D")
        choice = DataChoice.model_validate(known) if known else DataChoice(name=other.name or "")
        changes = {field: value for field, value in vars(other).items() if value is not None}
        return choice.model_copy(update=changes)


def stored(db: Database, name: str) -> Stored:
    """The complete model of that name.

    Raises:
        NotFoundError: there is none. ConflictError: it is still loading.
    """
    from cnngraph.database import catalogue

    key = catalogue.resolve(db, name)
    catalogue.require_complete(db, key)
    return Stored(key, catalogue.properties(db, key))


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
        data: instead of the data that the model was ingested with. costs: fill parameters, MACs and latency into the schedule.
    """
    from cnngraph.pruning.multilayer import plan as plan_stored

    model = stored(db, name)
    rebuildable = bool(model.properties.get("artifact"))
    anatomy = _Anatomy.of(model) if rebuildable else None
    made = plan_stored(
        db,
        model.key,
        measure=decision.measure,
        aggregate=decision.aggregate,
        threshold=decision.threshold,
        remove=decision.remove,
        reference=decision.reference,
        engine=decision.engine,
        init=_init(decision.init),
        seed=decision.seed,
        keep=anatomy.fixed if anatomy else {},
        progress=progress,
    )
    if decision.max_accuracy_drop is not None:
        made = _within_drop(settings, model, made, decision, data, progress)
    if anatomy is not None and costs:
        from cnngraph.pruning.cost import annotate

        progress.start("Estimating what each step of the schedule costs")
        made = annotate(made, anatomy.cost)
    return made


@dataclass(frozen=True)
class _Anatomy:
    """The saved net, opened without its data: which layers can go, and what a net without them costs."""

    model: Any
    shape: tuple[int, int, int]
    graph: LayerGraph
    latencies: dict[str, float]

    @classmethod
    def of(cls, stored_model: Stored) -> _Anatomy:
        from cnngraph.network.graph import follow
        from cnngraph.surgery.cost import layer_latencies
        from cnngraph.surgery.saved import read_saved

        saved = read_saved(stored_model.folder)
        model = saved.model.eval()
        return cls(
            model, saved.input_shape, follow(model, saved.input_shape), layer_latencies(model, saved.input_shape)
        )

    @property
    def fixed(self) -> dict[str, str]:
        from cnngraph.surgery.check import removable

        return {layer: reason for layer, reason in removable(self.graph).items() if reason}

    def cost(self, removed: tuple[str, ...]) -> Cost | None:
        from cnngraph.pruning.cost import Cost
        from cnngraph.surgery.cost import cost

        try:
            found = cost(self.model, self.shape, removed, latencies=self.latencies)
        except PlanError:
            return None
        return Cost(found.parameters, found.macs, found.latency_ms)


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
        _require_known(model, layers or [], blocks or [])
        removes = [Removal(layer=layer, reason="named by hand") for layer in layers or []]
        removes += [Removal(layer=block, kind="block", reason="named by hand") for block in blocks or []]
        made = Plan(removes=tuple(removes))
    if made.model and made.model != model.key:
        raise PlanError(
            f"This plan is for {made.model}, not for {model.key}.", "Plan this model, or empty the plan's field model."
        )
    changes: dict[str, Any] = {
        "model": model.key,
        "architecture": made.architecture or model.properties.get("architecture") or "",
    }
    if init is not None:
        changes["init"] = _init(init)
    return made.model_copy(update=changes)


def carry_out(
    db: Database,
    settings: Settings,
    name: str,
    plan: Plan,
    *,
    as_name: str | None,
    retrain: bool,
    control: bool,
    typed: Mapping[str, int | float | None],
    data: OtherData,
    device: str,
    seed: int,
    out: Path | None,
    dry_run: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Rebuild, verify, retrain, evaluate and store; the JSON of ``prune``.

    Raises:
        PlanError: the plan does not fit. VerificationError: the rebuilt net failed its proof; nothing was stored.
        ConflictError: ``as_name`` or ``out`` exists.
    """
    model = stored(db, name)
    if out is not None and out.exists():
        raise ConflictError(f"{out} exists.", "Choose another --out: a saved model is never overwritten.")
    if not plan.removes:
        raise PlanError(
            "The plan removes nothing, so there is no new model to make.",
            f"See which thresholds do: cnngraph plan {name} --schedule",
        )
    subject = open_subject(ModelChoice(name=str(model.folder)), model.data(data))
    recipe = training_recipe(typed, seed=seed, base=subject.training) if retrain else None
    retraining = Retraining(recipe, control=control and retrain, device=device, seed=seed)
    folder = work_folder(settings.home / "work", subject, plan, retraining)
    new_name = _new_name(db, model.key, as_name, folder)
    if dry_run:
        return _preview(subject, plan, split_key(new_name, settings.owner))
    pruned = prune_subject(subject, plan, retraining, folder=folder, progress=progress)
    result = _store(
        db,
        settings,
        model,
        replace(subject, model=pruned.model, training=pruned.training, trained=True),
        pruned,
        new_name,
        progress,
    )
    if out is not None:
        shutil.copytree(result["artifact"], out)
    shutil.rmtree(folder)
    return result


def _store(
    db: Database, settings: Settings, parent: Stored, slim: Subject, pruned: Pruned, new_name: str, progress: Progress
) -> dict[str, Any]:
    """The new model, its run, its lineage and the evaluations; each is written once, however often this is repeated."""
    from cnngraph.database import lineage

    mapped = ingesting.map_subject(slim, _mapping(parent), progress)
    sha256 = weights_hash(slim.model)
    prepared = ingesting.Prepared(mapped, pruned.folder / "new", sha256)
    if not prepared.model.exists():
        ingesting.save_subject(slim, prepared.model)
    counts = ingesting.store(db, settings, prepared, new_name, yes=True, progress=progress)
    new_key = counts["model"]
    run = lineage.store_pruning_run(db, pruned.plan)
    names = set(mapped.layers.column("layer").to_pylist())
    surviving = {layer: layer for layer in _module_layers(db, parent.key) if layer in names}
    lineage.store_produced(db, run, new_key, parent.key, surviving)
    result = {"model": parent.key, "new_model": new_key, "run": run} | pruned.result
    for which, of, control in (("before", parent.key, False), ("after", new_key, False), ("control", parent.key, True)):
        if result[which] is not None:
            lineage.store_evaluation(
                db, of, result[which] | {"split": "test", "control": control, "seed": slim.choice.seed, "run": run}
            )
    folder = ingesting.saved_folder(settings, new_key) / sha256[:12]
    return result | {"artifact": str(folder), "joins": pruned.joins}


def _preview(subject: Subject, plan: Plan, new_key: str) -> dict[str, Any]:
    """What a prune would write, counted on the net that it would make; nothing is trained."""
    from cnngraph.network.graph import follow
    from cnngraph.network.sizes import estimate
    from cnngraph.surgery.apply import cut

    slim = cut(subject.model, plan)
    return {
        "new_model": new_key,
        "removed": plan.removed,
        "would_write": estimate(follow(slim, subject.input_shape)),
        "dry_run": True,
    }


def _new_name(db: Database, parent: str, as_name: str | None, folder: Path) -> str:
    """The new model's name; kept in the work folder, so that a prune that goes on keeps its name.

    Raises:
        ConflictError: ``as_name`` exists.
    """
    from cnngraph.database import catalogue

    note = folder / "name.txt"
    if note.is_file() and as_name in (None, note.read_text(encoding="utf-8")):
        return note.read_text(encoding="utf-8")
    taken = {model["model"] for model in catalogue.list_models(db)}
    if as_name is not None:
        if f"{db.owner}/{as_name}" in taken:
            raise ConflictError(
                f"There is a model {as_name} already.", f"Choose another --as, or delete it: cnngraph delete {as_name}"
            )
        name = as_name
    else:
        base = f"{parent.split('/')[1][:90]}-pruned"
        name = next(
            free for free in [base, *(f"{base}-{i}" for i in range(2, 10_000))] if f"{db.owner}/{free}" not in taken
        )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(name, encoding="utf-8")
    return name


def _mapping(parent: Stored) -> ingesting.Mapping:
    """The new model is mapped as its parent was, so that their numbers compare."""
    import json
    from dataclasses import fields

    inputs = json.loads(parent.properties.get("inputs") or "{}")
    names = {field.name for field in fields(ingesting.Mapping)}
    known = {name: value for name, value in inputs.items() if name in names}
    if known.get("only_classes"):
        known["only_classes"] = tuple(known["only_classes"])
    return ingesting.Mapping(**known)


def _module_layers(db: Database, key: str) -> list[str]:
    """Names of the layers that are modules: those that keep their name in a pruned net."""
    rows = db.read(
        "MATCH (l:Layer {model: $key}) WHERE l.module IS NOT NULL RETURN l.layer AS layer ORDER BY l.index", key=key
    )
    return [row["layer"] for row in rows]


def _init(name: str) -> Init:
    if name not in get_args(Init):
        raise UsageError(f"There is no init {name!r}.", nearest(name, get_args(Init)))
    return cast(Init, name)


def _require_known(model: Stored, layers: list[str], blocks: list[str]) -> None:
    """Names typed on the command line: one that is not there is exit 3, unlike in a plan file."""
    from cnngraph.network.graph import follow
    from cnngraph.surgery.check import check
    from cnngraph.surgery.saved import read_saved

    saved = read_saved(model.folder)
    removes = [Removal(layer=layer) for layer in layers] + [Removal(layer=block, kind="block") for block in blocks]
    check(follow(saved.model.eval(), saved.input_shape), Plan(removes=tuple(removes)), unknown=NotFoundError)
