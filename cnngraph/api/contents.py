"""What is in the database: written, read, listed, exported, asked, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.api.opened import Opened
from cnngraph.console import Progress, Quiet
from cnngraph.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from cnngraph.network.tables import Network

__all__ = ["Contents"]


class Contents(Opened):
    """The models of one database."""

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

        Args:
            artifact: folder of its saved model (:func:`cnngraph.save`), which is copied into the storage. sha256: of
                its weights.

        Raises:
            ConflictError: the name exists with other inputs (``replace=True`` replaces it), or another writer holds it.
            NotFoundError: there is no saved model in ``artifact``. CnngraphError: the storage cannot be written.
        """
        from cnngraph.database.writer import write_network

        content = None if artifact is None or dry_run else self.database.storage.add(Path(artifact))
        return write_network(
            self.database,
            network,
            name,
            saved_sha256=content,
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
        from cnngraph.jobs.blocks import blocks_of

        found: list[dict[str, Any]] = blocks_of(self.database, name)["blocks"]
        return found

    def lineage(self, name: str) -> dict[str, Any]:
        """Ancestors, descendants, pruning runs and evaluations of one model."""
        from cnngraph.database import lineage

        return lineage.lineage(self.database, self.key(name)).as_json()

    def delete(self, name: str, *, dry_run: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Delete one model's nodes, in batches, and return what went."""
        from cnngraph.database import catalogue

        return catalogue.delete(self.database, self.key(name), dry_run=dry_run, progress=progress or Quiet())

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
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write one model: its graph (parquet, neo4j-admin, gexf, graphml, json), or the net (safetensors, pt2, onnx).

        Args:
            view: of the graph: channels, positions or both (default). class_: whose weights its edges get; default:
                the mean. layers: only these, A..B. relationships: of ARC, CONNECTS, FEEDS, RESEMBLES; default: all but
                the last.

        Raises:
            UsageError: there is no such format, or a part of the graph was asked of the net.
            ConflictError, ModelError, VerificationError: of the net, see :func:`cnngraph.shipping.export.export`.
        """
        from cnngraph.database.export import export
        from cnngraph.shipping.writers import FORMATS

        if format not in FORMATS:
            key, view, class_ = self.key(name), view or "both", class_ or "mean"
            return export(self.database, key, format, Path(out), view, class_, layers, relationships, progress)
        if view or class_ or layers or relationships:
            raise UsageError(
                f"view, class_, layers and relationships choose a part of the graph; {format} is the net.", "Leave out."
            )
        from cnngraph.shipping.export import export as ship
        from cnngraph.sources.stored import stored

        return ship(stored(self.database, name).folder, out, format=format, progress=progress)

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

    def migrate(self, *, share_database: bool = False) -> list[str]:
        """Apply the pending migrations and return their names; saved models of this machine go into its storage."""
        from cnngraph.database import schema
        from cnngraph.database.saved_models import store_by_content

        done = [migration.name for migration in schema.migrate(self.database, share_database=share_database)]
        store_by_content(self.database)
        return done

    def pending_cypher(self) -> str:
        """The pending migrations as Cypher for an administrator, who can run it as it is."""
        from cnngraph.database import schema

        return schema.script(self.database)
