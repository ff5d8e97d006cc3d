"""What the commands do without a database, and what is checked before one is asked: each calls one function of a room.

What a person writes in Python is in :mod:`cnngraph.api.nets`; this is for the command line and for programs like it.
Everything below is imported when it is called, since ``cnngraph --help`` must not wait for torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet
from cnngraph.settings import Settings

if TYPE_CHECKING:
    from cnngraph.api.choices import DataChoice, ModelChoice, TraceOptions, TrainingWords
    from cnngraph.jobs.compare import CompareJob
    from cnngraph.jobs.demo import Outcome
    from cnngraph.jobs.doctor import Check
    from cnngraph.jobs.ingest import TracedModel
    from cnngraph.jobs.prune_job import PruneJob
    from cnngraph.jobs.pruned_bundle import PruneRecord
    from cnngraph.network.tables import Network
    from cnngraph.plan import Plan
    from cnngraph.training.fit import Recipe
    from cnngraph.training.own_trainer import OwnTrainer

__all__ = [
    "check_bench",
    "check_criticality",
    "check_latency",
    "check_own",
    "check_plan",
    "check_query",
    "check_review_file",
    "check_storage",
    "check_stored_name",
    "choose_compare",
    "choose_measures",
    "choose_prune",
    "compare",
    "demo",
    "evaluate",
    "examine",
    "export",
    "find_trainer",
    "group_pattern",
    "is_pruned_bundle",
    "latency",
    "list_queries",
    "map_model",
    "open_bundle",
    "prune_to_bundle",
    "query_needs",
    "query_text",
    "read_cnn2multilayer",
    "saved_path",
    "train",
    "training_recipe",
    "verify",
    "write_bundle",
]

# Checks: what is wrong with what was typed, said before any server is started.


def check_stored_name(name: str) -> None:
    """Return if ``name`` can be that of a model in the database; a file is said to be one.

    Raises:
        UsageError, ModelError: it cannot.
    """
    from cnngraph.models.misnamed import require_stored_name

    require_stored_name(name)


def check_own(key: str, owner: str, *, force: bool = False) -> None:
    """Return if the model ``key`` is the owner's, or with ``force``; raises UsageError: other people's are read."""
    from cnngraph.database.catalogue import require_own

    require_own(key, owner, force=force)


def choose_measures(names: Sequence[str], said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By measure the options that it reads, of those that were said; raises UsageError where none reads one."""
    from cnngraph.measures.choice import choose_measures

    return choose_measures(names, said)


def check_plan(said: Mapping[str, Any]) -> bool:
    """Whether what was said about what goes names a limit; raises as :meth:`cnngraph.Graph.plan` does of options."""
    from cnngraph.jobs.plan import choose_plan

    return bool(choose_plan(said).limits)


def check_criticality(said: Mapping[str, Any]) -> None:
    """Return if blocks can be tried so; raises as :meth:`cnngraph.Graph.criticality` does of options."""
    from cnngraph.jobs.criticality_choice import choose_criticality

    choose_criticality(said)


def check_bench(said: Mapping[str, Any], files: Mapping[str, str | Path | None]) -> None:
    """Return if methods can be held to a budget so, and the files be written there; raises as
    :meth:`cnngraph.Graph.bench` does of options.
    """
    from cnngraph.jobs.bench_choice import choose_bench
    from cnngraph.reporting.bench import require_files

    choose_bench(said)
    require_files(**files)


def check_latency(latency_on: str, runtime: str) -> None:
    """Return if this machine can measure so.

    Raises:
        UsageError: CUDA where there is none. CnngraphError: the runtime is not installed.
    """
    from cnngraph.training.execution import pick_device
    from cnngraph.training.runtimes import check_runtime

    check_runtime(runtime)
    pick_device(latency_on)


def check_storage(settings: Settings) -> None:
    """Return if saved models can be stored; raises CnngraphError."""
    from cnngraph.storage import storage_of

    storage_of(settings).require_writable()


