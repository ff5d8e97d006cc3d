"""A model of the database for other tools: its graph, or the net itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import UsageError
from cnngraph.jobs.session import Session

if TYPE_CHECKING:
    from cnngraph.database.export import GraphPart

__all__ = ["BUNDLE", "export"]

BUNDLE = "bundle"


def export(
    session: Session, name: str, form: str, out: Path, part: GraphPart, *, dry_run: bool = False
) -> dict[str, Any]:
    """Write the graph of a model, or its saved net, as ``form``; the JSON of ``cnngraph export``.

    Raises:
        UsageError: a part of the graph was asked of the net. Otherwise as :func:`cnngraph.database.export.export` and
            :func:`cnngraph.shipping.export.export`.
    """
    from cnngraph.database import catalogue
    from cnngraph.database.export import GraphPart
    from cnngraph.database.export import export as export_graph
    from cnngraph.shipping.export import export as export_net
    from cnngraph.shipping.writers import FORMATS
    from cnngraph.sources.stored import stored

    if form in FORMATS:
        if part != GraphPart():
            words = "view, class_, layers and relationships choose a part of the graph"
            raise UsageError(f"{words}; {form} is the net.", "Leave out.")
        return export_net(
            stored(session.database, name).folder, out, format=form, dry_run=dry_run, progress=session.progress
        )
    key = catalogue.resolve(session.database, name)
    if form == BUNDLE and part != GraphPart():
        raise UsageError("A bundle takes the whole graph.", "Leave view, class_, layers and relationships out.")
    if dry_run:
        return catalogue.show(session.database, key) | {"format": form, "out": str(out), "dry_run": True}
    if form == BUNDLE:
        return _bundle(session, key, out)
    return export_graph(session.database, key, form, out, part, session.progress)


def _bundle(session: Session, key: str, out: Path) -> dict[str, Any]:
    """A model with its saved net and its CAR as a folder that ``cnngraph ingest`` takes into another database.

    Raises:
        ModelError: it has no saved net. ConflictError: something else is in ``out``.
    """
    from cnngraph.database.reader import read_network
    from cnngraph.network.bundle import write_bundle
    from cnngraph.sources.stored import stored

    folder = stored(session.database, key).folder
    network = read_network(session.database, key, progress=session.progress)
    write_bundle(network, out, model=folder)
    counts = network.counts()
    return {
        "model": key,
        "format": BUNDLE,
        "path": str(out),
        "nodes": sum(counts[what] for what in ("layers", "feature_maps", "positions", "classes")),
        "relationships": sum(counts[what] for what in ("connections", "arcs")) + network.serves.num_rows,
    }
