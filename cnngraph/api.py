"""What ``import cnngraph as cg`` offers; the commands are thin over the same functions.

    network = cg.trace(model, loader)
    with cg.connect() as graph:
        graph.write(network, "mine")
        graph.measure("mine", "degree")
        plan = graph.plan("mine", method="multilayer", threshold=0.3)
    slim = cg.apply(model, plan)
    cg.verify(model, slim, plan)
    cg.save(slim, "slim/")
    cg.export(slim, "slim.onnx", format="onnx")

``trace``, ``apply``, ``verify``, ``save``, ``load`` and ``export`` need no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet
from cnngraph.errors import CnngraphError, UsageError, nearest
from cnngraph.settings import Settings, load_settings

if TYPE_CHECKING:
    import pandas as pd

    from cnngraph.database.connection import Database
    from cnngraph.measures.measure import MeasureResult
    from cnngraph.network.tables import Network
    from cnngraph.network.trace import trace
    from cnngraph.plan import Init, Plan, Removal, read_plan, write_plan
    from cnngraph.pruning.filters import plan_filters
    from cnngraph.shipping.export import export
    from cnngraph.surgery.apply import apply
    from cnngraph.surgery.channels.coupling import coupled
    from cnngraph.surgery.channels.filter_scores import score_filters
    from cnngraph.surgery.reconstruct import reconstruct
    from cnngraph.surgery.saved import load, save
    from cnngraph.surgery.verify import Verification, verify

__all__ = [
    "METHODS",
    "CnngraphError",
    "Graph",
    "Network",
    "Plan",
    "Removal",
    "Verification",
    "apply",
    "connect",
    "coupled",
    "export",
    "load",
    "plan_filters",
    "read_plan",
    "reconstruct",
    "save",
    "score_filters",
    "trace",
    "verify",
    "write_plan",
]

METHODS = ("multilayer",)

# The torch side costs seconds to import, so `cnngraph list` must not: these are loaded when they are first used.
_HOMES = {
    "Network": "cnngraph.network.tables",
    "Plan": "cnngraph.plan",
    "Removal": "cnngraph.plan",
    "Verification": "cnngraph.surgery.verify",
    "apply": "cnngraph.surgery.apply",
    "coupled": "cnngraph.surgery.channels.coupling",
    "export": "cnngraph.shipping.export",
    "load": "cnngraph.surgery.saved",
    "plan_filters": "cnngraph.pruning.filters",
    "read_plan": "cnngraph.plan",
    "reconstruct": "cnngraph.surgery.reconstruct",
    "save": "cnngraph.surgery.saved",
    "score_filters": "cnngraph.surgery.channels.filter_scores",
    "trace": "cnngraph.network.trace",
    "verify": "cnngraph.surgery.verify",
    "write_plan": "cnngraph.plan",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cnngraph.api' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def connect(
    uri: str | None = None,
    *,
    auth: tuple[str, str] | None = None,
    database: str | None = None,
    owner: str | None = None,
    profile: str | None = None,
) -> Graph:
    """Open the graph database that the settings name; without any, the embedded server is started.

    Args:
        uri: ``neo4j://...``, ``bolt://...``, ``neo4j+s://...``; default: environment, ``.env``, profile, embedded.
        auth: (user name, password).

    Raises:
        DatabaseError: it cannot be reached or refuses; the message says what to do.
    """
    username, password = auth or (None, None)
    return Graph.open(
        load_settings(uri=uri, username=username, password=password, database=database, owner=owner, profile=profile)
    )


class Graph:
    """The networks in one Neo4j database; a context manager. Names are one's own, or ``OWNER/NAME``."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    @classmethod
    def open(cls, settings: Settings, *, progress: Progress | None = None, prepare: bool = True) -> Graph:
        """Connect; ``prepare`` brings the embedded server's schema up to date and refuses any other that is not."""
        from cnngraph.database import schema
        from cnngraph.database.connection import connect as open_database

        database = open_database(settings, progress=progress or Quiet())
        if prepare:
            try:
                schema.require_current(database)
            except BaseException:
                database.close()
                raise
        return cls(database, settings)

    def __enter__(self) -> Graph:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; an embedded server goes on running."""
        self.database.close()

    def key(self, name: str) -> str:
        """The key of a model that is there.

        Raises:
            NotFoundError: there is none; the hint has the nearest names.
        """
        from cnngraph.database import catalogue

        return catalogue.resolve(self.database, name)

    # -- writing and reading ------------------------------------------------------------------------------------------

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
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write ``network`` as the model ``name`` and return the counts; resumes after a kill, writes nothing twice.

        Raises:
            ConflictError: the name exists with other inputs (``replace=True`` replaces it), or another writer holds it.
        """
        from cnngraph.database.writer import write_network

        return write_network(
            self.database,
            network,
            name,
            artifact=str(artifact) if artifact else None,
            sha256=sha256,
            replace=replace,
            dry_run=dry_run,
            yes=yes,
            progress=progress or Quiet(),
        )

    def read(self, name: str) -> Network:
        """The model as a Network, equal to the one that was written."""
        from cnngraph.database.reader import read_network

        return read_network(self.database, self.key(name))

    def frames(self, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(nodes, edges) of the model as pandas frames."""
        from cnngraph.database.reader import frames

        return frames(self.database, self.key(name))

    def models(self) -> list[dict[str, Any]]:
        """Everybody's models with their figures."""
        from cnngraph.database import catalogue

        return catalogue.list_models(self.database)

    def show(self, name: str) -> dict[str, Any]:
        """Counts and properties of one model."""
        from cnngraph.database import catalogue

        return catalogue.show(self.database, self.key(name))

    def blocks(self, name: str) -> list[dict[str, Any]]:
        """The blocks of one model, each with ``removable``: ``None``, or the reason why it cannot go as a whole."""
        from cnngraph.chain.blocks import blocks_of

        found: list[dict[str, Any]] = blocks_of(self.database, name)["blocks"]
        return found

    def lineage(self, name: str) -> dict[str, Any]:
        """Ancestors, descendants, pruning runs and evaluations of one model."""
        from cnngraph.database import lineage

        return lineage.lineage(self.database, self.key(name))

    def rebuild(
        self, name: str, out: Path, *, changed: bool = False, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Save the net whose structure and weights the graph holds (``trace(..., kernels=True)``), compared with the
        stored one; ``changed`` keeps weights that somebody changed in the graph.
        """
        from cnngraph.chain.rebuild import rebuild_from_graph

        return rebuild_from_graph(self.database, name, Path(out), changed=changed, progress=progress)

    def delete(self, name: str, *, dry_run: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Delete one model's nodes, in batches, and return what went."""
        from cnngraph.database import catalogue

        return catalogue.delete(self.database, self.key(name), dry_run=dry_run, progress=progress or Quiet())

    def export(
        self,
        name: str,
        out: Path,
        *,
        format: str,  # noqa: A002  the word that the command uses
        view: str = "both",
        class_: str = "mean",
        layers: str | None = None,
    ) -> dict[str, Any]:
        """Write one model as parquet, gexf, graphml or json; edge weights are those of ``class_``."""
        from cnngraph.database.export import export

        return export(self.database, self.key(name), format=format, out=out, view=view, class_=class_, layers=layers)

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
        from cnngraph.database import queries

        if cypher:
            known = {"model": self.key(model)} if model else {}
            return queries.run_cypher(self.database, query, known | dict(parameters or {}), write=write)
        if model is None:
            raise UsageError("A saved query asks about one model.", "Name it: --model NAME")
        return queries.run_query(self.database, query, self.key(model), dict(parameters or {}))

    # -- schema -------------------------------------------------------------------------------------------------------

    def migrate(self, *, share_database: bool = False) -> list[str]:
        """Apply the pending migrations and return their names."""
        from cnngraph.database import schema

        return [migration.name for migration in schema.migrate(self.database, share_database=share_database)]

    def pending_cypher(self) -> str:
        """The pending migrations as Cypher for an administrator, who can run it as it is."""
        from cnngraph.database import schema

        return schema.script(self.database)

    # -- deciding -----------------------------------------------------------------------------------------------------

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
    ) -> MeasureResult:
        """Compute and store one measure; see docs/measures.md for what each says."""
        from cnngraph.measures.registry import measure as run

        return run(
            self.database,
            self.key(name),
            measure,
            aggregate=aggregate,
            seed=seed,
            engine=engine,
            reference=reference,
            progress=progress or Quiet(),
        )

    def plan(
        self,
        name: str,
        *,
        method: str = "multilayer",
        measure: str = "degree",
        aggregate: str = "mean",
        threshold: float | None = None,
        remove: int | None = None,
        reference: str = "median",
        engine: str = "auto",
        init: Init = "least-squares",
        keep: Mapping[str, str] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Plan:
        """The decision only: nothing is changed and nothing is trained; measures first if no run exists.

        Args:
            threshold: layers whose theta is below it go.
            remove: this many layers go, lowest theta first. Neither: the schedule only.
            keep: layers that cannot go, with the reason.
        """
        from cnngraph.pruning.multilayer import plan

        if method not in METHODS:
            raise UsageError(f"There is no method {method!r}.", nearest(method, METHODS))
        return plan(
            self.database,
            self.key(name),
            measure=measure,
            aggregate=aggregate,
            threshold=threshold,
            remove=remove,
            reference=reference,
            engine=engine,
            init=init,
            keep=dict(keep or {}),
            seed=seed,
            progress=progress or Quiet(),
        )