def check_query(stem: str, key: str, parameters: Mapping[str, Any]) -> None:
    """Return if there is such a saved query with such parameters; raises NotFoundError, UsageError."""
    from cnngraph.database.queries import find

    find(stem).parameters(key, parameters)


def check_review_file(path: Path) -> None:
    """Return if the log of a review can be written there or read from there, by its suffix; raises UsageError."""
    from cnngraph.database.review_files import check_format

    check_format(path)


def list_queries() -> list[dict[str, str]]:
    """``query`` and ``title`` of every saved query."""
    from cnngraph.database.queries import saved

    return [{"query": query.stem, "title": query.title} for query in saved()]


def query_needs(stem: str, name: str) -> str:
    """The command that makes of the model ``name`` what a saved query shows; "" where it says none."""
    from cnngraph.database.queries import find

    return find(stem).needs.replace("NAME", name)


def query_text(stem: str, key: str, parameters: Mapping[str, Any]) -> str:
    """A saved query as text to paste into Neo4j Browser; raises as :func:`check_query`."""
    from cnngraph.database.queries import query_text

    return query_text(stem, key, parameters)


def group_pattern(text: str) -> None:
    """Return if ``text`` is a regular expression with a group, by which images are kept together; raises UsageError."""
    from cnngraph.datasets.split_file import group_pattern

    group_pattern(text)


def saved_path(name: str) -> Path | None:
    """The path of a saved model that ``name`` is; ``None`` where it is the name of a model in the database."""
    from cnngraph.jobs.shipping import saved_path

    return saved_path(name)


# Training and looking.


def find_trainer(name: str | None) -> OwnTrainer | None:
    """The user's own function of that name; raises as :func:`cnngraph.training.own_trainer.find_trainer`."""
    from cnngraph.training.own_trainer import find_trainer

    return find_trainer(name) if name is not None else None


def training_recipe(typed: Mapping[str, int | float | None], *, seed: int) -> Recipe:
    """How to train: what was typed, over the defaults."""
    from cnngraph.jobs.baseline import training_recipe

    return training_recipe(typed, seed=seed)


