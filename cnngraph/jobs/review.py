"""A person judges the filters of a stored model: the log, its files, and the page on which it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cnngraph.console import say
from cnngraph.database.review_files import read_file, write_file
from cnngraph.database.reviews import Choice, append, bind, judgeable_layers, read_log
from cnngraph.errors import CnngraphError, ConflictError, UsageError
from cnngraph.review.progress import describe_progress
from cnngraph.sources.stored import stored

if TYPE_CHECKING:
    import socket

    from cnngraph.evidence.record import Evidence
    from cnngraph.jobs.session import Session
    from cnngraph.review.costs import FilterCosts
    from cnngraph.review.judging import Judging
    from cnngraph.sources.stored import StoredModel

__all__ = ["PageChoice", "ReviewPage", "export_log", "open_judging", "open_page", "replay", "status"]


@dataclass(frozen=True)
class PageChoice:
    """How the page is opened.

    Attributes:
        layers: only filters of these. by: who judges; default: the owner.
        shuffle: in random order. hide_scores: what the machine thinks is hidden until the person has decided.
        port: ``None``: the usual one, or a free one.
        latency_table: a file that says how long the layers take. images: look at the images that the model was
            ingested with, where that was not done before.
    """

    layers: tuple[str, ...] | None = None
    by: str | None = None
    shuffle: bool = False
    hide_scores: bool = False
    port: int | None = None
    latency_table: Path | None = None
    images: bool = True


class ReviewPage:
    """The page on which a person judges the filters of a model, ready to be served; a context manager."""

    def __init__(self, judging: Judging, listening: socket.socket) -> None:
        from cnngraph.review.server import PageServer

        self.judging, self._server = judging, PageServer(judging, listening)

    @property
    def address(self) -> str:
        """Where it opens, once: the next call gives another address when this one was used."""
        return self._server.address

    def serve(self, *, open_browser: bool = False, told: Callable[[str], object] = say) -> None:
        """Answer this machine's browsers until Ctrl-C.

        Args:
            open_browser: open it in the browser. told: hears the address.

        Raises:
            KeyboardInterrupt: it was ended.
        """
        self._server.serve(told, open_browser=open_browser)

    def close(self) -> None:
        """Give the port back."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_page(session: Session, name: str, choice: PageChoice) -> ReviewPage:
    """The page for a model: its filters with what the graph, the net and its images say of them.

    Raises:
        NotFoundError: there is no such model or layer. ModelError: it has no feature maps, or they are no filters.
        CnngraphError: the port is taken. UsageError: nobody can be called so.
    """
    from cnngraph.review.server import listen

    listening = listen(choice.port)  # a port that is taken is said before long work
    try:
        return ReviewPage(open_judging(session, name, choice), listening)
    except BaseException:
        listening.close()
        raise


def open_judging(session: Session, name: str, choice: PageChoice) -> Judging:
    """What the page is opened on; raises as :func:`open_page`."""
    from cnngraph.database.connection import connect_again
    from cnngraph.review.judging import Judging
    from cnngraph.review.lenses import Lenses

    db = session.database
    by = _person(choice.by if choice.by is not None else session.settings.owner)
    model = stored(db, name)
    layers = judgeable_layers(db, model.key, choice.layers)
    read_log(db, model.key)  # one that is of other weights, or damaged, is said now
    absent: dict[str, dict[str, str]] = {}
    costs = _costs(session, model, choice.latency_table, absent)
    evidence = _evidence(session, name, choice, absent)
    lenses = Lenses.of(db, model.key, name, costs=costs, evidence=evidence, absent=absent)
    judging = Judging(
        db,
        bind(db, model.key),
        layers,
        by,
        lenses,
        choice.shuffle,
        choice.hide_scores,
        reopen=partial(connect_again, session.settings),
    )
    judging.start()  # the first time the server compiles its queries, and files are opened
    judging.filter(*judging.order[0])
    return judging


def _person(by: str) -> str:
    try:
        return Choice("-", "-", 0, "keep", by).by
    except ValueError as error:
        raise UsageError(
            f"{by!r} is no name of a person.", "Use one such as ann: up to 100 printable signs."
        ) from error


def _evidence(session: Session, name: str, choice: PageChoice, absent: dict[str, dict[str, str]]) -> Evidence | None:
    """What images say of the filters; ``None``, and why in ``absent``, where that cannot be had."""
    from cnngraph.jobs.evidence import collect_evidence, find_evidence

    try:
        kept = find_evidence(session, name, choice.layers)
        if kept is None and choice.images:
            return collect_evidence(session, name, choice.layers)
    except CnngraphError as error:
        session.progress.note(f"No images: {error}")
        absent["evidence"] = {"text": f"The images could not be looked at: {error}", "command": ""}
        return None
    if kept is None:
        command = f"cnngraph review {name}" + "".join(f" --layer {layer}" for layer in choice.layers or ())
        absent["evidence"] = {"text": "The images were not looked at: --no-images.", "command": command}
    return kept


def _costs(
    session: Session, model: StoredModel, table: Path | None, absent: dict[str, dict[str, str]]
) -> FilterCosts | None:
    """What each filter costs, by the saved net; ``None``, and why in ``absent``, where that cannot be had."""
    from cnngraph.review.costs import FilterCosts
    from cnngraph.surgery.channels.coupling import coupled
    from cnngraph.surgery.saved import read_saved
    from cnngraph.training.latency_table import read_table

    session.progress.start("Opening the net")
    try:
        saved = read_saved(model.folder)
        coupling = saved.followed.view("coupling", coupled)
    except CnngraphError as error:
        if table is not None:
            raise
        absent["costs"] = {"text": f"What it costs is not known: {error.message}", "command": ""}
        return None
    layers = [layer.layer for layer in saved.followed.graph.layers]
    latencies = read_table(table, layers).layers if table is not None else None
    return FilterCosts(saved.model, coupling, latencies)


def status(session: Session, name: str, agree: str) -> dict[str, Any]:
    """How far the review of a model is, and what goes by it; raises as :func:`stored` and ``describe_progress``."""
    return describe_progress(session.database, stored(session.database, name).key, agree)


def export_log(session: Session, name: str, path: Path) -> dict[str, Any]:
    """Write what people decided on the filters of a model to ``path``: JSON or CSV.

    Raises:
        NotFoundError: there is no such model. UsageError: neither .json nor .csv.
    """
    key = stored(session.database, name).key
    log = read_log(session.database, key)
    written = write_file(log, path)
    return {"model": key, "choices": len(log.choices), "file": str(written)}


def replay(session: Session, name: str, path: Path) -> dict[str, Any]:
    """Store the choices of a file on the model that they were made on, wherever it is; those that are there stay.

    Raises:
        NotFoundError: there is no such model, file or filter. ModelError: the file is no log, or was changed by hand.
        ConflictError: it is of another net. Nothing is stored then.
    """
    key = stored(session.database, name).key
    log, here = read_file(path), bind(session.database, key)
    if not here.holds(log.binding.sha256, log.binding.recipe):
        raise ConflictError(
            f"{path} is the review of another net than {key}: {log.binding.model}, weights {log.binding.sha256[:12]}.",
            f"{key} has the weights {here.sha256[:12]}. Replay it on the model that was judged.",
        )
    new = append(session.database, here, log.choices)
    return {"model": key, "choices": len(log.choices), "new": len(new), "file": str(path)}
