"""Everything that can be done with the models of one database: the same from Python and for every command.

Each method hands what it was told to one function of ``jobs/`` or ``database/``, which is imported only then: the torch
side costs seconds. What needs no database is in :mod:`cnngraph.api.offline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from cnngraph.api.options import Benched, Compared, Copying, Decision, Trials
from cnngraph.console import Progress, Quiet
from cnngraph.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from cnngraph.database.connection import Database
    from cnngraph.database.gds import Projection
    from cnngraph.evidence.record import Evidence
    from cnngraph.jobs.compare import CompareJob
    from cnngraph.jobs.ingest import TracedModel
    from cnngraph.jobs.prune_job import PruneJob
    from cnngraph.jobs.pruned_bundle import PruneRecord
    from cnngraph.jobs.review import ReviewPage
    from cnngraph.jobs.session import Session
    from cnngraph.measures.calls import Calls
    from cnngraph.measures.measure import MeasureResult
    from cnngraph.measures.stored_reductions import CarResult
    from cnngraph.network.tables import Network
    from cnngraph.plan import Plan

__all__ = ["Graph"]


class Graph:
    """The networks in one Neo4j database; a context manager. Names are one's own, or ``OWNER/NAME``."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    @classmethod
    def open(cls, settings: Settings, *, progress: Progress | None = None, prepare: bool = True) -> Self:
        """Connect; ``prepare`` brings the embedded server's schema up to date and refuses any other that is not."""
        from cnngraph.database.schema import open_current

        return cls(open_current(settings, progress or Quiet(), prepare=prepare), settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; an embedded server goes on running."""
        self.database.close()

    def session(self, progress: Progress | None = None) -> Session:
        """What every job takes."""
        from cnngraph.jobs.session import Session

        return Session(self.settings, progress or Quiet(), self.database)

    def key(self, name: str) -> str:
        """The key of a model that is there.

        Raises:
            NotFoundError: there is none; the hint has the nearest names.
        """
        from cnngraph.database.catalogue import resolve

        return resolve(self.database, name)

    # Into the database, and what is in it.

    def write(
        self,
        network: Network,
        name: str,
        *,
        replace: bool = False,
        dry_run: bool = False,
        artifact: Path | None = None,
        sha256: str | None = None,
        yes: bool = False,
        force: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write ``network`` as the model ``name`` and return the counts; resumes after a kill, writes nothing twice.

        Args:
            artifact: folder of its saved model (:func:`cnngraph.save`), which is copied into the storage. sha256: of
                its weights.
            force: with ``replace``, also a model of another owner (``OWNER/NAME``), which stays that owner's.

        Raises:
            ConflictError: the name exists with other inputs (``replace=True`` replaces it), or another writer holds it.
            NotFoundError: there is no saved model in ``artifact``. CnngraphError: the storage cannot be written.
        """
        from cnngraph.database.writer import WriteOptions, write_network

        saved = None if artifact is None or dry_run else self.database.storage.add(Path(artifact))
        how = WriteOptions(replace, dry_run, yes, force)
        return write_network(self.database, network, name, how, saved_sha256=saved, sha256=sha256, progress=progress)

    def ingest(
        self,
        traced: TracedModel,
        name: str | None = None,
        *,
        pruned: PruneRecord | None = None,
        without_parent: bool = False,
        replace: bool = False,
        dry_run: bool = False,
        yes: bool = False,
        force: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Store a mapped net with its saved model; the JSON of ``cnngraph ingest``, but for ``dry_run``.

        Args:
            traced: of :func:`cnngraph.api.offline.map_model` or :func:`cnngraph.api.offline.open_bundle`.
            name: of the model; only a pruned one may do without: PARENT-pruned, or the next free number.
            pruned: how it was pruned elsewhere: its lineage is stored too. without_parent: of that, store the model
                alone where the one that it was pruned from is not in this database.

        Raises:
            ConflictError, CnngraphError: as :meth:`write`. NotFoundError: the parent is not in the database.
        """
        from cnngraph.database.writer import WriteOptions
        from cnngraph.jobs.pruned_bundle import ingest

        how = WriteOptions(replace, dry_run, yes, force)
        return ingest(self.session(progress), traced, name, how, pruned=pruned, without_parent=without_parent)

    def read(self, name: str) -> Network:
        """The model as a Network, equal to the one that was written."""
        from cnngraph.database.reader import read_network

        return read_network(self.database, self.key(name))

    def frames(self, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(nodes, edges) of the model as pandas frames."""
        from cnngraph.database.reader import frames

        return frames(self.database, self.key(name))

    def models(self, owner: str | None = None, tag: str | None = None) -> list[dict[str, Any]]:
        """Everybody's models with their figures; those of one owner, or with one tag."""
        from cnngraph.database.catalogue import list_models

        return list_models(self.database, owner, tag)

    def show(self, name: str) -> dict[str, Any]:
        """Counts and properties of one model."""
        from cnngraph.database.catalogue import show

        return show(self.database, self.key(name))

    def blocks(self, name: str) -> list[dict[str, Any]]:
        """The blocks of one model, each with ``removable``: ``None``, or the reason why it cannot go as a whole."""
        from cnngraph.jobs.blocks import blocks_of

        return list(blocks_of(self.database, name)["blocks"])

    def lineage(self, name: str) -> dict[str, Any]:
        """Ancestors, descendants, pruning runs and evaluations of one model."""
        from cnngraph.database.lineage import lineage

        return lineage(self.database, self.key(name)).as_json()

    def rename(self, name: str, new: str, *, force: bool = False) -> dict[str, Any]:
        """Give one model another name, with all that belongs to it; the JSON of ``cnngraph rename``.

        Args:
            new: without an owner, who stays. force: also of another owner's model.

        Raises:
            UsageError: it is no name, or the model is another owner's. ConflictError: there is a model of that name, or
            somebody writes this one now.
        """
        from cnngraph.database.curation import rename

        return rename(self.database, self.key(name), new, force=force)

    def note(self, name: str, note: str | None, *, force: bool = False) -> dict[str, Any]:
        """Say something of one model, or nothing any more (``None``); the JSON of ``cnngraph note``.

        Raises:
            UsageError: an empty note, or the model is another owner's, without ``force``.
        """
        from cnngraph.database.curation import set_note

        return set_note(self.database, self.key(name), note, force=force)

    def tag(self, name: str, *add: str, remove: Sequence[str] = (), force: bool = False) -> dict[str, Any]:
        """Put tags on one model and take others away; the JSON of ``cnngraph tag``: without any, what it has.

        Raises:
            UsageError: a tag is no single word, or the model is another owner's, without ``force``.
            NotFoundError: it has no such tag.
        """
        from cnngraph.database.curation import said_of, set_tags

        key = self.key(name)
        if not add and not remove:
            return said_of(self.database, key)
        return set_tags(self.database, key, add, remove, force=force)

    def usage(self) -> dict[str, Any]:
        """What each model and each owner takes of the database; the JSON of ``cnngraph db usage``."""
        from cnngraph.database.curation import usage

        return usage(self.database)

    def delete(
        self,
        name: str,
        *,
        dry_run: bool = False,
        yes: bool = False,
        force: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Delete one model's nodes, in batches, and return what went.

        Args:
            yes: also where people have judged its filters; what they said is written to a file first (``review_log``).
            force: also another owner's model.

        Raises:
            UsageError: it is another owner's, without ``force``.
            ConflictError: people have judged it, without ``yes``; or somebody writes it now.
        """
        from cnngraph.database.catalogue import delete

        key = self.key(name)
        return delete(self.database, key, dry_run=dry_run, yes=yes, force=force, progress=progress or Quiet())

    def push(self, name: str, to: str, *, progress: Progress | None = None, **how: Unpack[Copying]) -> dict[str, Any]:
        """Copy a model with all that was found out about it, its ancestors and its saved models into another database.

            graph.push("mine", "team")["action"]

        The same call again writes nothing; after a break it goes on.

        Args:
            to: profile of the config file. how: see :class:`~cnngraph.api.options.Copying`.

        Returns:
            The JSON of ``cnngraph push``: ``model, action`` (new, resume, replace, update, nothing), ``nodes,
            relationships, changed, differs``, the same for each of ``models``, ``weights`` and ``notes``.

        Raises:
            NotFoundError: there is no such model or profile. UsageError: it is this very database, or another's model
                would be replaced.
            ConflictError: another model of that name is there, or somebody writes one of the two now.
            CnngraphError: the store cannot be written.
        """
        from cnngraph.jobs.push import PushOptions, push

        return push(self.session(progress), name, to, PushOptions(**how))

    def pull(
        self, name: str, from_: str, *, progress: Progress | None = None, **how: Unpack[Copying]
    ) -> dict[str, Any]:
        """Copy a model out of another database into this one: :meth:`push`, the other way.

            graph.pull("ada/vgg16", "team")

        Args:
            name: in the other database. from_: its profile.
        """
        from cnngraph.jobs.push import PushOptions, pull

        return pull(self.session(progress), name, from_, PushOptions(**how))

    def export(
        self,
        name: str,
        out: str | Path,
        *,
        format: str,  # noqa: A002  the word that the command uses
        view: str | None = None,
        class_: str | None = None,
        layers: str | None = None,
        relationships: Sequence[str] | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write one model: its graph (parquet, neo4j-admin, gexf, graphml, json), the net (safetensors, pt2, onnx), or
        both as a ``bundle``.

        Args:
            view: of the graph: channels, positions or both (default). class_: whose weights its edges get; default:
                the mean. layers: only these, A..B. relationships: of ARC, CONNECTS, FEEDS, RESEMBLES; default: all but
                the last.
            dry_run: look at the model, write nothing.

        Raises:
            UsageError: there is no such format, or a part of the graph was asked of the net.
            ConflictError, ModelError, VerificationError: of the net, see :func:`cnngraph.shipping.export.export`.
        """
        from cnngraph.database.export import GraphPart
        from cnngraph.jobs.export import export

        part = GraphPart(view, class_, layers, tuple(relationships) if relationships else None)
        return export(self.session(progress), name, format, Path(out), part, dry_run=dry_run)

    def query(
        self,
        query: str,
        *,
        model: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        cypher: bool = False,
        write: bool = False,
    ) -> list[dict[str, Any]]:
        """Rows of a saved query, or of ``query`` itself with ``cypher=True`` (read-only unless ``write``)."""
        from cnngraph.database.queries import ask

        key = self.key(model) if model else None
        return ask(self.database, query, key, dict(parameters or {}), cypher=cypher, write=write)

    def migrate(self, *, share_database: bool = False) -> list[str]:
        """Apply the pending migrations and return their names; saved models of this machine go into its storage."""
        from cnngraph.database import saved_models, schema

        done = [migration.name for migration in schema.migrate(self.database, share_database=share_database)]
        saved_models.store_by_content(self.database)
        return done

    def pending_cypher(self) -> str:
        """The pending migrations as Cypher for an administrator, who can run it as it is."""
        from cnngraph.database.schema import script

        return script(self.database)

    # Decisions; nothing is changed by them.

    @overload
    def measure(  # type: ignore[overload-overlap]  # "car" is a str too, and its result has no theta
        self,
        name: str,
        measure: Literal["car"],
        *,
        layer: str | Sequence[str] = (),
        judged_on: str = "validation",
        device: str = "auto",
        minutes: float | None = None,
        progress: Progress | None = None,
    ) -> CarResult: ...

    @overload
    def measure(
        self,
        name: str,
        measure: str,
        *,
        aggregate: str = "mean",
        seed: int = 0,
        engine: str = "auto",
        reference: str = "median",
        progress: Progress | None = None,
    ) -> MeasureResult: ...

    def measure(
        self, name: str, measure: str, *, progress: Progress | None = None, **options: Any
    ) -> MeasureResult | CarResult:
        """Compute and store one measure; see docs/measures.md for what each says.

            graph.measure("mine", "degree")
            graph.measure("mine", "car", layer="features.3")

        Args:
            aggregate, seed, engine, reference: of a measure that ranks layers.
            layer, judged_on, device, minutes: of ``car``: whose filters (default: all layers), judged on the
                ``validation`` or the ``train`` part, where, and after how long no further layer is begun.
        """
        from cnngraph.jobs.measure import measure as compute

        return compute(self.session(progress), self.key(name), measure, options)

    def preview_measure(
        self, name: str, measure: str, *, progress: Progress | None = None, **options: Any
    ) -> dict[str, Any]:
        """What :meth:`measure` with the same options would write; nothing is written."""
        from cnngraph.jobs.measure import preview

        return preview(self.session(progress), self.key(name), measure, options)

    def measure_calls(self, name: str, measure: str, *, seed: int = 0) -> Calls:
        """What the server's Graph Data Science is asked for one measure, to be pasted; nothing is computed."""
        from cnngraph.measures.registry import shown_calls

        settings, password = self.settings, self.settings.embedded or self.settings.password is not None
        return shown_calls(
            self.database, self.key(name), measure, seed=seed, username=settings.username, password=password
        )

    def plan(
        self,
        name: str,
        *,
        data: str | None = None,
        data_root: str | Path | None = None,
        costs: bool = False,
        progress: Progress | None = None,
        **choice: Unpack[Decision],
    ) -> Plan:
        """The decision only: nothing is changed, and nothing is trained but for ``max_accuracy_drop``.

            graph.plan("mine", measure="degree", threshold=0.3)
            graph.plan("mine", ratio=0.3, score="strength")
            graph.plan("mine", remove_blocks=["layer1.0"])
            graph.plan("mine", target_speedup=2.0, runtime="onnxruntime")

        Args:
            data, data_root: images instead of those that the model was ingested with, where the decision reads any.
            costs: also measure the parameters, MACs and latency of what would be left.
            choice: see :class:`~cnngraph.api.options.Decision`.

        Raises:
            UsageError: options that do not go together, out of range, or unknown.
            NotFoundError: the model, a layer or a block is not there. PlanError: no such plan can be made.
        """
        from cnngraph.jobs.plan import choose_plan, plan_stored
        from cnngraph.sources.stored import other_data

        chosen = choose_plan({**choice, "data": data, "data_root": data_root})
        return plan_stored(self.session(progress), name, chosen, other_data(data, data_root), costs=costs)

    def criticality(
        self, name: str, *, dry_run: bool = False, progress: Progress | None = None, **trials: Unpack[Trials]
    ) -> dict[str, Any]:
        """What each block is worth: done without in turn, by several schemes; the JSON of ``cnngraph criticality``.

            found = graph.criticality("mine", schemes=["join", "fitted"], epochs=2)
            {block["block"]: block["criticality"] for block in found["blocks"]}

        Every trial is stored as it is done; the same call goes on after an interruption.

        Args:
            dry_run: say what would be trained and written; do neither.
            trials: see :class:`~cnngraph.api.options.Trials`; the schemes are ``join`` and ``tuned`` by default.

        Raises:
            UsageError: an unknown scheme, or a value out of range. NotFoundError: the model or a block is not there.
            PlanError: it has no blocks, or none can be tried, or one that was named; or there is no time for one trial.
        """
        from cnngraph.jobs.criticality import try_blocks
        from cnngraph.jobs.criticality_choice import choose_criticality

        return try_blocks(self.session(progress), name, choose_criticality(trials), dry_run=dry_run)

    def triage(
        self, name: str, *, dry_run: bool = False, progress: Progress | None = None, **trials: Unpack[Trials]
    ) -> dict[str, Any]:
        """What each block is worth if one layer takes its place: :meth:`criticality` by the six schemes of Deep Net
        Triage (Nowak, Corso 2018) and ``fitted``; the JSON of ``cnngraph triage``. Raises as that does.
        """
        from cnngraph.jobs.criticality import try_blocks
        from cnngraph.jobs.criticality_choice import choose_criticality

        return try_blocks(self.session(progress), name, choose_criticality(trials, preset="triage"), dry_run=dry_run)

    def latency(
        self,
        name: str,
        *,
        latency_on: str = "cpu",
        runtime: str = "eager",
        batch: int = 1,
        out: str | Path | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Milliseconds of each layer and block in its place, beside the whole net; the JSON of ``cnngraph latency``.

        Args:
            out: also write the table there, as the CSV file that ``latency_table`` of :meth:`plan` reads.

        Raises:
            UsageError: there is no such device or runtime. CnngraphError: it is not installed.
            ModelError: the model has no saved net.
        """
        from cnngraph.jobs.latency import tabulate
        from cnngraph.pruning.limits.cost_meter import Timing
        from cnngraph.sources.stored import stored

        timing, folder = Timing(latency_on, runtime, batch), stored(self.database, name).folder
        return tabulate(folder, timing, progress or Quiet(), Path(out) if out else None)

    def compare(
        self,
        a: str | Path,
        b: str | Path | None = None,
        *,
        out: str | Path | None = None,
        progress: Progress | None = None,
        **how: Unpack[Compared],
    ) -> dict[str, Any]:
        """How similar two nets are layer by layer, and how they differ; the JSON of ``cnngraph compare``.

            graph.compare("mine", "mine-pruned", out="changes.html")["mean"]

        Args:
            a, b: names or saved models; without ``b``, ``a`` is compared with what it was made of. Two models of the
                database leave the comparison there.
            out: also write the page there. how: see :class:`~cnngraph.api.options.Compared`.

        Raises:
            UsageError: words or numbers that cannot be, or one model named twice. NotFoundError: a model is not there.
            ModelError: one has no saved net. DataError: the images are not here, or too few for the similarity.
        """
        from cnngraph.jobs.compare import choose_compare

        job = choose_compare(str(a), None if b is None else str(b), how)
        return self.carry_out_comparison(job, out=Path(out) if out else None, progress=progress)

    def carry_out_comparison(
        self, job: CompareJob, *, out: Path | None = None, dry_run: bool = False, progress: Progress | None = None
    ) -> dict[str, Any]:
        """What :meth:`compare` does, of a job of :func:`cnngraph.api.offline.choose_compare`."""
        from cnngraph.jobs.compare import compare

        return compare(job, self.session(progress), out, dry_run=dry_run)

    def open_review(
        self,
        name: str,
        *,
        layers: Sequence[str] | None = None,
        by: str | None = None,
        shuffle: bool = False,
        hide_scores: bool = False,
        port: int | None = None,
        latency_table: str | Path | None = None,
        images: bool = True,
        progress: Progress | None = None,
    ) -> ReviewPage:
        """The page on which a person judges the filters of a model, on this machine alone; ``serve()`` serves it.

            graph.open_review("mine", by="ann").serve(open_browser=True)  # until Ctrl-C

        Args:
            layers: only filters of these. by: who judges; default: the owner.
            shuffle: in random order. hide_scores: what the machine thinks is hidden until the person has decided.
            port: default: 8723, or a free one.
            latency_table: a file of :meth:`latency`, which says the milliseconds.
            images: look at the images that the model was ingested with, where that was not done before.

        Raises:
            NotFoundError: there is no such model or layer. ModelError: it has no feature maps, or it is not known which
                weights. CnngraphError: the port is taken.
        """
        from cnngraph.jobs.review import PageChoice, open_page

        table = Path(latency_table) if latency_table is not None else None
        chosen = PageChoice(tuple(layers) if layers else None, by, shuffle, hide_scores, port, table, images)
        return open_page(self.session(progress), name, chosen)

    def review_status(self, name: str, *, agree: str = "all") -> dict[str, Any]:
        """How far people have judged the filters of a model, what goes by it, where they disagree: the JSON of
        ``cnngraph review --status``.

        Args:
            agree: how many of those who judged a filter must say that it goes: any, majority or all.

        Raises:
            NotFoundError: there is no such model. ModelError: it has no feature maps, or it is not known which weights.
        """
        from cnngraph.jobs.review import status

        return status(self.session(), name, agree)

    def export_review(self, name: str, out: str | Path) -> dict[str, Any]:
        """Write what people decided on the filters of a model to ``out``, a .json or .csv file."""
        from cnngraph.jobs.review import export_log

        return export_log(self.session(), name, Path(out))

    def replay_review(self, name: str, file: str | Path) -> dict[str, Any]:
        """Store the choices of a file that :meth:`export_review` wrote; those that are there already stay.

        Raises:
            NotFoundError: there is no such model, file or filter. ModelError: it is no log, or was changed by hand.
            ConflictError: it is of another net. Nothing is stored then.
        """
        from cnngraph.jobs.review import replay

        return replay(self.session(), name, Path(file))

    # New models out of stored ones, each with its lineage.

    def prune(
        self,
        name: str,
        plan: Plan | str | Path | None = None,
        *,
        run: str | None = None,
        as_name: str | None = None,
        retrain: bool = True,
        control: bool = True,
        reconstruct: bool = False,
        prune_weights: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        trainer: str | None = None,
        data: str | None = None,
        data_root: str | Path | None = None,
        out: str | Path | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
        **choice: Unpack[Decision],
    ) -> dict[str, Any]:
        """Plan, rebuild, verify, retrain, evaluate, store the new model; the JSON of ``cnngraph prune``.

        The same call goes on after an interruption.

            graph.prune("mine", plan, as_name="slim")
            graph.prune("mine", ratio=0.3, retrain=False, out="slim")

        Args:
            plan: a plan, or the path of one; else ``run``, a PruningRun of the graph; else ``choice`` says what goes.
            as_name: of the new model; default: one is made. out: also write the saved model there.
            retrain, control, reconstruct: train the new net; train the unpruned one beside it; refit what read removed
                filters first. epochs, batch_size, learning_rate: of both trainings.
            prune_weights: a share; so many of the weights of each layer that lost filters become zero after that.
            trainer: ``package.module:function`` that trains instead.
            data, data_root: instead of what the model was ingested with.
            choice: see :class:`~cnngraph.api.options.Decision`; ``seed`` and ``device`` are of the training too.

        Raises:
            UsageError: options that do not go together. NotFoundError: the model, or what is to go, is not there.
            PlanError: the plan does not fit. VerificationError: the rebuilt net failed its proof; nothing was stored.
            ConflictError: ``as_name`` or ``out`` exists.
        """
        from cnngraph.jobs.prune_job import TrainingWords, choose_prune

        said = {**choice, "plan": plan, "run": run, "data": data, "data_root": data_root}
        recipe = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        training = TrainingWords(retrain, control, reconstruct, recipe, trainer, prune_weights)
        job = choose_prune(name, said, training, as_name=as_name, out=out, dry_run=dry_run)
        return self.carry_out(job, progress=progress)[1]

    def carry_out(self, job: PruneJob, *, progress: Progress | None = None) -> tuple[Plan, dict[str, Any]]:
        """What :meth:`prune` does, of a job of :func:`cnngraph.api.offline.choose_prune`: the plan too."""
        from cnngraph.jobs.prune_job import prune_to_graph

        return prune_to_graph(job, self.session(progress))

    def bench(
        self,
        name: str,
        *,
        out: str | Path | None = None,
        csv: str | Path | None = None,
        picture: str | Path | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
        **how: Unpack[Benched],
    ) -> dict[str, Any]:
        """Hold methods to the same budgets, each net trained and stored, beside the unpruned net trained for as long;
        the JSON of ``cnngraph bench``.

            found = graph.bench("mine", methods=["filters", "random"], budget="macs=0.5", epochs=2, seeds=3)
            {row["method"]: row["accuracy"]["mean"] for row in found["table"]}

        Every net is stored as it is made, with its lineage; the same call goes on after an interruption, and one with
        more methods, budgets or seeds makes only what is new. A method that fails or misses a budget says so in its
        row, and the others go on.

        Args:
            out: also write the page there. csv: all points, one a row. picture: the plots, an .svg file.
            dry_run: say what would be trained and written; do neither.
            how: see :class:`~cnngraph.api.options.Benched`.

        Returns:
            ``model, budgets, methods, seeds, epochs, judged_on, parent``; ``points``: all that there are of this
            model, data and training, also of other budgets; ``table``: mean and spread of those asked for; ``left``:
            what there was no time for.

        Raises:
            UsageError: an unknown method or budget, one twice, a value out of range. NotFoundError: the model is not
            there. ModelError: it has no saved net or no data, or cannot be trained. PlanError: there is no time for
            one net.
        """
        from cnngraph.jobs.bench import bench
        from cnngraph.jobs.bench_choice import choose_bench
        from cnngraph.reporting.bench import require_files, write_files

        require_files(out=out, csv=csv, picture=picture)
        found = bench(self.session(progress), name, choose_bench(how), dry_run=dry_run)
        return found if dry_run else found | write_files(found, out=out, csv=csv, picture=picture)

    def adopt(
        self,
        name: str,
        weights: str | Path,
        *,
        weights_key: str | None = None,
        as_name: str | None = None,
        data: str | None = None,
        data_root: str | Path | None = None,
        device: str = "auto",
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Store weights that were trained elsewhere as a new model, checked, evaluated, with its lineage.

        Args:
            weights: a file (safetensors or a state dict), or the folder of a saved model. weights_key: which of
                several sets of weights in a file.
            as_name: of the new model; default: NAME-adopted. data, data_root: instead of what ``name`` was ingested
                with.

        Returns:
            the JSON of ``cnngraph adopt``; the same call again writes nothing.

        Raises:
            NotFoundError: there is no such model or file. ModelError: the weights do not fit, or are the model's own.
            ConflictError: ``as_name`` is another model.
        """
        from cnngraph.jobs.adopt import AdoptJob, adopt
        from cnngraph.sources.stored import other_data

        other = other_data(data, data_root)
        job = AdoptJob(name, Path(weights), weights_key, as_name=as_name, data=other, device=device, dry_run=dry_run)
        return adopt(job, self.session(progress))

    def rebuild(
        self, name: str, out: Path, *, changed: bool = False, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Save the net whose structure and weights the graph holds (``trace(..., kernels=True)``), compared with the
        stored one; ``changed`` keeps weights that somebody changed in the graph.
        """
        from cnngraph.jobs.rebuild import rebuild_from_graph

        return rebuild_from_graph(self.database, name, Path(out), changed=changed, progress=progress)

    def verify(
        self,
        name: str,
        *,
        data: str | None = None,
        data_root: str | Path | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Prove a pruned model again, by its parent in the lineage; the JSON of ``cnngraph verify``.

        Args:
            data, data_root: whose images slim and masked net are compared on, instead of what it was ingested with.

        Raises:
            NotFoundError: there is no such model. PlanError: it was not pruned. ModelError: its saved net is not here.
        """
        from cnngraph.jobs.proof import prove
        from cnngraph.sources.stored import other_data

        return prove(self.database, name, data=other_data(data, data_root), seed=seed, progress=progress or Quiet())

    def report(
        self, name: str, out: str | Path, *, pictures: bool = False, progress: Progress | None = None
    ) -> tuple[str, Path]:
        """Write the page about a pruned model; returns its verdict and its path.

        Args:
            pictures: look at the training images once, so that the page shows what excites the filters that went and
                those that stay. What was looked at before is shown anyway.

        Raises:
            NotFoundError: there is no such model, or it was not made by a prune.
            ModelError, DataError: with ``pictures``, where the net before or its images are not here.
        """
        from cnngraph.jobs.report import write_report

        return write_report(self.session(progress), self.key(name), Path(out), look=pictures)

    def colour_selective(self, name: str) -> list[dict[str, Any]] | None:
        """How many of the first filters that a prune took are colour-selective, layer by layer where that is known.

        ``None`` where the net before or its images are not here.

        Each has ``layer``, ``by`` (``weights`` of filters that read the image, else ``answers``), ``at_least`` (the
        score that counts), ``filters`` and ``selective`` of the layer, ``first`` that went and ``selective_of_first``.

        Raises:
            NotFoundError: there is no such model, or it was not made by a prune.
        """
        from cnngraph.jobs.report import colours_of

        return colours_of(self.session(), self.key(name))

    def evidence(
        self,
        name: str,
        layers: Sequence[str] | None = None,
        *,
        part: str = "train",
        progress: Progress | None = None,
    ) -> Evidence:
        """What images say about the filters of a model: one pass, kept, read from then on.

            found = graph.evidence("mine", ["features.0"])
            found.top_images("features.0", 7)[0].box
            found.occurrence("features.0", 7)  # P(activation > 0 | class, position)

        Args:
            layers: conv layers; default: all. part: of its data: ``train``, ``validation`` or ``test``.

        Raises:
            NotFoundError: there is no such model or layer. ModelError: its saved net is not here.
            DataError: its images are not.
        """
        from cnngraph.jobs.evidence import collect_evidence

        return collect_evidence(self.session(progress), name, layers, part=part)

    def gds(
        self,
        name: str,
        *,
        view: str = "positions",
        class_: str | int | None = None,
        undirected: bool = False,
        distance: bool = False,
    ) -> AbstractContextManager[Projection]:
        """The network of ``name`` as a projection, with Neo4j's client ``graphdatascience``; dropped at the end.

            with cg.connect() as graph, graph.gds("mine", class_="cat") as mine:
                G, gds = mine
                ranks = mine.keyed(gds.page_rank.stream(G, relationship_weight_property="weight"))

        Relationships have one property, ``weight``: the strength without its sign; those of strength 0 are left out.
        Nodes stand in the order of our own numbers, so that an algorithm with a seed and one thread gives the same on
        every server. ``keyed`` puts our keys in the place of GDS's node ids. See docs/gds.md.

        Args:
            view: ``positions`` and their arcs, or ``channels``: feature maps and their connections.
            class_: a class by name or number, whose weights the arcs get; default: the mean over the classes.
            undirected: every relationship in both directions (Leiden wants that).
            distance: ``weight`` is 1 / strength, for shortest paths.

        Raises:
            UsageError: there is no such view, or a class was asked of the channels.
            NotFoundError: the model or the class is not there. ConflictError: the model is not complete.
            PlanError: the model has no such nodes.
            DatabaseError: the server has no Graph Data Science, or too little memory for this.
        """
        from cnngraph.jobs.projection import project

        return project(self.database, name, view=view, class_=class_, undirected=undirected, distance=distance)