def train(
    model: ModelChoice,
    data: DataChoice,
    recipe: Recipe,
    out: Path,
    *,
    trainer: OwnTrainer | None = None,
    device: str = "auto",
    keep_initial: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and save; the JSON of ``cnngraph train``. See :func:`cnngraph.jobs.baseline.train`."""
    from cnngraph.jobs.baseline import train

    return train(model, data, recipe, out, trainer=trainer, device=device, keep_initial=keep_initial, progress=progress)


def evaluate(
    model: ModelChoice, data: DataChoice, *, device: str = "auto", progress: Progress | None = None
) -> dict[str, Any]:
    """Accuracy, macro precision and recall, kappa on the test images; the JSON of ``cnngraph evaluate``."""
    from cnngraph.jobs.baseline import evaluate

    return evaluate(model, data, device=device, progress=progress)


def latency(
    folder: Path, *, latency_on: str, runtime: str, batch: int, out: Path | None, progress: Progress | None = None
) -> dict[str, Any]:
    """The same of a saved model as :meth:`cnngraph.Graph.latency`."""
    from cnngraph.jobs.latency import tabulate
    from cnngraph.pruning.limits.cost_meter import Timing

    return tabulate(folder, Timing(latency_on, runtime, batch), progress or Quiet(), out)


def choose_compare(a: str, b: str | None, said: Mapping[str, Any]) -> CompareJob:
    """The comparison that a person asked for, checked: for :func:`compare`, or for
    :meth:`cnngraph.Graph.carry_out_comparison` where it names a model of the database.

    Raises:
        UsageError: options that cannot be, or a name that is none.
    """
    from cnngraph.jobs.compare import choose_compare

    return choose_compare(a, b, said)


def compare(
    job: CompareJob, *, out: Path | None = None, dry_run: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Compare two saved models; the JSON of ``cnngraph compare``. See :func:`cnngraph.jobs.compare.compare`."""
    from cnngraph.jobs.compare import compare
    from cnngraph.jobs.session import Session
    from cnngraph.settings import load_settings

    return compare(job, Session(load_settings(), progress or Quiet()), out, dry_run=dry_run)


def demo(settings: Settings, progress: Progress) -> Outcome:
    """The whole chain on real digits, each step told as it begins."""
    from cnngraph.jobs.demo import Demo

    return Demo(settings, progress, progress.note).run()


def examine(settings: Settings) -> list[Check]:
    """What this machine and its server can do; starts nothing."""
    from cnngraph.jobs.doctor import examine

    return examine(settings)


# Nets on their way into the database, and out of it.


def map_model(
    model: ModelChoice, data: DataChoice, mapping: TraceOptions, *, yes: bool = False, progress: Progress | None = None
) -> TracedModel:
    """Open model and data, and map the net; raises as :func:`cnngraph.jobs.ingest.prepare`."""
    from cnngraph.jobs.ingest import prepare

    return prepare(model, data, mapping, progress, yes=yes)


def is_pruned_bundle(folder: str | Path) -> bool:
    """Whether the folder is a bundle that tells of a prune."""
    from cnngraph.jobs.pruned_bundle import is_pruned_bundle

    return is_pruned_bundle(folder)


def open_bundle(folder: str | Path) -> tuple[TracedModel, PruneRecord | None]:
    """The mapped net of a bundle, and how it was pruned where the bundle tells of a prune.

    Raises:
        NotFoundError: there is no such folder. ModelError: it is no bundle. SpecError: it is damaged.
    """
    from cnngraph.jobs.pruned_bundle import open_bundle

    return open_bundle(folder)


def write_bundle(traced: TracedModel, folder: Path) -> None:
    """Write a mapped net and its saved model as one folder that travels."""
    from cnngraph.jobs.ingest import write_bundle

    write_bundle(traced, folder)


def read_cnn2multilayer(gexf: Path, classes: Sequence[str]) -> Network:
    """Class networks in the published format of the multilayer method's authors."""
    from cnngraph.network.cnn2multilayer import read_gexf

    return read_gexf(gexf, classes)


def export(
    folder: Path,
    out: Path,
    *,
    format: str,  # noqa: A002
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the net of a saved model for other tools; raises as :func:`cnngraph.export`."""
    from cnngraph.shipping.export import export

    return export(folder, out, format=format, dry_run=dry_run, progress=progress)


# Pruning.


def choose_prune(
    source: str,
    said: Mapping[str, Any],
    training: TrainingWords,
    *,
    as_name: str | None = None,
    out: Path | None = None,
    dry_run: bool = False,
) -> PruneJob:
    """The prune that a person asked for, checked; for :meth:`cnngraph.Graph.carry_out` or :func:`prune_to_bundle`."""
    from cnngraph.jobs.prune_job import choose_prune

    return choose_prune(source, said, training, as_name=as_name, out=out, dry_run=dry_run)


def prune_to_bundle(
    job: PruneJob, settings: Settings, to_bundle: Path, progress: Progress | None = None
) -> tuple[Plan, dict[str, Any]]:
    """Prune a saved model and write a bundle; the plan, and the JSON of ``cnngraph prune --to-bundle``."""
    from cnngraph.jobs.prune_job import prune_to_bundle
    from cnngraph.jobs.session import Session

    return prune_to_bundle(job, Session(settings, progress or Quiet()), to_bundle)


def verify(
    path: Path,
    *,
    of: Path | None = None,
    data: str | None = None,
    data_root: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Prove a pruned saved model again; the JSON of ``cnngraph verify``.

    Args:
        of: the saved model that it was pruned from.
    """
    from cnngraph.jobs.proof import prove_saved
    from cnngraph.sources.stored import other_data

    other = other_data(data, data_root)
    return prove_saved(path, parent=of, data=other, seed=seed, progress=progress or Quiet())
